"""The DER walk, certificate to SubjectPublicKeyInfo, against independent oracles.

The danger of a small parser is that it reads *another* key than the TLS library did.
So the corpora and thousands of mutants go through pinverify and through the oracles
of ``oracle_der.py``. What they disagree about stands in ``vectors/divergences.json``,
by class and with a reason. Anything else is a failure, and so is an agreement where
the list says that there is a difference.

When a difference is new, the failure shows its entry, ready to be put into the class
where it belongs, or into a class of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import cryptography
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpora
import oracle_der
from corpora import ALGORITHM, EMPTY_BITS, SHARED
from oracle_der import SEQUENCE, FrameError, encode
from pinverify import core
from pinverify._core import lib
from pinverify.errors import DERError

__all__: list[str] = []

DIVERGENCES = Path(__file__).parent / "vectors" / "divergences.json"

# Which field each status of the walk stands for, as its phrase must name it.
FIELDS = {
    "PV_ERR_DER_CERTIFICATE": "Certificate",
    "PV_ERR_DER_TBS": "tbsCertificate",
    "PV_ERR_DER_VERSION": "version",
    "PV_ERR_DER_SERIAL": "serialNumber",
    "PV_ERR_DER_SIGNATURE": "tbsCertificate.signature",
    "PV_ERR_DER_ISSUER": "issuer",
    "PV_ERR_DER_VALIDITY": "validity",
    "PV_ERR_DER_SUBJECT": "subject",
    "PV_ERR_DER_SPKI": "subjectPublicKeyInfo",
    "PV_ERR_DER_SPKI_ALGORITHM": "subjectPublicKeyInfo.algorithm",
    "PV_ERR_DER_SPKI_KEY": "subjectPublicKeyInfo.subjectPublicKey",
    "PV_ERR_DER_UNIQUE_ID": "issuerUniqueID or subjectUniqueID",
    "PV_ERR_DER_EXTENSIONS": "extensions",
    "PV_ERR_DER_TBS_END": "tbsCertificate",
    "PV_ERR_DER_SIGNATURE_ALGORITHM": "signatureAlgorithm",
    "PV_ERR_DER_SIGNATURE_VALUE": "signatureValue",
    "PV_ERR_DER_CERTIFICATE_END": "Certificate",
}
STATUS_BY_TEXT = {core.status_text(getattr(lib, name)): name for name in FIELDS}


class Answer(NamedTuple):
    """What pinverify makes of one input."""

    spki: bytes | None
    status: str  # the name of the pv_status


def ask(der: bytes) -> Answer:
    """Ask pinverify for the key of one certificate.

    The way on which the key is hashed meanwhile must lead to the same answer.
    """
    try:
        answer = Answer(core.spki(der), "PV_OK")
    except DERError as error:
        # Advice may follow in brackets.
        phrase = str(error).partition(": ")[2].partition(" (")[0]
        answer = Answer(None, STATUS_BY_TEXT[phrase])
        with pytest.raises(DERError, match=f"^{re.escape(str(error))}$"):
            core.spki_sha256(der)
    else:
        assert core.spki_sha256(der) == hashlib.sha256(answer.spki or b"").digest()
    return answer


def strict(der: bytes) -> bytes | None:
    """Return the key by the oracle's strict frame check, None if that refuses."""
    try:
        return oracle_der.strict_spki(der)
    except FrameError:
        return None


def lenient(der: bytes) -> bytes | None:
    """Return the key by the oracle's lenient walk, None if there is none."""
    try:
        return oracle_der.lenient_spki(der).raw
    except FrameError:
        return None


def sha1_of_key(spki: bytes) -> str:
    """Return what ``openssl x509 -ocspid`` prints for this key."""
    bits = oracle_der.key_bits(spki)
    return hashlib.sha1(bits, usedforsecurity=False).hexdigest()


def test_each_status_of_the_walk_has_words_that_name_its_field() -> None:
    """A person reads in the message where the certificate is wrong."""
    names = [name for name in dir(lib) if name.startswith("PV_ERR_DER_")]
    assert sorted(names) == sorted(FIELDS)
    assert len(STATUS_BY_TEXT) == len(FIELDS)
    for text, name in STATUS_BY_TEXT.items():
        assert text.startswith(FIELDS[name] + " ")


# ---------------------------------------------------------------------------
# The corpora
# ---------------------------------------------------------------------------

REFUSES = "pinverify refuses, OpenSSL accepts"
ACCEPTS = "pinverify accepts, OpenSSL refuses"
STRICTER = "pinverify and OpenSSL accept, cryptography refuses"
LAXER = "pinverify and OpenSSL refuse, cryptography accepts"

# A source that yields less than this is broken, or half unpacked.
LEAST = {
    "certifi": 100,
    "cryptography-vectors": 900,
    "boringssl-parse": 90,
    "boringssl-cert-corpus": 140,
    "trustkit": 12,
}


@dataclass(frozen=True)
class Judged:
    """One input and what everybody makes of it."""

    input: corpora.Input
    answer: Answer
    verdicts: oracle_der.Verdicts

    @property
    def direction(self) -> str | None:
        """Which way pinverify and the others differ, if they do."""
        accepted = self.answer.spki is not None
        if self.verdicts.openssl != {accepted}:
            return ACCEPTS if accepted else REFUSES
        if self.verdicts.cryptography != accepted:
            return STRICTER if accepted else LAXER
        return None

    def entry(self) -> dict[str, Any]:
        """Return the difference as the list spells it."""
        entry: dict[str, Any] = {
            "source": self.input.source,
            "name": self.input.name,
            "sha256": self.input.sha256,
            "status": self.answer.status,
            "verdicts": self.verdicts.by_name(),
        }
        if self.answer.spki is not None:
            entry["within"] = fields_that_differ(self.input.der)
        return entry


def everybody_accepts(der: bytes) -> bool:
    """Whether OpenSSL and the parser of `cryptography` accept."""
    return oracle_der.d2i_accepts(der) and oracle_der.cryptography_accepts(der)


