"""PinSets: the certificates that match their lists, and the arguments they refuse."""

from __future__ import annotations

import itertools
import pickle

import pytest

from pinverify import Pin, PinKind, PinSet, Policy, PolicyError, Reason
from pki import Pki
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []


def test_pins_are_hit_by_a_certificate_at_any_position(pki: Pki) -> None:
    """Leaf, intermediate or root."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    for depth, identity in enumerate((pki.server, pki.ca, pki.root)):
        report = Policy.for_clients(PinSet(pins=[ABSENT, identity.pin])).verify(
            None, chain
        )
        assert report.depth == depth
        assert str(report.matched) == identity.pin


def test_leaf_is_hit_by_position_0_alone(pki: Pki) -> None:
    """The peer's own key, and not one of those that vouch for it."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    assert (
        Policy.for_clients(PinSet(leaf=[ABSENT, pki.server.pin]))
        .verify(None, chain)
        .depth
        == 0
    )
    for identity in (pki.ca, pki.root):
        report = Policy.for_clients(PinSet(leaf=[identity.pin])).evaluate(None, chain)
        assert report.reason is Reason.MISMATCH


def test_ca_is_hit_by_a_certificate_at_position_1_or_later(pki: Pki) -> None:
    """Any of the authorities, and not the peer's own key."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    for depth, identity in ((1, pki.ca), (2, pki.root)):
        assert (
            Policy.for_clients(PinSet(ca=[ABSENT, identity.pin]))
            .verify(None, chain)
            .depth
            == depth
        )
    report = Policy.for_clients(PinSet(ca=[pki.server.pin])).evaluate(None, chain)
    assert report.reason is Reason.MISMATCH


@pytest.mark.parametrize("kind", PinKind)
def test_every_list_that_is_not_empty_must_be_hit(pki: Pki, kind: PinKind) -> None:
    """The lists are joined by AND, the pins in a list by OR; all combinations."""
    chain = pki.server.chain_der
    assert len(chain) == 2
    good = {
        "pins": Pin.from_certificate(pki.server.der, kind=kind),
        "leaf": Pin.from_certificate(pki.server.der, kind=kind),
        "ca": Pin.from_certificate(pki.ca.der, kind=kind),
    }
    for state in itertools.product(("empty", "hit", "missed"), repeat=3):
        lists = {
            name: [ABSENT, good[name]] if what == "hit" else [ABSENT, OTHER]
            for name, what in zip(good, state, strict=True)
            if what != "empty"
        }
        if not lists:
            continue
        report = Policy.for_clients(PinSet(**lists)).evaluate(None, chain)  # type: ignore[arg-type]
        assert report.accepted == ("missed" not in state)
        expected = Reason.MISMATCH if "missed" in state else Reason.MATCH
        assert report.reason is expected


def test_any_blocked_hit_rejects(pki: Pki) -> None:
    """By its key or its certificate, at any position, whatever else is pinned."""
    pins = [pki.server.pin, pki.ca.pin]
    for depth, identity in enumerate((pki.server, pki.ca)):
        for pin in (identity.pin, identity.certificate_pin):
            pinset = PinSet(pins, blocked=[ABSENT, pin])
            report = Policy.for_clients(pinset).evaluate(None, pki.server.chain_der)
            assert not report.accepted
            assert report.reason is Reason.BLOCKED
            assert report.depth == depth
            assert str(report.matched) == pin
    assert (
        Policy.for_clients(PinSet(pins, blocked=[ABSENT]))
        .verify(None, pki.server.chain_der)
        .accepted
    )


def test_a_pin_set_without_pins_is_refused() -> None:
    """It would pin nothing, or everything; UNPINNED says the former."""
    no_pins: list[dict[str, list[str]]] = [{}, {"pins": []}, {"blocked": [ABSENT]}]
    for lists in no_pins:
        with pytest.raises(PolicyError, match="write UNPINNED"):
            PinSet(**lists)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"'example\.org': a PinSet needs"):
        Policy({"example.org": []})


def test_expires_needs_after_expiry() -> None:
    """There is no default: the author decides between an outage and no pins."""
    with pytest.raises(PolicyError, match=r"after_expiry='allow'.*'reject'"):
        PinSet([ABSENT], expires=NOON)
    with pytest.raises(PolicyError, match="give both or neither"):
        PinSet([ABSENT], after_expiry="allow")
    with pytest.raises(PolicyError, match="'allow' or 'reject'"):
        PinSet([ABSENT], expires=NOON, after_expiry="never")  # type: ignore[arg-type]


def test_expires_needs_a_timezone() -> None:
    """A naive datetime means something else on every machine."""
    naive = NOON.replace(tzinfo=None)
    for wrong in (naive, "2026-01-01", 1767268800, NOON.date()):
        with pytest.raises(PolicyError, match="with a timezone"):
            PinSet([ABSENT], expires=wrong, after_expiry="allow")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="with a timezone"):
        Policy.for_clients(PinSet([ABSENT])).evaluate(None, [], now=naive)


def test_other_choices_are_refused() -> None:
    """A typo in mode or unpinned must not weaken anything."""
    for mode in ("Enforce", "", None, 0, True, ["report"]):
        with pytest.raises(PolicyError, match="mode: expected 'enforce' or 'report'"):
            PinSet([ABSENT], mode=mode)  # type: ignore[arg-type]
    for unpinned in ("Allow", "", None, False):
        with pytest.raises(PolicyError, match="unpinned: expected 'allow' or 'reject'"):
            Policy({}, unpinned=unpinned)  # type: ignore[arg-type]


def test_a_single_pin_in_place_of_a_list_is_refused() -> None:
    """Text is iterable: a pin must not be read letter by letter."""
    for wrong in (ABSENT, Pin.parse(ABSENT), ABSENT.encode(), None, 7):
        with pytest.raises(PolicyError, match="pins: expected a list of pins"):
            PinSet(wrong)  # type: ignore[arg-type]
        with pytest.raises(PolicyError, match=r"'example\.org': pins: expected a list"):
            Policy({"example.org": wrong})  # type: ignore[dict-item]
        if wrong is not None:
            with pytest.raises(PolicyError, match="blocked: expected a list of pins"):
                Policy({}, blocked=wrong)  # type: ignore[arg-type]


def test_a_bad_pin_is_named_with_its_list_and_its_host() -> None:
    """In a file of a thousand pins, the message leads there."""
    for name in ("pins", "leaf", "ca", "blocked"):
        with pytest.raises(PolicyError, match=f"^{name}: .*'nonsense'"):
            PinSet(**{name: [ABSENT, "nonsense"]})  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"^'a\.example': pins: .*'nonsense'"):
        Policy({"a.example": ["nonsense"]})


@pytest.mark.parametrize(
    "weak",
    [
        "sha1/" + "A" * 27 + "=",
        "sha1//" + "A" * 27 + "=",
        "SHA1 Fingerprint=" + ":".join(["AA"] * 20),
        "MD5 Fingerprint=" + ":".join(["AA"] * 16),
        "md5/" + "A" * 22 + "==",
    ],
)
def test_policies_refuse_sha1_and_md5(weak: str) -> None:
    """Both can be forged. The message says so."""
    for make in (
        lambda: PinSet([weak]),
        lambda: Policy({"a.example": [weak]}),
        lambda: Policy({}, blocked=[weak]),
    ):
        with pytest.raises(PolicyError, match="can be forged"):
            make()


def test_a_pin_set_is_a_value() -> None:
    """It compares and hashes by what it says, and can't be changed."""
    one = PinSet([ABSENT], mode="report", expires=NOON, after_expiry="allow")
    same = PinSet(
        [Pin.parse(ABSENT)], mode="report", expires=NOON, after_expiry="allow"
    )
    assert one == same
    assert hash(one) == hash(same)
    Policy.for_clients(one).evaluate(None, [])  # which makes something inside
    assert one == same
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (ours)
    assert one != PinSet([OTHER], mode="report", expires=NOON, after_expiry="allow")
    with pytest.raises(AttributeError):
        one.mode = "enforce"  # type: ignore[misc]
