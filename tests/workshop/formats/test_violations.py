"""Reports of pin violations have the shapes of RFC 7469 and TrustKit."""

from __future__ import annotations

import datetime as dt
import json
import re
import ssl
from typing import Any, Literal

import pytest

from pinverify import PinSet, Policy, PolicyError, Report, violation
from pinverify.policy._report import Seen, with_seen
from pki import Pki
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []

# RFC 7469, section 3: the names and types of its JSON. The expiration date is None
# for rules that never expire, which a header cannot have.
HPKP: dict[str, type | tuple[type, ...]] = {
    "date-time": str,
    "hostname": str,
    "port": int,
    "effective-expiration-date": (str, type(None)),
    "include-subdomains": bool,
    "noted-hostname": str,
    "served-certificate-chain": list,
    "validated-certificate-chain": list,
    "known-pins": list,
}
# What TrustKit's reporter writes: TSKPinFailureReport.m and PinningFailureReport.java.
TRUSTKIT: dict[str, type | tuple[type, ...]] = {
    "app-bundle-id": str,
    "app-version": str,
    "app-platform": str,
    "app-platform-version": str,
    "app-vendor-id": str,
    "trustkit-version": str,
    "date-time": str,
    "hostname": str,
    "port": int,
    "noted-hostname": str,
    "include-subdomains": bool,
    "enforce-pinning": bool,
    "served-certificate-chain": list,
    "validated-certificate-chain": list,
    "known-pins": list,
    "validation-result": int,
    "known-pins-expiration-date": (str, type(None)),
}
SHAPES = {"hpkp": HPKP, "trustkit": TRUSTKIT}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # RFC 3339
KNOWN_PIN = re.compile(r'pin-sha256="[A-Za-z0-9+/]{43}="')


def refused(pki: Pki, pinset: PinSet, pattern: str = "**.example.com") -> Any:  # noqa: ANN401
    """Return a report of a refused server, and the rules."""
    policy = Policy({pattern: pinset})
    report = policy.evaluate("api.example.com", pki.server.chain_der, now=NOON)
    return with_seen(report, Seen("server", pki.server.chain_der[0])), policy.rules


def test_the_port_is_that_of_the_report(pki: Pki) -> None:
    """Unless the caller knows better; 443 where nobody knows it."""
    report, rules = refused(pki, PinSet([ABSENT]))
    assert violation(report, rules)["port"] == 443
    seen = Seen("server", pki.server.der, ("::1", 8443, 0, 0))
    assert violation(with_seen(report, seen), rules)["port"] == 8443
    assert violation(with_seen(report, seen), rules, port=9)["port"] == 9


@pytest.mark.parametrize("format", ["hpkp", "trustkit"])
def test_a_violation_has_the_published_shape(
    pki: Pki,
    format: Literal["hpkp", "trustkit"],  # noqa: A002
) -> None:
    """Names, types, moments, pins and chains."""
    soon = NOON + dt.timedelta(days=3)
    pinset = PinSet(
        [ABSENT], leaf=[OTHER], ca=[ABSENT], expires=soon, after_expiry="reject"
    )
    report, rules = refused(pki, pinset)
    chain = pki.server.chain_der
    said = violation(
        report, rules, format, chain=chain, served=chain[:1], port=8443, now=NOON
    )
    assert json.loads(json.dumps(said)) == said
    shape = SHAPES[format]
    assert said.keys() == shape.keys()
    for name, kind in shape.items():
        assert isinstance(said[name], kind), name
    assert MOMENT.fullmatch(said["date-time"])
    assert (said["hostname"], said["port"]) == ("api.example.com", 8443)
    assert (said["noted-hostname"], said["include-subdomains"]) == ("example.com", True)
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in said["served-certificate-chain"]]
    validated = said["validated-certificate-chain"]
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in validated] == chain
    assert validated == [ssl.DER_cert_to_PEM_cert(cert) for cert in chain]
    assert len(said["known-pins"]) == 2  # each once
    assert all(map(KNOWN_PIN.fullmatch, said["known-pins"]))


