"""Made-up logs, folders and policies to audit, with planted certificates."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pinverify import core, ct
from pki import Authority, Identity
from test_ct import tile

__all__ = ["Cast", "Planted", "cast", "keys_of_its_own", "log_entries", "write_log"]

MINE, OTHERS = "api.example.com", "example.org"


class Cast(NamedTuple):
    """Certificates for hosts that the policy pins, and others."""

    pinned: Identity
    renewed: Identity
    rogue: Identity
    stranger: Identity

    @property
    def policy(self) -> str:
        """The policy, in TOML: one pin in use, one that nobody has."""
        backup = "sha256/Pqs/ulAmth0AfL9BG5DzyI/4nPCoCIy7/D6qyoZ91mM="
        return (
            "version = 1\n\n"
            f'[hosts."{MINE}"]\npins = ["{self.pinned.pin}", "{backup}"]\n\n'
            f'[hosts."**.{OTHERS}"]\nleaf = ["{self.pinned.pin}", "{backup}"]\n'
        )


@functools.cache
def cast() -> Cast:
    """Make them once."""
    ca = Authority.root("Example CA 1")
    pinned = ca.leaf(MINE, f"www.{OTHERS}")
    return Cast(
        pinned=pinned,
        renewed=ca.leaf(MINE, key=pinned.key, days=90),
        rogue=ca.leaf(MINE),
        stranger=ca.leaf("www.example.net"),
    )


def keys_of_its_own(der: bytes, num: int) -> Iterator[bytes]:
    """Yield a certificate again and again, each time with another key."""
    spki = core.spki(der)
    place = der.index(spki) + len(spki) - 24
    rng = random.Random(1)  # noqa: S311 - no key
    for _ in range(num):
        yield der[:place] + rng.randbytes(16) + der[place + 16 :]


class Planted(NamedTuple):
    """A certificate in a log that must be found."""

    entry: int
    der: bytes
    host: str


@functools.cache
def planted(num: int) -> tuple[Planted, ...]:
    """Return five certificates with keys that are not pinned, for a log of *num*."""
    ca = Authority.root("Example CA 2")
    names = (
        ((MINE,), MINE),
        (("*.example.com",), MINE),
        (("WWW.EXAMPLE.ORG",), "www.example.org"),
        (("www.example.net", "deep.down.example.org"), "deep.down.example.org"),
        (("*.example.org", "example.net"), "*.example.org"),
    )
    return tuple(
        Planted((2 * i + 1) * num // 10, ca.leaf(*hosts).der, host)
        for i, (hosts, host) in enumerate(names)
    )


def log_entries(num: int) -> Iterator[ct.Entry]:
    """Yield the entries of a log: strangers, ours with pinned keys, and the planted."""
    ca, ours = Authority.root("Example CA 3"), cast()
    strangers = [
        ca.leaf(name).der
        for name in (
            *("www.example.net", "notexample.com.example.net", "*.example.net"),
            *("api.example.com.example.net", "www.other-example.org", "example.co"),
            *("www.example.com", "*.api.example.com", "192.0.2.7"),
        )
    ]
    others = [keys_of_its_own(der, num) for der in strangers]
    found = {one.entry: one.der for one in planted(num)}
    for i, certs in zip(range(num), itertools.cycle(others), strict=False):
        der = found.get(i) or (ours.renewed.der if i % 50 == 7 else next(certs))
        yield ct.Entry(i, 1_746_292_399_101 + i, i % 3 != 0, der, ())


def write_log(folder: Path, num: int) -> None:
    """Write the data tiles of a log (static-ct-api)."""
    entries = log_entries(num)
    for number in itertools.count():
        some = list(itertools.islice(entries, 256))
        if not some:
            return
        high, low = divmod(number, 1000)
        path = folder / "tile" / "data" / (f"x{high:03}" if high else "") / f"{low:03}"
        if len(some) < 256:
            path = path.with_name(f"{path.name}.p") / str(len(some))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tile(some))
