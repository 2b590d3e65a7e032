"""TrustKit and Apple: pins in property lists."""

from __future__ import annotations

import datetime as dt
import json
import plistlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    FAST,
    LONG,
    NAMES,
    SOME_CHAINS,
    Cert,
    Decides,
    agree,
    dump,
    losses_are_true,
    pool,
    small_rules,
)
from pinverify import UNPINNED, PinSet, Policy, PolicyError, Rules
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []

A, B = ABSENT.removeprefix("sha256/"), OTHER.removeprefix("sha256/")
DIGEST = "SPKI-SHA256-BASE64"
EXCLUDE = "kSKExcludeSubdomainFromParentPolicy"  # TSKTrustKitConfig.m spells it so


def load(name: str, data: bytes) -> Loaded:
    """Read a file."""
    return FORMATS[name].reader(data, Given("Info.plist"))


def whole(name: str, domains: Any) -> dict[str, Any]:  # noqa: ANN401 - any plist
    """Return an Info.plist with some domains."""
    if name == "trustkit":
        configuration = {
            "TSKSwizzleNetworkDelegates": False,
            "TSKPinnedDomains": domains,
        }
        return {"CFBundleName": "x", "TSKConfiguration": configuration}
    return {"CFBundleName": "x", "NSAppTransportSecurity": {"NSPinnedDomains": domains}}


def load_domains(name: str, domains: Any) -> Loaded:  # noqa: ANN401 - any plist
    """Read an Info.plist with some domains."""
    return load(name, plistlib.dumps(whole(name, domains)))


# ---- the models --------------------------------------------------------------------


class TrustKit:
    """The validator of TrustKit, from its documentation and its source."""

    def __init__(self, domains: dict[str, dict[str, Any]]) -> None:
        """Take the pinned domains."""
        self.domains = domains

    def __call__(self, host: str, chain: Sequence[Cert], now: dt.datetime) -> bool:
        """Take the exact domain, else the longest above it that includes it."""
        found = self.domains.get(host)
        if found is None:
            above = [
                domain
                for domain, table in self.domains.items()
                if table.get("TSKIncludeSubdomains") and host.endswith("." + domain)
            ]
            found = self.domains[max(above, key=len)] if above else {}
        hashes = found.get("TSKPublicKeyHashes")
        if not hashes or found.get(EXCLUDE):
            return True
        if date := found.get("TSKExpirationDate"):
            end = dt.datetime.fromisoformat(date + "T00:00:00+00:00")
            if end <= now:
                return True
        if not found.get("TSKEnforcePinning", True):
            return True
        return any(cert.spki in hashes for cert in chain)


class Apple:
    """Identity pinning of App Transport Security, from Apple's page."""

    def __init__(self, domains: dict[str, dict[str, Any]]) -> None:
        """Take the pinned domains."""
        self.domains = domains

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Take the domain, or the one a label above if it includes subdomains."""
        found = self.domains.get(host)
        if found is None:
            found = self.domains.get(host.partition(".")[2], {})
            if not found.get("NSIncludesSubdomains"):
                return True
        for key, certs in (
            ("NSPinnedLeafIdentities", chain[:1]),
            ("NSPinnedCAIdentities", chain[1:]),
        ):
            digests = [identity[DIGEST] for identity in found.get(key, [])]
            if digests and not any(cert.spki in digests for cert in certs):
                return False
        return True


def domains_of(name: str, text: str) -> dict[str, dict[str, Any]]:
    """Return the domains of a file that was written."""
    document = plistlib.loads(text.encode())
    if name == "trustkit":
        found: dict[str, dict[str, Any]] = document["TSKConfiguration"][
            "TSKPinnedDomains"
        ]
    else:
        found = document["NSAppTransportSecurity"]["NSPinnedDomains"]
    return found


MODELS: dict[str, Callable[[dict[str, Any]], Decides]] = {
    "trustkit": TrustKit,
    "apple": Apple,
}

NUMBERS = st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)


@st.composite
def trustkit_domains(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the domains of a configuration that TrustKit takes."""
    domains: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        if domains and draw(st.integers(0, 4)) == 0:
            domains[name] = {EXCLUDE: True}
            continue
        table: dict[str, Any] = {
            "TSKPublicKeyHashes": [pool()[number].spki for number in draw(NUMBERS)]
        }
        if len(table["TSKPublicKeyHashes"]) < 2 or draw(st.booleans()):
            enforces = len(table["TSKPublicKeyHashes"]) > 1 and draw(st.booleans())
            table["TSKEnforcePinning"] = enforces
        if draw(st.booleans()):
            table["TSKIncludeSubdomains"] = draw(st.booleans())
        if draw(st.booleans()):
            table["TSKExpirationDate"] = str(draw(st.sampled_from(DATES)))
        domains[name] = table
    return domains


