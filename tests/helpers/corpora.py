"""Certificates of other projects, and careful damage to some of them.

``inputs()`` gives every certificate-like input, valid and broken, once each::

    certifi                the roots of Mozilla, from the package index
    cryptography-vectors   x509/: DER files as they are (CRLs and cross-certificate
                           pairs too), each certificate of the PEM files
    boringssl-parse        ../shared/vectors, when there: CERTIFICATE blocks as they
                           are, TBS CERTIFICATE blocks inside a certificate
    boringssl-cert-corpus  ../shared/vectors: seeds of a fuzzer
    trustkit               ../shared/vectors: certificates with known pins

``everything()`` adds what ``fetched.py`` has in its cache: Go's, Debian's and those
of other TLS libraries.

``mutants(der)`` damages one certificate in each field of its frame.

    python tests/helpers/corpora.py --fetch         fetches what fetched.py lists
    python tests/helpers/corpora.py --counts        prints how many there are
    python tests/helpers/corpora.py --export DIR    writes cert/, host/ and policy/ for
                                                    tests/c/replay.c and the fuzzers
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import functools
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import certifi

import fetched
import oracle_der
from oracle_der import encode
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oracle_der import Element

__all__ = [
    "ALGORITHM",
    "EMPTY_BITS",
    "SHARED",
    "TBS_FAULTS",
    "BoringFile",
    "Count",
    "Input",
    "Mutant",
    "boring_files",
    "counts",
    "everything",
    "export",
    "inputs",
    "mutants",
    "pem_blocks",
    "wrap_tbs",
]

SHARED = ROOT.parent / "shared" / "vectors"

# sha256WithRSAEncryption with NULL parameters, and an empty BIT STRING.
ALGORITHM = bytes.fromhex("300d06092a864886f70d01010b0500")
EMPTY_BITS = bytes.fromhex("030100")


class Input(NamedTuple):
    """One certificate-like input."""

    source: str
    name: str  # the file, and after "#" the number of the block in it
    der: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hex: its name across versions of a source."""
        return hashlib.sha256(self.der).hexdigest()


class Count(NamedTuple):
    """How many inputs a source has."""

    found: int
    unique: int  # not seen in this source, nor in one before it


# ---------------------------------------------------------------------------
# Sources
# ---------------------------------------------------------------------------


def pem_blocks(text: bytes) -> list[tuple[str, bytes]]:
    """Return each PEM block as its label and bytes; broken base64 is left out."""
    pattern = rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----"
    blocks = []
    for label, body in re.findall(pattern, text, re.DOTALL):
        lines = [line for line in body.splitlines() if b":" not in line]
        try:
            blocks.append((label.decode(), base64.b64decode(b"".join(lines))))
        except ValueError:
            continue
    return blocks


def wrap_tbs(tbs: bytes) -> bytes:
    """Make a certificate of a TBSCertificate: unsigned, otherwise well-formed."""
    return encode(oracle_der.SEQUENCE, tbs, ALGORITHM, EMPTY_BITS)


