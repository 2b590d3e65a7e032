"""The mistakes that real users made, by number, and what finds each of them.

The list is at the end of docs/lint.md. A mistake is found by `lint` alone, by `lint`
with a server or its authorities, by a reader, which refuses the file, or by `diff`.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import pickle
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cli_runs import address, answer, run
from pinverify import (
    UNPINNED,
    Pin,
    PinSet,
    PolicyError,
    Rules,
    dump_rules,
    lint,
    load_rules,
)
from pinverify.errors import MistakesError
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Reading
from pinverify.review._lint import CHECKS, OF_READERS
from pinverify.review._lint.operators import INTERMEDIATES, ROOTS
from pki import Identity, Pki
from places import ROOT
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]
    Case = Callable[[Pki], tuple[Rules, Identity]]

__all__: list[str] = []

HOST = "api.bakery.internal"
GOOD, BACKUP, NEXT = (
    Pin.spki(random.Random(seed).randbytes(32))  # noqa: S311 - the same each time
    for seed in (1, 2, 3)
)
G, B = (str(pin).removeprefix("sha256/") for pin in (GOOD, BACKUP))
DAY = dt.timedelta(days=1)


class Mistake(NamedTuple):
    """A file with a mistake, and the answer to it.

    Attributes:
        number: of the list.
        format: of the file.
        text: the file.
        code: of the finding.
        phrase: words of it.
    """

    number: int
    format: str
    text: str
    code: str
    phrase: str = ""


# ---- in the file alone -------------------------------------------------------------


def in_toml(*pins: object, host: str = HOST, more: str = "") -> str:
    """Return a policy file with one rule."""
    said = ", ".join(f'"{pin}"' for pin in pins)
    return f'version = 1\n[hosts."{host}"]\npins = [{said}]\n{more}'


def in_android(
    *pins: str, domain: str = f"<domain>{HOST}</domain>", more: str = ""
) -> str:
    """Return a network security configuration."""
    said = "".join(f'<pin digest="SHA-256">{pin}</pin>' for pin in pins)
    return (
        f"<network-security-config><domain-config>{domain}<pin-set {more}>{said}"
        "</pin-set></domain-config></network-security-config>"
    )


def in_apple(key: str = "SPKI-SHA256-BASE64", *, inside: str = "") -> str:
    """Return an Info.plist; *inside* is a dictionary around the pinned domains."""
    pins = "".join(
        f"<dict><key>{key}</key><string>{pin}</string></dict>" for pin in (G, B)
    )
    pinned = (
        f"<key>NSPinnedDomains</key><dict><key>{HOST}</key><dict>"
        f"<key>NSPinnedLeafIdentities</key><array>{pins}</array></dict></dict>"
    )
    if inside:
        pinned = f"<key>{inside}</key><dict>{pinned}</dict>"
    return (
        '<plist version="1.0"><dict><key>NSAppTransportSecurity</key>'
        f"<dict>{pinned}</dict></dict></plist>"
    )


def in_okhttp(*pins: object, host: str = HOST) -> str:
    """Return a call in Kotlin."""
    said = ", ".join(f'"{pin}"' for pin in pins)
    return f'CertificatePinner.Builder().add("{host}", {said}).build()'


def in_trustkit(*pins: str, host: str = HOST) -> str:
    """Return a configuration in JSON."""
    table = {"TSKPublicKeyHashes": list(pins)}
    return json.dumps({"TSKPinnedDomains": {host: table}})


def in_zone(*records: str) -> str:
    """Return the TLSA records of one service."""
    return "".join(f"_443._tcp.{HOST}. IN TLSA {one}\n" for one in records)


def expiring(after: dt.timedelta) -> str:
    """Return the lines of an expiry some time from now."""
    moment = dt.datetime.now(dt.UTC).replace(microsecond=0) + after
    return f'expires = {moment.isoformat()}\nafter_expiry = "allow"\n'


EMPTY = hashlib.sha256(b"").digest()
SHA1 = base64.b64encode(hashlib.sha1(b"key").digest()).decode()  # noqa: S324
ANDROIDS = "7HIpactkIAq2Y49orFOOQKurWxmmSFZhBCoQYcRhJ3Y="
URL_SAFE = "WbPbkiCTIJgCk1mNjUjmBf3e8x0cTcrHKi--C2PflGk="
X1, *_ = ROOTS["Let's Encrypt"].values()
AMAZON_1, *_ = ROOTS["Amazon"].values()
R3 = INTERMEDIATES["Let's Encrypt"]["R3"]
E7 = INTERMEDIATES["Let's Encrypt"]["E7"]
EXPIRED = 'expires = 2018-08-10T00:00:00Z\nafter_expiry = "allow"\n'
TWO_RULES = (
    f'version = 1\n[hosts]\n"**.bakery.internal" = ["{GOOD}", "{BACKUP}"]\n'
    f'"{HOST}" = ["{BACKUP}", "{GOOD}"]\n'
)

ALONE = [
    Mistake(1, "toml", in_toml(Pin.spki(EMPTY), GOOD), "PV201"),
    Mistake(1, "tlsa", in_zone(f"3 1 1 {EMPTY.hex()}"), "PV201"),
    Mistake(2, "toml", in_toml("sha256/" + "A" * 43 + "=", GOOD), "PV202"),
    Mistake(2, "android", in_android("ABCDEF" * 7 + "A=", G), "PV202"),
    Mistake(3, "android", in_android(ANDROIDS, G), "PV203", "of Android"),
    Mistake(3, "okhttp", in_okhttp(f"sha256/{ANDROIDS}", GOOD), "PV203"),
    Mistake(7, "toml", in_toml(f"sha1/{SHA1}", GOOD), "PV104", "can be forged"),
    Mistake(7, "okhttp", in_okhttp(f"sha256/{SHA1}"), "PV104", "20 bytes"),
    Mistake(8, "android", in_android(f"sha256/{G}", B), "PV104", "before the base64"),
    Mistake(9, "android", in_android(G.rstrip("="), B), "PV104", "padding is wrong"),
    Mistake(9, "trustkit", in_trustkit("B" * 43 + "=", B), "PV104", "last character"),
    Mistake(9, "trustkit", in_trustkit(URL_SAFE, B), "PV104", "URL alphabet"),
    Mistake(10, "toml", in_toml(GOOD), "PV204", "no backup"),
    Mistake(10, "okhttp", in_okhttp(GOOD), "PV204"),
    Mistake(11, "okhttp", in_okhttp(GOOD, GOOD), "PV204"),
    Mistake(13, "toml", in_toml(f"sha256/{R3}", GOOD), "PV208", "R3"),
    Mistake(13, "android", in_android(E7, G), "PV208", "E7"),
    Mistake(15, "toml", in_toml(f"sha256/{X1}"), "PV209", "1 of the 4 roots"),
    Mistake(15, "android", in_android(X1, AMAZON_1), "PV209", "Amazon"),
    Mistake(16, "okhttp", in_okhttp(GOOD, BACKUP, host="api.stripe.com"), "PV302"),
    Mistake(17, "okhttp", in_okhttp(GOOD, BACKUP, host="**.co.uk"), "PV301"),
    Mistake(17, "toml", in_toml(GOOD, host="**.azurewebsites.net"), "PV302"),
    Mistake(18, "okhttp", in_okhttp(GOOD, host=f"https://{HOST}"), "PV105", "only the"),
    Mistake(18, "toml", in_toml(GOOD, host=f"{HOST}:443"), "PV105", "without a port"),
    Mistake(
        18,
        "android",
        in_android(G, B, domain=f'<domain includeSubdomains="true">*.{HOST}</domain>'),
        "PV105",
        "a domain has no '*'",
    ),
    Mistake(19, "okhttp", in_okhttp(GOOD, BACKUP, host="*.bakery.internal"), "PV303"),
    Mistake(21, "toml", in_toml(GOOD, BACKUP, more=EXPIRED), "PV401"),
    Mistake(21, "android", in_android(G, B, more='expiration="2018-08-10"'), "PV401"),
    Mistake(21, "toml", in_toml(GOOD, BACKUP, more=expiring(20 * DAY)), "PV402"),
    Mistake(
        22, "android", in_android(G, B, more='expiration="2018/8/10"'), "PV106", "date"
    ),
    Mistake(
        22, "toml", in_toml(GOOD, more='expires = "2018/8/10"\n'), "PV106", "date-time"
    ),
    Mistake(23, "apple", in_apple("SPKI-SHA256-Base64"), "PV107", "unknown key"),
    Mistake(
        23, "apple", in_apple(inside="NSExceptionDomains"), "PV101", "belongs in NSApp"
    ),
    Mistake(24, "toml", in_toml(GOOD, BACKUP, more='mode = "report"\n'), "PV403"),
    Mistake(
        26,
        "tlsa",
        in_zone(f"3 1 2 {'5a' * 64}", f"3 1 1 {GOOD.digest.hex()}"),
        "PV109",
        "does not count beside SHA-512",
    ),
    Mistake(27, "toml", TWO_RULES, "PV501"),
    Mistake(
        27, "toml", in_toml(GOOD, BACKUP, more=f'blocked = ["{BACKUP}"]\n'), "PV206"
    ),
]


@pytest.mark.parametrize(
    "mistake", ALONE, ids=[f"{one.number}-{one.format}" for one in ALONE]
)
def test_a_mistake_is_found_in_the_file(mistake: Mistake, tmp_path: Path) -> None:
    """By its code, with the file, and with a next step."""
    file = tmp_path / "pins"
    file.write_text(mistake.text, encoding="utf-8")
    told = answer("lint", file, "--format", mistake.format)["findings"]
    found = [one for one in told if one["code"] == mistake.code]
    assert found, told
    assert any(mistake.phrase in one["text"] for one in found)
    assert all(one["place"].startswith(str(file)) for one in found)


def test_a_name_that_no_pinset_has_is_found(tmp_path: Path) -> None:
    """Number 27, as Chromium's own generator does."""
    pinset = {"name": "bakery", "static_spki_hashes": ["Oven", "Shelf"]}
    entry = {"name": HOST, "pins": "bakery"}
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"pinsets": [pinset], "entries": [entry]}))
    pins = f"Oven\n{GOOD}\nShelf\n{BACKUP}\nCellar\n{NEXT}\n"
    file.with_suffix(".pins").write_text(pins)
    (one,) = answer("lint", file, "--format", "chromium")["findings"]
    assert one["code"] == "PV102"
    assert "Cellar is in no pinset" in one["text"]