DATES = [NOON.date() - dt.timedelta(days=1), NOON.date() + dt.timedelta(days=2)]


@st.composite
def apple_domains(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the domains of an Info.plist."""
    domains: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        table: dict[str, Any] = {}
        keys = ["NSPinnedLeafIdentities", "NSPinnedCAIdentities"]
        for key in draw(st.lists(st.sampled_from(keys), min_size=1, unique=True)):
            table[key] = [{DIGEST: pool()[number].spki} for number in draw(NUMBERS)]
        if draw(st.booleans()):
            table["NSIncludesSubdomains"] = draw(st.booleans())
        domains[name] = table
    return domains


DOMAINS = {"trustkit": trustkit_domains(), "apple": apple_domains()}


def _read_policies_agree(
    name: str, domains: dict[str, Any], chains: list[list[Cert]]
) -> None:
    agree(Policy(load_domains(name, domains).rules), MODELS[name](domains), chains)


def _written_rules_agree(name: str, rules: Rules, chains: list[list[Cert]]) -> None:
    dumped = dump(rules, name)
    if dumped is None:
        return
    text = str(dumped.text)
    model = MODELS[name](domains_of(name, text))
    losses_are_true(rules, dumped, model, chains)
    agree(Policy(load(name, text.encode()).rules), model, chains)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_policy_that_is_read_decides_like_the_original(name: str) -> None:
    """For every host, at every time."""
    drawn = given(st.just(name), DOMAINS[name], SOME_CHAINS)
    FAST(drawn(_read_policies_agree))()


@pytest.mark.parametrize("name", DOMAINS)
def test_what_a_property_list_cannot_say_is_told(name: str) -> None:
    """Nothing is accepted or refused that no loss tells of."""
    FAST(given(st.just(name), small_rules(), SOME_CHAINS)(_written_rules_agree))()


@pytest.mark.slow
@pytest.mark.parametrize("name", DOMAINS)
def test_many_policies_decide_like_the_original(name: str) -> None:
    """The long form of the test above."""
    LONG(given(st.just(name), DOMAINS[name], SOME_CHAINS)(_read_policies_agree))()


@pytest.mark.slow
@pytest.mark.parametrize("name", DOMAINS)
def test_many_rules_are_written_truly(name: str) -> None:
    """The long form of the test above."""
    LONG(given(st.just(name), small_rules(), SOME_CHAINS)(_written_rules_agree))()


# ---- reading -----------------------------------------------------------------------


def test_trustkit_is_read_from_a_list_by_itself_and_from_json() -> None:
    """The configuration alone has the same keys."""
    domains = {"x.org": {"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": True}}
    expected = Rules({"**.x.org": [ABSENT, OTHER]})
    assert load_domains("trustkit", domains).rules == expected
    alone = {"TSKPinnedDomains": domains}
    assert load("trustkit", plistlib.dumps(alone)).rules == expected
    for document in (alone, whole("trustkit", domains)):
        assert load("trustkit", b" " + json.dumps(document).encode()).rules == expected


def test_a_rule_in_report_mode_that_cannot_be_written_rejects_nobody() -> None:
    """So nothing is wider without it; but a wider rule may hold now."""
    two = PinSet([ABSENT, OTHER])
    report = PinSet([ABSENT, OTHER], mode="report")
    cases: list[tuple[dict[str, PinSet], list[str]]] = [
        ({"*.x.org": report}, ["report-mode"]),
        ({"*.a.x.org": report, "**.x.org": two}, ["exempt", "report-mode"]),
        ({"*.x.org": two}, ["one-label"]),
    ]
    for hosts, kinds in cases:
        dumped = dump(Rules({"y.org": two, **hosts}), "trustkit")
        assert dumped is not None
        assert sorted(loss.kind for loss in dumped.losses) == kinds


def test_every_key_of_trustkit_has_its_meaning() -> None:
    """Mode, date in UTC, and exemption."""
    domains = {
        "x.org": {
            "TSKPublicKeyHashes": [A],
            "TSKEnforcePinning": False,
            "TSKIncludeSubdomains": True,
            "TSKExpirationDate": "2030-01-31",
            "TSKReportUris": ["https://r.example/"],
        },
        "a.x.org": {EXCLUDE: True},
    }
    loaded = load_domains("trustkit", domains)
    moment = dt.datetime(2030, 1, 31, tzinfo=dt.UTC)
    pinset = PinSet([ABSENT], mode="report", expires=moment, after_expiry="allow")
    assert loaded == Loaded(Rules({"**.x.org": pinset, "a.x.org": UNPINNED}))
    document = whole("trustkit", domains)
    key = "TSKIgnorePinningForUserDefinedTrustAnchors"
    document["TSKConfiguration"][key] = True
    (notice,) = load("trustkit", plistlib.dumps(document)).notices
    assert "the pins always count" in notice


def test_an_exemption_has_the_key_that_trustkit_looks_up() -> None:
    """With another one, the domain has no pins, and TrustKit ends the app."""
    two = PinSet([ABSENT, OTHER])
    dumped = dump(Rules({"**.x.org": two, "a.x.org": UNPINNED}), "trustkit")
    assert dumped is not None
    assert domains_of("trustkit", str(dumped.text))["a.x.org"] == {EXCLUDE: True}


@pytest.mark.parametrize(
    "pattern", ["192.0.2.1", "nas", "**.nas", "api.internal", "localhost", "**.co.uk"]
)
def test_a_domain_that_ends_the_app_is_not_written(pattern: str) -> None:
    """TrustKit raises for names outside of the DNS, and for whole suffixes."""
    two = PinSet([ABSENT, OTHER])
    dumped = dump(Rules({"x.org": two, pattern: two}), "trustkit")
    assert dumped is not None
    assert list(domains_of("trustkit", str(dumped.text))) == ["x.org"]
    assert [(loss.kind, loss.where) for loss in dumped.losses] == [
        ("left-out", pattern)
    ]
    table = {"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": "*" in pattern}
    with pytest.raises(PolicyError, match="TrustKit ends the app"):
        load_domains("trustkit", {pattern.removeprefix("**."): table})


@pytest.mark.parametrize("name", ["trustkit", "apple"])
def test_a_key_that_the_system_passes_over_is_a_notice(name: str) -> None:
    """The file pins what it pins for the system; the notice names the right key."""
    cases: dict[str, tuple[str, str, dict[str, Any]]] = {
        "trustkit": (
            "TSKIncludeSubdomains",
            "TSKIncludeSubdomain",
            {"TSKPublicKeyHashes": [A, B]},
        ),
        "apple": (
            "NSIncludesSubdomains",
            "NSIncludeSubdomains",
            {"NSPinnedLeafIdentities": [{DIGEST: A}]},
        ),
    }
    known, wrong, pins = cases[name]
    loaded = load_domains(name, {"x.org": {**pins, wrong: True}})
    assert loaded.rules == load_domains(name, {"x.org": pins}).rules
    (notice,) = loaded.notices
    assert f"unknown key {wrong!r} is left out; is it {known}?" in notice


BAD_DOMAINS: list[tuple[str, Any, str]] = [
    ("trustkit", {}, "no domain has pins"),
    ("trustkit", {"x.org": {}}, "TrustKit needs 2 pins"),
    ("trustkit", {"x.org": {"TSKPublicKeyHashes": [A]}}, "TrustKit needs 2 pins"),
    ("trustkit", {"x.org": {"TSKPublicKeyHashes": [A, A]}}, "TrustKit needs 2 pins"),
    (
        "trustkit",
        {"x.org": {"TSKPublicKeyHashes": [], "TSKEnforcePinning": False}},
        "TrustKit needs 1 pins",
    ),
    ("trustkit", {"x.org": {"TSKPublicKeyHashes": [A, 5]}}, "expected strings"),
    ("trustkit", {"x.org": {"TSKPublicKeyHashes": [A, ABSENT]}}, "remove what stands"),
    ("trustkit", {"x.org": {"TSKPublicKeyHashes": A}}, "expected an array"),
    (
        "trustkit",
        {"x.org": {"TSKPublicKeyHashes": [A, B], "TSKEnforcePinning": "NO"}},
        "TSKEnforcePinning: expected a boolean",
    ),
    (
        "trustkit",
        {"x.org": {"TSKPublicKeyHashes": [A, B], "TSKExpirationDate": "2030-1-31"}},
        "'2030-1-31' is not a date",
    ),
    (
        "trustkit",
        {"x.org": {"TSKPublicKeyHashes": [A, B], "TSKExpirationDate": "2030-02-30"}},
        "'2030-02-30' is not a date",
    ),
    (
        "trustkit",
        {
            "x.org": {
                "TSKPublicKeyHashes": [A, B],
                EXCLUDE: True,
            }
        },
        "must be the only key",
    ),
    (
        "trustkit",
        {"x.org": {"TSKExcludeSubdomainFromParentPolicy": True}},
        "passes over TSKExcludeSubdomainFromParentPolicy; write kSKExclude",
    ),
    ("trustkit", {"*.x.org": {"TSKPublicKeyHashes": [A, B]}}, "a domain has no '*'"),
    ("trustkit", {"https://x.org": {"TSKPublicKeyHashes": [A, B]}}, "without scheme"),
    (
        "trustkit",
        {
            "x.org": {"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": True},
            "X.org": {"TSKPublicKeyHashes": [A, B]},
        },
        "the domain 'x.org' is there twice",
    ),
    ("trustkit", {"x.org": 5}, "expected a dictionary"),
    ("trustkit", 5, "TSKPinnedDomains: expected a dictionary"),
    ("apple", {}, "no domain has pins"),
    ("apple", 5, "NSPinnedDomains: expected a dictionary"),
    ("apple", {"x.org": {}}, "the domain has no pins"),
    ("apple", {"x.org": {"NSIncludesSubdomains": True}}, "the domain has no pins"),
    ("apple", {"x.org": {"NSPinnedLeafIdentities": []}}, "the list is empty"),
    ("apple", {"x.org": {"NSPinnedLeafIdentities": [A]}}, "expected a dictionary"),
    ("apple", {"x.org": {"NSPinnedLeafIdentities": [{}]}}, f"without {DIGEST}"),
    (
        "apple",
        {"x.org": {"NSPinnedLeafIdentities": [{"SPKI-SHA256-Base64": A}]}},
        "unknown key 'SPKI-SHA256-Base64'; write that",
    ),
    (
        "apple",
        {"x.org": {"NSPinnedLeafIdentities": [{DIGEST: A[:-1]}]}},
        "the padding is wrong",
    ),
    ("apple", {"*.x.org": {"NSPinnedCAIdentities": [{DIGEST: A}]}}, "has no '*'"),
    (
        "apple",
        {
            "x.org": {"NSPinnedCAIdentities": [{DIGEST: A}]},
            "x.org.": {"NSPinnedCAIdentities": [{DIGEST: A}]},
        },
        "is there already",
    ),
]


@pytest.mark.parametrize(("name", "domains", "words"), BAD_DOMAINS)
def test_mistakes_are_explained(name: str, domains: Any, words: str) -> None:  # noqa: ANN401
    """Also those that leave a domain without pins in silence."""
    with pytest.raises(PolicyError, match=re.escape(words)) as caught:
        load_domains(name, domains)
    assert str(caught.value).startswith("Info.plist: ")


def test_a_place_is_told_in_characters_that_can_be_printed() -> None:
    """Keys may have any characters, and be as long as a file."""
    for key in ("\U00018cd6NSAppTransportSecurity", "x" * 100_000):
        document: dict[str, Any] = {key: {"NSPinnedDomains": {}}}
        with pytest.raises(PolicyError, match="belongs in NSAppTransport") as caught:
            load("apple", plistlib.dumps(document))
        (line,) = str(caught.value).split("\n")
        assert line.isprintable()
        assert len(line) < 400


def test_pins_in_another_place_are_an_error() -> None:
    """Apple does not look for them there."""
    domains = {"x.org": {"NSPinnedCAIdentities": [{DIGEST: A}]}}
    places: list[dict[str, Any]] = [
        {"NSPinnedDomains": domains},
        {
            "NSAppTransportSecurity": {
                "NSExceptionDomains": {"NSPinnedDomains": domains}
            }
        },
        {"list": [{"NSPinnedDomains": domains}]},
    ]
    for document in places:
        with pytest.raises(
            PolicyError, match="belongs in NSAppTransportSecurity itself"
        ):
            load("apple", plistlib.dumps(document))


# ---- hostile input -----------------------------------------------------------------

START = '<?xml version="1.0"?><plist version="1.0">'
HOSTILE: dict[str, bytes] = {
    "binary": plistlib.dumps({"a": 1}, fmt=plistlib.FMT_BINARY),
    "entities": b'<!DOCTYPE plist [<!ENTITY a "b">]><plist><key>&a;</key></plist>',
    "deep": (START + "<array>" * 100_000).encode(),
    "deep and closed": (
        START + "<array>" * 50_000 + "</array>" * 50_000 + "</plist>"
    ).encode(),
    "wide": (START + "<array>" + "<true/>" * 100_000 + "</array></plist>").encode(),
    "twice": (
        START + "<dict><key>a</key><true/><key>a</key><true/></dict></plist>"
    ).encode(),
    "array": (START + "<array/></plist>").encode(),
    "date": (START + "<dict><key>a</key><date>x</date></dict></plist>").encode(),
    "number": (
        START + "<dict><key>a</key><integer>x</integer></dict></plist>"
    ).encode(),
    "no value": (START + "<dict><key>a</key></dict></plist>").encode(),
    "no key": (START + "<dict><true/></dict></plist>").encode(),
    "key outside": (START + "<key>a</key></plist>").encode(),
    "data": (START + "<dict><key>a</key><data>!</data></dict></plist>").encode(),
    "empty": b"",
    "empty list": (START + "</plist>").encode(),
    "other XML": b"<manifest/>",
    "no XML": b"pins",
    "UTF-16": (START + "</plist>").encode("utf-16"),
    "NUL": (START + "\0</plist>").encode(),
    "Latin-1": (START + "<string>\xfc</string></plist>").encode("latin-1"),
}


@pytest.mark.parametrize("name", ["trustkit", "apple"])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_property_lists_are_refused(name: str, case: str) -> None:
    """By one error of ours."""
    with pytest.raises(PolicyError, match=r"\AInfo\.plist: "):
        load(name, HOSTILE[case])


def test_a_key_that_is_there_twice_is_named() -> None:
    """Without the check the last one would count, in silence."""
    with pytest.raises(PolicyError, match="the key 'a' is there twice"):
        load("apple", HOSTILE["twice"])