def test_the_moments_are_in_utc(pki: Pki) -> None:
    """Whole seconds; TrustKit has the day of the expiry."""
    east = dt.timezone(dt.timedelta(hours=2))
    late = dt.datetime(2026, 12, 31, 1, 30, tzinfo=east)
    pinset = PinSet([ABSENT], expires=late, after_expiry="allow")
    report, rules = refused(pki, pinset)
    now = dt.datetime(2026, 1, 1, 1, 0, 0, 5, tzinfo=east)
    said = violation(report, rules, now=now)
    assert said["date-time"] == "2025-12-31T23:00:00Z"
    assert said["effective-expiration-date"] == "2026-12-30T23:30:00Z"
    said = violation(report, rules, "trustkit", now=now)
    assert said["known-pins-expiration-date"] == "2026-12-30"


def test_the_leaf_alone_is_the_chain_by_default(pki: Pki) -> None:
    """An exact rule notes its own host, and nothing expires."""
    report, rules = refused(pki, PinSet([ABSENT]), "api.example.com")
    said = violation(report, rules)
    assert said["validated-certificate-chain"] == [
        ssl.DER_cert_to_PEM_cert(pki.server.chain_der[0])
    ]
    assert said["served-certificate-chain"] == []
    assert said["include-subdomains"] is False
    assert said["noted-hostname"] == "api.example.com"
    assert said["effective-expiration-date"] is None


def test_trustkit_is_told_what_was_found(pki: Pki) -> None:
    """TSKTrustEvaluationResult, the mode, and the application."""
    server, chain = pki.server, pki.server.chain_der
    hosts = {
        "match.example": PinSet([server.pin]),
        "watched.example": PinSet([ABSENT], mode="report"),
        "blocked.example": PinSet([ABSENT], blocked=[server.pin]),
    }
    policy = Policy(hosts)
    cases = {
        "match.example": (chain, 0, True),
        "watched.example": (chain, 1, False),
        "blocked.example": (chain, 1, True),
    }
    for host, (certs, result, enforced) in cases.items():
        said = violation(policy.evaluate(host, certs), policy.rules, "trustkit")
        assert (said["validation-result"], said["enforce-pinning"]) == (
            result,
            enforced,
        )
    malformed = policy.evaluate("match.example", [chain[0][:-1]])
    assert violation(malformed, policy.rules, "trustkit")["validation-result"] == 5
    nobody = policy.evaluate("match.example", [])
    said = violation(
        nobody, policy.rules, "trustkit", app={"app-bundle-id": "com.example.app"}
    )
    assert said["validation-result"] == 3
    assert said["app-bundle-id"] == "com.example.app"
    assert said["app-version"] == ""


def test_mistakes_name_the_next_step(pki: Pki) -> None:
    """Other rules, a report without a rule, a wrong format, field or moment."""
    report, rules = refused(pki, PinSet([ABSENT]))
    nobody: Report = Policy({}).evaluate("x.org", pki.server.chain_der)
    calls: list[tuple[dict[str, Any], str]] = [
        (
            {"report": nobody},
            "no pins for the rule of the report, None; give the rules",
        ),
        ({"rules": Policy({}).rules}, "give the rules of the policy that decided"),
        ({"format": "json"}, "format: expected 'hpkp' or 'trustkit', got 'json'"),
        ({"app": {"bundle": "x"}}, "app: unknown bundle; there are app-bundle-id"),
        ({"now": dt.datetime(2026, 1, 1)}, "with a timezone"),  # noqa: DTZ001
    ]
    for changed, message in calls:
        given: dict[str, Any] = {"report": report, "rules": rules, "format": "trustkit"}
        with pytest.raises(PolicyError, match=message):
            violation(**(given | changed))