def written(rules: Rules, name: str, host: str | None = None) -> bytes:
    """Return rules in a format; where it has no position or no end, so be it."""
    allow = ["expiry-needed", "key-pins", "position", "validation"]
    text = dump_rules(rules, format=name, host=host, allow=allow).text
    return text if isinstance(text, bytes) else text.encode()


def test_copies_that_drifted_apart_are_found(tmp_path: Path) -> None:
    """Number 25: the same pins in Kotlin and in a plist, and one of them corrected."""
    kotlin, plist = tmp_path / "Pins.kt", tmp_path / "pins.plist"
    host = "api.bakery.net"
    kotlin.write_text(in_okhttp(GOOD, BACKUP, host=host))
    rules = Rules({host: [GOOD, BACKUP]})
    plist.write_bytes(written(rules, "trustkit"))
    command = ("diff", kotlin, plist, "--format", "okhttp", "--to", "trustkit")
    assert run(*command).code == 0
    kotlin.write_text(in_okhttp(GOOD, NEXT, host=host))
    assert run(*command).code != 0


# ---- kinds of mistakes -------------------------------------------------------------

ROW = f'"{HOST}": {{"pins": ["{GOOD}", "{BACKUP}"]}}'
PIN_SET = in_android(G, B)
TWICE_IN_PLIST = in_apple().replace(
    "</array>", "</array><key>NSPinnedLeafIdentities</key><array/>"
)
KINDS: list[tuple[str, str, str]] = [
    ("PV101", "toml", in_toml(GOOD, more="unpinned = true\n")),
    ("PV101", "json", '{"version": 2}'),
    ("PV103", "toml", in_toml(GOOD) + "pins\n"),
    ("PV103", "json", '{"version": 1,}'),
    ("PV103", "android", PIN_SET + "<"),
    ("PV103", "apple", in_apple() + "<"),
    ("PV103", "envoy", "a: [b"),
    ("PV103", "okhttp", "\0"),
    ("PV104", "json", f'{{"version": 1, "hosts": {{"x.org": ["{G}"]}}}}'),
    ("PV104", "apple", in_apple().replace(G, G[1:])),
    ("PV104", "curl", f"sha256/{G}"),
    ("PV104", "kubeadm", f"sha256:{G}"),
    ("PV104", "tlsa", in_zone(f"3 1 1 {SHA1.encode().hex()}")),
    ("PV104", "postfix", f"{HOST} fingerprint match={G}"),
    ("PV104", "envoy", f'verify_certificate_hash: ["{G}"]'),
    ("PV105", "json", f'{{"version": 1, "hosts": {{"x y": ["{GOOD}"]}}}}'),
    ("PV105", "trustkit", in_trustkit(G, B, host="*.x.org")),
    ("PV105", "apple", in_apple().replace(HOST, "x y")),
    ("PV105", "postfix", f"*.x.org fingerprint match={GOOD.digest.hex()}"),
    (
        "PV106",
        "json",
        f'{{"version": 1, "clients": {{"pins": ["{GOOD}"], "expires": "1.1.2099"}}}}',
    ),
    ("PV106", "toml", in_toml(GOOD, more="expires = 2099-01-01T00:00:00Z\n")),
    ("PV106", "hpkp", f'pin-sha256="{G}"; pin-sha256="{B}"; max-age=a'),
    ("PV107", "json", f'{{"version": 1, "hosts": {{{ROW}}}, "host": {{}}}}'),
    (
        "PV107",
        "android",
        PIN_SET.replace("<pin-set ", "<pinset/><pin-set "),
    ),
    (
        "PV107",
        "envoy",
        f"validation_context:\n  verify_certificate_spki: [{G}]\n  verify: 1\n",
    ),
    ("PV108", "toml", in_toml(GOOD) + f'[hosts."{HOST.upper()}"]\npins = ["{GOOD}"]\n'),
    ("PV108", "toml", in_toml(GOOD, more="mode = 'report'\nmode = 'report'\n")),
    ("PV108", "json", f'{{"version": 1, "hosts": {{{ROW}, {ROW}}}}}'),
    (
        "PV108",
        "android",
        PIN_SET.replace("<pin-set", f"<domain>{HOST}</domain><pin-set"),
    ),
    ("PV108", "apple", TWICE_IN_PLIST),
    ("PV108", "envoy", "a: 1\na: 1\n"),
    ("PV108", "hpkp", f'pin-sha256="{G}"; pin-sha256="{B}"; max-age=9; max-age=9'),
]


