"""Reports, and policies as values: what they say, and when two are equal."""

from __future__ import annotations

import base64
import inspect
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiled_model import digest_of
from examples import examples
from pinverify import Pin, PinKind, PinningError, PinSet, Policy, Reason
from pinverify._core import ffi, lib
from pinverify.policy._report import MODES, Seen, with_seen
from pinverify.policy._rules import LISTS
from pki import Pki
from policy_samples import ABSENT, HOST, NOON, OTHER

__all__: list[str] = []


# ---- reports -----------------------------------------------------------------


def test_a_zeroed_report_is_a_rejection() -> None:
    """A report without a decision is a refusal: accepted is 0, the reason MISMATCH."""
    report = ffi.new("pv_report *")
    assert report.accepted == 0
    assert report.reason == lib.PV_MISMATCH == Reason.MISMATCH
    assert report.mode == lib.PV_ENFORCE


def test_the_reasons_of_python_are_those_of_c() -> None:
    """Each number has one meaning."""
    for reason in Reason:
        assert getattr(lib, f"PV_{reason.name}") == reason
    for kind in PinKind:
        assert getattr(lib, f"PV_{kind.name}") == kind
    for number, mode in enumerate(MODES):
        assert getattr(lib, f"PV_{mode.upper()}") == number
    for number, name in enumerate(LISTS):
        assert getattr(lib, f"PV_LIST_{name.upper()}") == number
    for number, shape in enumerate(("EXACT", "ONE_LABEL", "ANY_LABELS", "CLIENTS")):
        assert getattr(lib, f"PV_{shape}") == number


def test_a_report_has_no_truth_value(pki: Pki) -> None:
    """``if policy.evaluate(...)`` would pass for every peer."""
    for pins in ([ABSENT], [pki.server.pin]):
        report = Policy.for_clients(PinSet(pins)).evaluate(None, pki.server.chain_der)
        with pytest.raises(TypeError, match=r"report\.accepted"):
            bool(report)
        with pytest.raises(TypeError):
            assert not report


def test_a_report_says_what_was_seen_and_by_which_policy(pki: Pki) -> None:
    """All fields, once."""
    policy = Policy({"**.example.com": [pki.ca.certificate_pin]})
    report = policy.evaluate("API.example.com.", pki.server.chain_der)
    said = {
        "accepted": True,
        "reason": Reason.MATCH,
        "host": "api.example.com",
        "rule": "**.example.com",
        "mode": "enforce",
        "matched": Pin.parse(pki.ca.certificate_pin),
        "depth": 1,
        "chain": (Pin.parse(pki.server.pin), Pin.parse(pki.ca.pin)),
        "digest": policy.digest,
        "detail": "",
        "side": None,
        "peer_address": None,
        "resumed": None,
    }
    assert {name: getattr(report, name) for name in said} == said
    shown = ", ".join(f"{name}={value!r}" for name, value in said.items())
    assert repr(report) == f"<Report {shown}>"


