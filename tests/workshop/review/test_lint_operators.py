"""Lint about authorities whose operators choose the root: PV208 and PV209."""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pinverify import Pin, PinSet, Rules, core, lint
from pinverify.review._lint.operators import INTERMEDIATES, ROOTS
from pki import Authority
from places import ROOT

__all__: list[str] = []

HOST = "api.bakery.internal"
UNKNOWN, OTHER = (Pin.spki(core.sha256(text)) for text in (b"unknown", b"other"))
X1, X2, YE, YR = (Pin.spki(text) for text in ROOTS["Let's Encrypt"].values())
R3 = Pin.spki(INTERMEDIATES["Let's Encrypt"]["R3"])


def codes(rules: Rules, **beside: Any) -> list[str]:  # noqa: ANN401 - certificates
    """Return the codes of the findings."""
    return [one.code for one in lint(rules, **beside)]


# ---- the tables ------------------------------------------------------------------


def certificates(file: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, which may have comments."""
    pem = file.read_bytes()
    begin = pem.index(b"-----BEGIN")
    with warnings.catch_warnings(action="ignore"):  # of serial numbers
        return x509.load_pem_x509_certificates(pem[begin:])


TRUSTED = certificates(Path(certifi.where()))
PUBLISHED = certificates(ROOT / "tests" / "vectors" / "lets_encrypt.pem")


def pin_by_hashlib(cert: x509.Certificate) -> str:
    """Return the base64 of the pin of a key, by other libraries than ours."""
    spki = cert.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def name_of(cert: x509.Certificate) -> str:
    """Return the name that the tables have: the OU where the CN says nothing."""
    common, unit = (
        "".join(str(one.value) for one in cert.subject.get_attributes_for_oid(oid))
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
    )
    return unit if common in {"", "GlobalSign"} else common


def is_signed(cert: x509.Certificate, issuers: list[x509.Certificate]) -> bool:
    """Return True if one of these signed a certificate."""
    for issuer in issuers:
        try:
            cert.verify_directly_issued_by(issuer)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


def test_each_published_certificate_leads_to_a_trusted_root() -> None:
    """So its key is the operator's, whoever copied it."""
    known = TRUSTED + [one for one in PUBLISHED if is_signed(one, TRUSTED)]
    assert all(is_signed(one, known) for one in PUBLISHED)
    (impostor,) = [Authority.root("ISRG Root X1").certificate]
    assert not is_signed(impostor, known)


def test_the_roots_are_those_that_browsers_trust() -> None:
    """By name and key; generation Y is signed by older ones."""
    known = {name_of(cert): pin_by_hashlib(cert) for cert in TRUSTED}
    published = {name_of(cert): pin_by_hashlib(cert) for cert in PUBLISHED}
    for operator, roots in ROOTS.items():
        for name, text in roots.items():
            assert text == (known.get(name) or published[name]), (operator, name)
    assert set(ROOTS["Let's Encrypt"]) - known.keys() == {"Root YE", "Root YR"}


def test_the_intermediates_are_those_that_were_published() -> None:
    """Each certificate has its row, and each row its certificate."""
    published = {name_of(cert): pin_by_hashlib(cert) for cert in PUBLISHED}
    (table,) = INTERMEDIATES.values()
    assert table == {n: p for n, p in published.items() if not n.startswith("Root ")}


# ---- without certificates --------------------------------------------------------


@pytest.mark.parametrize("name", ["pins", "ca"])
def test_an_intermediate_is_told_by_its_key(name: str) -> None:
    """With its name, and the pins to write in its place."""
    lists: dict[str, Any] = {name: [R3, UNKNOWN]}
    pinset = PinSet(**lists)
    (one,) = lint(Rules({HOST: pinset}))
    assert (one.code, one.level) == ("PV208", "warning")
    assert one.text.startswith(f"{name}: {R3} is the key of R3, an intermediate of")
    assert all(str(pin) in one.text for pin in (X1, X2, YE, YR))


def test_an_intermediate_beside_a_root_is_harmless() -> None:
    """Of the same operator; that of another one does not help."""
    assert codes(Rules({HOST: PinSet([R3, X1, UNKNOWN])})) == []
    amazon = [Pin.spki(text) for text in ROOTS["Amazon"].values()]
    assert codes(Rules({HOST: PinSet(ca=[R3, *amazon])})) == ["PV208"]


@pytest.mark.parametrize("operator", ROOTS)
def test_all_roots_of_an_operator_are_sound(operator: str) -> None:
    """In either list; and beside the roots of all others."""
    roots = [Pin.spki(text) for text in ROOTS[operator].values()]
    everybody = [Pin.spki(text) for keys in ROOTS.values() for text in keys.values()]
    for pins in (roots, everybody):
        assert codes(Rules({HOST: PinSet(pins)})) == []
        assert codes(Rules({HOST: PinSet(ca=pins)})) == []


def test_the_missing_roots_are_told() -> None:
    """With the number of those that are there, and for each operator."""
    google = Pin.spki(ROOTS["Google Trust Services"]["GTS Root R1"])
    told = lint(Rules({HOST: PinSet(ca=[X1, X2, google])}))
    assert [one.code for one in told] == ["PV209", "PV209"]
    first, second = told
    assert first.text.startswith("ca: it has 1 of the 4 roots that Google Trust")
    assert second.text.startswith("ca: it has 2 of the 4 roots that Let's Encrypt")
    assert second.text.endswith(f"; add Root YE {YE}, Root YR {YR}")


def test_a_root_beside_an_unknown_key_is_a_backup() -> None:
    """That key may be of the leaf; under `ca` it is of another authority."""
    assert codes(Rules({HOST: PinSet([X1, UNKNOWN])})) == []
    assert codes(Rules({HOST: PinSet(ca=[X1, UNKNOWN])})) == ["PV209"]
    assert codes(Rules({HOST: PinSet(leaf=[X1, UNKNOWN], ca=[OTHER, UNKNOWN])})) == []


def test_nobody_is_rejected_in_report_mode() -> None:
    """So nothing breaks there, with certificates or without."""
    wr2 = intermediate_of("Google Trust Services", "WR2")
    pinset = PinSet(ca=[X1, R3, wr2.pin], mode="report")
    assert codes(Rules({HOST: pinset}), authorities=[wr2.der]) == ["PV403"]


# ---- beside certificates ---------------------------------------------------------


def intermediate_of(organization: str, name: str) -> Authority:
    """Make an authority of an organization."""
    return Authority.root("Root").intermediate(name, organization=organization)


@pytest.mark.parametrize(
    ("organization", "operator"),
    [
        ("Google Trust Services", "Google Trust Services"),
        ("Google Trust Services LLC", "Google Trust Services"),
        ("Let's Encrypt", "Let's Encrypt"),
        ("Amazon", "Amazon"),
        ("Amazon Bakery", ""),
        ("Bakery", ""),
    ],
)
def test_an_intermediate_is_told_by_its_organization(
    organization: str, operator: str
) -> None:
    """By a server's chain, and by a bundle; with the place that is known."""
    authority = intermediate_of(organization, "WR2")
    chain = authority.leaf(HOST).chain_der
    rules = Rules({HOST: PinSet(ca=[authority.pin, UNKNOWN])})
    for beside, place in (
        ({"chains": {HOST: chain}}, "is the pin of certificate 1, CN=WR2,O="),
        ({"authorities": [authority.der]}, "is the pin of CN=WR2,O="),
    ):
        found = lint(rules, **beside)
        assert [one.code for one in found] == ["PV208"] * bool(operator)
        for one in found:
            assert place in one.text
            assert f"an intermediate of {operator}, which replaces" in one.text


def test_a_known_intermediate_is_told_once() -> None:
    """By its key and by a bundle that has it."""
    (r3,) = [cert for cert in PUBLISHED if name_of(cert) == "R3"]
    rules = Rules({HOST: PinSet(ca=[R3, UNKNOWN])})
    assert codes(rules, authorities=[r3.public_bytes(Encoding.DER)]) == ["PV208"]


def der_of(cert: x509.Certificate) -> bytes:
    """Return the DER of a certificate."""
    return cert.public_bytes(Encoding.DER)


def resigned(cert: x509.Certificate) -> bytes:
    """Return a root with another issuer in it, as a cross-signed one has."""
    der = der_of(cert)
    at = der.index(b"Amazon Root CA 1")  # the issuer stands before the subject
    return der[:at] + b"Another Root CA " + der[at + 16 :]


def test_a_root_that_an_older_one_signed_stays() -> None:
    """Its key is a root's, so another certificate of it changes nothing."""
    (cert,) = [one for one in TRUSTED if name_of(one) == "Amazon Root CA 1"]
    again = resigned(cert)
    rules = Rules({HOST: PinSet([Pin.from_certificate(again), UNKNOWN])})
    leaf = Authority.root("Root").leaf(HOST).der
    assert codes(rules, chains={HOST: [leaf, again]}) == []


def test_an_intermediate_below_a_pinned_key_is_harmless() -> None:
    """The list goes on to match by the certificate above."""
    upper = intermediate_of("Bakery", "Upper")
    lower = upper.intermediate("M01", organization="Amazon")
    chain = lower.leaf(HOST).chain_der
    both = PinSet(ca=[lower.pin, upper.pin, UNKNOWN])
    assert codes(Rules({HOST: both}), chains={HOST: chain}) == []
    alone = PinSet(ca=[lower.pin, UNKNOWN])
    assert codes(Rules({HOST: alone}), chains={HOST: chain}) == ["PV208"]


def test_a_root_of_an_organization_stays() -> None:
    """A certificate that signs itself is no intermediate."""
    root = Authority.root("Amazon Root CA 9", organization="Amazon")
    rules = Rules({HOST: PinSet([root.pin, UNKNOWN])})
    assert codes(rules, authorities=[root.der]) == []
    assert codes(rules, chains={HOST: [root.leaf(HOST).der, root.der]}) == []


def test_texts_name_no_pin_twice() -> None:
    """Each text is one list and one next step."""
    (one,) = lint(Rules({HOST: PinSet(ca=[R3, UNKNOWN])}))
    pins = re.findall(r"sha256/\S{44}", one.text)
    assert len(pins) == len(set(pins)) == 5
