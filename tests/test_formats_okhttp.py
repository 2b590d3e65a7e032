"""OkHttp: pins in source code, and what several patterns mean together."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

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
    dump,
    losses_are_true,
    pool,
    small_rules,
    vectors,
)
from pinverify import Dumped, Pin, PinSet, Policy, PolicyError, Rules, dump_rules
from pinverify.formats import _okhttp
from pinverify.formats._reading import Given
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []


def loads(text: str) -> Rules:
    """Read source code."""
    return _okhttp.loads(text.encode(), Given("Pins.kt")).rules


# ---- the model ---------------------------------------------------------------------


class Pinner:
    """CertificatePinner as its documentation describes it."""

    def __init__(self, added: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Take the calls of ``add``."""
        self.added = added

    def matches(self, pattern: str, host: str) -> bool:
        """Match label by label."""
        if pattern.startswith("**."):
            return host == pattern[3:] or host.endswith("." + pattern[3:])
        if pattern.startswith("*."):
            labels = host.split(".")
            return len(labels) > 1 and ".".join(labels[1:]) == pattern[2:]
        return host == pattern

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Unite the pins of all patterns that match; without any, accept."""
        pins = {
            pin
            for pattern, pins in self.added
            if self.matches(pattern, host)
            for pin in pins
        }
        return not pins or any(cert.pin in pins for cert in chain)

    @classmethod
    def of_text(cls, text: str) -> Pinner:
        """Read what was written."""
        calls = re.findall(r"\.add\((.*)\)", text)
        words = [re.findall(r'"([^"]*)"', call) for call in calls]
        return cls([(pattern, pins) for pattern, *pins in words])


PATTERNS = st.sampled_from(
    [wildcard + name for name in NAMES for wildcard in ("", "*.", "**.")]
)
NUMBERS = st.lists(st.integers(0, 4), min_size=1, max_size=3)
CALLS = st.lists(st.tuples(PATTERNS, NUMBERS), min_size=1, max_size=6)
BLANKS = st.sampled_from(["", " ", "\n    ", " // .add(\n", ' /* "x */ '])


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, Pinner]:
    """Draw source code, and its pinner."""
    added = [
        (pattern, [pool()[number].pin for number in numbers])
        for pattern, numbers in draw(CALLS)
    ]
    text = "val pinner = CertificatePinner.Builder()"
    for pattern, pins in added:
        words = [f'"{word}"' for word in (pattern, *pins)]
        comma = draw(st.sampled_from([",", ", ", ",\n  ", " , /* next */ "]))
        text += f"{draw(BLANKS)}.{draw(BLANKS)}add{draw(BLANKS)}({draw(BLANKS)}"
        text += comma.join(words) + draw(st.sampled_from(["", ",", " "])) + ")"
    return text + ".build()\n", Pinner(added)


def _read_policies_agree(drawn: tuple[str, Pinner], chains: list[list[Cert]]) -> None:
    text, pinner = drawn
    agree(Policy(loads(text)), pinner, chains)


def _written_rules_agree(rules: Rules, chains: list[list[Cert]]) -> None:
    dumped = dump(rules, "okhttp")
    if dumped is None:
        return
    text = str(dumped.text)
    losses_are_true(rules, dumped, Pinner.of_text(text), chains)
    agree(Policy(loads(text)), Pinner.of_text(text), chains)


@FAST
@given(sources(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_okhttp(
    drawn: tuple[str, Pinner], chains: list[list[Cert]]
) -> None:
    """For every host, also where patterns overlap."""
    _read_policies_agree(drawn, chains)


@FAST
@given(small_rules(), SOME_CHAINS)
def test_what_okhttp_cannot_say_is_told(rules: Rules, chains: list[list[Cert]]) -> None:
    """Nothing is accepted or refused that no loss tells of."""
    _written_rules_agree(rules, chains)


@pytest.mark.slow
@LONG
@given(sources(), SOME_CHAINS)
def test_many_policies_decide_like_okhttp(
    drawn: tuple[str, Pinner], chains: list[list[Cert]]
) -> None:
    """The long form of the test above."""
    _read_policies_agree(drawn, chains)


@pytest.mark.slow
@LONG
@given(small_rules(), SOME_CHAINS)
def test_many_rules_are_written_truly(rules: Rules, chains: list[list[Cert]]) -> None:
    """The long form of the test above."""
    _written_rules_agree(rules, chains)


def _rules_of(*calls: tuple[str, str]) -> Rules:
    adds = "".join(f'.add("{pattern}", "{pin}")' for pattern, pin in calls)
    return loads(f"CertificatePinner.Builder(){adds}.build()")


def test_a_pattern_that_is_read_has_the_pins_of_wider_ones() -> None:
    """OkHttp unites the pins of all patterns that match."""
    a, b = pool()[0].pin, pool()[1].pin
    rules = _rules_of(("**.x.org", a), ("api.x.org", b))
    assert rules.hosts == {"**.x.org": PinSet([a]), "api.x.org": PinSet([a, b])}


def test_a_host_where_two_patterns_meet_has_the_pins_of_both() -> None:
    """No pattern of the source names it, so it gets a rule of its own."""
    a, b = pool()[0].pin, pool()[1].pin
    rules = _rules_of(("*.x.org", a), ("**.l.x.org", b))
    assert rules.hosts == {
        "*.x.org": PinSet([a]),
        "**.l.x.org": PinSet([b]),
        "l.x.org": PinSet([a, b]),
    }


def test_a_plain_copy_of_the_patterns_would_be_wrong() -> None:
    """The comparison sees the difference that the reader makes up for."""
    a, b = pool()[0], pool()[1]
    pinner = Pinner([("*.x.org", [a.pin]), ("**.l.x.org", [b.pin])])
    plain = Policy({"*.x.org": [a.pin], "**.l.x.org": [b.pin]})
    with pytest.raises(AssertionError):
        agree(plain, pinner, [[a]])


# ---- source code -------------------------------------------------------------------


def test_java_is_read_as_kotlin_is() -> None:
    """Also in a whole file, with other strings, characters and comments."""
    rules = loads(f"""
        package x; // builder.add("not.a.host")
        /* .add("neither.this", "sha256/x") */
        class Client {{
          static final char QUOTE = '"', OTHER = '\\'';
          String url = "https://x.org/.add(";
          CertificatePinner pinner = new CertificatePinner.Builder()
              .add("x.org", "{ABSENT}", "{OTHER}")
              .add("*.x.org",
                   "{OTHER}")
              .build();
        }}""")
    assert rules == Rules({"x.org": [ABSENT, OTHER], "*.x.org": [OTHER]})
    assert rules.origins["x.org"] == "Pins.kt: line 8"


def test_several_calls_for_one_pattern_are_united() -> None:
    """As in OkHttp."""
    text = f'.add("X.org", "{ABSENT}").add("x.org", "{OTHER}")'
    assert loads(text) == Rules({"x.org": [ABSENT, OTHER]})


MISTAKES = {
    "": "there is no call",
    "val x = 1": "there is no call",
    '.add(HOST, "sha256/x")': "line 1: an add that is no call with string literals",
    'with(b) { add(host, "sha256/x") }': "an add that is no call",
    "hosts.forEach(b::add)": "an add that is no call",
    f'.add("x.org", "{ABSENT}" + rest)': "an add that is no call",
    f'.add("$host", "{ABSENT}")': "an add that is no call",
    f'.add("x\\u002eorg", "{ABSENT}")': "an add that is no call",
    f'.add("x.org", *pins, "{ABSENT}")': "an add that is no call",
    f'.add("x.org", "{ABSENT}"': "an add that is no call",
    f'.add(,"x.org", "{ABSENT}")': "an add that is no call",
    f'.add("x.org",,"{ABSENT}")': "an add that is no call",
    f'.add("x.org" "{ABSENT}")': "an add that is no call",
    ".add()": "an add that is no call",
    f'.\\u0061dd("x.org", "{ABSENT}")': "begins something that cannot be read",
    f'.add("""x.org""", "{ABSENT}")': "an add that is no call",
    f'/* /* */ */ .add("x.org", "{ABSENT}")': "begins something that cannot be read",
    f'/* .add("x.org", "{ABSENT}")': "begins something that cannot be read",
    f'.`add`("x.org", "{ABSENT}")': "begins something that cannot be read",
    '.add("x.org")': "'x.org' has no pins",
    f'.add("https://x.org", "{ABSENT}")': "without scheme and path",
    f'.add("x.org:443", "{ABSENT}")': "without a port",
    '.add("x.org", "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA=")': "SHA-1 can be forged",
    f'.add("x.org", "{ABSENT.upper()}")': "write sha256/ and base64",
    f'.add("x.org", "{ABSENT[:-1]}")': "the padding is wrong",
    f'.add("x.org", "sha256/{ABSENT}")': "remove what stands before the base64",
    f'CertificatePinner.Builder().add("x.org", "{ABSENT}").build()\n'
    f'CertificatePinner . Builder ().add("y.org", "{ABSENT}").build()': (
        "line 2: a second CertificatePinner.Builder"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    """Passed over, it could make the policy accept more than the program does."""
    with pytest.raises(PolicyError, match=re.escape(MISTAKES[text])) as caught:
        loads(text)
    assert str(caught.value).startswith("Pins.kt: ")


def test_all_mistakes_are_told_with_their_lines() -> None:
    """A person who corrects a file runs the command once, not once for each."""
    with pytest.raises(PolicyError) as caught:
        loads('.add("x.org")\n.add(y)\n.add("z.org", "sha256/x")\n')
    lines = str(caught.value).splitlines()
    assert [line[:16] for line in lines] == [
        "Pins.kt: line 1:",
        "Pins.kt: line 2:",
        "Pins.kt: line 3:",
    ]


# ---- writing -----------------------------------------------------------------------


def written(rules: Rules) -> Dumped:
    """Write rules that OkHttp knows something of."""
    dumped = dump(rules, "okhttp")
    assert dumped is not None
    return dumped


def test_written_code_is_kotlin() -> None:
    """One call a pattern, ready to paste."""
    dumped = written(Rules({"x.org": [ABSENT, OTHER], "**.y.org": [OTHER]}))
    assert dumped.losses == ()
    assert dumped.text == (
        "CertificatePinner.Builder()\n"
        f'    .add("**.y.org", "{OTHER}")\n'
        f'    .add("x.org", "{ABSENT}", "{OTHER}")\n'
        "    .build()\n"
    )


def test_unions_and_exemptions_are_told() -> None:
    """Where a narrower rule has fewer pins, and where two rules meet."""
    meeting = {"*.x.org": [ABSENT], "**.l.x.org": [OTHER]}
    assert [(loss.kind, loss.where) for loss in written(Rules(meeting)).losses] == [
        ("union", "l.x.org")
    ]
    covered = Rules(
        {"**.x.org": [ABSENT, OTHER], "a.x.org": [ABSENT], "b.x.org": PinSet([OTHER])}
    )
    assert [loss.where for loss in written(covered).losses] == [
        "a.x.org",
        "b.x.org",
    ]
    grown = Rules({"**.x.org": [ABSENT], "a.x.org": [ABSENT, OTHER]})
    assert written(grown).losses == ()


# ---- vectors -----------------------------------------------------------------------


def test_the_model_decides_as_the_vectors_of_okhttp() -> None:
    """A model that is wrong would prove nothing; the reader is in `conformance`."""
    letters = dict(zip("ABC", pool(), strict=False))
    for case in vectors("okhttp", "matching.json")["decisions"]:
        added = [
            (pattern, [letters[key].pin for key in keys])
            for pattern, keys in case["rules"].items()
        ]
        chain = [letters[key] for key in case["chain"]]
        assert Pinner(added)(case["host"], chain, NOON) == case["accepted"], case


def test_pins_are_those_of_the_text() -> None:
    """No digest is changed on the way."""
    cert = pool()[0]
    assert loads(f'.add("x.org", "{cert.pin}")') == Rules(
        {"x.org": [Pin.spki(cert.spki)]}
    )


def test_a_dropped_blocked_key_is_told_even_if_it_is_allowed() -> None:
    """A loss that is allowed still names its rule."""
    one, other = (cert.pin for cert in pool()[:2])
    rules = Rules({"x.org": PinSet([one], blocked=[other])})
    told = dump_rules(rules, format="okhttp", allow=["blocked"]).losses
    assert [(loss.kind, loss.where) for loss in told] == [("blocked", "x.org")]
