"""All mistakes of a file in one run, each with its line; and pins almost right.

A person who corrects a file wants to see them together. The fast readers of TOML and
JSON stop at the first mistake; then a careful reader finds all of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from pinverify import Pin, PolicyError, Rules, dump_rules, load_rules
from pinverify.errors import MAX_TOLD, MistakesError
from pinverify.files._toml_mistakes import tokens
from pinverify.files.toml import _check_keys_of_lines
from pinverify.formats import _json, toml
from pinverify.formats._policy_reading import Given
from policy_samples import ABSENT, OTHER
from test_policy_files import edited_examples

__all__: list[str] = []

DIGEST = bytes(range(32))
HEX = DIGEST.hex()
BASE64 = base64.b64encode(DIGEST).decode("ascii")
SLASHES = base64.b64encode(b"\xff\xf0" + DIGEST[2:]).decode("ascii")
WRITE = f"write sha256/{BASE64}"


def told(text: str) -> list[str]:
    """Return the lines of the error of a file, TOML or JSON."""
    with pytest.raises(PolicyError) as caught:
        read(text)
    return str(caught.value).split("\n")


def read(text: str) -> Rules:
    """Read a file, TOML or JSON."""
    if text.startswith("{"):
        return _json.loads(text.encode(), Given("file")).rules
    return toml.loads(text, "file")


def places(text: str) -> list[str]:
    """Return the line and the table of each mistake, or its first words."""
    return [re.split(r"(?<=\]): |(?<=JSON): |; ", line)[0] for line in told(text)]


# ---- all mistakes ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toml", "json", "okhttp", "android", "trustkit"])
def test_names_that_are_too_deep_are_told_with_their_places(
    name: str, tmp_path: Path
) -> None:
    """Formats without ``**.`` say it otherwise, and have the same limit."""
    deepest = [".".join(letter * 16) for letter in "ab"]
    pins = [Pin.spki(hashlib.sha256(end.encode()).digest()) for end in deepest]
    rules = Rules(dict.fromkeys([f"**.{end}" for end in deepest], pins))
    text = dump_rules(rules, format=name).text
    assert isinstance(text, str)
    path = tmp_path / "pins"
    path.write_text(text, encoding="utf-8")
    assert load_rules(path, format=name).hosts.keys() == rules.hosts.keys()
    for end in deepest:
        text = text.replace(end, f"x.{end}")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MistakesError) as caught:
        load_rules(path, format=name)
    lines = str(caught.value).split("\n")
    for line, end in zip(lines, deepest, strict=True):
        assert re.match(rf"{path}: (line \d+|TSKPinnedDomains\[|\[hosts\]:)", line)
        assert f"'**.x.{end}': '**.' stands before names of at most 16 labels" in line


MANY_IN_TOML = f"""\
version = 1
unpinned = "ask"
blocked = [
  "{ABSENT}",  # "]"
  "sha256/x",
]
colour = 1

[hosts."a.example"]
pin = ["{ABSENT}"]
mode = "log"
expires = 2030-01-01

[hosts."b.example"]
leaf = [
    "{ABSENT}", "md5/x",

    "sha256/y"]
ca = [["{ABSENT}"], 7]
expires = 2030-01-01T00:00:00Z

[hosts."B.example"]
unpinned = true

[hosts]
"c.example:443" = ["{ABSENT}"]
"d.example" = [
  "z", '''
''',
  "{OTHER}"]

