"""Files of strangers: each reader refuses them by our error, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from other_systems import readable_formats
from pinverify import PolicyError
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given
from policy_samples import ABSENT, NOON

__all__: list[str] = []

# TOML is read by tomllib, which has no bounds; its files are written by the user.
STRANGE = [name for name in readable_formats() if name != "toml"]

# At these sizes, what is read before a bound takes hold is at most so large, and so are
# a small file and the first objects of a parser. Between them it may be 700 kB.
FREE = 260_000
SIZE = 25_000
SMALLER = {"envoy": 8_000}  # PyYAML is slow, and slower while memory is traced
LARGE = 100_000
LESS_LARGE = {"envoy": 40_000}

# While memory is traced, these take seconds.
SLOW = {"envoy", "postfix", "tlsa", "okhttp"}
STRANGE_SLOWLY = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in STRANGE
]
PIECES = {
    "brackets": "[",
    "empty lists": "[],",
    "objects": '{"a":',
    "small objects": '{"a":1},',
    "short strings": '"ab",',
    "numbers": "1,",
    "elements": "<a/>",
    "open elements": "<dict>",
    "empty dictionaries": "<dict/>",
    "keys": "<key>a</key><true/>",
    "domains": "<domain>x</domain>",
    "declarations": "<!DOCTYPE x>",
    "comments": "/*",
    "closed comments": "/**/ ",
    "quotes": '"',
    "single quotes": "'",
    "escapes": "\\",
    "calls": ".add(",
    "whole calls": f'.add("x.org","{ABSENT}")',
    "directives": "a;",
    "pins": 'pin-sha256="";',
    "nearly pins": "A" * 43 + "=",
    "equal signs": "=",
    "hashes": f"sha256:{'0' * 64}\n",
    "curl pins": "sha256//;",
    "headers": "Public-Key-Pins: x\n",
    "continued": "x\\\n",
    "lines": "\n",
    "blanks": " ",
    "items": "- ",
    "entries": "a: 1\n",
    "mappings": "{a: 1},",
    "documents": "---\n",
    "anchors": "&a ",
    "aliases": "*a,",
    "names": "- sni: a\n",
    "contexts": "- validation_context: {}\n",
    "YAML pins": "- A\n",
    "nested lists": "- []\n",
    "entry": '{"name":"x.org"},',
    "records": f"_443._tcp.x.org. TLSA 3 1 1 {'00' * 32}\n",
    "small records": "_1._tcp.a. TLSA 3 1 0 00\n",
    "nearly a time": f"_1._tcp.a. {'1' * 60}x TLSA\n",
    "destinations": "a fingerprint match=A\n",
    "short destinations": "a may\n",
    "key and name": f"A\n{ABSENT}\n",
    "escaped characters": "\\u4e00",
    "dots": ". ",
    "PEM": "-----BEGIN PUBLIC KEY-----\n",
    "wide characters": "\U0001f600",
}
# What stands before the pieces: nothing, or the beginning of a file that is right.
STARTS = {
    "json": '{"version": 1, "hosts": {"x.org": [',
    "okhttp": 'CertificatePinner.Builder().add("x.org", "',
    "android": "<network-security-config>",
    "trustkit": '<plist version="1.0"><dict>',
    "apple": '<plist version="1.0"><array>',
    "hpkp": 'Public-Key-Pins: pin-sha256="',
    "curl": "sha256//",
    "kubeadm": "sha256:",
    "chromium": '{"pinsets": [], "entries": [{"name": "x.org"}, ',
    "postfix": "smtp_tls_fingerprint_cert_match = ",
    "tlsa": "_443._tcp.x.org. TLSA 3 1 1 ",
    "envoy": "a:\nverify_certificate_spki:\n",
}


def whole(name: str, data: bytes) -> Given:
    """Return all that a reader needs; a second file has the same contents."""
    row = FORMATS[name]
    host = None if row.host == "says" else "x.org"
    return Given("file", host, NOON, (data,) if row.beside else ())


def read(name: str, data: bytes) -> None:
    """Read a file; only a PolicyError may come of it."""
    try:
        FORMATS[name].reader(data, whole(name, data))
    except PolicyError as error:
        assert str(error).startswith("file: ")  # noqa: PT017 - any error may come
        assert len(str(error)) < 10_000  # noqa: PT017


def takes_bounded_memory(name: str, piece: str, size: int) -> None:
    """Fail if a file of pieces takes more than ten times its size, and a little."""
    for start in ("", STARTS.get(name, "")):
        text = start + PIECES[piece] * (size // len(PIECES[piece]))
        times = memory_for(name, text.encode("utf-8"))
        assert times < 10, (name, piece, times)


def memory_for(name: str, data: bytes) -> float:
    """Return the memory that a file takes, but a little, in times of its size."""
    tracemalloc.start()
    try:
        read(name, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak - FREE) / len(data)


def test_very_many_contexts_of_envoy_take_bounded_memory() -> None:
    """A whole file of JSON, with contexts that have no pins."""
    context = '{"common_tls_context": {"alpn_protocols": "h2,http/1.1"}}'
    text = f'{{"listeners": [{", ".join([context] * 10_000)}]}}'
    read("envoy", b"a")
    assert memory_for("envoy", text.encode("utf-8")) < 10


@pytest.mark.parametrize("name", STRANGE_SLOWLY)
def test_files_take_bounded_memory(name: str) -> None:
    """Of every kind of piece; the import of a parser is not counted."""
    read(name, b"a")
    for piece in PIECES:
        takes_bounded_memory(name, piece, SMALLER.get(name, SIZE))


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGE)
def test_large_files_take_bounded_memory(name: str) -> None:
    """Where the part that is free counts less."""
    read(name, b"a")
    for piece in PIECES:
        takes_bounded_memory(name, piece, LESS_LARGE.get(name, LARGE))


def test_a_tag_with_very_many_attributes_is_refused_at_once() -> None:
    """Expat takes seconds for them, before it says anything."""
    attributes = " ".join(f'a{number}="1"' for number in range(300_000))
    data = f"<network-security-config>\n<pin-set {attributes}/>".encode()
    with pytest.raises(PolicyError, match="line 2: a tag of many thousand"):
        FORMATS["android"].reader(data, whole("android", data))


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\0",
            b"\xff\xfe<\0",
            b"\xfe\xff\0<",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\x80",
        ),
        *(b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"<?xml", b"30\x82", b"0\x82"),
        *(b'"\\ud800"', b"bplist00" + bytes(40), b"pinvpol1" + bytes(200)),
        "x.org".encode("utf-16"),
        "\u202e\u2028\x1b[31m".encode(),
    ],
    ids=repr,
)
def test_bytes_that_are_no_text_are_refused(name: str, data: bytes) -> None:
    """By an error that begins with the name of the file, and not by a crash."""
    with pytest.raises(PolicyError, match=r"\Afile: "):
        FORMATS[name].reader(data, whole(name, data))


@settings(deadline=None, max_examples=examples(400))
@given(
    st.sampled_from(STRANGE),
    st.lists(
        st.sampled_from([*PIECES.values(), *STARTS.values(), ABSENT, ABSENT[7:]])
        | st.text(max_size=5),
        max_size=12,
    ),
)
def test_any_text_is_a_policy_or_a_policy_error(name: str, words: list[str]) -> None:
    """Made of the words of all formats."""
    read(name, "".join(words).encode("utf-8", "surrogatepass"))
