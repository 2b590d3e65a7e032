"""Random policies of other systems, and the comparison of their decisions with ours.

A test of a format has a model of the system's own decision, written from the system's
documentation and not from the reader: a function of host, chain and time. `agree`
compares it with the policy that was read; `losses_are_true`, with rules that were
written.

`POLICIES=10000 make slow TESTS="tests/workshop/formats/test_formats_*.py"` is the long
form, which takes about a quarter of an hour.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from corpora import SHARED
from examples import examples
from pinverify import (
    UNPINNED,
    Dumped,
    Pin,
    PinKind,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    dump_rules,
)
from pinverify.formats import _parser_process
from pinverify.formats._format_table import FORMATS
from pinverify.formats._losses import KINDS
from pinverify.formats._policy_reading import Given
from pinverify.policy import Unpinned
from pki import Identity, example_pki
from policy_samples import NOON

__all__ = [
    "ALL_KINDS",
    "CHAINS",
    "FAST",
    "HOSTS",
    "HOSTS_HERE",
    "LONG",
    "MOMENTS",
    "NAMES",
    "SOME_CHAINS",
    "Cert",
    "Decides",
    "agree",
    "dump",
    "here",
    "losses_are_true",
    "pool",
    "readable_formats",
    "small_rules",
    "vectors",
    "vectors_folder",
]

FAST = settings(
    deadline=None,
    max_examples=examples(80),
    suppress_health_check=[HealthCheck.too_slow],
)
LONG = settings(FAST, max_examples=int(os.environ.get("POLICIES", "1000")))
"""For tests that are marked as slow."""


class Cert(NamedTuple):
    """A certificate, and what systems compare of it."""

    der: bytes
    spki: str  # base64 of the SHA-256
    certificate: str  # hex of the SHA-256

    @property
    def pin(self) -> str:
        """The pin of its key."""
        return f"sha256/{self.spki}"


@functools.cache
def pool() -> tuple[Cert, ...]:
    """Return five genuine certificates with different keys."""
    pki = example_pki()
    return tuple(map(_cert, (pki.server, pki.ca, pki.root, pki.impostor, pki.client)))


def _cert(identity: Identity) -> Cert:
    digest = hashlib.sha256(identity.spki).digest()
    return Cert(
        identity.der,
        base64.b64encode(digest).decode("ascii"),
        hashlib.sha256(identity.der).hexdigest(),
    )


Decides: TypeAlias = Callable[[str, Sequence[Cert], dt.datetime], bool]
"""The decision of a model: host, chain (leaf first), time."""

NAMES = ("x.org", "a.x.org", "l.x.org", "b.a.x.org", "y.org")
HOSTS = (
    *NAMES,
    *("org", "l.y.org", "c.b.a.x.org", "c.l.x.org", "ax.org", "d.c.l.x.org"),
)
DAY = dt.timedelta(days=1)
MOMENTS = (NOON - 3 * DAY, NOON, NOON + 3 * DAY)

CHAINS = st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True).map(
    lambda numbers: [pool()[number] for number in numbers]
)


SOME_CHAINS = st.lists(CHAINS, min_size=1, max_size=2)
HOSTS_HERE = st.sampled_from(["x.org", "a.x.org"])
"""Hosts to write, where a file has the pins of one."""


def agree(
    policy: Policy,
    model: Decides,
    chains: Sequence[Sequence[Cert]],
    hosts: Sequence[str] = HOSTS,
    moments: Sequence[dt.datetime] = MOMENTS,
) -> None:
    """Fail unless a policy decides as the model does."""
    for host, chain, now in itertools.product(hosts, chains, moments):
        report = policy.evaluate(host, [cert.der for cert in chain], now=now)
        assert report.accepted == model(host, chain, now), (host, report, now)


def losses_are_true(  # noqa: PLR0913 - the last two are for one host
    rules: Rules,
    dumped: Dumped,
    model: Decides,
    chains: Sequence[Sequence[Cert]],
    *,
    hosts: Sequence[str] = HOSTS,
    moments: Sequence[dt.datetime] = MOMENTS,
) -> None:
    """Fail if what was written differs from the rules in a way that no loss tells.

    Without a wider loss nothing more is accepted. Without any but dropped ones nothing
    less: a rule that is left out may leave its hosts to another rule.
    """
    told = {loss.direction for loss in dumped.losses}
    policy = Policy(rules)
    for host, chain, now in itertools.product(hosts, chains, moments):
        ours = policy.evaluate(host, [c.der for c in chain], now=now).accepted
        theirs = model(host, chain, now)
        assert not theirs or ours or "wider" in told, (host, now, dumped)
        assert not ours or theirs or told - {"dropped"}, (host, now, dumped)


def dump(rules: Rules, name: str, **given: Any) -> Dumped | None:  # noqa: ANN401
    """Write rules, whatever is lost; None if no rule is left to write.

    Pins for any position are those of leaves, and of authorities for kubeadm.
    """
    given.setdefault("position", "ca" if name == "kubeadm" else "leaf")
    try:
        return dump_rules(rules, format=name, allow=ALL_KINDS, **given)
    except PolicyError as error:
        if "no rule to write" not in str(error):
            raise
        return None


ALL_KINDS = [kind for kind, direction in KINDS.items() if direction == "wider"]


# ---- random rules ------------------------------------------------------------------


@st.composite
def small_rules(draw: st.DrawFn, names: Sequence[str] = NAMES) -> Rules:
    """Draw rules about few names and few keys, so that they meet each other."""
    patterns = st.sampled_from(
        [wildcard + name for name in names for wildcard in ("", "**.", "*.")]
    )
    simple = draw(st.booleans())
    hosts = draw(
        st.dictionaries(
            patterns, st.just(UNPINNED) | _pin_sets(simple), min_size=1, max_size=5
        )
    )
    if simple:
        return Rules(hosts)
    rare = st.sampled_from([True] + 7 * [False])
    unpinned: Literal["allow", "reject"] = "reject" if draw(rare) else "allow"
    return Rules(
        hosts,
        unpinned=unpinned,
        blocked=[pool()[4].pin] if draw(rare) else [],
        clients=PinSet([pool()[4].pin]) if draw(rare) else None,
    )


def _pins() -> st.SearchStrategy[Pin]:
    keys = st.integers(0, 4).map(lambda number: Pin.parse(pool()[number].pin))
    whole = st.integers(0, 4).map(
        lambda number: Pin(
            PinKind.CERTIFICATE, bytes.fromhex(pool()[number].certificate)
        )
    )
    return st.one_of(keys, keys, keys, whole)


@st.composite
def _pin_sets(draw: st.DrawFn, simple: bool) -> PinSet | Unpinned:  # noqa: FBT001
    """Draw a PinSet: pins of keys at any position, or anything."""
    if simple:
        numbers = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
        return PinSet([pool()[number].pin for number in numbers])
    lists: dict[str, Any] = {
        name: draw(st.lists(_pins(), max_size=2)) for name in ("pins", "leaf", "ca")
    }
    if not any(lists.values()):
        lists[draw(st.sampled_from(sorted(lists)))] = [draw(_pins())]
    expires = draw(
        st.none() | st.sampled_from([NOON, NOON + 30 * dt.timedelta(hours=1)])
    )
    after: Any = None if expires is None else draw(st.sampled_from(["allow", "reject"]))
    return PinSet(
        **lists,
        blocked=draw(st.lists(_pins(), max_size=1)) if draw(st.booleans()) else (),
        mode=draw(st.sampled_from(["enforce", "enforce", "report"])),
        expires=expires,
        after_expiry=after,
    )


# ---- source code -------------------------------------------------------------------


def here(text: str, languages: list[str], _: Given) -> Any:  # noqa: ANN401 - JSON
    """Look into source code in this process; a child takes a tenth of a second."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return json.loads(json.dumps(_parser_process.look_into(plain, languages)))


# ---- vectors -----------------------------------------------------------------------


def vectors(folder: str, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return expected values of others; skip the test where they are not there."""
    path = vectors_folder(folder) / name
    return json.loads(path.read_text(encoding="utf-8"))


def vectors_folder(folder: str) -> Path:
    """Return a folder of ../shared/vectors/formats; skip the test if it is missing."""
    path = SHARED / "formats" / folder
    if not path.is_dir():
        pytest.skip(f"the vectors of other projects are not there: {path}")
    return path


def readable_formats() -> list[str]:
    """Return the names of the formats that can be read."""
    return [name for name, row in FORMATS.items() if row.reads]
