"""Vectors of other systems; one function per system compares its cases with us.

A case is what a test, a page or a program of the system says about one file, header,
host or pin. A case is equal if pinverify reads it as the system does and decides alike.
The vectors are in ../shared/vectors/formats, with their sources; they are not part of
the project.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from other_systems import pool, vectors, vectors_folder
from pinverify import UNPINNED, Pin, PinSet, Policy, PolicyError, Rules
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from policy_samples import ABSENT, NOON

__all__ = ["SYSTEMS", "Case"]


class Case(NamedTuple):
    """One case: its name, and whether it is equal."""

    name: str
    equal: bool


Cases: TypeAlias = Iterator[Case]


def load(name: str, text: str | bytes, host: str | None = None) -> Loaded:
    """Read a file of a format."""
    data = text.encode("utf-8") if isinstance(text, str) else text
    return FORMATS[name].reader(data, Given("file", host, now=NOON))


def read(name: str, text: str | bytes, host: str | None = None) -> Rules | None:
    """Return the rules of a file, or None where it is refused."""
    try:
        return load(name, text, host).rules
    except PolicyError:
        return None


def keys(texts: list[str]) -> set[Pin]:
    """Return pins of keys, from their hashes in base64 or hex."""
    return {Pin.spki(text) for text in texts}


def value_for(rules: Rules, host: str) -> PinSet | None:
    """Return the pins of a host; None if it has none, or is none."""
    try:
        found = rules.deciding(host)
    except PolicyError:
        return None
    return found[1] if found and isinstance(found[1], PinSet) else None


def files(folder: str) -> Iterator[tuple[str, bytes, Any]]:
    """Yield the name and the contents of each file, and what is known of it."""
    path = vectors_folder(folder)
    for name, known in vectors(folder, "expected.json")["files"].items():
        yield name, (path / name).read_bytes(), known


_NEW = "CertificatePinner.Builder()"


# ---- applications ------------------------------------------------------------------


def okhttp() -> Cases:
    """Compare which patterns match, which chains are accepted, which pins are taken."""
    known = vectors("okhttp", "matching.json")
    letters = dict(zip("ABC", pool(), strict=False))
    for case in known["matching"]:
        rules = load("okhttp", f'{_NEW}.add("{case["pattern"]}", "{ABSENT}")').rules
        reason = Policy(rules).evaluate(case["host"], [pool()[0].der]).reason.name
        equal = reason == ("MISMATCH" if case["matches"] else "NOT_PINNED")
        yield Case(f"{case['pattern']} for {case['host']}", equal)
    for case in known["decisions"]:
        text = _NEW
        for pattern, names in case["rules"].items():
            words = (pattern, *(letters[name].pin for name in names))
            text += f".add({', '.join(map(json.dumps, words))})"
        chain = [letters[name].der for name in case["chain"]]
        report = Policy(load("okhttp", text).rules).evaluate(case["host"], chain)
        name = f"{case['test']} for {case['host']}"
        yield Case(name, report.accepted == case["accepted"])
    for case in known["pins"]:
        taken = read("okhttp", f'{_NEW}.add("{case["pattern"]}", "{case["pin"]}")')
        equal = (taken is not None) == (case["result"] == "accepted")
        yield Case(f"{case['pin']} for {case['pattern']}", equal)


def android() -> Cases:
    """Compare files of Android's tests: the pins of each host, and if they count."""
    for name, data, known in files("android-nsc"):
        yield Case(name, _like_android(data, known))


