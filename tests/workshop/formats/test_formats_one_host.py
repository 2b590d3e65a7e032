"""Formats with the pins of one host: HPKP, curl, kubeadm."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    FAST,
    LONG,
    SOME_CHAINS,
    Cert,
    Decides,
    agree,
    dump,
    losses_are_true,
    pool,
    small_rules,
)
from pinverify import UNPINNED, Pin, PinSet, Policy, PolicyError, Rules, dump_rules
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from pki import example_pki
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []

FORMATS_HERE = ("hpkp", "curl", "kubeadm")
DAY = dt.timedelta(days=1)
A, B = ABSENT.removeprefix("sha256/"), OTHER.removeprefix("sha256/")
TWO = f'pin-sha256="{A}"; pin-sha256="{B}"'


def load(name: str, text: str | bytes, host: str = "x.org") -> Loaded:
    """Read a file, at noon."""
    data = text if isinstance(text, bytes) else text.encode()
    return FORMATS[name].reader(data, Given("file", host, NOON))


def rules_of(name: str, text: str | bytes, host: str = "x.org") -> Rules:
    """Read the rules of a file, at noon."""
    return load(name, text, host).rules


# ---- the models --------------------------------------------------------------------


class Pinned:
    """A client that has seen a header at noon (RFC 7469, 2.6).

    The header is read here with plain splits: its values have no ";" in them.
    """

    def __init__(self, header: str, host: str = "x.org") -> None:
        """Take a header with its name."""
        name, _, value = header.partition(": ")
        self.host = host
        self.pins = re.findall(r'pin-sha256="([^"]*)"', value)
        words = [word.strip().lower() for word in value.split(";")]
        self.below = "includesubdomains" in words
        ages = [word[8:] for word in words if word.startswith("max-age=")]
        self.until = NOON + dt.timedelta(seconds=int(ages[0])) if ages else None
        self.enforces = name == "Public-Key-Pins"

    def __call__(self, host: str, chain: Sequence[Cert], now: dt.datetime) -> bool:
        """Compare if the pins are for the host, and not over."""
        covered = host == self.host or (self.below and host.endswith("." + self.host))
        if not (covered and self.enforces) or self.until is None or now >= self.until:
            return True
        return any(cert.spki in self.pins for cert in chain)


def curl(text: str) -> Decides:
    """Compare the key of the leaf with the list of curl."""
    keys = [part.removeprefix("sha256//") for part in text.strip().split(";")]
    return lambda host, chain, _: host != "x.org" or chain[0].spki in keys


def kubeadm(text: str) -> Decides:
    """Compare the keys of authorities."""
    hashes = {line.removeprefix("sha256:") for line in text.split()}
    return lambda host, chain, _: (
        host != "x.org"
        or any(base64.b64decode(cert.spki).hex() in hashes for cert in chain[1:])
    )


MODELS: dict[str, Callable[[str], Decides]] = {
    "hpkp": Pinned,
    "curl": curl,
    "kubeadm": kubeadm,
}

HEADER = st.tuples(
    st.lists(st.integers(0, 4), min_size=2, max_size=4, unique=True),
    st.sampled_from([1, 3600, 3 * 86400, 10**9]),
    st.booleans(),
    st.randoms(),
)


@st.composite
def files(draw: st.DrawFn, name: str) -> str:
    """Draw a file of a format."""
    numbers, age, below, random = draw(HEADER)
    certs = [pool()[number] for number in numbers]
    if name == "curl":
        return ";".join(f"sha256//{cert.spki}" for cert in certs)
    if name == "kubeadm":
        return "\n".join(
            f"sha256:{base64.b64decode(cert.spki).hex()}" for cert in certs
        )
    parts = [f'pin-sha256="{cert.spki}"' for cert in certs]
    parts += [f"max-age={age}"] + ["includeSubDomains"] * below
    random.shuffle(parts)
    value = random.choice(["; ", ";", " ;  "]).join(parts)
    return f"Public-Key-Pins: {value}"


@st.composite
def named_files(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a format, and a file of it."""
    name = draw(st.sampled_from(FORMATS_HERE))
    return name, draw(files(name))


def _compare(policy: Policy, model: Decides, chains: Sequence[Sequence[Cert]]) -> None:
    hosts = ("x.org", "a.x.org", "b.a.x.org", "ax.org", "org")
    # Before noon, the client has not seen the header.
    moments = (NOON, NOON + 3 * DAY, NOON + dt.timedelta(seconds=5))
    agree(policy, model, chains, hosts, moments)


def _read_policies_agree(drawn: tuple[str, str], chains: list[list[Cert]]) -> None:
    name, text = drawn
    _compare(Policy(rules_of(name, text)), MODELS[name](text), chains)