def fields_that_differ(der: bytes) -> list[str]:
    """Return the fields whose repair makes everybody accept, as few as will do.

    Only fields that pinverify does not interpret can be repaired; if that is not
    enough, the difference lies in the frame.
    """
    fields = list(oracle_der.HARMLESS)
    assert everybody_accepts(oracle_der.repair(der, fields)), "it is in the frame"
    for field in oracle_der.HARMLESS:
        fewer = [other for other in fields if other != field]
        if everybody_accepts(oracle_der.repair(der, fewer)):
            fields = fewer
    return fields


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """Every input of the corpora, judged by everybody."""
    inputs = corpora.inputs()
    answers = [ask(entry.der) for entry in inputs]
    verdicts = oracle_der.verdicts([entry.der for entry in inputs])
    return [Judged(*row) for row in zip(inputs, answers, verdicts, strict=True)]


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    """The list of known differences."""
    content: dict[str, Any] = json.loads(DIVERGENCES.read_text(encoding="utf-8"))
    return content


def test_the_corpora_are_whole() -> None:
    """The other tests cannot pass because there was nothing to test."""
    found = {source: count.found for source, count in corpora.counts().items()}
    expected = dict(LEAST)
    if not SHARED.is_dir():
        expected = {source: LEAST[source] for source in list(LEAST)[:2]}
    assert found.keys() == expected.keys()
    assert {s: n for s, n in found.items() if n < expected[s]} == {}


def test_where_others_accept_too_they_read_the_same_key(
    judged: list[Judged], capsys: pytest.CaptureFixture[str]
) -> None:
    """The SPKI is, byte for byte, what two independent walks find.

    The openssl command confirms it by the SHA-1 of the key as it holds it.
    """
    counts: Counter[str] = Counter()
    for one in judged:
        spki, verdicts = one.answer.spki, one.verdicts
        accepted = {
            "pinverify": spki is not None,
            "d2i_X509": verdicts.d2i,
            "openssl x509": verdicts.command,
            "cryptography": verdicts.cryptography,
        }
        counts.update(f"{who} accepts" for who, yes in accepted.items() if yes)
        if spki is None:
            continue
        assert spki == lenient(one.input.der), one.input[:2]
        assert spki == oracle_der.asn1crypto_spki(one.input.der), one.input[:2]
        assert core.spki_sha256(one.input.der) == hashlib.sha256(spki).digest()
        if verdicts.key_sha1 is not None:
            assert verdicts.key_sha1 == sha1_of_key(spki), one.input[:2]
            counts["the openssl command names the same key"] += 1
        counts["both, same key"] += verdicts.d2i
    with capsys.disabled():
        print(f"\n  {len(judged)} inputs")  # noqa: T201 - these counts are asked for
        for what, number in counts.items():
            print(f"  {number:>6} {what}")  # noqa: T201
    assert counts["both, same key"] > 600


def test_two_oracles_agree_where_openssl_accepts(judged: list[Judged]) -> None:
    """asn1crypto and the walk of the tests check each other, BER included."""
    accepted = [one.input for one in judged if one.verdicts.d2i]
    assert len(accepted) > 600
    for entry in accepted:
        found = lenient(entry.der)
        assert found is not None
        assert found == oracle_der.asn1crypto_spki(entry.der), entry[:2]


def test_pinverify_accepts_what_the_strict_frame_check_accepts(
    judged: list[Judged],
) -> None:
    """Two statements of the same promise, in C and in Python, never differ."""
    for one in judged:
        assert one.answer.spki == strict(one.input.der), one.input[:2]


def same_parser(listed: dict[str, Any]) -> bool:
    """Whether this is the `cryptography` that the list was measured with.

    Its parser changes from one major version to the next, and is not OpenSSL. With
    another version, what it alone refuses or accepts proves nothing.
    """
    versions = listed["measured_with"]["cryptography"], cryptography.__version__
    measured, here = (version.partition(".")[0] for version in versions)
    return measured == here


def disagreements_with_the_list(
    judged: list[Judged], listed: dict[str, Any]
) -> list[str]:
    """Return what is unlisted, what is listed otherwise, and what has healed."""
    known = {
        entry["sha256"]: (one_class["direction"], entry)
        for one_class in listed["classes"]
        for entry in one_class["inputs"]
    }
    compared = {"sha256", "status", "within"}
    who = {"d2i_X509", "openssl x509"}
    counting = {REFUSES, ACCEPTS}
    if same_parser(listed):
        who.add("cryptography")
        counting |= {STRICTER, LAXER}
    else:
        compared.remove("within")
    wrong = []
    for one in judged:
        listed_as, entry = known.get(one.input.sha256, (None, {}))
        if one.direction not in counting:
            if listed_as in counting:
                wrong.append(f"healed: {json.dumps(entry)}")
            continue
        # Without an openssl command its verdict is not compared. Nor is the name:
        # the same bytes may have come from another file.
        found = one.entry()
        here = who & found["verdicts"].keys()
        same = (
            listed_as == one.direction
            and all(entry.get(key) == found.get(key) for key in compared)
            and all(entry["verdicts"].get(w) == found["verdicts"][w] for w in here)
        )
        if not same:
            wrong.append(f"unlisted: {one.direction}: {json.dumps(found)}")
    return wrong