def _certificates(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the certificates of one file, be it DER or PEM."""
    if b"-----BEGIN " not in content:
        yield name, content
        return
    for number, (label, der) in enumerate(pem_blocks(content)):
        if label in {"CERTIFICATE", "X509 CERTIFICATE"}:
            yield f"{name}#{number}", der
        elif label == "TBS CERTIFICATE":
            yield f"{name}#{number}", wrap_tbs(der)


def _folder(folder: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield the certificates of the files below *folder*, in the order of names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and re.search(pattern, path.name):
            name = path.relative_to(folder).as_posix()
            yield from _certificates(name, path.read_bytes())


def _sources() -> Iterator[Input]:
    """Yield every input of every source, repeated ones too."""
    for name, der in _certificates("cacert.pem", Path(certifi.where()).read_bytes()):
        yield Input("certifi", name, der)
    spec = importlib.util.find_spec("cryptography_vectors")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "x509"
        for name, der in _folder(folder, r"\.(der|pem|crt|crl|cp)$"):
            yield Input("cryptography-vectors", name, der)
    for source, pattern in (
        ("boringssl-parse", r"\.pem$"),
        ("boringssl-cert-corpus", r"^[0-9a-f]{40}$"),
        ("trustkit", r"\.(der|pem)$"),
    ):
        for name, der in _folder(SHARED / source, pattern):
            yield Input(source, name, der)


@functools.cache
def inputs() -> tuple[Input, ...]:
    """Return every input once; the first source that has it names it."""
    unique: dict[bytes, Input] = {}
    for entry in _sources():
        unique.setdefault(entry.der, entry)
    return tuple(unique.values())


# A fetched file that is not PEM is taken for a certificate if its name says so.
_DER_NAME = re.compile(
    r"\.(der|crt|cer|crl|cert|x509|raw|bin)$|/(corpus|fuzz)", re.IGNORECASE
)


def _fetched() -> Iterator[Input]:
    """Yield every input of what has been fetched, repeated ones too."""
    for file in fetched.files():
        is_pem = b"-----BEGIN " in file.content
        is_der = file.content[:1] == b"\x30" and _DER_NAME.search(file.name)
        if is_pem or is_der:
            for name, der in _certificates(file.name, file.content):
                yield Input(file.source, name, der)


@functools.cache
def everything() -> tuple[Input, ...]:
    """Return ``inputs()``, and then every fetched input that is not among them."""
    unique = {entry.der: entry for entry in inputs()}
    for entry in _fetched():
        unique.setdefault(entry.der, entry)
    return tuple(unique.values())


def counts(*, fetched_too: bool = False) -> dict[str, Count]:
    """Return how many inputs each source has."""
    found: dict[str, int] = {}
    unique: dict[str, int] = {}
    more = _fetched() if fetched_too else ()
    for entry in (*_sources(), *more):
        found[entry.source] = found.get(entry.source, 0) + 1
    for entry in everything() if fetched_too else inputs():
        unique[entry.source] = unique.get(entry.source, 0) + 1
    return {s: Count(found[s], unique.get(s, 0)) for s in found}


# ---------------------------------------------------------------------------
# boringssl-parse: what BoringSSL's own tests expect
# ---------------------------------------------------------------------------

# Faulty TBSCertificates among them, and the status that says so here.
TBS_FAULTS = {
    "tbs_v3_data_after_extensions.pem": "PV_ERR_DER_TBS_END",
    "tbs_v3_extensions_not_sequence.pem": "PV_ERR_DER_EXTENSIONS",
    "tbs_v4.pem": "PV_ERR_DER_VERSION",
}


class BoringFile(NamedTuple):
    """One file of boringssl-parse."""

    name: str
    blocks: list[tuple[str, bytes]]

    def block(self, label: str) -> bytes:
        """Return the one block of this label."""
        (found,) = [der for name, der in self.blocks if name == label]
        return found

    def has(self, label: str) -> bool:
        """True if there is a block of this label."""
        return any(name == label for name, _ in self.blocks)


def boring_files(label: str) -> list[BoringFile]:
    """Return the files of boringssl-parse that have a block of this label."""
    paths = sorted((SHARED / "boringssl-parse").glob("*.pem"))
    files = [BoringFile(path.name, pem_blocks(path.read_bytes())) for path in paths]
    return [file for file in files if file.has(label)]


# ---------------------------------------------------------------------------
# Mutants
# ---------------------------------------------------------------------------


class Mutant(NamedTuple):
    """One certificate, damaged in one place."""

    field: str  # the element that is damaged, named as RFC 5280 does
    damage: str
    der: bytes


# What the elements of a SEQUENCE are called; the others are not looked into.
_FIELDS = {
    "certificate": ("tbsCertificate", "signatureAlgorithm", "signatureValue"),
    "signature": ("signature.algorithm", "signature.parameters"),
    "signatureAlgorithm": (
        "signatureAlgorithm.algorithm",
        "signatureAlgorithm.parameters",
    ),
    "subjectPublicKeyInfo": (
        "subjectPublicKeyInfo.algorithm",
        "subjectPublicKeyInfo.subjectPublicKey",
    ),
    "subjectPublicKeyInfo.algorithm": (
        "subjectPublicKeyInfo.algorithm.algorithm",
        "subjectPublicKeyInfo.algorithm.parameters",
    ),
    "version": ("version.number",),
    "extensions": ("extensions.list",),
}
_TBS_BY_TAG = {
    oracle_der.VERSION: "version",
    oracle_der.ISSUER_UNIQUE_ID: "issuerUniqueID",
    oracle_der.SUBJECT_UNIQUE_ID: "subjectUniqueID",
    oracle_der.EXTENSIONS: "extensions",
}
_TBS_BY_PLACE = (
    "serialNumber",
    "signature",
    "issuer",
    "validity",
    "subject",
    "subjectPublicKeyInfo",
)


@dataclass(frozen=True, slots=True)
class _Node:
    """One element of the frame, to be encoded again with damage inside."""

    field: str
    tag: int
    content: bytes
    children: tuple[_Node, ...]  # none if the inside belongs to no frame


def _tree(field: str, element: Element) -> _Node:
    """Name the elements of the frame of a certificate."""
    children: tuple[_Node, ...] = ()
    if field == "tbsCertificate":
        places = iter(_TBS_BY_PLACE)
        children = tuple(
            _tree(_TBS_BY_TAG.get(part.tag) or next(places), part)
            for part in oracle_der.split(element)
        )
    elif field in _FIELDS:
        parts = zip(_FIELDS[field], oracle_der.split(element), strict=False)
        children = tuple(_tree(name, part) for name, part in parts)
    return _Node(field, element.tag, element.content, children)


def mutants(der: bytes) -> Iterator[Mutant]:
    """Damage one strict-DER certificate in each element of its frame.

    The lengths around the damage are made to fit, so that each mutant has one fault.
    Some have none (an AlgorithmIdentifier without parameters is a good one): what a
    mutant deserves is the oracles' to say.
    """
    root = _tree("certificate", oracle_der.read(der, 0, len(der)))
    for mutant in _damaged(root):
        if mutant.der != der:
            yield mutant
    yield Mutant("certificate", "a zero byte follows", der + b"\0")
    yield Mutant("certificate", "two zero bytes follow", der + b"\0\0")
    yield Mutant("certificate", "the certificate follows again", der + der)
    yield Mutant("certificate", "a zero byte goes before", b"\0" + der)
    yield Mutant("certificate", "the last byte is missing", der[:-1])


def _damaged(node: _Node) -> Iterator[Mutant]:
    """Yield *node* with damage to itself, to its row of children, or to a child."""
    for damage, raw in (*_headers(node), *_contents(node)):
        yield Mutant(node.field, damage, raw)
    row = [encode(child.tag, child.content) for child in node.children]
    for i, child in enumerate(node.children):
        before, this, after = row[:i], row[i], row[i + 1 :]
        rows = {
            "removed": [*before, *after],
            "doubled": [*before, this, this, *after],
            "swapped with the next": [*before, *after[:1], this, *after[1:]],
            "moved to the end": [*before, *after, this],
            "moved to the front": [this, *before, *after],
            "a NULL goes before": [*before, b"\x05\0", this, *after],
            "a NULL follows": [*before, this, b"\x05\0", *after],
            "an empty SEQUENCE goes before": [*before, b"\x30\0", this, *after],
            "an empty SEQUENCE follows": [*before, this, b"\x30\0", *after],
            "a zero byte follows": [*before, this, b"\0", *after],
            "two zero bytes follow": [*before, this, b"\0\0", *after],
        }
        for damage, parts in rows.items():
            yield Mutant(child.field, damage, encode(node.tag, *parts))
        for mutant in _damaged(child):
            yield mutant._replace(der=encode(node.tag, *before, mutant.der, *after))


def _headers(node: _Node) -> Iterator[tuple[str, bytes]]:
    """Yield an element with damage to its tag or length."""
    tag, content = node.tag, node.content
    raw = encode(tag, content)
    header, size = raw[: len(raw) - len(content)], len(content)
    for name, other in {
        "the tag is one higher": tag + 1,
        "the tag is of another class": tag ^ 0x40,
        "the tag is private": tag | 0xC0,
        "the tag is the end mark": 0,
        "the other form, primitive or constructed": tag ^ 0x20,
        "an OCTET STRING": 0x04,
        "a SET": 0x31,
        "context 0, primitive": 0x80,
        "context 1, primitive": 0x81,
        "context 3, constructed": 0xA3,
    }.items():
        yield name, bytes((other,)) + raw[1:]
    number = tag & 0x1F
    high = bytes((tag | 0x1F, number))
    yield "high tag form", high + raw[1:]
    yield "high tag form, padded", bytes((tag | 0x1F, 0x80, number)) + raw[1:]
    for octets in (1, 2, 3, 4, 5, 8, 9, 126):
        if size < 1 << 8 * octets:
            length = bytes((0x80 | octets,)) + size.to_bytes(octets, "big")
            yield f"length in {octets} octets", bytes((tag,)) + length + content
    yield "indefinite length", bytes((tag, 0x80)) + content + b"\0\0"
    yield "indefinite length without an end", bytes((tag, 0x80)) + content
    whole = bytes((tag | 0x20, 0x80)) + raw + b"\0\0"
    yield "constructed from one, indefinite", whole
    yield "constructed from one", encode(tag | 0x20, raw)
    yield "an empty construction", bytes((tag | 0x20, 0))
    if header[-1] not in {0x00, 0xFF, 0x7F}:
        one_more = header[:-1] + bytes((header[-1] + 1,))
        one_less = header[:-1] + bytes((header[-1] - 1,))
        yield "length one too long", one_more + content
        yield "length one too short", one_less + content
    yield "length of 2^24 - 1", bytes((tag, 0x83)) + b"\xff" * 3 + content
    yield "length of 2^32 - 1", bytes((tag, 0x84)) + b"\xff" * 4 + content
    yield "length of 2^64 - 1", bytes((tag, 0x88)) + b"\xff" * 8 + content
    yield "reserved length 0xff", bytes((tag, 0xFF)) + content


def _contents(node: _Node) -> Iterator[tuple[str, bytes]]:
    """Yield an element with damage to its content."""
    tag, content = node.tag, node.content
    others = {
        "empty": b"",
        "its first byte is missing": content[1:],
        "its last byte is missing": content[:-1],
        "a zero byte more": content + b"\0",
        "a zero byte first": b"\0" + content,
    }
    if tag == oracle_der.INTEGER:
        others |= {f"INTEGER {hex_}": bytes.fromhex(hex_) for hex_ in _INTEGERS}
    elif tag == oracle_der.OID:
        others |= {
            "an arc is padded": content[:1] + b"\x80" + content[1:],
            "the first arc is padded": b"\x80" + content,
            "the last arc is unfinished": content + b"\x81",
            "the last arc is unfinished and zero": content + b"\x80",
            "an arc of 20 octets": content + b"\xff" * 19 + b"\x7f",
        }
    elif tag in {oracle_der.BIT_STRING, 0x81, 0x82}:
        others |= {f"{n} unused bits": bytes((n,)) + content[1:] for n in range(9)}
        others |= {f"{n} unused bits of none": bytes((n,)) for n in (0, 1, 7, 8)}
        others |= {"255 unused bits": b"\xff" + content[1:]}
    for damage, other in others.items():
        yield damage, encode(tag, other)
    if node.field.endswith(".parameters"):
        for hex_ in ("0000", "2000", "0500", "050100", "2500", "0203020101", "0200"):
            yield f"parameters {hex_}", bytes.fromhex(hex_)


_INTEGERS = ("00", "01", "02", "03", "7f", "80", "ff", "0001", "0080", "ff80", "ff7f")


# ---------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------

_HOSTS = (
    "example.org",
    "API.Example.ORG.",
    "a.b.c.d.example.org",
    "_service.example.org",
    "xn--bcher-kva.example",
    "b\u00fccher.example",
    "a" * 63 + ".example.org",
    "a" * 64 + ".example.org",
    ".".join(["abcdefg"] * 31) + ".abcde",
    ".".join(["abcdefg"] * 32),
    "",
    ".",
    "..",
    ".example.org",
    "a..example.org",
    "example.org\0.evil.test",
    "example\u3002org",
    "192.0.2.1",
    "192.0.2.01",
    "192.0.2",
    "0xc0000201",
    "2001:DB8::1",
    "2001:db8:0:0:1:0:0:1",
    "::ffff:192.0.2.1",
    "::",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "fe80::1%eth0",
    "[2001:db8::1]",
)


def _policies() -> Iterator[bytes]:
    """Yield a few small compiled policies."""
    from pinverify import (  # noqa: PLC0415 - only an export needs the package
        UNPINNED,
        Pin,
        PinSet,
        Policy,
    )

    roots = [entry.der for entry in inputs() if entry.source == "certifi"]
    pins = [Pin.from_certificate(der) for der in roots]
    whole = Pin.certificate(hashlib.sha256(roots[0]).digest())
    expires = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    yield Policy({"example.org": [pins[0]]}).compile()
    yield Policy(
        {
            "example.org": pins,
            "*.example.org": PinSet(leaf=pins[:4], ca=pins[4:9], mode="report"),
            "**.example.org": PinSet(ca=pins[:1], blocked=[whole]),
            "a.b.example.org": UNPINNED,
            "192.0.2.1": PinSet(pins=[whole], expires=expires, after_expiry="reject"),
            "2001:db8::1": PinSet(pins=pins[:5], expires=expires, after_expiry="allow"),
        },
        unpinned="reject",
        blocked=pins[20:22],
    ).compile()
    yield Policy({f"host{i}.example": [pins[i % 100]] for i in range(300)}).compile()
    yield Policy.for_clients(PinSet(pins=pins[:2])).compile()


def export(folder: Path, *, fetched_too: bool = False) -> None:
    """Write inputs as cert/, host/ and policy/ below *folder*, one a file.

    With them go the mutants of one certificate.
    """
    first = inputs()[0].der
    certificates = [entry.der for entry in (everything() if fetched_too else inputs())]
    certificates += [mutant.der for mutant in mutants(first)]
    hosts = [host.encode() for host in _HOSTS]
    for kind, contents in (
        ("cert", certificates),
        ("host", hosts),
        ("policy", list(_policies())),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for content in contents:
            name = hashlib.sha256(content).hexdigest()
            (folder / kind / name).write_bytes(content)


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="The corpora of the tests.")
    parser.add_argument("--fetch", action="store_true", help="fill the cache")
    parser.add_argument("--counts", action="store_true", help="print the table")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the files")
    options = parser.parse_args(arguments)
    if options.fetch:
        for source, outcome in fetched.fetch().items():
            print(f"{source:<22} {outcome}")  # noqa: T201 - it is what was asked for
    if options.counts:
        for source, count in counts(fetched_too=True).items():
            line = f"{source:<22} {count.found:>6} found {count.unique:>6} new"
            print(line)  # noqa: T201
    if options.export is not None:
        export(options.export, fetched_too=True)


if __name__ == "__main__":
    main()