@pytest.mark.parametrize(("code", "name", "text"), KINDS)
def test_a_mistake_has_the_code_of_its_kind(
    code: str, name: str, text: str, tmp_path: Path
) -> None:
    """In every format, and the error of Python tells the kind."""
    file = tmp_path / "pins"
    file.write_text(text)
    needs_host = FORMATS[name].host == "given" or "verify_" in text
    host = HOST if needs_host else None
    beside = ("--host", HOST) if host else ()
    told = answer("lint", file, "--format", name, *beside)["findings"]
    assert {one["code"] for one in told} == {code}, told
    with pytest.raises(PolicyError) as caught:
        load_rules(file, format=name, host=host)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    for error in (caught.value, again):
        assert OF_READERS[error.kind].code == code
        assert str(error) == str(caught.value)


def test_mistakes_of_several_kinds_have_one_code_each(tmp_path: Path) -> None:
    """The error of all of them has no kind; the line that counts has the first code."""
    file = tmp_path / "pins.toml"
    file.write_text(in_toml("sha256/x") + "mod = 'report'\n")
    told = answer("lint", file)["findings"]
    assert [one["code"] for one in told] == ["PV104", "PV107"]
    with pytest.raises(PolicyError) as caught:
        load_rules(file)
    assert not caught.value.kind
    file.write_text(in_toml(*["sha256/x"] * 30))
    told = answer("lint", file)["findings"]
    assert [one["code"] for one in told] == ["PV104"] * 20 + ["PV101"]
    assert told[-1]["text"] == "… and 10 more"


