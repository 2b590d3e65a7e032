"""Firefox: the preload list StaticHPKPins.h."""

from __future__ import annotations

import datetime as dt
import re
import tracemalloc
from collections.abc import Sequence
from typing import NamedTuple

import pytest
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
from pinverify import PinSet, Policy, PolicyError, Rules
from pinverify.formats._reading import Given, Loaded
from pinverify.formats._table import FORMATS
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SOON = NOON + dt.timedelta(days=1)


def load(text: str) -> Loaded:
    """Read a list."""
    return FORMATS["firefox"].reader(text.encode(), Given("file"))


class Entry(NamedTuple):
    """An entry of the list."""

    pins: list[str]
    below: bool
    test: bool


def written(entries: dict[str, Entry], end: dt.datetime = SOON) -> str:
    """Return a file, in the words of Firefox's program."""
    pins = sorted({pin for entry in entries.values() for pin in entry.pins})
    lines = ["/* comment { */", "#include <stdint.h>"]
    for number, pin in enumerate(pins):
        lines.append(f"static const char kKey_{number}Fingerprint[] =")
        lines.append(f'  "{pin.removeprefix("sha256/")}";')
    lines += ["struct StaticFingerprints {", "  // a comment", "  size_t size;", "};"]
    listed = []
    for number, (host, entry) in enumerate(sorted(entries.items())):
        name = f"kPinset_set_{number}"
        lines.append(f"static const char* const {name}_Data[] = {{")
        lines += [f"  kKey_{pins.index(pin)}Fingerprint," for pin in entry.pins]
        lines += ["};", f"static const StaticFingerprints {name} = {{"]
        lines.append(f"  sizeof({name}_Data) / sizeof(const char*),")
        lines += [f"  {name}_Data", "};"]
        flags = f"{entry.below}, {entry.test}, false".lower()
        listed.append(f'  {{ "{host}", {flags}, -1, &{name} }},')
    microseconds = (end - EPOCH) // dt.timedelta(microseconds=1)
    lines.append(
        "static const TransportSecurityPreload kPublicKeyPinningPreloadList[] = {"
    )
    lines += [*listed, "};", f"// Pinning Preload List Length = {len(listed)};"]
    lines.append("static const int32_t kUnknownId = -1;")
    lines.append("static const PRTime kPreloadPKPinsExpirationTime = INT64_C(")
    return "\n".join(lines) + f"{microseconds});\n"


# ---- the model ---------------------------------------------------------------------


class Firefox:
    """Look-up of PublicKeyPinningService: labels are cut off from the left.

    An entry that is not for the names below it is passed over there.
    """

    def __init__(self, entries: dict[str, Entry]) -> None:
        """Take the entries by their hosts."""
        self.entries = entries

    def __call__(self, host: str, chain: Sequence[Cert], now: dt.datetime) -> bool:
        """Take the first entry that is for the host; none counts after the end."""
        name = host
        while "." in name:
            entry = self.entries.get(name)
            if entry is not None and (name == host or entry.below):
                known = any(cert.pin in entry.pins for cert in chain)
                return known or entry.test or now >= SOON
            name = name.partition(".")[2]
        return True


@st.composite
def lists(draw: st.DrawFn) -> tuple[dict[str, Entry], str]:
    """Draw entries, and a file that has them."""
    pins = st.lists(st.sampled_from([c.pin for c in pool()]), min_size=1, unique=True)
    one = st.builds(Entry, pins, st.booleans(), st.booleans())
    entries = draw(st.dictionaries(st.sampled_from(NAMES), one, min_size=1))
    return entries, written(entries)


def _read_policies_agree(
    drawn: tuple[dict[str, Entry], str], chains: list[list[Cert]]
) -> None:
    entries, text = drawn
    agree(Policy(load(text).rules), Firefox(entries), chains)


