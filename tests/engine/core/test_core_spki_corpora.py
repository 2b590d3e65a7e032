"""The DER walk over certificates of other projects, against independent oracles.

The danger of a small parser is that it reads *another* key than the TLS library did.
So the corpora go through pinverify and through the oracles of ``oracle_der.py``. Known
differences are in ``vectors/divergences.json``, by class and with a reason. Any other
difference is a failure, and so is an agreement where the list has a difference.

The failure for a new difference shows its entry, ready to be put into the right class,
or into a new one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import cryptography
import pytest

import corpora
import oracle_der
from certificate_parts import TOY_KEY
from corpora import ALGORITHM, SHARED
from oracle_der import SEQUENCE, encode
from pinverify import core
from spki_answers import (
    DIVERGENCES,
    Answer,
    ask,
    everybody_accepts,
    lenient,
    sha1_of_key,
    strict,
)

__all__: list[str] = []


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
        """The way in which pinverify and the others differ, if they do."""
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_two_oracles_agree_where_openssl_accepts(judged: list[Judged]) -> None:
    """asn1crypto and the walk of the tests check each other, BER included."""
    accepted = [one.input for one in judged if one.verdicts.d2i]
    assert len(accepted) > 600
    for entry in accepted:
        found = lenient(entry.der)
        assert found is not None
        assert found == oracle_der.asn1crypto_spki(entry.der), entry[:2]


@pytest.mark.slow
def test_pinverify_accepts_what_the_strict_frame_check_accepts(
    judged: list[Judged],
) -> None:
    """Two statements of the same promise, in C and in Python, never differ."""
    for one in judged:
        assert one.answer.spki == strict(one.input.der), one.input[:2]


def same_parser(listed: dict[str, Any]) -> bool:
    """Return True if the list was measured with this `cryptography`.

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_difference_never_lies_in_the_frame(
    judged: list[Judged], listed: dict[str, Any]
) -> None:
    """If pinverify alone accepts, the reason is in a field that it leaves to others.

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