def test_only_the_kinds_that_are_told_are_kept() -> None:
    """A hostile file has a million mistakes, and takes no memory for them."""
    reading = Reading(Given("file"))
    for _ in range(30):
        reading.mistake("", "a mistake", "pin")
    with pytest.raises(MistakesError) as caught:
        reading.check()
    assert len(caught.value.lines) == 21
    assert caught.value.kinds == ("pin",) * 20
    held = [len(held) for held in vars(reading).values() if isinstance(held, list)]
    assert max(held) == 20


# ---- beside a server and its authorities -------------------------------------------


def pinning(*pins: object, host: str = "127.0.0.1", **lists: Any) -> Rules:  # noqa: ANN401
    """Return rules for the server on loopback."""
    return Rules({host: PinSet([Pin.parse(str(pin)) for pin in pins], **lists)})


def hashed(data: bytes) -> str:
    """Return a pin of anything."""
    return f"sha256/{base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def operators_server(pki: Pki) -> Identity:
    """Return a server whose certificate is from an intermediate of Google's."""
    google = pki.root.intermediate("WR2", organization="Google Trust Services")
    return google.leaf("127.0.0.1")


def of_google(pki: Pki) -> tuple[Rules, Identity]:
    """Return rules that pin that intermediate."""
    server = operators_server(pki)
    wr2 = hashlib.sha256(server.chain_der[1])
    return pinning(ca=[f"cert-sha256:{wr2.hexdigest()}", BACKUP]), server