def test_a_report_is_told_in_values_of_json(pki: Pki) -> None:
    """Each reason, and what an adapter has seen."""
    policy = Policy(
        {
            "leaf.example": [pki.server.pin],
            "ca.example": [pki.ca.certificate_pin],
            "late.example": PinSet(
                [pki.server.pin], expires=NOON, after_expiry="reject"
            ),
            "blocked.example": PinSet([pki.server.pin], blocked=[pki.ca.pin]),
        }
    )
    chain = pki.server.chain_der
    cases = {
        ("leaf.example", "MATCH"): chain,
        ("ca.example", "MATCH"): chain,
        ("late.example", "EXPIRED"): chain,
        ("blocked.example", "BLOCKED"): chain,
        ("leaf.example", "MISMATCH"): pki.stranger.chain_der,
        ("leaf.example", "NO_CERTIFICATE"): [],
        ("leaf.example", "MALFORMED"): [chain[0][:-1]],
        ("other.example", "NOT_PINNED"): chain,
        ("bad host", "BAD_HOST"): chain,
    }
    for (host, reason), certs in cases.items():
        report = policy.evaluate(host, certs, now=NOON)
        told = report.to_dict()
        assert json.loads(json.dumps(told)) == told
        assert told["reason"] == reason
        assert told["accepted"] is report.accepted
        assert [*map(Pin.parse, told["chain"])] == [*report.chain]
        assert told["matched"] == (report.matched and str(report.matched))
        for name in ("host", "rule", "mode", "depth", "side", "resumed"):
            assert told[name] == getattr(report, name)
        assert (told["detail"] or "") == report.detail
        assert bytes.fromhex(told["digest"]) == policy.digest


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (("127.0.0.1", 443), ["127.0.0.1", 443]),
        ("/run/server", "/run/server"),
        (b"\0name\xff", "\0name\\xff"),
        (None, None),
    ],
)
def test_a_report_tells_of_its_connection(
    pki: Pki, address: object, told: object
) -> None:
    """The certificate in base64, the address as JSON has it."""
    report = Policy({HOST: [ABSENT]}).evaluate(HOST, pki.server.chain_der)
    leaf = pki.server.chain_der[0]
    said = with_seen(report, Seen("server", leaf, address, resumed=False)).to_dict()
    assert json.loads(json.dumps(said)) == said
    assert base64.b64decode(said["peer"]) == leaf
    assert (said["peer_address"], said["side"]) == (told, "server")
    assert said["resumed"] is False


def test_a_report_shows_no_certificate_that_nobody_examined(pki: Pki) -> None:
    """Else the log of a host without pins would show keys of zeros."""
    chain = pki.server.chain_der
    assert len(chain) > 1
    assert Policy({}).evaluate(HOST, chain).chain == ()
    seen = Policy({HOST: [pki.server.pin]}).evaluate(HOST, chain).chain
    assert len(seen) == len(chain)


def test_reports_of_two_policies_are_two(pki: Pki) -> None:
    """A report says by which policy it was decided, also if both decide alike."""
    policies = [Policy({HOST: [pki.server.pin, *more]}) for more in ((), (ABSENT,))]
    one, two = (policy.evaluate(HOST, pki.server.chain_der) for policy in policies)
    assert one != two
    assert one == policies[0].evaluate(HOST, pki.server.chain_der)


def test_verify_returns_what_evaluate_does_or_raises_with_it(pki: Pki) -> None:
    """Two verbs, one decision."""
    chain = pki.server.chain_der
    good = Policy({HOST: [pki.server.pin]})
    assert good.verify(HOST, chain) == good.evaluate(HOST, chain)
    for policy in (Policy({HOST: [ABSENT]}), Policy({}, unpinned="reject")):
        with pytest.raises(PinningError) as caught:
            policy.verify(HOST, chain)
        assert caught.value.report == policy.evaluate(HOST, chain)
        assert caught.value.report.matched is None


def test_a_pin_set_holds_for_every_peer_whatever_its_name(pki: Pki) -> None:
    """Client certificates have no host names; the report shows none."""
    pinset = PinSet(leaf=[pki.client.pin])
    report = Policy.for_clients(pinset).verify(None, pki.client.chain_der)
    assert report.host is None
    assert report.rule is None
    with pytest.raises(PinningError):
        Policy.for_clients(pinset).verify(None, pki.stranger.chain_der)
    policy = Policy.open(Policy.for_clients(pinset).compile())
    assert policy.has_clients
    assert not Policy({}).has_clients
    hosts = (None, "a.example", "a..b", "faß.de", b"\0")
    for host in hosts:
        assert policy.evaluate(host, pki.client.chain_der) == report
    chains = [pki.client.chain_der] * len(hosts)
    assert policy.evaluate_many(hosts, chains) == [report] * len(hosts)


