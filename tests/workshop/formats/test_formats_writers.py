"""Every writer with every argument: a model of the system reads what it writes.

The policies have one, two or many hosts, with wildcards, clients, report mode, expiries
and blocked keys; with and without `host`, `position` and `allow`. What is written never
accepts or rejects more than the rules, except by a loss that is reported.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    ALL_KINDS,
    CHAINS,
    FAST,
    HOSTS,
    LONG,
    MOMENTS,
    NAMES,
    Cert,
    Decides,
    pool,
    small_rules,
)
from pinverify import Dumped, Pin, PinSet, Policy, PolicyError, Rules, dump_rules
from pinverify.formats._format_table import FORMATS, writable
from policy_samples import NOON
from test_formats_android import Android
from test_formats_envoy import Envoy
from test_formats_envoy import written as context_of
from test_formats_haproxy import hashes
from test_formats_okhttp import Pinner
from test_formats_one_host import Pinned
from test_formats_plist import Apple, TrustKit, domains_of
from test_formats_postfix import Postfix
from test_formats_tlsa import written as records_of

__all__: list[str] = []

TABLE = [name for name in writable() if name not in {"toml", "json", "compiled"}]
ONE_HOST = {name for name in TABLE if FORMATS[name].host_to_write == "given"}


def postfix(text: str) -> Decides:
    """Read a table."""
    table = {}
    for line in text.splitlines():
        name, level, *match = line.split()
        if not name.startswith("#"):
            digests = "".join(match).removeprefix("match=").replace(":", "").lower()
            table[name] = digests.split("|") if level == "fingerprint" else None
    return Postfix(table)


def of_leaf(listed: set[str], kind: str) -> Decides:
    """Compare a digest of the leaf with a list, whatever the host."""
    return lambda _, chain, __: getattr(chain[0], kind) in listed


def kubeadm(text: str) -> Decides:
    """Compare the keys of the authorities with the hashes."""
    hashed = {line.removeprefix("sha256:") for line in text.split()}
    return lambda _, chain, __: any(
        base64.b64decode(cert.spki).hex() in hashed for cert in chain[1:]
    )


def model_of(name: str, text: str, host: str) -> Decides:
    """Return the decision of a system by what was written for it."""
    readers: dict[str, Callable[[], Decides]] = {
        "okhttp": lambda: Pinner.of_text(text),
        "android": lambda: Android.of_text(text),
        "trustkit": lambda: TrustKit(domains_of("trustkit", text)),
        "apple": lambda: Apple(domains_of("apple", text)),
        "hpkp": lambda: Pinned(text.strip(), host),
        "curl": lambda: of_leaf(
            {part.removeprefix("sha256//") for part in text.strip().split(";")}, "spki"
        ),
        "envoy": lambda: Envoy([context_of(text)]),
        "tlsa": lambda: records_of(text),
        "haproxy": lambda: of_leaf(
            {one.lower() for one in hashes(text)}, "certificate"
        ),
        "postfix": lambda: postfix(text),
        "kubeadm": lambda: kubeadm(text),
    }
    return readers[name]()


NUM_DECISIONS: dict[str, int] = {}


def compare(
    name: str,
    rules: Rules,
    dumped: Dumped,
    hosts: Sequence[str],
    chains: Sequence[Sequence[Cert]],
) -> None:
    """Fail if the system decides otherwise, and no loss tells so."""
    model = model_of(name, str(dumped.text), hosts[0])
    told = {loss.direction for loss in dumped.losses}
    policy = Policy(rules)
    for host in hosts:
        locked_out = True
        accepted = False
        for chain in chains:
            for now in MOMENTS if FORMATS[name].host_to_write == "says" else (NOON,):
                ours = policy.evaluate(host, [c.der for c in chain], now=now).accepted
                theirs = model(host, chain, now)
                assert ours or not theirs or "wider" in told, (host, now, dumped)
                assert theirs or not ours or told - {"dropped"}, (host, now, dumped)
                NUM_DECISIONS[name] = NUM_DECISIONS.get(name, 0) + 1
                locked_out &= not theirs
                accepted |= ours
        assert not (locked_out and accepted) or told - {"dropped"}, (host, dumped)


def writable_pins(name: str) -> dict[str, Any]:
    """Return arguments of a PinSet that the system can hold without any loss."""
    key, backup = pool()[0], pool()[3]
    keys: list[str | Pin] = [key.pin, backup.pin]
    if name == "hpkp":
        after = NOON + dt.timedelta(hours=30)
        return {"pins": keys, "expires": after, "after_expiry": "allow"}
    if name == "haproxy":
        return {"leaf": [f"cert-sha256:{key.certificate}"]}
    if name in {"curl", "postfix", "envoy"}:
        return {"leaf": keys}
    return {"ca": keys} if name == "kubeadm" else {"pins": keys}


@st.composite
def policies(draw: st.DrawFn, writer: str) -> Rules:
    """Draw rules: any, those of one host, or some that *writer* can write."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        wildcard = draw(st.sampled_from(["", "**.", "*."]))
        lists = writable_pins(writer)
        if draw(st.booleans()):
            name = draw(st.sampled_from(["pins", "leaf", "ca"]))
            lists = {name: [pool()[0].pin, pool()[3].pin]}
        return Rules({f"{wildcard}x.org": PinSet(**lists)})
    names = NAMES[:2] if kind == 1 else NAMES
    return draw(small_rules(names))