def short_lived(pki: Pki) -> tuple[Rules, Identity]:
    """Return rules that pin the leaf of 90 days."""
    server = pki.ca.leaf("127.0.0.1", days=90)
    return pinning(server.pin, BACKUP), server


def ending(pki: Pki) -> tuple[Rules, Identity]:
    """Return rules that pin a leaf that ends in ten days."""
    server = pki.ca.leaf("127.0.0.1", days=365, age=355)
    return pinning(leaf=[server.pin]), server


BESIDE: list[tuple[int, str, Case]] = [
    (
        4,
        "PV602",
        lambda pki: (pinning(hashed(pki.server.der), BACKUP), pki.server),
    ),
    (
        5,
        "PV602",
        lambda pki: (pinning(hashed(pki.server.spki[-65:]), BACKUP), pki.server),
    ),
    (
        6,
        "PV602",
        lambda pki: (pinning(hashed(pki.ca.pem.encode()), BACKUP), pki.server),
    ),
    (
        6,
        "PV602",
        lambda pki: (pinning(hashed(pki.ca.spki.hex().encode()), BACKUP), pki.server),
    ),
    (11, "PV606", lambda pki: (pinning(pki.server.pin, pki.ca.pin), pki.server)),
    (12, "PV607", short_lived),
    (13, "PV208", of_google),
    (20, "PV601", lambda pki: (pinning(GOOD, BACKUP, host=HOST), pki.server)),
    (28, "PV608", ending),
]


@pytest.mark.parametrize(
    ("number", "code", "case"), BESIDE, ids=[f"{one[0]}-{one[1]}" for one in BESIDE]
)
def test_a_mistake_is_found_beside_a_server(  # noqa: PLR0913, PLR0917 - fixtures
    number: int, code: str, case: Case, pki: Pki, serve: Serve, tmp_path: Path
) -> None:
    """A real one on loopback, with the bundle that trusts it."""
    rules, identity = case(pki)
    server = serve(server_context(identity))
    file = tmp_path / "pins.toml"
    file.write_bytes(written(rules, "toml"))
    command = ("lint", file, "--cafile", pki.trust_file(tmp_path))
    told = answer(*command, "--server", address(server))["findings"]
    assert code in [one["code"] for one in told], number
    assert code not in [one["code"] for one in answer("lint", file)["findings"]]


def test_a_chain_that_ends_early_is_found(pki: Pki) -> None:
    """Number 14: the trust store has the intermediate, the policy the root."""
    rules = pinning(ca=[pki.root.pin, BACKUP])
    chains = {"127.0.0.1": pki.server.chain_der[:2]}
    (one,) = lint(rules, chains=chains, authorities=[pki.root.der])
    assert one.code == "PV604"


