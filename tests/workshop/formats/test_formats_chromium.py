"""Chromium: the preload list and its file of pins."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    FAST,
    LONG,
    NAMES,
    SOME_CHAINS,
    Cert,
    agree,
    pool,
)
from pinverify import (
    UNPINNED,
    Pin,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    load_policy,
    load_rules,
)
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from pinverify.policy import Unpinned
from pki import example_pki
from policy_samples import ABSENT, OTHER

__all__: list[str] = []

PINS = f"A\n{ABSENT}\nB\n{OTHER}\n"
SETS = [
    {"name": "one", "static_spki_hashes": ["A"]},
    {"name": "bad", "static_spki_hashes": ["A"], "bad_static_spki_hashes": ["B"]},
]


def load(document: object, pins: str | None = PINS) -> Loaded:
    """Read a list, and its pins."""
    text = document if isinstance(document, str) else json.dumps(document)
    beside = () if pins is None else (pins.encode(),)
    return FORMATS["chromium"].reader(text.encode(), Given("file", beside=beside))


def entries(*entries: dict[str, Any], sets: Any = SETS) -> dict[str, Any]:  # noqa: ANN401
    """Return a list with these entries."""
    return {"pinsets": sets, "entries": list(entries)}


def test_a_pin_that_no_pinset_names_is_told() -> None:
    """Chromium refuses such a file; a name among the bad ones is used."""
    used = entries({"name": "x.org", "pins": "bad"})
    told = load(used, PINS + f"C\n{OTHER}\n").notices
    assert told == ("file: .pins: C is in no pinset; remove it, or add it",)
    assert load(used).notices == ()


# ---- the model ---------------------------------------------------------------------


class Entry(NamedTuple):
    """An entry of the list."""

    pins: list[int] | None
    bad: list[int]
    below: bool


class Chromium:
    """Look-up of a static entry (transport_security_state.cc).

    The labels are cut off from the left. The first name that has an entry decides.
    """

    def __init__(self, found: dict[str, Entry]) -> None:
        """Take the entries by their names."""
        self.found = found

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Look up, and compare the whole chain with the lists of the entry."""
        name = host
        while name and name not in self.found:
            name = name.partition(".")[2]
        entry = self.found.get(name)
        if entry is None or entry.pins is None or (name != host and not entry.below):
            return True
        keys = {cert.spki for cert in chain}
        if keys & {pool()[number].spki for number in entry.bad}:
            return False
        return bool(keys & {pool()[number].spki for number in entry.pins})


@st.composite
def lists(draw: st.DrawFn) -> tuple[dict[str, Entry], str]:
    """Draw entries, and a list that has them."""
    numbers = st.lists(st.integers(0, 4), unique=True, max_size=3)
    names = st.sampled_from([*NAMES, "org", "c.b.a.x.org"])
    one = st.builds(Entry, st.none() | numbers.filter(bool), numbers, st.booleans())
    found = draw(st.dictionaries(names, one, min_size=1))
    found["z.org"] = Entry([4], [], below=False)  # so that something is pinned
    random = draw(st.randoms())
    sets, written = [], []
    for name, entry in found.items():
        table: dict[str, Any] = {"name": name}
        if random.random() < 0.5:
            table |= {"policy": "custom", "mode": "force-https"}
        if entry.pins is not None:
            table["pins"] = f"set of {name}"
            pinset: dict[str, Any] = {"name": table["pins"]}
            pinset["static_spki_hashes"] = [f"Key{number}" for number in entry.pins]
            if entry.bad:
                bad = [f"Key{number}" for number in entry.bad]
                pinset["bad_static_spki_hashes"] = bad
            sets.append(pinset)
        if entry.below:
            key = random.choice(["", "_for_pinning"]) if entry.pins else ""
            table["include_subdomains" + key] = True
        written.append(table)
    random.shuffle(written)
    text = json.dumps(entries(*written, sets=sets), indent=1)
    return found, "// comment\n" + text.replace("\n", "\n  // another {\n", 2)


def keys() -> str:
    """Return a file with the keys of the pool."""
    lines = [f"# key {i}\nKey{i}\n{cert.pin}\n" for i, cert in enumerate(pool())]
    return "PinsListTimestamp\n1649894400\n\n" + "\n".join(lines)