@FAST
@given(lists(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_firefox(
    drawn: tuple[dict[str, Entry], str], chains: list[list[Cert]]
) -> None:
    """For hosts, those below them, and others, before the end and after it."""
    _read_policies_agree(drawn, chains)


@pytest.mark.slow
def test_many_policies_decide_like_firefox() -> None:
    """The long form of the test above."""
    LONG(given(lists(), SOME_CHAINS)(_read_policies_agree))()


# ---- statements --------------------------------------------------------------------

ONE = written({"x.org": Entry([ABSENT], below=True, test=False)})


def test_each_field_of_an_entry_counts() -> None:
    """Names below, test mode, the set of pins, and the end of all."""
    entries = {
        "X.org": Entry([ABSENT, OTHER], below=True, test=False),
        "y.org": Entry([OTHER], below=False, test=False),
        "z.org": Entry([ABSENT], below=False, test=True),
    }
    found = load(written(entries)).rules

    def pinset(*pins: str, **mode: str) -> PinSet:
        return PinSet(pins, expires=SOON, after_expiry="allow", **mode)  # type: ignore[arg-type]

    assert found == Rules(
        {
            "**.x.org": pinset(ABSENT, OTHER),
            "y.org": pinset(OTHER),
            "z.org": pinset(ABSENT, mode="report"),
        }
    )
    assert re.fullmatch(r"file: line \d+", found.origins["y.org"])


LINES = ONE.splitlines(keepends=True)

MISTAKES = {
    "kPreloadPKPinsExpirationTime is missing": "",
    "is missing; give the whole": ONE[: ONE.index("static const PRTime")],
    "line 3: 'static const char k": ONE.replace('="', "").replace('"A', '"" "A'),
    "'@' is not understood": ONE + "@",
    "line 18: '{ \"y.org\" },' is not": ONE.replace(
        "\n};\n//", '\n  { "y.org" },\n};\n//'
    ),
    "'/* unclosed' is not understood": ONE + "/* unclosed",
    "'kOther' is no fingerprint": ONE.replace("  kKey_0Fingerprint", "  kOther"),
    "there are no pins in 'set_1'": ONE.replace("&kPinset_set_0", "&kPinset_set_1"),
    "there are no pins in 'set_0'": ONE.replace("  kKey_0Fingerprint,\n", ""),
    "'*.x.org' is there already, or has": ONE.replace('"x.org"', '"*.x.org"'),
    "'x..org' is not": ONE.replace('"x.org"', '"x..org"'),
    "is not the base64 of a SHA-256": ONE.replace("AAAA=", "AAAA"),
    "are after the year 9999": ONE.replace("INT64_C(", "INT64_C(99"),
    "'X.org' is there already": ONE.replace(
        "\n};\n//", '\n  { "X.org", false, true, true, 1, &kPinset_set_0 }\n};\n//'
    ),
    "'#if 0' is not understood": ONE.replace(
        "static const PRT", "#if 0\nstatic const PRT"
    ),
    "'#define true false' is not": "#define true false\n" + ONE,
    "'#include \"x.h\"' is not": '#include "x.h"\n' + ONE,
    "line 1: a line that goes on behind": "// \\\n" + ONE,
    "line 5: this is there already": "".join([*LINES[:4], *LINES[2:]]),
    "line 12: this is there already": "".join([*LINES[:11], *LINES[8:]]),
    "line 19: this is there already": "".join([*LINES[:18], *LINES[15:]]),
    "line 22: this is there already": ONE + LINES[20],
    "very many very small entries": ONE.replace(
        "\n};\n//", '\n{"a",true,true,true,-1,&kPinset_a},' * 4000 + "\n};\n//"
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_explained(words: str) -> None:
    """A part that is not understood might pin a host."""
    with pytest.raises(PolicyError, match=rf"\Afile: (?s:.)*{re.escape(words)}"):
        load(MISTAKES[words])


def test_many_entries_take_bounded_memory() -> None:
    """With many entries, in bounded memory."""
    entries = {
        f"h{i}.org": Entry([ABSENT], below=True, test=False) for i in range(2000)
    }
    text = written(entries)
    tracemalloc.start()
    rules = load(text).rules
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rules.hosts) == 2000
    assert peak < 10 * len(text) + 350_000


def test_entries_share_the_pins_of_their_set() -> None:
    """A long set with many entries would be read in time that grows with both."""
    text = written({"a.org": Entry([ABSENT, OTHER], below=True, test=False)})
    (line,) = re.findall(r'  \{ "a\.org".*\n', text)
    more = line.replace("a.org", "b.org") + line.replace("a.org", "c.org")
    tried = line.replace("a.org", "d.org").replace("true, false", "true, true")
    hosts = load(text.replace(line, line + more + tried)).rules.hosts
    one, *same, other = (hosts[f"**.{name}.org"] for name in "abcd")
    assert [id(value) for value in same] == [id(one)] * 2
    assert isinstance(one, PinSet)
    assert other == PinSet(
        one.pins, mode="report", expires=one.expires, after_expiry="allow"
    )