def _like_android(data: bytes, known: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a configuration means the same; without pins it is an error."""
    hosts = known.get("hosts", {})
    try:
        rules = load("android", data).rules
    except PolicyError as error:
        pinned = any(facts["pins"] for facts in hosts.values())
        no_pins = "no domain has pins" in str(error)
        return known["result"] == "error" or (no_pins and not pinned)
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for host, facts in hosts.items():
        if not host:
            continue
        reason = Policy(rules).evaluate(host, [pool()[0].der], now=now).reason.name
        value = value_for(rules, host)
        if (reason == "MISMATCH") != facts["enforced_today"]:
            return False
        if set(value.pins if value else ()) != keys(facts["pins"]):
            return False
    return bool(known["result"] != "error")


def trustkit_for_android() -> Cases:
    """Compare the pins that TrustKit finds for hosts with those that Android finds.

    Android has no mode: it always enforces, and TrustKit only if it is told to.
    """
    for name, data, known in files("trustkit-android"):
        rules = read("android", data) or Rules()
        equal = True
        for host, facts in known.get("hosts", {}).items():
            value = value_for(rules, host)
            found = {str(pin) for pin in (value.pins if value else ())}
            wanted = (facts or {}).get("pins", ())  # not all are base64 of 32 bytes
            equal &= found == {f"sha256/{text}" for text in wanted}
        yield Case(name, equal)


def apple() -> Cases:
    """Compare the pins of hosts with what Apple's page says of them."""
    for name, data, known in files("apple-plist"):
        rules = read("apple", data)
        if rules is None or "mistake" in known or not known["domains"]:
            no_pins = "mistake" in known or not known["domains"]
            yield Case(name, rules is None and no_pins)
            continue
        equal = True
        for host, domain in known["hosts"].items():
            said = known["domains"].get(domain)
            leaf, ca = (keys(said[name]) if said else set() for name in ("leaf", "ca"))
            value = value_for(rules, host)
            found = (set(value.leaf), set(value.ca)) if value else (set(), set())
            equal &= found == (leaf, ca)
        yield Case(name, equal)


# ---- browsers ----------------------------------------------------------------------


def chromium_headers() -> Cases:
    """Compare headers of Chromium's tests."""
    for case in vectors("hpkp", "headers.json")["cases"]:
        name = "Public-Key-Pins" + "-Report-Only" * bool(case.get("report_only"))
        rules = read("hpkp", f"{name}: {case['header']}", "x.org")
        wanted = case if case["result"] == "accepted" else None
        yield Case(f"header {case['id']}", _is_header(rules, wanted))


def _is_header(rules: Rules | None, wanted: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether rules are those of a header; None is one that is refused."""
    if rules is None or wanted is None:
        return rules is wanted is None
    ((pattern, value),) = rules.hosts.items()
    equal = pattern == "**." * bool(wanted["include_subdomains"]) + "x.org"
    if wanted["max_age"] == 0:
        return equal and value is UNPINNED
    if not isinstance(value, PinSet):
        return False
    age = wanted["max_age"]
    if age is not None and age < 10**9:  # a longer time ends before the last date
        equal &= value.expires == NOON + dt.timedelta(seconds=age)
    is_report = bool(wanted.get("report_only"))
    return (
        equal
        and set(value.pins) == keys(wanted["pins"])
        and ((value.mode == "report") == is_report)
    )


def chromium_list() -> Cases:
    """Compare the pins of each host of a list with those of the entry that decides."""
    folder = vectors_folder("chromium")
    beside = (folder / "sample.pins").read_bytes()
    data = (folder / "sample.json").read_bytes()
    rules = FORMATS["chromium"].reader(data, Given("list", beside=(beside,))).rules
    known = vectors("chromium", "expected.json")
    for host, wanted in known["hosts"].items():
        value = value_for(rules, host)
        pinset = known["pinsets"].get(wanted["pinset"])
        wanted_value = pinset and PinSet(
            list(keys(pinset["pins"])), blocked=list(keys(pinset["blocked"]))
        )
        yield Case(host, value == wanted_value)


# ---- servers and tools -------------------------------------------------------------


def curl() -> Cases:
    """Compare arguments of curl's tests, and a key with the digest beside it."""
    known = vectors("curl", "curl.json")
    for case in known["cases"]:
        argument = case["pinnedpubkey"]
        if isinstance(argument, str):
            rules = load("curl", argument, "x.org").rules
            text = FORMATS["curl"].writer(rules, Given()).text
            yield Case(f"the argument of {case['test']}", text == argument + "\n")
    for key in known["keys"]:
        rules = load("curl", key["pinnedpubkey"], "x.org").rules
        same = load("curl", key["public_key"], "x.org").rules
        yield Case(f"the key {key['pinnedpubkey']}", rules == same)


def envoy() -> Cases:
    """Compare configurations, and the digests of the certificates of its tests."""
    for name, data, known in files("envoy-yaml"):
        host, is_client = known.get("host"), "client" in known.get("rule", "")
        rules = read("envoy", data, None if host or is_client else "x.org")
        if rules is None or "mistake" in known:
            yield Case(name, rules is None and "mistake" in known)
            continue
        value = rules.clients if is_client else rules.hosts[host or "x.org"]
        pins = [*keys(known["spki"]), *map(Pin.certificate, known["certificate"])]
        yield Case(name, value == PinSet(leaf=pins))
    certs = vectors("envoy", "envoy.json")["certificates"]
    for field, column in (
        ("verify_certificate_spki", "spki_sha256"),
        ("verify_certificate_hash", "certificate_sha256"),
    ):
        for cert in certs:
            text = json.dumps({field: [cert[column]]})
            policy = Policy(load("envoy", text, "x.org").rules)
            equal = all(
                policy.evaluate("x.org", [_der(other["certificate"])]).accepted
                == (other[column] == cert[column])
                for other in certs
            )
            yield Case(f"{field} of {cert['name']}", equal)


def postfix() -> Cases:
    """Compare main.cf and tables: which destinations have which digests."""
    for name, data, known in files("postfix"):
        destinations = known.get("destinations", {})
        with_host = "mistake" in known or "*" in destinations
        rules = read("postfix", data, "x.org" if with_host else None)
        if rules is None or "mistake" in known:
            yield Case(name, rules is None and "mistake" in known)
            continue
        wanted = {}
        for key, digests in destinations.items():
            host = re.sub(r"\[(.*)\].*", r"\1", key.replace("*", "x.org"))
            either = [Pin.spki(d) for d in digests] + [
                Pin.certificate(d) for d in digests
            ]
            wanted["**" * host.startswith(".") + host] = PinSet(leaf=either)
        pinned = {p: v for p, v in rules.hosts.items() if isinstance(v, PinSet)}
        yield Case(name, pinned == wanted)


def openssl() -> Cases:
    """Compare sets of TLSA records and chains of OpenSSL's tests.

    OpenSSL validates chains as well: a block that it refuses for another reason than
    the records is equal if the records can be read.
    """
    document = vectors("tlsa", "danetest.json")
    anchors = {name: _der(pem) for name, pem in document["trust_anchors"].items()}
    for block in document["blocks"]:
        host = block["base_domain"]
        text = "".join(
            f"_443._tcp.{host}. IN TLSA {t['usage']} {t['selector']} {t['mtype']} "
            f"{t['data']}\n"
            for t in block["tlsa"]
        )
        rules = read("tlsa", text)
        if rules is None:
            yield Case(f"block {block['id']}", equal=False)
            continue
        chain = [_der(pem) for pem in block["certificates"]]
        if anchors[block["trust"]] not in chain:
            chain.append(anchors[block["trust"]])
        accepted = Policy(rules).evaluate(host, chain).accepted
        of_records = block["verify_result"] in {0, 65}
        equal = not of_records or accepted == (block["verify_result"] == 0)
        yield Case(f"block {block['id']}", equal)


def _der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :])


SYSTEMS: dict[str, Callable[[], Cases]] = {
    "OkHttp": okhttp,
    "Android": android,
    "TrustKit for Android": trustkit_for_android,
    "Apple": apple,
    "Chromium, headers": chromium_headers,
    "Chromium, list": chromium_list,
    "curl": curl,
    "Envoy": envoy,
    "Postfix": postfix,
    "OpenSSL, DANE": openssl,
}
"""All systems with vectors, in the order of the table in docs/formats.md."""
