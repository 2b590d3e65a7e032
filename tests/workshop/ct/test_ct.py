"""Entries of Certificate Transparency logs: all are read, even beside faulty ones.

The tiles of a real log are vectors of another project; other tiles are written here.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from arrow_arrays import values
from other_systems import vectors, vectors_folder
from pages import run_page
from pinverify import arrow, core, ct
from pinverify.arrow import _read
from pki import Pki, example_pki
from places import ROOT

__all__: list[str] = []

PAGE = ROOT / "docs" / "ct.md"


# ---- a log, written in another way -------------------------------------------


def vector(width: int, data: bytes) -> bytes:
    """Return bytes behind their length."""
    return len(data).to_bytes(width, "big") + data


@functools.cache
def entries() -> tuple[ct.Entry, ...]:
    """Return entries of both types, with chains of up to two."""
    pki = example_pki()
    prints = tuple(hashlib.sha256(one.der).digest() for one in (pki.ca, pki.root))
    return tuple(
        ct.Entry(
            leaf_index=(1 << 32) + i,
            timestamp=1_746_292_399_101 + i,
            precertificate=i % 2 == 1,
            certificate=(pki.server, pki.client, pki.ca)[i % 3].der,
            chain_sha256=prints[: i % 3],
        )
        for i in range(7)
    )


def timestamped(entry: ct.Entry) -> bytes:
    """Return the TimestampedEntry, with a TBSCertificate that is none."""
    signed = vector(3, entry.certificate)
    if entry.precertificate:
        signed = bytes(32) + vector(3, b"a TBSCertificate")
    assert entry.leaf_index is not None
    extension = b"\x00" + vector(2, entry.leaf_index.to_bytes(5, "big"))
    kind = int(entry.precertificate).to_bytes(2, "big")
    return entry.timestamp.to_bytes(8, "big") + kind + signed + vector(2, extension)


def leaf(entry: ct.Entry) -> bytes:
    """Return a TileLeaf."""
    extra = vector(3, entry.certificate) if entry.precertificate else b""
    return timestamped(entry) + extra + vector(2, b"".join(entry.chain_sha256))


def tile(some: Sequence[ct.Entry]) -> bytes:
    """Return a data tile."""
    return b"".join(map(leaf, some))


def row(entry: ct.Entry) -> dict[str, str]:
    """Return an entry of an answer to get-entries."""
    pki = example_pki()
    above = [one.der for one in (pki.ca, pki.root)][: len(entry.chain_sha256)]
    extra = vector(3, entry.certificate) if entry.precertificate else b""
    extra += vector(3, b"".join(vector(3, der) for der in above))
    parts = {"leaf_input": b"\0\0" + timestamped(entry), "extra_data": extra}
    return {key: base64.b64encode(part).decode() for key, part in parts.items()}


def answer(some: Sequence[ct.Entry]) -> str:
    """Return an answer to get-entries."""
    return json.dumps({"entries": [row(entry) for entry in some]})


# ---- what is read ------------------------------------------------------------


def test_a_tile_is_read() -> None:
    """Each field of each entry, of both types."""
    assert tuple(ct.read_tile(tile(entries()))) == entries()


def test_an_answer_is_read() -> None:
    """Bytes or text; its first number is that of the request."""
    first = entries()[0].leaf_index
    assert tuple(ct.read_get_entries(answer(entries()))) == entries()
    assert tuple(ct.read_get_entries(answer(entries()).encode(), first)) == entries()
    assert tuple(ct.read_get_entries('{"entries": []}')) == ()


def test_other_extensions_are_passed_over() -> None:
    """An entry without leaf_index has no number, unless the caller knows it."""
    entry = entries()[0]
    own = timestamped(entry)
    for extensions, index in (
        (b"", None),
        (b"\x07\0\0", None),
        (own[-8:], entry.leaf_index),
    ):
        extra = b"\x09" + vector(2, b"other") + extensions
        changed = own[:-10] + vector(2, extra)
        (found,) = ct.read_tile(changed + vector(2, b""))
        assert found == entry._replace(leaf_index=index)
        encoded = base64.b64encode(b"\0\0" + changed).decode()
        rows = [{"leaf_input": encoded, "extra_data": "AAAA"}]
        (found,) = ct.read_get_entries(json.dumps({"entries": rows}), entry.leaf_index)
        assert found == entry


@pytest.mark.parametrize("name", ["000", "001"])
def test_tiles_of_a_real_log(name: str) -> None:
    """Each entry is there, and each key is the one that cryptography reads."""
    facts = vectors("ct-tiles", "expected.json")["tiles"][name]
    found = ct.read_tile((vectors_folder("ct-tiles") / name).read_bytes())
    assert len(found) == facts["entries"]
    assert sum(one.precertificate for one in found) == facts["precertificates"]
    assert found[0].leaf_index == facts["first_leaf_index"]
    assert found[-1].leaf_index == facts["last_leaf_index"]
    for one, fact in zip(found, facts["first"], strict=False):
        assert hashlib.sha256(one.certificate).hexdigest() == fact["certificate_sha256"]
        assert one.timestamp == fact["timestamp"]
        assert [digest.hex() for digest in one.chain_sha256] == fact["chain_sha256"]
    keys = [
        x509.load_der_x509_certificate(one.certificate)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in found
    ]
    digests = values(arrow.spki_sha256(found.certificates))
    assert digests == [hashlib.sha256(key).digest() for key in keys]


# ---- columns -----------------------------------------------------------------


def test_entries_are_columns(pki: Pki) -> None:
    """The certificates alone; and all fields, as a stream has them, too."""
    found = ct.read_tile(tile(entries()))
    assert values(arrow.spki_sha256(found.certificates)) == [
        core.spki_sha256(entry.certificate) for entry in entries()
    ]
    pins = arrow.is_pinned(found.certificates, [pki.client.pin])
    assert values(pins) == [i % 3 == 1 for i in range(7)]
    assert found[-1] == entries()[-1]
    assert found != entries()
    assert hash(found) == hash(ct.read_tile(tile(entries())))
    assert repr(found) == "<Entries 7 of a log>"
    (rows,) = _read.read(found.certificates, "column", "certificates")
    assert rows.num == len(entries())


# ---- what is refused ---------------------------------------------------------


def test_a_cut_tile_has_lost_nothing_before_the_cut() -> None:
    """At each byte: what is whole is there, and the error names the entry."""
    whole, ends = tile(entries()[:3]), [0]
    for entry in entries()[:3]:
        ends.append(ends[-1] + len(leaf(entry)))
    for length in range(1, len(whole)):
        num = sum(end <= length for end in ends) - 1
        if length in ends:
            assert tuple(ct.read_tile(whole[:length])) == entries()[:num]
            continue
        refused = pytest.raises(ct.CTError, match=f"^entry {num} .byte .*it ends ins")
        with refused as caught:
            ct.read_tile(whole[:length])
        assert tuple(caught.value.entries) == entries()[:num]


@settings(deadline=None)
@given(st.integers(0, 10**4), st.integers(0, 255), st.integers(0, 2))
def test_a_corrupted_tile_has_lost_nothing_before_it(
    at: int, value: int, removed: int
) -> None:
    """Whatever is changed: entries in front of it are read, and nothing else raised."""
    whole = tile(entries())
    at %= len(whole)
    changed = whole[:at] + bytes([value]) + whole[at + removed :]
    num = 0
    while len(tile(entries()[: num + 1])) <= at:
        num += 1
    try:
        found = ct.read_tile(changed)
    except ct.CTError as error:
        found = error.entries
    assert tuple(found)[:num] == entries()[:num]


def changed_tile(old: bytes, new: bytes) -> bytes:
    """Return a tile whose second entry is changed in one place."""
    second = leaf(entries()[1])
    assert second.count(old) == 1
    return leaf(entries()[0]) + second.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x01" + bytes(32), b"\x02" + bytes(32), "an entry of the unknown type 2"),
        (b"\0\0\x01\x96", b"\x80\0\x01\x96", r"the timestamp \d+ is no time"),
        (b"\0\x08\0\0\x05\x01", b"\0\x08\0\0\x09\x01", "it ends inside an extension"),
        (b"\0\x08\0\0\x05\x01\0\0\0\x01", b"\0\x07\0\0\x04\0\0\0\x01", "leaf_index"),
        (
            b"\0\x08\0\0\x05\x01",
            b"\0\x10\0\0\x05" + bytes(5) + b"\0\0\x05\x01",
            "leaf_i",
        ),
    ],
)
def test_a_wrong_field_is_named(old: bytes, new: bytes, message: str) -> None:
    """With the number of the entry; those before it are there."""
    with pytest.raises(ct.CTError, match=f"^entry 1 .*{message}") as caught:
        ct.read_tile(changed_tile(old, new))
    assert tuple(caught.value.entries) == entries()[:1]


def test_what_is_no_tile_is_refused() -> None:
    """Nothing, gzip, and more entries than a tile has."""
    with pytest.raises(ct.CTError, match="the tile is empty; fetch it again"):
        ct.read_tile(b"")
    with pytest.raises(ct.CTError, match=r"compressed; gzip\.decompress makes"):
        ct.read_tile(gzip.compress(tile(entries())))
    one = entries()[2]
    assert len(ct.read_tile(256 * leaf(one))) == 256
    with pytest.raises(ct.CTError, match=r"^entry 256 .*at most 256 entries") as caught:
        ct.read_tile(257 * leaf(one))
    assert len(caught.value.entries) == 256
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (str(again), again.entries) == (str(caught.value), caught.value.entries)


@pytest.mark.parametrize(
    "wrong", ["", "[]", "{}", '{"entries": 1}', answer(entries())[:-9], "[" * 10**5]
)
def test_what_is_no_answer_is_refused(wrong: str) -> None:
    """An answer that is cut is no JSON, so nothing of it can be read."""
    with pytest.raises(ct.CTError, match='JSON with a list "entries"; fetch'):
        ct.read_get_entries(wrong)


def test_a_wrong_entry_of_an_answer_is_named() -> None:
    """Those before it are there."""
    good, second = row(entries()[0]), entries()[1]
    lines = base64.b64decode(row(second)["leaf_input"])
    extra = base64.b64decode(row(second)["extra_data"])
    wrong: list[tuple[Any, str]] = [
        (7, "no 'leaf_input' in base64"),
        ({}, "no 'leaf_input' in base64"),
        ({"leaf_input": good["leaf_input"]}, "no 'extra_data' in base64"),
        (good | {"leaf_input": "?"}, "no 'leaf_input' in base64"),
        (parts(b"\x01" + lines[1:], extra), "an unknown version or type"),
        (parts(lines + b"\0", extra), "there are bytes after it"),
        (parts(lines, extra + b"\0"), "there are bytes after it"),
        (parts(lines, extra[:-1]), "it ends inside the chain"),
        (
            row(entries()[5]),
            "it says that it is entry 4294967301 of the log, not 42949",
        ),
    ]
    for one, message in wrong:
        text = json.dumps({"entries": [good, one, good]})
        named = f"^entry 1 of the answer: .*{message}"
        with pytest.raises(ct.CTError, match=named) as caught:
            ct.read_get_entries(text, entries()[0].leaf_index)
        assert tuple(caught.value.entries) == entries()[:1]


def parts(leaf_input: bytes, extra_data: bytes) -> dict[str, str]:
    """Return an entry of an answer."""
    both = {"leaf_input": leaf_input, "extra_data": extra_data}
    return {key: base64.b64encode(part).decode() for key, part in both.items()}


# ---- the page ----------------------------------------------------------------


def test_the_page_prints_what_it_says(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block runs, on a tile with seven entries and the answer about them."""
    monkeypatch.chdir(tmp_path)
    Path("tile").write_bytes(tile(entries()))
    Path("answer.json").write_text(answer(entries()), encoding="ascii")
    names: dict[str, Any] = {"leaf": pki.server.der}
    run_page(PAGE, names)