def test_every_difference_is_listed_and_every_listed_one_is_still_there(
    judged: list[Judged],
    listed: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No difference to OpenSSL is new, and none has healed unnoticed."""
    wrong = disagreements_with_the_list(judged, listed)
    measured, now = listed["measured_with"], oracle_der.versions()
    assert not wrong, "\n".join([f"listed with {measured}, now {now}", *wrong])
    found = {one.input.sha256 for one in judged}
    with capsys.disabled():
        print()  # noqa: T201 - these counts are asked for
        for one_class in listed["classes"]:
            here = sum(entry["sha256"] in found for entry in one_class["inputs"])
            words = f"{one_class['direction']}: {one_class['class']}"
            print(f"  {here:>6} {words}")  # noqa: T201


def test_a_list_with_an_entry_too_few_or_too_many_is_noticed(
    judged: list[Judged], listed: dict[str, Any]
) -> None:
    """The comparison with the list can fail, in each of its ways."""
    differing = next(one for one in judged if one.direction == ACCEPTS)
    agreeing = next(one for one in judged if one.direction is None)

    def doctored(entries: list[dict[str, Any]], direction: str) -> list[str]:
        classes = [{"direction": direction, "inputs": entries}]
        return disagreements_with_the_list(
            [differing, agreeing], listed | {"classes": classes}
        )

    entry = differing.entry()
    assert doctored([entry], ACCEPTS) == []
    assert doctored([], ACCEPTS)[0].startswith("unlisted")
    assert doctored([entry], STRICTER)[0].startswith("unlisted")
    assert doctored([entry | {"status": "PV_ERR_DER_SPKI"}], ACCEPTS)
    healed = entry | {"sha256": agreeing.input.sha256}
    assert doctored([entry, healed], ACCEPTS)[0].startswith("healed")


def test_a_difference_never_lies_in_the_frame(
    judged: list[Judged], listed: dict[str, Any]
) -> None:
    """What pinverify accepts and others refuse is inside a field it leaves to them.

    The strict frame check accepts it; with the fields that the list names replaced
    by harmless ones, everybody accepts it; and the key is still the same.
    """
    ders = {one.input.sha256: one.input.der for one in judged}
    entries = [
        entry
        for one_class in listed["classes"]
        if one_class["direction"] in {ACCEPTS, STRICTER}
        for entry in one_class["inputs"]
        if entry["sha256"] in ders
    ]
    accept = everybody_accepts if same_parser(listed) else oracle_der.d2i_accepts
    for entry in entries:
        der = ders[entry["sha256"]]
        repaired = oracle_der.repair(der, entry["within"])
        assert strict(der) is not None, entry
        assert accept(repaired), entry
        if "subjectPublicKeyInfo.algorithm" not in entry["within"]:
            assert core.spki(repaired) == core.spki(der)
    assert any(entry["status"] == "PV_OK" for entry in entries)


def test_every_class_of_differences_has_a_reason(listed: dict[str, Any]) -> None:
    """The list says why, once for each input, and pinverify refuses with a status."""
    names = [one_class["class"] for one_class in listed["classes"]]
    assert len(set(names)) == len(names)
    for one_class in listed["classes"]:
        assert len(one_class["reason"].split()) > 5
        assert one_class["direction"] in {REFUSES, ACCEPTS, STRICTER, LAXER}
        assert one_class["inputs"]
    hashes = [
        entry["sha256"]
        for one_class in listed["classes"]
        for entry in one_class["inputs"]
    ]
    assert len(set(hashes)) == len(hashes)


# ---------------------------------------------------------------------------
# BoringSSL's parser tests, TrustKit's pins
# ---------------------------------------------------------------------------

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the vectors of other projects are not there"
)

TOY_KEY = bytes.fromhex("30030401f3")


def with_algorithm_and_key(tbs: bytes, algorithm: bytes, spki: bytes) -> bytes:
    """Make a certificate of a TBSCertificate with another signature and key."""
    rows = oracle_der.split(oracle_der.read(tbs, 0, len(tbs)))
    fields = [row.raw for row in rows]
    serial = 1 if rows[0].tag == oracle_der.VERSION else 0
    fields[serial + 1], fields[serial + 5] = algorithm, spki
    return corpora.wrap_tbs(encode(SEQUENCE, *fields))


@needs_shared
def test_the_twelve_keys_of_boringssl_are_found_where_they_are() -> None:
    """Each TBSCertificate with an SPKI block gives the key that stands there.

    Eleven have a toy for a key and for the signature's AlgorithmIdentifier, which
    OpenSSL refuses as well. So the toys are replaced; what is tested is the place.
    """
    key = core.spki(next(iter(corpora.inputs())).der)
    files = corpora.boring_files("SPKI")
    assert len(files) == 12
    for file in files:
        tbs, toy = file.block("TBS CERTIFICATE"), file.block("SPKI")
        assert lenient(corpora.wrap_tbs(tbs)) == toy
        der = with_algorithm_and_key(tbs, ALGORITHM, key)
        assert core.spki(der) == key
        expected = Answer(None, "PV_ERR_DER_SPKI_ALGORITHM")
        if toy != TOY_KEY:
            expected = Answer(toy, "PV_OK")
        assert ask(with_algorithm_and_key(tbs, ALGORITHM, toy)) == expected
        if toy != TOY_KEY:
            assert core.spki(corpora.wrap_tbs(tbs)) == toy


@needs_shared
@pytest.mark.parametrize(("name", "status"), corpora.TBS_FAULTS.items())
def test_a_fault_in_a_tbs_of_boringssl_is_refused_for_that_field(
    name: str, status: str
) -> None:
    """With a real key and algorithm in place of the toys, one fault is left."""
    key = core.spki(next(iter(corpora.inputs())).der)
    (file,) = [f for f in corpora.boring_files("TBS CERTIFICATE") if f.name == name]
    tbs = file.block("TBS CERTIFICATE")
    assert ask(with_algorithm_and_key(tbs, ALGORITHM, key)).status == status
    assert ask(corpora.wrap_tbs(tbs)).spki is None


@needs_shared
def test_what_boringssl_calls_an_error_is_refused_or_listed(
    listed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Their strict parser looks into extensions, names and dates; ours does not."""
    accepted = {}
    refused = 0
    for file in corpora.boring_files("ERRORS"):
        if file.has("TBS CERTIFICATE"):
            der = corpora.wrap_tbs(file.block("TBS CERTIFICATE"))
        else:
            der = file.block("CERTIFICATE")
        if ask(der).spki is None:
            refused += 1
        else:
            lines = file.block("ERRORS").decode().splitlines()
            accepted[file.name] = [line.strip() for line in lines if line.strip()]
    known = {
        name: errors
        for one_class in listed["boringssl_errors"]
        for name, errors in one_class["files"].items()
    }
    assert accepted == known
    assert all(len(c["reason"].split()) > 5 for c in listed["boringssl_errors"])
    with capsys.disabled():
        print(f"\n  {refused} refused, {len(accepted)} listed")  # noqa: T201
    assert refused + len(accepted) == 45


@needs_shared
def test_the_pins_of_trustkit_match() -> None:
    """The SHA-256 of the SPKI is the pin that TrustKit's own tests expect."""
    folder = SHARED / "trustkit"
    pins = json.loads((folder / "pins.json").read_text(encoding="ascii"))
    assert len(pins) == 6
    for name, pin in pins.items():
        digest = core.spki_sha256((folder / name).read_bytes())
        assert digest == base64.b64decode(pin), name


# ---------------------------------------------------------------------------
# What the walk refuses, field by field
# ---------------------------------------------------------------------------

V1_EXPLICIT, V2, V3 = (encode(0xA0, encode(0x02, bytes((n,)))) for n in range(3))
NULL = b"\x05\x00"
KEY_ALGORITHM = oracle_der.HARMLESS["subjectPublicKeyInfo.algorithm"]
KEY_BITS = encode(0x03, b"\0", bytes(range(64)))
EXTENSIONS = oracle_der.HARMLESS["extensions"]
ISSUER_ID, SUBJECT_ID = encode(0x81, b"\0i"), encode(0x82, b"\0s")
RSA_OID = encode(0x06, bytes.fromhex("2a864886f70d010101"))


def certificate(  # noqa: PLR0913 - one argument for each field there is
    *,
    version: bytes = V3,
    serial: bytes = encode(0x02, b"\x01"),
    signature: bytes = ALGORITHM,
    issuer: bytes = oracle_der.HARMLESS["issuer"],
    validity: bytes = oracle_der.HARMLESS["validity"],
    subject: bytes = oracle_der.HARMLESS["subject"],
    algorithm: bytes = KEY_ALGORITHM,
    key: bytes = KEY_BITS,
    spki: bytes | None = None,
    unique_ids: bytes = b"",
    extensions: bytes = EXTENSIONS,
    signature_algorithm: bytes = ALGORITHM,
    signature_value: bytes = EMPTY_BITS,
) -> bytes:
    """Make a certificate field by field; as it is, everybody accepts it."""
    if spki is None:
        spki = encode(SEQUENCE, algorithm, key)
    names = (issuer, validity, subject)
    tbs = (version, serial, signature, *names, spki, unique_ids, extensions)
    outer = (encode(SEQUENCE, *tbs), signature_algorithm, signature_value)
    return encode(SEQUENCE, *outer)


def refused(der: bytes, status: str) -> None:
    """Check that pinverify refuses with this status, and the frame check too."""
    assert ask(der) == Answer(None, status)
    assert strict(der) is None


def accepted(der: bytes) -> None:
    """Check that pinverify accepts, with the key that the oracles find."""
    key = ask(der).spki
    assert key is not None
    assert key == strict(der) == lenient(der)


def rows_of(der: bytes) -> list[bytes]:
    """Return the three elements of a Certificate."""
    return [row.raw for row in oracle_der.split(oracle_der.read(der, 0, len(der)))]


def test_a_hundred_thousand_digests_are_those_of_hashlib_over_the_oracles_keys() -> (
    None
):
    """No two alike, keys of many lengths; each hundredth is cut off."""
    dice = random.Random(9)  # noqa: S311 - a test, no key
    ders = []
    for i in range(100_000):
        length = dice.choice((33, 66, 98, 271, 527)) + dice.randrange(40)
        serial = encode(0x02, b"\x01" + i.to_bytes(3, "big"))
        der = certificate(
            serial=serial, key=encode(0x03, b"\0" + dice.randbytes(length))
        )
        ders.append(der[:-1] if i % 100 == 99 else der)
    digests, malformed = core.spki_sha256_many(ders)
    assert list(malformed) == list(range(99, 100_000, 100))
    for i, der in enumerate(ders):
        key = None if i % 100 == 99 else lenient(der)
        expected = bytes(32) if key is None else hashlib.sha256(key).digest()
        assert digests[32 * i : 32 * i + 32] == expected, i
    data = b"".join(ders)
    offsets = array("Q", accumulate(map(len, ders), initial=0))
    assert core.spki_sha256_many(data, offsets) == (digests, malformed)


def test_the_certificate_that_the_next_tests_damage_is_good() -> None:
    """What they see comes from the damage alone."""
    accepted(certificate())
    assert everybody_accepts(certificate())


def in_long_form(element: bytes, octets: int) -> bytes:
    """Spell the length of a short element in that many octets."""
    return element[:1] + bytes((0x80 | octets, *bytes(octets - 1))) + element[1:]


def test_an_indefinite_length_is_refused() -> None:
    """X.690, 10.1: DER has definite lengths only. OpenSSL reads them."""
    whole = b"\x30\x80" + b"".join(rows_of(certificate())) + b"\0\0"
    assert oracle_der.d2i_accepts(whole)
    refused(whole, "PV_ERR_DER_CERTIFICATE")
    spki = b"\x30\x80" + KEY_ALGORITHM + KEY_BITS + b"\0\0"
    assert oracle_der.d2i_accepts(certificate(spki=spki))
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")
    # 0x80 is no length of 128 either.
    refused(certificate(subject=b"\x30\x80" + bytes(128)), "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("octets", [1, 2, 3, 4, 8])
def test_a_length_that_is_not_minimal_is_refused(octets: int) -> None:
    """X.690, 10.1: as few octets as will do. OpenSSL reads any number."""
    der = certificate(subject=in_long_form(encode(SEQUENCE), octets))
    assert oracle_der.d2i_accepts(der)
    refused(der, "PV_ERR_DER_SUBJECT")
    spki = encode(SEQUENCE, KEY_ALGORITHM, in_long_form(KEY_BITS, octets))
    assert oracle_der.d2i_accepts(certificate(spki=spki))
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI_KEY")


@pytest.mark.parametrize("size", [1, 126, 127, 128, 255, 256, 65535, 65536])
def test_a_length_in_one_octet_more_than_it_needs_is_refused(size: int) -> None:
    """The shortest spelling passes at each size where it gets longer."""
    good = encode(SEQUENCE, bytes(size))
    accepted(certificate(subject=good))
    header = good[: len(good) - size]
    octets = len(header) - 2  # of the long form; the short form has none
    longer = bytes((0x30, 0x81 + octets)) + size.to_bytes(octets + 1, "big")
    der = certificate(subject=longer + bytes(size))
    refused(der, "PV_ERR_DER_SUBJECT")


def test_a_length_of_2_to_the_24_or_more_is_refused() -> None:
    """The longest element that is read has 2^24 - 1 bytes."""
    half = 1 << 23  # what surrounds the key is as long as with the whole
    around = len(certificate(key=encode(0x03, bytes(half)))) - half
    room = 5 + (1 << 24) - 1 - around
    longest = certificate(key=encode(0x03, bytes(room)))
    assert longest[:5] == b"\x30\x83\xff\xff\xff"
    accepted(longest)
    refused(certificate(key=encode(0x03, bytes(room + 1))), "PV_ERR_DER_CERTIFICATE")


@pytest.mark.parametrize("first", [0x84, 0x88, 0xFF])
def test_a_length_of_more_than_three_octets_is_refused(first: int) -> None:
    """Nobody may take three of them for all."""
    subject = bytes((0x30, first)) + (1 << 16).to_bytes(3, "big") + bytes(1 << 16)
    refused(certificate(subject=subject), "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("tag", [0x10, 0x70, 0xB0, 0xF0])
def test_the_class_of_a_tag_counts(tag: int) -> None:
    """[16] is no SEQUENCE, whatever its class is; nor is one that is primitive."""
    for field in ("issuer", "validity", "subject"):
        other = {field: encode(tag, b"")}
        refused(certificate(**other), f"PV_ERR_DER_{field.upper()}")
    spki = encode(tag, KEY_ALGORITHM, KEY_BITS)
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")


def test_the_high_form_of_a_tag_is_refused() -> None:
    """X.690, 8.1.2.4: tags up to 30 have one octet. OpenSSL reads two."""
    for subject in (b"\x3f\x10\x00", b"\x3f\x80\x10\x00"):
        der = certificate(subject=subject)
        assert oracle_der.d2i_accepts(der)
        refused(der, "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("tail", [b"\0", b"\0\0", b"\x30\0", certificate()])
def test_a_byte_after_the_certificate_is_refused(tail: bytes) -> None:
    """One certificate is one input: nothing may hide behind it."""
    refused(certificate() + tail, "PV_ERR_DER_CERTIFICATE")


def test_a_certificate_that_ends_early_is_refused() -> None:
    """No prefix of a certificate is one."""
    good = certificate()
    for end in range(len(good)):
        refused(good[:end], "PV_ERR_DER_CERTIFICATE")


@pytest.mark.parametrize("extra", [NULL, encode(SEQUENCE), EMPTY_BITS, b"\0"])
def test_an_element_too_many_is_refused_in_each_sequence(extra: bytes) -> None:
    """Certificate, TBSCertificate, SubjectPublicKeyInfo, AlgorithmIdentifier."""
    outer = encode(SEQUENCE, *rows_of(certificate()), extra)
    refused(outer, "PV_ERR_DER_CERTIFICATE_END")
    tbs_end = certificate(extensions=EXTENSIONS + extra)
    refused(tbs_end, "PV_ERR_DER_TBS_END")
    spki = encode(SEQUENCE, KEY_ALGORITHM, KEY_BITS, extra)
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")
    algorithm = encode(SEQUENCE, RSA_OID, NULL, extra)
    for field, status in (
        ("signature", "PV_ERR_DER_SIGNATURE"),
        ("algorithm", "PV_ERR_DER_SPKI_ALGORITHM"),
        ("signature_algorithm", "PV_ERR_DER_SIGNATURE_ALGORITHM"),
    ):
        refused(certificate(**{field: algorithm}), status)


def test_a_second_key_is_refused() -> None:
    """Two SubjectPublicKeyInfos: whichever is read, the other one is too many."""
    spki = encode(SEQUENCE, KEY_ALGORITHM, KEY_BITS)
    refused(certificate(spki=spki + spki), "PV_ERR_DER_TBS_END")
    refused(certificate(extensions=EXTENSIONS + spki), "PV_ERR_DER_TBS_END")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"version": b"", "serial": encode(0x02, b"\1") + V3}, "PV_ERR_DER_SIGNATURE"),
        ({"version": encode(0x02, b"\1"), "serial": V3}, "PV_ERR_DER_SIGNATURE"),
        ({"serial": b""}, "PV_ERR_DER_SERIAL"),
        ({"subject": b""}, "PV_ERR_DER_SPKI"),
        ({"unique_ids": EXTENSIONS}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": SUBJECT_ID + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": ISSUER_ID + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": SUBJECT_ID + SUBJECT_ID}, "PV_ERR_DER_TBS_END"),
        ({"extensions": EXTENSIONS + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"algorithm": KEY_BITS, "key": KEY_ALGORITHM}, "PV_ERR_DER_SPKI_ALGORITHM"),
        ({"key": b""}, "PV_ERR_DER_SPKI_KEY"),
        ({"spki": KEY_BITS}, "PV_ERR_DER_SPKI"),
        (
            {"signature_algorithm": EMPTY_BITS, "signature_value": ALGORITHM},
            "PV_ERR_DER_SIGNATURE_ALGORITHM",
        ),
        ({"signature_value": b""}, "PV_ERR_DER_SIGNATURE_VALUE"),
    ],
)
def test_a_field_that_is_out_of_order_or_missing_is_refused(
    changes: dict[str, bytes], status: str
) -> None:
    """RFC 5280, 4.1, says which field comes when."""
    refused(certificate(**changes), status)


@pytest.mark.parametrize("number", ["03", "7f", "80", "ff", "0002", "0102", ""])
def test_a_version_other_than_v2_and_v3_is_refused(number: str) -> None:
    """There are three versions, and the first is absent."""
    version = encode(0xA0, encode(0x02, bytes.fromhex(number)))
    refused(certificate(version=version), "PV_ERR_DER_VERSION")


def test_a_version_that_is_not_one_integer_is_refused() -> None:
    """[0] is EXPLICIT: it holds one INTEGER and nothing more."""
    for inside in (b"", NULL, encode(0x0A, b"\2"), 2 * encode(0x02, b"\2")):
        refused(certificate(version=encode(0xA0, inside)), "PV_ERR_DER_VERSION")


def test_an_explicit_v1_is_refused() -> None:
    """X.690, 11.5: a DEFAULT is not encoded. OpenSSL reads it."""
    der = certificate(version=V1_EXPLICIT, extensions=b"")
    assert oracle_der.d2i_accepts(der)
    refused(der, "PV_ERR_DER_VERSION")


@pytest.mark.parametrize("version", [b"", V2])
def test_extensions_are_refused_unless_the_version_is_v3(version: bytes) -> None:
    """RFC 5280, 4.1.2.9. OpenSSL reads them."""
    assert oracle_der.d2i_accepts(certificate(version=version))
    refused(certificate(version=version), "PV_ERR_DER_EXTENSIONS")
    accepted(certificate(version=version, extensions=b""))


def test_extensions_that_are_not_one_sequence_are_refused() -> None:
    """[3] is EXPLICIT too. What stands in the SEQUENCE is not looked at."""
    for inside in (b"", NULL, encode(0x04), 2 * encode(SEQUENCE)):
        refused(certificate(extensions=encode(0xA3, inside)), "PV_ERR_DER_EXTENSIONS")
    accepted(certificate(extensions=encode(0xA3, encode(SEQUENCE, b"\xff"))))


def test_unique_identifiers_are_refused_in_v1() -> None:
    """RFC 5280, 4.1.2.8: if present, version MUST be 2 or 3."""
    for ids in (ISSUER_ID, SUBJECT_ID, ISSUER_ID + SUBJECT_ID):
        der = certificate(version=b"", unique_ids=ids, extensions=b"")
        refused(der, "PV_ERR_DER_UNIQUE_ID")
        accepted(certificate(version=V2, unique_ids=ids, extensions=b""))
        accepted(certificate(version=V3, unique_ids=ids))


def test_a_unique_identifier_that_is_constructed_is_refused() -> None:
    """BIT STRINGs are primitive in DER (X.690, 10.2). OpenSSL joins the parts."""
    for tag in (0xA1, 0xA2):
        der = certificate(unique_ids=encode(tag, encode(0x03, b"\0i")))
        assert oracle_der.d2i_accepts(der)
        refused(der, "PV_ERR_DER_TBS_END")


def test_a_unique_identifier_that_is_no_bit_string_is_refused() -> None:
    """Empty, or with more unused bits than there are."""
    for tag, content in ((0x81, ""), (0x82, ""), (0x81, "0800"), (0x82, "01")):
        ids = encode(tag, bytes.fromhex(content))
        refused(certificate(unique_ids=ids), "PV_ERR_DER_UNIQUE_ID")


@pytest.mark.parametrize("serial", ["", "0001", "0000", "007f", "ff80", "ffff"])
def test_a_serial_that_is_empty_or_not_minimal_is_refused(serial: str) -> None:
    """X.690, 8.3.2: the first nine bits are never all the same."""
    der = certificate(serial=encode(0x02, bytes.fromhex(serial)))
    refused(der, "PV_ERR_DER_SERIAL")


@pytest.mark.parametrize("serial", ["00", "80", "ff", "0080", "ff7f", "7f" + 60 * "00"])
def test_a_serial_that_is_zero_negative_or_long_passes(serial: str) -> None:
    """Such certificates exist, and their serial does not matter here."""
    accepted(certificate(serial=encode(0x02, bytes.fromhex(serial))))


@pytest.mark.parametrize(
    "oid", ["", "80", "2a80", "2a8001", "2aff", "2a8648ce80", "ff"]
)
def test_an_oid_that_is_empty_unfinished_or_padded_is_refused(oid: str) -> None:
    """X.690, 8.19.2, in each AlgorithmIdentifier."""
    algorithm = encode(SEQUENCE, encode(0x06, bytes.fromhex(oid)), NULL)
    for field, status in (
        ("signature", "PV_ERR_DER_SIGNATURE"),
        ("algorithm", "PV_ERR_DER_SPKI_ALGORITHM"),
        ("signature_algorithm", "PV_ERR_DER_SIGNATURE_ALGORITHM"),
    ):
        refused(certificate(**{field: algorithm}), status)


@pytest.mark.parametrize("octets", range(2, 21))
def test_a_padded_arc_is_found_anywhere_in_a_long_oid(octets: int) -> None:
    """Eight octets are looked at together, and 0x80 within an arc is none's padding."""
    for at in range(1, octets - 1):
        padded = bytearray(b"\x2a" + (octets - 1) * b"\x03")
        padded[at] = 0x80
        algorithm = encode(SEQUENCE, encode(0x06, bytes(padded)))
        refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
        padded[at - 1] |= 0x81  # now the arc begins there
        algorithm = encode(SEQUENCE, encode(0x06, bytes(padded)))
        accepted(certificate(algorithm=algorithm))


def test_a_null_with_content_is_refused() -> None:
    """X.690, 8.8.2, as parameters of each AlgorithmIdentifier."""
    algorithm = encode(SEQUENCE, RSA_OID, b"\x05\x01\x00")
    refused(certificate(signature=algorithm), "PV_ERR_DER_SIGNATURE")
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
    refused(
        certificate(signature_algorithm=algorithm), "PV_ERR_DER_SIGNATURE_ALGORITHM"
    )


@pytest.mark.parametrize("tag", [0x01, 0x02, 0x03, 0x0A, 0x0C, 0x17, 0x18, 0x24, 0x25])
def test_parameters_of_another_simple_type_are_refused(tag: int) -> None:
    """OpenSSL decodes them unasked, by rules that the walk does not repeat."""
    algorithm = encode(SEQUENCE, RSA_OID, encode(tag, b"\0"))
    refused(certificate(signature=algorithm), "PV_ERR_DER_SIGNATURE")
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
    refused(
        certificate(signature_algorithm=algorithm), "PV_ERR_DER_SIGNATURE_ALGORITHM"
    )


@pytest.mark.parametrize("oid", ["", "80", "8001", "2a80", "2a8001"])
def test_parameters_that_are_no_whole_oid_are_refused(oid: str) -> None:
    """X.690, 8.19.2, as in the algorithm itself."""
    algorithm = encode(SEQUENCE, RSA_OID, encode(0x06, bytes.fromhex(oid)))
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")


def test_parameters_with_a_tag_of_two_octets_are_refused() -> None:
    """[32], of 31 bytes: who takes the second octet of the tag for a length is lost."""
    algorithm = encode(SEQUENCE, RSA_OID, b"\xbf\x20\x1f" + bytes(31))
    der = certificate(algorithm=algorithm)
    assert oracle_der.d2i_accepts(der)
    refused(der, "PV_ERR_DER_SPKI_ALGORITHM")


def test_other_parameters_and_none_pass() -> None:
    """They are not interpreted; only their frame is read."""
    others = (
        b"",
        encode(0x06, b"\x2a\x03"),
        encode(0x04, b"?"),
        encode(SEQUENCE, b"?"),
        encode(0x31, b"?"),
        encode(0x80, b"?"),
    )
    for parameters in others:
        algorithm = encode(SEQUENCE, RSA_OID, parameters)
        accepted(certificate(signature=algorithm, signature_algorithm=algorithm))
        accepted(certificate(algorithm=algorithm))


@pytest.mark.parametrize(
    "key",
    [
        encode(0x03),
        EMPTY_BITS,
        encode(0x23, EMPTY_BITS, KEY_BITS),
        b"\x23\x80" + KEY_BITS + b"\0\0",
        *(encode(0x03, bytes((unused,)), b"\0") for unused in (1, 7, 8, 255)),
    ],
)
def test_a_key_that_is_empty_constructed_or_has_unused_bits_is_refused(
    key: bytes,
) -> None:
    """Every kind of key is a whole number of octets."""
    refused(certificate(key=key), "PV_ERR_DER_SPKI_KEY")


def test_an_octet_string_is_no_algorithm_of_a_key() -> None:
    """The toy key of other projects' tests; OpenSSL refuses it as well."""
    assert not oracle_der.d2i_accepts(certificate(spki=TOY_KEY))
    refused(certificate(spki=TOY_KEY), "PV_ERR_DER_SPKI_ALGORITHM")


def test_a_key_of_an_unknown_kind_passes() -> None:
    """Keys are never decoded. Keys of tomorrow are just longer."""
    algorithm = encode(SEQUENCE, encode(0x06, b"\x2a\x03\x04"))
    accepted(certificate(algorithm=algorithm, key=encode(0x03, bytes(100_000))))
    accepted(certificate(algorithm=algorithm, key=encode(0x03, bytes(2))))


@pytest.mark.parametrize(
    "value",
    [
        encode(0x03),
        encode(0x23, EMPTY_BITS),
        *(encode(0x03, bytes((unused,)), b"\0") for unused in (8, 9, 255)),
        *(encode(0x03, bytes((unused,))) for unused in (1, 7)),
    ],
)
def test_a_signature_that_is_empty_constructed_or_has_8_unused_bits_is_refused(
    value: bytes,
) -> None:
    """X.690, 8.6.2: up to 7 bits can be unused, and only if there are some."""
    refused(certificate(signature_value=value), "PV_ERR_DER_SIGNATURE_VALUE")


def test_a_signature_with_up_to_7_unused_bits_passes() -> None:
    """The signature's bits are the TLS library's to read."""
    for unused in range(8):
        value = encode(0x03, bytes((unused, 0x80)))
        accepted(certificate(signature_value=value))


def test_what_is_not_interpreted_may_hold_anything() -> None:
    """Names, dates, and extensions are the TLS library's to read."""
    rubbish = encode(SEQUENCE, b"\xff\xff\xff")
    accepted(
        certificate(
            issuer=rubbish,
            validity=rubbish,
            subject=rubbish,
            extensions=encode(0xA3, rubbish),
        )
    )


# ---------------------------------------------------------------------------
# Mutants
# ---------------------------------------------------------------------------

# Each kind of frame once: v3 with NULL, with absent, with EC and with PSS
# parameters, v1, explicit curve, v2 and v3 with unique identifiers.
SEEDS = {
    "RSA": "cacert.pem#0",
    "v1": "v1_cert.pem#0",
    "Ed25519": "ed25519/root-ed25519.pem#0",
    "explicit EC": "custom/ec_no_named_curve.pem#0",
    "EC": "custom/ca/ca.pem#0",
    "PSS": "custom/rsa_pss.pem#0",
}
STATUS_BY_FIELD = {
    "certificate": "PV_ERR_DER_CERTIFICATE",
    "tbsCertificate": "PV_ERR_DER_TBS",
    "version": "PV_ERR_DER_VERSION",
    "serialNumber": "PV_ERR_DER_SERIAL",
    "signature": "PV_ERR_DER_SIGNATURE",
    "issuer": "PV_ERR_DER_ISSUER",
    "validity": "PV_ERR_DER_VALIDITY",
    "subject": "PV_ERR_DER_SUBJECT",
    "subjectPublicKeyInfo": "PV_ERR_DER_SPKI",
    "subjectPublicKeyInfo.algorithm": "PV_ERR_DER_SPKI_ALGORITHM",
    "subjectPublicKeyInfo.subjectPublicKey": "PV_ERR_DER_SPKI_KEY",
    "issuerUniqueID": "PV_ERR_DER_UNIQUE_ID",
    "subjectUniqueID": "PV_ERR_DER_UNIQUE_ID",
    "extensions": "PV_ERR_DER_EXTENSIONS",
    "signatureAlgorithm": "PV_ERR_DER_SIGNATURE_ALGORITHM",
    "signatureValue": "PV_ERR_DER_SIGNATURE_VALUE",
}


def seeds() -> dict[str, bytes]:
    """Return the certificates that the mutants are made of."""
    named = {entry.name: entry.der for entry in corpora.inputs()}
    found = {kind: named[name] for kind, name in SEEDS.items()}
    ids = ISSUER_ID + SUBJECT_ID
    found["v2, identifiers"] = certificate(version=V2, unique_ids=ids, extensions=b"")
    found["v3, identifiers"] = certificate(unique_ids=ids)
    return found


def status_of_damaged_length(mutant: corpora.Mutant) -> str | None:
    """Return the status that damage to a length must lead to, None if not clear."""
    if not mutant.damage.startswith(("length in", "length of", "indefinite")):
        return None
    field = mutant.field
    while field not in STATUS_BY_FIELD:  # a part of it, which has no name of its own
        field = field.rpartition(".")[0]
    return STATUS_BY_FIELD[field]


@pytest.mark.parametrize("kind", [*SEEDS, "v2, identifiers", "v3, identifiers"])
def test_no_mutant_makes_pinverify_read_another_key(kind: str) -> None:
    """One fault in one element of the frame, in every way we could think of.

    pinverify and the strict frame check agree about each; damage to a length is
    refused for its field; where OpenSSL accepts too, the key is at the same place;
    and what OpenSSL alone refuses lies inside a field that is not interpreted.
    """
    counts: Counter[str] = Counter()
    for mutant in corpora.mutants(seeds()[kind]):
        answer, openssl = ask(mutant.der), oracle_der.d2i_accepts(mutant.der)
        assert answer.spki == strict(mutant.der), mutant
        expected = status_of_damaged_length(mutant)
        if expected is not None:
            assert answer.status == expected, mutant
            counts["damaged lengths"] += 1
        if answer.spki is None:
            counts["refused by pinverify alone"] += openssl
            continue
        assert answer.spki == lenient(mutant.der), mutant
        if openssl:
            counts["accepted by both"] += 1
        else:
            repaired = oracle_der.repair(mutant.der, oracle_der.HARMLESS)
            assert oracle_der.d2i_accepts(repaired), mutant
            counts["accepted by pinverify alone"] += 1
    assert counts["damaged lengths"] > 150
    assert counts["accepted by both"] > 10
    assert counts["refused by pinverify alone"] > 150


@st.composite
def damaged_certificates(draw: st.DrawFn) -> bytes:
    """Draw a real certificate with some bytes changed, inserted or removed."""
    der = bytearray(draw(st.sampled_from(sorted(seeds().values()))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(der)))
        gone = draw(st.integers(0, 2))
        der[at : at + gone] = draw(st.binary(max_size=2))
    return bytes(der)


@settings(deadline=None, max_examples=1000)
@given(der=st.one_of(st.binary(max_size=64), damaged_certificates()))
def test_any_bytes_are_refused_or_hold_the_key_where_the_oracle_says(
    der: bytes,
) -> None:
    """For whatever comes over the wire: DERError, or a slice of the input."""
    answer = ask(der)
    assert answer.spki == strict(der)
    if answer.spki is not None:
        place = oracle_der.lenient_spki(der)
        assert der[place.start : place.end] == answer.spki


# ---------------------------------------------------------------------------
# Many certificates at once
# ---------------------------------------------------------------------------


def test_many_certificates_get_what_each_gets_alone() -> None:
    """The malformed ones are reported by index, and do not stop the others."""
    certs = [entry.der for entry in corpora.inputs()]
    digests, malformed = core.spki_sha256_many(certs)
    assert len(digests) == 32 * len(certs)
    expected_malformed = []
    for i, der in enumerate(certs):
        answer = ask(der)
        digest = bytes(32)
        if answer.spki is None:
            expected_malformed.append(i)
        else:
            digest = hashlib.sha256(answer.spki).digest()
        assert digests[32 * i : 32 * i + 32] == digest
    assert malformed == expected_malformed
    assert 0 < len(malformed) < len(certs)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_buffer_with_offsets_gives_what_the_list_gives(kind: type) -> None:
    """The layout of an Arrow binary column needs no list of bytes."""
    certs = [entry.der for entry in corpora.inputs()]
    offsets = list(accumulate(map(len, certs), initial=0))
    buffer = kind(b"".join(certs))
    assert core.spki_sha256_many(buffer, offsets) == core.spki_sha256_many(certs)
    some = offsets[3:9]
    in_the_middle = core.spki_sha256_many(buffer, array("Q", some))
    assert in_the_middle == core.spki_sha256_many(certs[3:8])


def test_no_certificates_give_no_digests() -> None:
    """Nothing in, nothing out."""
    assert core.spki_sha256_many([]) == (b"", [])
    assert core.spki_sha256_many(b"", [0]) == (b"", [])
    assert core.spki_sha256_many([b"", b""]) == (bytes(64), [0, 1])


@pytest.mark.parametrize(
    "offsets", [[], [0, 5, 4], [0, 11], [7, 0], [-1, 5], [1 << 64]]
)
def test_offsets_that_do_not_ascend_or_pass_the_end_are_refused(
    offsets: list[int],
) -> None:
    """No certificate is read outside the buffer."""
    with pytest.raises(ValueError, match="offset"):
        core.spki_sha256_many(bytes(10), offsets)