# ---- the whole list ----------------------------------------------------------------

BY_OTHERS = [(14, "PV604"), (25, "`pinverify diff`"), (27, "PV102")]


def test_every_mistake_of_the_list_has_a_row() -> None:
    """All 28 are found somewhere; the page says by which codes, and so do the tests."""
    page = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) \| [^|]+ \| ([^|]+) \|$", page)
    assert [int(number) for number, _ in rows] == list(range(1, 29))
    said = {(int(n), code) for n, codes in rows for code in codes.split(", ")}
    tested = {(one.number, one.code) for one in ALONE}
    tested |= {(number, code) for number, code, _ in BESIDE}
    assert said == tested | {*BY_OTHERS}
    assert {code for _, code in said if code.startswith("PV")} <= CHECKS.keys()


# ---- sound policies ----------------------------------------------------------------

READ_AND_WRITTEN = [name for name, row in FORMATS.items() if row.reads and row.writes]


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
def test_a_sound_policy_has_no_findings(name: str, tmp_path: Path) -> None:
    """In every format: two pins of a host of one's own, or more where it can say so."""
    pins = [GOOD, BACKUP]
    pinset = PinSet(ca=pins) if name == "kubeadm" else PinSet(leaf=pins)
    takes_host = FORMATS[name].host == "given"
    host = HOST if takes_host else None
    pattern = "api.bakery.net" if name == "trustkit" else HOST
    file = tmp_path / "pins"
    file.write_bytes(written(Rules({pattern: pinset}), name, host))
    beside = ("--host", HOST) if takes_host else ()
    command = ("lint", file, "--format", name, *beside)
    codes = [one["code"] for one in answer(*command)["findings"]]
    assert codes == (["PV110"] if name == "postfix" else [])  # its main.cf has the hash
    assert run(*command, "--strict").code == 0
    assert len(READ_AND_WRITTEN) >= 10


def test_a_sound_file_with_an_expiration_passes_strict_checks(tmp_path: Path) -> None:
    """That the phone's zone counts is a remark; nothing is left out of the rules."""
    file = tmp_path / "pins.xml"
    file.write_text(in_android(G, B, more='expiration="2090-01-31"'), encoding="utf-8")
    command = ("lint", file, "--format", "android")
    (one,) = answer(*command)["findings"]
    assert (one["code"], one["level"]) == ("PV110", "hint")
    assert run(*command, "--strict").code == 0
    assert run("show", file, "--format", "android").err == ""


LATER: Any = {
    "expires": dt.datetime(2099, 1, 1, tzinfo=dt.UTC),
    "after_expiry": "reject",
}
OPERATORS = [Pin.spki(text) for keys in ROOTS.values() for text in keys.values()]
SOUND = {
    "leaf and authority": Rules({HOST: PinSet(leaf=[GOOD, BACKUP], ca=[NEXT, GOOD])}),
    "an expiry": Rules({HOST: PinSet([GOOD, BACKUP], **LATER)}),
    "a test": Rules({HOST: PinSet([GOOD, BACKUP], mode="report", **LATER)}),
    "a blocked key": Rules({HOST: PinSet([GOOD, BACKUP], blocked=[NEXT])}),
    "blocked keys alone": Rules(blocked=[NEXT]),
    "roots of operators": Rules({HOST: PinSet(ca=OPERATORS)}),
    "all names below": Rules({"**.bakery.internal": [GOOD, BACKUP]}),
    "an exemption": Rules({"**.bakery.internal": [GOOD, BACKUP], HOST: UNPINNED}),
    "a narrower rule": Rules(
        {"**.bakery.internal": [GOOD, BACKUP], HOST: PinSet(leaf=[NEXT, GOOD])}
    ),
    "clients": Rules(clients=PinSet(leaf=[GOOD, BACKUP])),
    "nobody else": Rules({HOST: [GOOD, BACKUP]}, unpinned="reject"),
    "an address": Rules({"192.168.7.7": [GOOD, BACKUP], "fd00::7": [GOOD, BACKUP]}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_rule_has_no_findings(name: str) -> None:
    """Rules that people write on purpose get not even a hint."""
    assert lint(SOUND[name]) == []