def _written_rules_agree(
    name: str, rules: Rules, host: str, chains: list[list[Cert]]
) -> None:
    dumped = dump(rules, name, host=host, now=NOON)
    if dumped is None:
        return
    below = host.startswith("**.") and name == "hpkp"
    losses_are_true(
        rules,
        dumped,
        MODELS[name](str(dumped.text)),
        chains,
        hosts=("x.org", "a.x.org", "b.a.x.org", "l.x.org")[: 4 if below else 1],
        moments=(NOON, NOON + 3 * DAY),
    )


PATTERNS = st.sampled_from(["x.org", "**.x.org"])
NAMES = st.sampled_from(FORMATS_HERE)


@FAST
@given(named_files(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_the_original(
    drawn: tuple[str, str], chains: list[list[Cert]]
) -> None:
    """For the host, those below it, and others."""
    _read_policies_agree(drawn, chains)


@FAST
@given(NAMES, small_rules(), PATTERNS, SOME_CHAINS)
def test_what_a_format_cannot_say_is_told(
    name: str, rules: Rules, host: str, chains: list[list[Cert]]
) -> None:
    """About the host, and about those below it where the file covers them."""
    _written_rules_agree(name, rules, host, chains)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS_HERE)
def test_many_policies_decide_like_the_original(name: str) -> None:
    """The long form of the test above."""
    drawn = st.tuples(st.just(name), files(name))
    LONG(given(drawn, SOME_CHAINS)(_read_policies_agree))()


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS_HERE)
def test_many_rules_are_written_truly(name: str) -> None:
    """The long form of the test above."""
    drawn = given(st.just(name), small_rules(), PATTERNS, SOME_CHAINS)
    LONG(drawn(_written_rules_agree))()


# ---- hosts -------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS_HERE)
def test_the_host_is_checked(name: str) -> None:
    """A file has the pins of one host, whoever names it."""
    text = str(dump_two(name).text)
    for host in ("https://x.org", "x..org", ""):
        with pytest.raises(PolicyError, match=r"\Afile: host: "):
            load(name, text, host)
    assert list(rules_of(name, text, "X.org.").hosts) == ["x.org"]
    rules = Rules({"x.org": [ABSENT, OTHER], "y.org": [OTHER]})
    with pytest.raises(PolicyError, match="pins of one host; give `host`"):
        dump(rules, name)
    with pytest.raises(PolicyError, match="is no host; give one host"):
        dump(rules, name, host="*.x.org")
    assert dump(rules, name, host="z.org") is None
    assert dump(Rules({"x.org": UNPINNED}), name, host="x.org") is None


def dump_two(name: str) -> Any:  # noqa: ANN401 - Dumped
    """Write a rule with two pins."""
    lists: dict[str, Any] = {"kubeadm": {"ca": [ABSENT, OTHER]}}
    lists["curl"] = {"leaf": [ABSENT, OTHER]}
    pinset = PinSet(**lists.get(name, {"pins": [ABSENT, OTHER]}))
    return dump(Rules({"x.org": pinset}), name, now=NOON)


# ---- HPKP --------------------------------------------------------------------------


def test_a_header_lasts_from_now_on() -> None:
    """Clients count from the moment when they see it."""
    rules = rules_of("hpkp", f"{TWO}; max-age=60; includeSubDomains")
    minute = NOON + dt.timedelta(seconds=60)
    assert rules == Rules(
        {"**.x.org": PinSet([ABSENT, OTHER], expires=minute, after_expiry="allow")}
    )
    for age in ("9" * 12, "9" * 1000, "000000000000000000000" + "9" * 12):
        (value,) = rules_of("hpkp", f"{TWO}; max-age={age}").hosts.values()
        assert isinstance(value, PinSet)
        assert value.expires == dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


def test_the_clock_is_read_where_no_time_is_given() -> None:
    """The public functions give none."""
    before = dt.datetime.now(dt.UTC)
    (value,) = (
        FORMATS["hpkp"]
        .reader(f"{TWO}; max-age=3600".encode(), Given("file", "x.org"))
        .rules.hosts.values()
    )
    assert isinstance(value, PinSet)
    assert value.expires is not None
    late = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3600)
    assert before + dt.timedelta(seconds=3599) <= value.expires <= late


def test_report_only_is_report_mode() -> None:
    """It has no max-age, and rejects nobody."""
    text = f'Public-Key-Pins-Report-Only: {TWO}; report-uri="https://r.example/"'
    assert rules_of("hpkp", text) == Rules(
        {"x.org": PinSet([ABSENT, OTHER], mode="report")}
    )
    dumped = dump(rules_of("hpkp", text), "hpkp", now=NOON)
    assert dumped is not None
    assert str(dumped.text).startswith("Public-Key-Pins-Report-Only: pin-sha256=")
    assert dumped.losses == ()