def test_evaluate_many_answers_in_order(pki: Pki) -> None:
    """Chains of different lengths, empty and malformed ones among them."""
    policy = Policy({"*.example": [pki.ca.pin]})
    hosts: list[str | bytes | None]
    hosts = ["a.example", "b.example", "c..example", "d.example", "e.org", b"f.example"]
    chains: list[list[bytes]] = [
        pki.server.chain_der,
        [],
        [pki.server.der],
        [b"?"],
        [],
        [pki.ca.der],
    ]
    reports = policy.evaluate_many(hosts, chains)
    assert [report.reason.name for report in reports] == [
        "MATCH",
        "NO_CERTIFICATE",
        "BAD_HOST",
        "MALFORMED",
        "NOT_PINNED",
        "MATCH",
    ]
    assert reports == [
        policy.evaluate(host, chain) for host, chain in zip(hosts, chains, strict=True)
    ]
    assert policy.evaluate_many([], []) == []
    with pytest.raises(ValueError, match="one per peer"):
        policy.evaluate_many(hosts, chains[1:])


@settings(max_examples=examples(200), deadline=None)
@given(
    st.one_of(st.text(max_size=12), st.binary(max_size=12), st.none()),
    st.lists(st.binary(max_size=40), max_size=3),
)
def test_evaluate_never_raises_for_a_verdict(
    host: str | bytes | None, chain: list[bytes]
) -> None:
    """Bad input is a rejection like any other, and never an acceptance."""
    policy = Policy({"**.a": [ABSENT]}, unpinned="reject")
    report = policy.evaluate(host, chain)
    assert not report.accepted
    assert report.reason is not Reason.MATCH


# ---- which chain -------------------------------------------------------------


def test_the_argument_says_that_the_chain_must_be_a_verified_one() -> None:
    """A caller sees at the call what they vouch for, and the docs say why."""
    for name in ("verify", "evaluate"):
        assert "verified_chain" in inspect.signature(getattr(Policy, name)).parameters
    doc = inspect.getdoc(Policy.verify)
    assert doc is not None
    assert "leaf first" in doc
    assert "leaf alone" in doc
    assert "as the peer sent it" in " ".join(doc.split())


def test_the_leaf_alone_is_a_chain(pki: Pki) -> None:
    """Where a TLS library gives no verified chain: leaf pins hold, CA pins fail."""
    leaf = [pki.server.der]
    assert Policy.for_clients(PinSet([pki.server.pin])).verify(None, leaf).accepted
    assert Policy.for_clients(PinSet(leaf=[pki.server.pin])).verify(None, leaf).accepted
    assert not Policy.for_clients(PinSet([pki.ca.pin])).evaluate(None, leaf).accepted
    assert not Policy.for_clients(PinSet(ca=[pki.ca.pin])).evaluate(None, leaf).accepted


# ---- policies are values -----------------------------------------------------


def test_the_digest_is_that_of_the_contents() -> None:
    """A digest names a policy: everything from byte 40 on counts."""
    policy = Policy({HOST: [ABSENT]})
    assert policy.digest == digest_of(policy.compile())
    report = policy.evaluate(HOST, [])
    assert report.digest == policy.digest


def test_equal_policies_are_one_value() -> None:
    """Equality and hash go by the digest; a pickle holds the compiled bytes."""
    one, same = Policy({HOST: [ABSENT]}), Policy({HOST: PinSet([ABSENT])})
    other = Policy({HOST: [OTHER]})
    assert one == same
    assert one != other
    assert one != one.compile()
    assert len({one, same, other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (ours)
    assert "1 rules" in repr(one)
    assert one.digest.hex()[:16] in repr(one)
    assert "0 rules, clients" in repr(Policy.for_clients(PinSet([ABSENT])))


def test_a_reason_is_written_by_its_name() -> None:
    """In text; as a number it is that of C."""
    assert str(Reason.MISMATCH) == f"{Reason.MISMATCH}" == "MISMATCH"
    assert "%s" % Reason.NOT_PINNED == "NOT_PINNED"  # noqa: UP031 - as logging does
    assert json.dumps(Reason.BLOCKED) == "6"