def _read_policies_agree(
    drawn: tuple[dict[str, Entry], str], chains: list[list[Cert]]
) -> None:
    found, text = drawn
    agree(Policy(load(text, keys()).rules), Chromium(found), chains)


@FAST
@given(lists(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_chromium(
    drawn: tuple[dict[str, Entry], str], chains: list[list[Cert]]
) -> None:
    """Narrower entries replace wider ones, also without pins."""
    _read_policies_agree(drawn, chains)


@pytest.mark.slow
def test_many_policies_decide_like_chromium() -> None:
    """The long form of the test above."""
    LONG(given(lists(), SOME_CHAINS)(_read_policies_agree))()


# ---- today's layout ------------------------------------------------------------------


@FAST
@given(lists(), st.randoms())
def test_the_two_layouts_of_a_list_are_read_alike(
    drawn: tuple[dict[str, Entry], str], random: Random
) -> None:
    """Today the pins are in a second list, and its entries in both, or in one.

    `include_subdomains` of either entry counts for the pins: with it, the bit for pins
    is not even written (trie_writer.cc, HSTSTrieWriter::WriteEntry).
    """
    document = json.loads(re.sub(r"(?m)^ *//.*$", "", drawn[1]))
    main, pinned = [], []
    for entry in document["entries"]:
        words = dict(entry)
        pins = words.pop("pins", None)
        below = words.pop("include_subdomains_for_pinning", False)
        if pins is not None:
            there = words | {"pins": pins}
            if below:
                there["include_subdomains"] = True
            elif random.random() < 0.5:
                there.pop("include_subdomains", None)
            pinned.append(there)
        if pins is None or "include_subdomains" in words or random.random() < 0.5:
            main.append(words)
    parts = [{"entries": main}, {"pinsets": document["pinsets"], "entries": pinned}]
    first, second = (json.dumps(part).encode() for part in parts)
    expected = load(drawn[1], keys()).rules
    for beside in ((second, keys().encode()), (keys().encode(), second)):
        loaded = FORMATS["chromium"].reader(first, Given("file", beside=beside))
        assert loaded.rules == expected


@pytest.mark.parametrize("first", ["", "x", "[]", PINS])
def test_the_first_file_is_a_list(first: str) -> None:
    """Even if there is one beside it: what it should say about hosts is missing."""
    whole = json.dumps(entries({"name": "x.org", "pins": "one"}))
    with pytest.raises(PolicyError, match=r"not JSON|expected a dictionary"):
        FORMATS["chromium"].reader(
            first.encode(), Given("file", beside=(whole.encode(), PINS.encode()))
        )


# ---- the list ----------------------------------------------------------------------


def test_a_narrower_entry_replaces_a_wider_one() -> None:
    """If it has pins or not, and for names below it or not."""
    wide = {"name": "x.org", "pins": "bad", "include_subdomains": True}
    pinned = PinSet([ABSENT], blocked=[OTHER])
    assert load(entries(wide)).rules == Rules({"**.x.org": pinned})
    cases: list[tuple[dict[str, Any], dict[str, PinSet | Unpinned]]] = [
        ({}, {"**.a.x.org": UNPINNED}),
        ({"include_subdomains": True}, {"**.a.x.org": UNPINNED}),
        ({"pins": "one"}, {"a.x.org": PinSet([ABSENT]), "**.a.x.org": UNPINNED}),
        (
            {"pins": "one", "include_subdomains_for_pinning": True},
            {"**.a.x.org": PinSet([ABSENT])},
        ),
    ]
    for narrow, rules in cases:
        found = load(entries({"name": "A.x.org", **narrow}, wide)).rules
        assert found == Rules(rules | {"**.x.org": pinned})


def test_entries_without_effect_leave_no_rule() -> None:
    """A list has a hundred thousand of them."""
    found = load(
        entries(
            {"name": "x.org", "pins": "one"},
            {"name": "a.x.org", "mode": "force-https"},
            {"name": "y.org", "include_subdomains": True},
        )
    )
    assert found.rules == Rules({"x.org": PinSet([ABSENT])})


MISTAKES: dict[str, tuple[object, str | None]] = {
    "no entry has pins": (entries(), PINS),
    "a file that has no pins": (entries({"name": "x.org"}), PINS),
    "expected a dictionary": ("[]", PINS),
    "not JSON": ("{'entries': []}", PINS),
    "the key 'entries' is there twice": ('{"entries": [], "entries": []}', PINS),
    "give it as `pins`": (entries({"name": "x.org", "pins": "one"}), None),
    "entries[1]: 'X.org' is there already, with other pins": (
        entries({"name": "x.org", "pins": "one"}, {"name": "X.org", "pins": "bad"}),
        PINS,
    ),
    "entries[0]: '*.x.org' has a '*'": (
        entries({"name": "*.x.org", "pins": "one"}),
        PINS,
    ),
    "entries[0]: 'x.org': no pinset 'two'": (
        entries({"name": "x.org", "pins": "two"}),
        PINS,
    ),
    "entries[0]: unknown key 'pin'": (entries({"name": "x.org", "pin": "one"}), PINS),
    "include_subdomains: expected a boolean": (
        entries({"name": "x.org", "pins": "one", "include_subdomains": 1}),
        PINS,
    ),
    "entries[0]: '' is not": (entries({"pins": "one"}), PINS),
    "pinsets[0]: static_spki_hashes: 'C' is no name": (
        entries(sets=[{"name": "one", "static_spki_hashes": ["C"]}]),
        PINS,
    ),
    "pinsets[0]: static_spki_hashes: '7' is no name": (
        entries(sets=[{"name": "one", "static_spki_hashes": [7]}]),
        PINS,
    ),
    "bad_static_spki_hashes: 'C' is no name": (
        entries(sets=[SETS[0] | {"bad_static_spki_hashes": ["C"]}]),
        PINS,
    ),
    "pinsets[0]: static_spki_hashes is missing or empty": (
        entries(sets=[{"name": "one", "bad_static_spki_hashes": ["A"]}]),
        PINS,
    ),
    "pinsets[1]: a name of its own is missing": (
        entries(sets=[SETS[0], SETS[0]]),
        PINS,
    ),
    ".pins, line 2: A: 'sha1/AAAA'": (entries(), "A\nsha1/AAAA\n"),
    ".pins, line 3: expected the name of a pin": (entries(), f"A\n{ABSENT}\n{OTHER}"),
    ".pins, line 3: expected the name of a pin, and a": (
        entries(),
        f"A\n{ABSENT}\nA\n",
    ),
    ".pins: A has no key": (entries(), "A\n"),
    ".pins, line 2: A: ": (entries(), "A\n-----BEGIN CERTIFICATE-----\nAAAA\n"),
    "a NUL does not belong in a list": (entries(), "A\0"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_explained(words: str) -> None:
    """Each at its place, with the next step."""
    document, pins = MISTAKES[words]
    if words == "a file that has no pins":
        words = "no entry has pins; name a list with pinsets"
    with pytest.raises(PolicyError, match=rf"\Afile: (?s:.)*{re.escape(words)}"):
        load(document, pins)


def test_pins_are_digests_certificates_and_keys() -> None:
    """As in Chromium's own file, which has mostly certificates."""
    server = example_pki().server
    digest = Pin.from_certificate(server.der)
    key = Pin.spki(digest.digest)
    public = server.certificate.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    for text in (str(key), server.pem, public.decode()):
        found = load(
            entries({"name": "x.org", "pins": "one"}, sets=SETS[:1]), f"A\n{text}"
        )
        assert found.rules == Rules({"x.org": PinSet([key])})


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_the_pins_stand_beside_the_list_or_are_given(tmp_path: Path) -> None:
    """Under the same stem."""
    path = tmp_path / "list.json"
    path.write_text(json.dumps(entries({"name": "x.org", "pins": "one"})), "utf-8")
    with pytest.raises(PolicyError, match="put it beside the list"):
        load_rules(path, format="chromium")
    (tmp_path / "other").write_text(PINS, "utf-8")
    expected = Rules({"x.org": PinSet([ABSENT])})
    assert load_rules(path, format="chromium", pins=tmp_path / "other") == expected
    assert load_policy(path, format="chromium", pins=tmp_path / "other") == Policy(
        expected
    )
    (tmp_path / "list.pins").write_text(PINS, "utf-8")
    assert load_rules(path, format="chromium") == expected
    with pytest.raises(PolicyError, match="has its pins in it; leave pins out"):
        load_rules(path, format="okhttp", pins=tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        load_rules(path, format="chromium", pins=tmp_path / "missing")