@pytest.mark.parametrize("zero", ["0", '"0"', "000"])
def test_max_age_zero_removes_pins(zero: str) -> None:
    """And is told."""
    loaded = load("hpkp", f"{TWO}; max-age={zero}")
    assert loaded.rules == Rules({"x.org": UNPINNED})
    assert loaded.notices == ("file: max-age=0 removes the pins",)


def test_a_response_that_was_saved_is_read() -> None:
    """As `curl -I` prints it: the first header that is enforced counts."""
    value = f"{TWO}; max-age=5"
    response = (
        "HTTP/1.1 200 OK\r\nServer: x\r\n"
        f"public-key-pins-report-only: {TWO}; max-age=9\r\n"
        f"public-key-pins: {TWO};\r\n max-age=5\r\n"
        f"Public-Key-Pins: {TWO}; max-age=7\r\n"
        f"Set-Cookie: a=b; c\r\n\r\nPublic-Key-Pins: none\r\n"
    )
    loaded = load("hpkp", response)
    assert loaded.rules == rules_of("hpkp", value)
    assert loaded.rules.origins["x.org"] == "file: line 4"
    assert [text.partition(" is left")[0] for text in loaded.notices] == [
        "file: line 3: public-key-pins-report-only",
        "file: line 6: Public-Key-Pins",
    ]
    report = f"HTTP/2 200\nPublic-Key-Pins-Report-Only: {TWO}; max-age=5\n"
    (pinset,) = rules_of("hpkp", report).hosts.values()
    assert isinstance(pinset, PinSet)
    assert pinset.mode == "report"
    with pytest.raises(PolicyError, match="the response has no header Public-Key-Pins"):
        load("hpkp", "HTTP/1.1 200 OK\n\nPublic-Key-Pins: x\n")


def test_unknown_directives_are_told() -> None:
    """Clients ignore them."""
    loaded = load("hpkp", f"{TWO}; max-age=5; Strict=yes; ;")
    assert loaded.notices == ("file: the directive 'strict' is left out",)


BAD_HEADERS = {
    "": "max-age is missing",
    TWO: "max-age is missing",
    f'pin-sha256="{A}"; max-age=5': "fewer than two pins",
    f'pin-sha256="{A}"; pin-sha256="{A}"; max-age=5': "fewer than two pins",
    f"{TWO}; max-age": "write a number of seconds",
    f"{TWO}; max-age=1.5": "write a number of seconds",
    f"{TWO}; max-age=-5": "write a number of seconds",
    f"{TWO}; max-age=5; max-age=5": "max-age is there twice",
    f"{TWO}; max-age=5; includeSubDomains=1": "includeSubDomains takes no value",
    f"{TWO}; max-age=5; report-uri=": "not a directive",
    f'{TWO}; max-age=5; report-uri=""': "write report-uri",
    f"{TWO} max-age=5": "not a directive: 'pin-sha256",
    f"pin-sha256={A[:-1]}; {TWO}; max-age=5": "write pin-sha256=",
    f"pin-sha256='{A}'; {TWO}; max-age=5": "not a directive",
    f'pin-sha256="{A}=="; {TWO}; max-age=5': "the padding is wrong",
    f'pin-sha256="base64+primary=="; {TWO}; max-age=5': "not the base64",
    "Public-Key-Pins " + TWO: "not a directive",
}


@pytest.mark.parametrize("text", BAD_HEADERS)
def test_headers_that_clients_ignore_are_errors(text: str) -> None:
    """A policy without their pins would accept more than the author believes."""
    with pytest.raises(PolicyError, match=re.escape(BAD_HEADERS[text])):
        load("hpkp", text)


def test_a_header_has_a_host_and_not_a_pattern() -> None:
    """The header itself says whether it is for the names below."""
    with pytest.raises(PolicyError, match="includeSubDomains is in the header"):
        load("hpkp", f"{TWO}; max-age=5", "**.x.org")


def test_a_header_is_written() -> None:
    """With its name; a client keeps pins without an end for sixty days at most."""
    minute = NOON + dt.timedelta(seconds=60)
    pinset = PinSet([ABSENT, OTHER], expires=minute, after_expiry="allow")
    dumped = dump(Rules({"**.x.org": pinset}), "hpkp", now=NOON)
    assert dumped == (f"Public-Key-Pins: {TWO}; max-age=60; includeSubDomains\n", ())
    dumped = dump(Rules({"x.org": PinSet([ABSENT, OTHER])}), "hpkp", now=NOON)
    assert dumped is not None
    assert dumped.text == f"Public-Key-Pins: {TWO}; max-age=5184000\n"
    assert [loss.kind for loss in dumped.losses] == ["expiry-needed"]