def writings(name: str) -> Callable[..., Any]:
    """Draw rules, arguments of the writer, and chains to decide about."""
    hosts = st.sampled_from([*NAMES[:2], f"**.{NAMES[0]}"])
    return given(
        st.just(name),
        policies(name),
        st.fixed_dictionaries(
            {
                "host": st.none() | hosts | st.just(NAMES[0]),
                "position": st.none() | st.sampled_from(["leaf", "ca"]),
                "allow": st.sampled_from(
                    [(), ALL_KINDS, ["position"], ["many-labels"]]
                ),
            }
        ),
        st.lists(CHAINS, min_size=3, max_size=6),
    )


def each(
    name: str,
    rules: Rules,
    arguments: dict[str, Any],
    chains: Sequence[Sequence[Cert]],
) -> None:
    """Write rules, and compare; or see that the error names a next step."""
    if name not in ONE_HOST:
        arguments = arguments | {"host": None}
    try:
        dumped = dump_rules(rules, format=name, now=NOON, **arguments)
    except PolicyError as error:
        words = (
            "give",
            "allow",
            "add",
            "no rule to write",
            "leave",
            "no pin of",
            "need",
        )
        assert any(word in str(error) for word in words)  # noqa: PT017
        return
    hosts = list(HOSTS)
    if name in ONE_HOST:
        if rules.clients is not None and not rules.hosts:
            return
        given_host = arguments["host"] or next(iter(rules.hosts))
        host = given_host.removeprefix("**.")
        whole = isinstance(rules.hosts.get(f"**.{host}"), PinSet)
        below = [one for one in HOSTS if one.endswith(f".{host}")]
        hosts = [host, *(below if whole or name == "hpkp" else [])]
        if below and whole and name != "hpkp":  # the file is for the name alone
            assert "wider" in {loss.direction for loss in dumped.losses}, dumped
            hosts = [host]
    compare(name, rules, dumped, hosts, chains)
    if rules.clients is not None:
        assert any(loss.kind == "clients" for loss in dumped.losses)


@pytest.mark.parametrize("name", TABLE)
def test_a_writer_loses_nothing_in_silence(name: str) -> None:
    """With any argument; `make slow` takes twenty thousand decisions of each."""
    FAST(writings(name)(each))()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_twenty_thousand_decisions_of_a_writer(name: str) -> None:
    """The long form of the test above."""
    NUM_DECISIONS[name] = 0
    wanted = int(os.environ.get("DECISIONS", "20000"))
    while (before := NUM_DECISIONS[name]) < wanted:
        LONG(writings(name)(each))()
        assert NUM_DECISIONS[name] > before, "nothing that was drawn can be written"


@pytest.mark.parametrize("name", TABLE)
def test_a_writer_takes_two_hosts_or_says_how(name: str) -> None:
    """With `host` where a file is of one, and without where it has all."""
    key, other = pool()[0], pool()[3]
    leaf = (
        [f"cert-sha256:{key.certificate}"]
        if name == "haproxy"
        else [key.pin, other.pin]
    )
    value = PinSet(ca=leaf) if name == "kubeadm" else PinSet(leaf=leaf)
    rules = Rules({"a.net": value, "b.net": value})
    if name in ONE_HOST:
        with pytest.raises(PolicyError, match="give `host`"):
            dump_rules(rules, format=name, allow=ALL_KINDS)
        assert dump_rules(rules, format=name, allow=ALL_KINDS, host="b.net").text
    else:
        text = str(dump_rules(rules, format=name, allow=ALL_KINDS).text)
        assert "a.net" in text
        assert "b.net" in text
        with pytest.raises(PolicyError, match="names its hosts; leave out `host`"):
            dump_rules(rules, format=name, allow=ALL_KINDS, host="b.net")