[clients]
unpinned = true
"""
# fmt: off
PLACES_IN_TOML = [
    "file: line 2: unpinned: expected 'allow' or 'reject', got 'ask'",
    "file: line 5: blocked: not a SHA-256 pin: 'sha256/x': it is cut off",
    "file: line 7: unknown key 'colour'",
    'file: line 9: [hosts."a.example"]',  # after_expiry is missing
    'file: line 10: [hosts."a.example"]',
    'file: line 11: [hosts."a.example"]',
    'file: line 12: [hosts."a.example"]',
    'file: line 14: [hosts."b.example"]',  # here, too
    'file: line 16: [hosts."b.example"]',
    'file: line 18: [hosts."b.example"]',
    'file: line 19: [hosts."b.example"]',
    'file: line 19: [hosts."b.example"]',
    "file: line 22: [hosts]",
    "file: line 26: [hosts]",
    'file: line 28: [hosts."d.example"]',
    'file: line 28: [hosts."d.example"]',
    "file: line 33: [clients]",
]
# fmt: on


def test_all_mistakes_of_a_toml_file_are_told() -> None:
    """In keys, types, pins, times and patterns."""
    assert places(MANY_IN_TOML) == PLACES_IN_TOML


def test_all_mistakes_of_a_json_file_are_told() -> None:
    """The same, and those of JSON itself, each with the keys that lead to it."""
    text = f"""{{
"version": 1, "blocked": ["{ABSENT}",
  "sha256/x"],
"hosts": {{
  "a.example": {{
    "pin": ["{ABSENT}"], "mode":
      "log",
    "expires": "soon"}},
  "b.example": {{
    "leaf": ["{ABSENT}", "md5/x",
      "sha256/\\"y"], "ca": NaN}},
  "c.example": [
    "{OTHER}", "{OTHER}\\ud800"],
  "d.example": ["{OTHER}"], "c.example": ["{OTHER}", [
     {{}}]],
  "e.example:443": ["{OTHER}"]
}},
"clients": ["z"]}}"""
    assert places(text) == [
        "file: [hosts]",
        'file: [hosts."b.example"."ca"]',
        'file: [hosts."a.example"]',
        "file: blocked: not a SHA-256 pin: 'sha256/x': it is cut off",
        "file: [clients]",
        *3 * ['file: [hosts."a.example"]'],
        *2 * ['file: [hosts."b.example"]'],
        'file: [hosts."c.example"]',
        "file: [hosts]",
    ]


NOT_TOML = f"""\
version = 1
[hosts."a.example"]
pins = [{ABSENT}]
mode = "log"

[hosts.*.example]
pins = ["x"]
mode = "x"

[hosts."b.example"]
pins = ["{ABSENT}"
mode = "log"
[hosts."a.example"]
pins = ["y"]
[hosts."c.example"]
pins = ["{ABSENT}"]
pins = ["{ABSENT}"]
mode = "enforce
expires = soon
leaf = ["z"]
"""


def test_the_rest_of_a_file_that_is_not_toml_is_read() -> None:
    """And nothing is told that comes of what was left out."""
    log = "mode: expected 'enforce' or 'report', got 'log'"
    assert [line.split("; ")[0] for line in told(NOT_TOML)] == [
        "file: line 3: not TOML: Invalid value at column 9",
        f'file: line 4: [hosts."a.example"]: {log}',
        "file: line 6: not TOML: Invalid initial character for a key part at column 8",
        "file: line 11: not TOML: Unclosed array",
        f'file: line 12: [hosts."b.example"]: {log}',
        "file: line 13: not TOML: 'a.example' is there twice, see line 2",
        "file: line 17: not TOML: 'pins' is there twice, see line 16",
        "file: line 18: not TOML: Illegal character '\\n' at column 16",
        "file: line 19: not TOML: Invalid value at column 11",
        "file: line 20: [hosts.\"c.example\"]: leaf: not a SHA-256 pin: 'z'",
    ]


@pytest.mark.parametrize("key", ["ca x", '"ca', "c}a", 'ca"""'])
def test_a_table_with_a_key_that_cannot_be_read_is_not_called_empty(key: str) -> None:
    """The key may have been that of its pins."""
    text = f'version = 1\n[hosts."a.example"]\n{key} = ["{ABSENT}"]\n'
    (line,) = told(text)
    assert line.startswith("file: line 3: not TOML: ")


@pytest.mark.parametrize(
    "key",
    [
        "a." * 40_000 + "a = 1",
        "a ." * 200_000,
        "[" + "a." * 40_000 + "a]",
        "x = {" + "a." * 40_000 + "a = 1}",
        'x = {"' + "a." * 17 + 'a" = 1, ' + "a." * 17 + "a = 1}",
        "[hosts." + "a." * 17 + "a]",
        'x = ["""\n# """, {' + "a." * 40_000 + "a = 1}]",
        'x = ["""\n""", {' + "a." * 40_000 + 'a = 1}] # "',
    ],
)
def test_a_key_of_very_many_parts_is_refused_unread(key: str) -> None:
    """Tomllib takes gigabytes for 80 kB of them."""
    tracemalloc.start()
    lines = told(f"version = 1\nz\n{key}\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(lines) == 1
    number = 4 if '"""' in key else 3
    told_first = f"file: line {number}: a key has more than 16 dots; a host is"
    assert lines[0].startswith(told_first)
    assert peak < 8_000_000


def test_quotes_that_nothing_closes_are_looked_at_once() -> None:
    """For 80 kB of them it took a minute: each was followed to the end of the line."""
    for line in ('"' + '\\"' * 40_000, "x = " + '"\\' * 40_000 + "." * 20):
        assert told(f"version = 1\n{line}\n")[0].startswith("file: line 2: not TOML")


@pytest.mark.parametrize(
    "line",
    [
        "# ......................",
        'hosts."' + "a." * 60 + 'org" = ["sha256/{pin}"]',
        "hosts.'" + "a." * 60 + "org' = ['sha256/{pin}']  # ....................",
        'hosts."a\\u002eb.........................." = ["sha256/{pin}"]',
        "z = { " + "".join(f"h{i}.pins = ['{ABSENT}'], " for i in range(40)) + "}",
    ],
)
def test_dots_in_quotes_and_comments_are_no_parts_of_a_key(line: str) -> None:
    """A host may have 127 labels."""
    text = f'version = 1\nhosts."a.org" = ["{ABSENT}"]\n'
    text += line.replace("sha256/{pin}", ABSENT)
    _check_keys_of_lines(text, "file")


def test_a_string_that_nothing_closes_is_looked_for_once() -> None:
    """Each search goes through the rest of the file, which may have many of them."""
    closed = '"""a\\"""", \'\'\'"""\'\'\'\n'
    text = f"x = [{closed}" + '\\"""\n' * 100 + '"b", "c]"\n'
    found = list(tokens(text))
    words = [match[0] for match in found]
    assert words[3:6] == ['"""a\\""""', ",", "'''\"\"\"'''"]
    assert words[-4:] == ['"b"', ",", '"c]"', "\n"]
    assert sum(match.re is found[0].re for match in found) < 9


def test_a_table_in_pieces_has_the_line_of_its_first() -> None:
    """A key that is missing in it has no line of its own."""
    text = f'version = 1\n\nhosts."a".leaf = []\nhosts."a".mode = "report"\n{"#" * 9}'
    (line,) = told(text)
    assert line.startswith('file: line 3: [hosts."a"]: pins: there is no pin')


def test_twenty_mistakes_are_told_and_the_others_counted() -> None:
    """A file of another kind has a million of them."""
    pins = json.dumps([f"x{number}" for number in range(100)])
    for text in (
        f'version = 1\n[hosts]\n"a.example" = {pins}',
        f'{{"version": 1, "hosts": {{"a.example": {pins}}}}}',
    ):
        lines = told(text)
        assert len(lines) == MAX_TOLD + 1
        assert lines[-1] == "file: … and 80 more"


def test_a_file_of_a_later_version_is_not_looked_at() -> None:
    """Its keys may have another meaning."""
    (line,) = told("version = 2\nkeys = 1\nhosts = 2")
    assert line.startswith("file: line 1: version: this pinverify reads version 1")


@settings(deadline=None)
@given(st.text() | edited_examples())
def test_the_careful_reader_finds_what_the_fast_one_found(text: str) -> None:
    """Whatever is refused is refused with a line of the file, or for what is absent."""
    try:
        toml.loads(text, "file")
    except PolicyError as error:
        caught = error
    else:
        return
    assert isinstance(caught, MistakesError) or text.startswith("\ufeff")
    last = text.count("\n") + 1
    for line in str(caught).split("\n"):
        place = re.match(r"file: line (\d+): ", line)
        if place:
            assert 1 <= int(place[1]) <= last
        else:
            assert re.match(r"file: (version|hosts|the file begins|…)", line), line


JSON = json.dumps(
    {
        "version": 1,
        "blocked": ["y"],
        "hosts": {"a": ["x"], "b": {"pins": ["z", 7], "expires": "soon"}},
        "clients": {"leaf": []},
    },
    indent=1,
)
WORDS = (
    *('"', "[", "]", "{", "}", ":", ",", "\n", "\\ud800", "NaN", "-Infinity", "1e999"),
    *('"hosts":', '"a":', '"version":1,', "null", "\x00", "\u202e", "9" * 5000),
)


@settings(deadline=None, max_examples=examples(300))
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), st.sampled_from(WORDS)))
)
def test_any_edit_of_a_json_file_is_told_in_lines(
    edits: list[tuple[int, int, str]],
) -> None:
    """A mistake may stand before the place where the text is no JSON any more."""
    text = JSON
    for at, length, word in edits:
        text = text[:at] + word + text[at + length :]
    with pytest.raises(PolicyError) as caught:
        _json.loads(text.encode(), Given("file"))
    for line in str(caught.value).split("\n"):
        assert line.startswith("file: ")
        assert line.isprintable()


# ---- pins that are nearly right ----------------------------------------------------

# As people paste them where a pin of ours belongs, and what they are told.
NEAR = {
    f"sha256/{BASE64[:-1]}": f"the padding is wrong; {WRITE}",
    f"sha256/{BASE64}=": f"the padding is wrong; {WRITE}",
    f"sha256/{SLASHES.replace('/', '_')}": f"URL alphabet; write sha256/{SLASHES}",
    f"SHA256/{BASE64}": WRITE,
    f"sha-256/{BASE64}": WRITE,
    f"sha256:{BASE64}": WRITE,
    f"sha256-{BASE64}": WRITE,
    f"sha256={BASE64}": WRITE,
    f"pin-sha256={BASE64}": WRITE,
    f"pin-sha256='{BASE64}'": WRITE,
    f'pin-sha256="{BASE64}"; max-age=1': f"remove what stands behind the pin; {WRITE}",
    f" sha256/{BASE64}": "there are blanks around it; remove them",
    f"sha256/{BASE64}\n": "there are blanks around it; remove them",
    f"sha256/ {BASE64}": WRITE,
    f"sha256/{BASE64};sha256/{BASE64}": "several pins in one text; write each by",
    f"sha256/{HEX}": f"it is hex; {WRITE} for the hash of a key, cert-sha256:{HEX} for",
    f"sha256:{HEX}": f"it is hex; {WRITE} for the hash of a key, cert-sha256:{HEX} for",
    f"SHA256:{BASE64[:-1]}": "it is the fingerprint of a key of SSH",
    BASE64: f"may be the hash of a key or of a certificate; of a key {WRITE}, of a",
    HEX: f"may be the hash of a key or of a certificate; of a key {WRITE}, of a",
    BASE64[:-1]: f"the padding is wrong; write {BASE64}",
    "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAA=": "it has 20 bytes, as SHA-1 has",
    "sha256/" + "A" * 22 + "==": "it has 16 bytes, as MD5 has",
    "sha256/" + "A" * 63 + "=": "it has 47 bytes and not 32",
    "sha256/" + "A" * 86 + "==": "it has 64 bytes, as SHA-512 has",
    "sha256/" + "Z" * 43 + "=": "no 32 bytes are encoded so: its last character is",
    f"sha256/{BASE64[:20]}": "it has 15 bytes and not 32",
    f"sha256/{BASE64[:41]}": "it is cut off",
    f"sha256/*{BASE64[1:]}": "it has characters that base64 has not",
    "sha256/": "the base64 is missing",
    "aa:" * 19 + "aa": "it has 20 bytes, as SHA-1 has",
    f"sha512/{BASE64}": "only SHA-256 can be pinned",
    f"sha1/{BASE64}": "SHA-1 and MD5 can be forged; pin SHA-256",
    "server.pem": "it is the name of a file; `pinverify pin` prints",
    "-----BEGIN CERTIFICATE-----": "it is a PEM block and not its hash",
    f"cert-sha256:{BASE64}": f"it is base64; write cert-sha256:{HEX}",
    f"cert-sha256:{HEX[2:]}": "it has 31 bytes and not 32",
    f"cert-sha256:0x{HEX}": f"write cert-sha256:{HEX}",
    f"cert-sha256: {HEX}": f"write cert-sha256:{HEX}",
    f"cert-sha256:{DIGEST.hex(' ')}": f"write cert-sha256:{HEX}",
    "cert-sha256:x": "a certificate's hash has 64 hex digits",
}


@pytest.mark.parametrize("text", NEAR, ids=repr)
def test_a_nearly_right_pin_gets_its_reason(text: str) -> None:
    """The message says what the text is, in Python and in each of our formats."""
    with pytest.raises(PolicyError, match=re.escape(NEAR[text])) as caught:
        Pin.parse(text)
    assert repr(text) in str(caught.value)
    rest = str(caught.value)
    value = json.dumps([ABSENT, text])
    in_toml = f'version = 1\n\n[hosts."a.example"]\nca = {value}'.replace(", ", ",\n")
    assert told(in_toml) == [f'file: line 5: [hosts."a.example"]: ca: {rest}']
    in_json = f'{{"version": 1, "hosts": {{\n"a.example": {{\n"ca": {value}}}}}}}'
    assert told(in_json) == [f'file: [hosts."a.example"]: ca: {rest}']


# The same where the format says by its keys that it is the base64 of a key's hash.
BARE = {
    BASE64[:-1]: f"the padding is wrong; write {BASE64}",
    f"{BASE64}=": f"the padding is wrong; write {BASE64}",
    SLASHES.replace("/", "_"): f"URL alphabet; write {SLASHES}",
    f"sha256/{BASE64}": "remove what stands before the base64",
    f"sha256//{BASE64}": "remove what stands before the base64",
    f"SHA256:{BASE64}": "remove what stands before the base64",
    f"pin-sha256={BASE64}": "remove what stands before the base64",
    f" {BASE64}": "there are blanks around it; remove them",
    f"{BASE64},{BASE64}": "several pins in one text; write each by itself",
    HEX: "it is hex; write the base64 of the same bytes",
    DIGEST.hex(":").upper(): "it is hex; write the base64 of the same bytes",
    "A" * 27 + "=": "it has 20 bytes, as SHA-1 has",
    "A" * 22 + "==": "it has 16 bytes, as MD5 has",
    "A" * 64: "it is hex; write the base64 of the same bytes",
    "/" * 64: "it has 48 bytes, as SHA-384 has",
    "/" * 86 + "==": "it has 64 bytes, as SHA-512 has",
    "Z" * 43 + "=": "no 32 bytes are encoded so: its last character is",
    BASE64[:20]: "it has 15 bytes and not 32",
    BASE64[:41]: "it is cut off",
    f"*{BASE64[1:]}": "it has characters that base64 has not",
    "sha1/AAAA": "SHA-1 and MD5 can be forged",
    "server.pem": "it is the name of a file; `pinverify pin` prints",
    "-----BEGIN CERTIFICATE-----": "it is a PEM block and not its hash",
}
FOREIGN = {
    "okhttp": 'CertificatePinner.Builder()\n\n.add("a.example", "sha256/PIN")',
    "trustkit": '{"TSKPinnedDomains": {"a.example": {"TSKPublicKeyHashes": ["PIN"]}}}',
    "hpkp": 'Public-Key-Pins: pin-sha256="PIN"; max-age=60',
    "android": (
        "<network-security-config>\n<domain-config>\n<domain>a.example</domain>\n"
        '<pin-set>\n<pin digest="SHA-256">PIN</pin>\n</pin-set>\n</domain-config>\n'
        "</network-security-config>"
    ),
    "envoy": '{"verify_certificate_spki":\n ["PIN"]}',
}
PLACE = {"okhttp": "line 3: ", "android": "line 5: "}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("text", BARE, ids=repr)
def test_a_nearly_right_pin_of_another_system_gets_its_reason(
    name: str, text: str, tmp_path: Path
) -> None:
    """With the line, where the parser of the format tells lines."""
    if name == "android" and text.startswith(" "):
        return  # Android itself takes blanks away
    path = tmp_path / "file"
    path.write_text(FOREIGN[name].replace("PIN", text), "utf-8")
    host = "a.example" if name in {"hpkp", "envoy"} else None
    with pytest.raises(PolicyError) as caught:
        load_rules(path, format=name, host=host)
    lines = str(caught.value).split("\n")
    (line,) = [line for line in lines if "is not the base64 of a SHA-256" in line]
    assert line.startswith(f"{path}: {PLACE.get(name, '')}")
    assert BARE[text] in line