TWO_PINS = PinSet([ABSENT, OTHER])


@pytest.mark.parametrize("host", [None, "**.x.org", "x.org"])
def test_a_header_for_a_wildcard_includes_subdomains(host: str | None) -> None:
    """The host may be given as a name or as a pattern, or not at all."""
    rules = Rules({"**.x.org": TWO_PINS})
    dumped = dump_rules(
        rules, format="hpkp", host=host, now=NOON, allow=["expiry-needed"]
    )
    assert str(dumped.text).endswith("; includeSubDomains\n")
    assert [loss.kind for loss in dumped.losses] == ["expiry-needed"]


@pytest.mark.parametrize("below", ["**.x.org", "*.x.org", "**.org"])
def test_other_pins_below_a_host_are_told(below: str) -> None:
    """The header of the name alone leaves the names below it without pins."""
    rules = Rules({"x.org": TWO_PINS, below: PinSet([OTHER, pool()[0].pin])})
    dumped = dump(rules, "hpkp", host="x.org", now=NOON)
    assert dumped is not None
    assert "includeSubDomains" not in str(dumped.text)
    kinds = {loss.kind for loss in dumped.losses} - {"expiry-needed"}
    assert kinds == {"one-label" if below.startswith("*.") else "many-labels"}


def test_an_address_gets_no_header() -> None:
    """Clients ignore the header there (RFC 7469, 2.3.3)."""
    rules = Rules({"192.0.2.1": TWO_PINS})
    with pytest.raises(PolicyError, match="is an address, and clients ignore"):
        dump_rules(rules, format="hpkp", allow=["expiry-needed"])


# ---- curl --------------------------------------------------------------------------


def test_curl_reads_lists_and_files_of_keys() -> None:
    """A file has one key, as curl reads it."""
    pki = example_pki()
    spki = pki.server.spki
    pin = Pin.spki(hashlib.sha256(spki).digest())
    pem = b"-----BEGIN PUBLIC KEY-----\n"
    pem += base64.encodebytes(spki) + b"-----END PUBLIC KEY-----\n"
    for data in (spki, pem, str(pin).replace("/", "//", 1)):
        assert rules_of("curl", data) == Rules({"x.org": PinSet(leaf=[pin])})
    with pytest.raises(PolicyError, match="and no certificate"):
        load("curl", pki.server.der)


BAD_LISTS = {
    "": "pin 1: '': write sha256// and base64",
    f"sha256/{A}": "pin 1: 'sha256/AAA",
    f"sha256//{A};": "pin 2: ''",
    f"sha256//{A}; sha256//{B}": "pin 2: ' sha256//BBB",
    f"sha256//{A},sha256//{B}": "these are several pins",
    "sha256//x;sha256//y": "'y' is not the base64",
}


@pytest.mark.parametrize("text", BAD_LISTS)
def test_lists_that_curl_would_not_match_are_errors(text: str) -> None:
    """Curl itself would compare such a text and never match it."""
    with pytest.raises(PolicyError, match=re.escape(BAD_LISTS[text])):
        load("curl", text)


# ---- kubeadm -----------------------------------------------------------------------


def test_kubeadm_hashes_are_of_authorities() -> None:
    """One a line; blank lines do not matter."""
    text = f"sha256:{'00' * 32}\n\n  sha256:{'AB' * 32}\n"
    pins = [Pin.spki(bytes(32)), Pin.spki(b"\xab" * 32)]
    assert rules_of("kubeadm", text) == Rules({"x.org": PinSet(ca=pins)})
    for bad, words in {
        "": "there is no hash",
        "sha256:00": "line 1: 'sha256:00' is not",
        f"\nSHA256:{A[:-1]}": "line 2: .*is the hash of an SSH key",
        f"sha256/{A}": "is not sha256: and 64 hex digits",
    }.items():
        with pytest.raises(PolicyError, match=words):
            load("kubeadm", bad)


def test_a_header_tells_that_it_accepts_names_below_that_nobody_lists() -> None:
    """With ``unpinned="reject"``, unless includeSubDomains pins them, too."""
    for pattern, told in (("x.org", ["unlisted-hosts"]), ("**.x.org", [])):
        rules = Rules({pattern: PinSet([ABSENT, OTHER])}, unpinned="reject")
        allow = ["unlisted-hosts", "expiry-needed"]
        dumped = dump_rules(rules, format="hpkp", host="x.org", allow=allow)
        kinds = [loss.kind for loss in dumped.losses if loss.kind != "expiry-needed"]
        assert kinds == told
