"""OkHttp: pins in source code, and what several patterns mean together."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

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
    here,
    losses_are_true,
    pool,
    small_rules,
    vectors,
)
from pinverify import Dumped, Pin, PinSet, Policy, PolicyError, Rules, dump_rules
from pinverify.formats import _okhttp
from pinverify.formats._policy_reading import Given
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []


NEW = "val pinner = CertificatePinner.Builder()"


def loads(text: str, name: str = "Pins.kt") -> Rules:
    """Read source code."""
    return _okhttp.loads(text.encode(), Given(name)).rules


@pytest.fixture(autouse=True, scope="module")
def _in_this_process() -> Iterator[None]:
    """Read in this process: a child for each of a thousand texts takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_okhttp, "read_source", here)
        yield


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
        before = draw(st.sampled_from(["", " ", "/* ( */ "]))  # on the same line
        text += f"{draw(BLANKS)}.{draw(BLANKS)}add{before}({draw(BLANKS)}"
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
    rules = loads(
        f"""
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
        }}""",
        "Pins.java",
    )
    assert rules == Rules({"x.org": [ABSENT, OTHER], "*.x.org": [OTHER]})
    assert rules.origins["x.org"] == "Pins.java: line 8"


def test_the_language_follows_from_the_text_where_no_ending_says_it() -> None:
    """A snippet may have any name."""
    java = f'A a = new CertificatePinner.Builder().add("x.org", "{ABSENT}").build();'
    assert loads(java, "pins") == loads(
        f'{NEW}.add("x.org", "{ABSENT}").build()', "pins"
    )


def test_a_chain_may_have_hundreds_of_calls() -> None:
    """As one that a program writes."""
    calls = "".join(f'.add("h{number}.org", "{ABSENT}")' for number in range(300))
    assert len(loads(f"{NEW}{calls}.build()").hosts) == 300


def test_several_calls_for_one_pattern_are_united() -> None:
    """As in OkHttp."""
    text = f'{NEW}.add("X.org", "{ABSENT}").add("x.org", "{OTHER}").build()'
    assert loads(text) == Rules({"x.org": [ABSENT, OTHER]})


MISTAKES = {
    "": "there is no CertificatePinner.Builder with pins",
    "val x = 1": "there is no CertificatePinner.Builder with pins",
    f'{NEW}.add(HOST, "sha256/x")': "line 1: `HOST` is declared nowhere in this file",
    f'fun f(h: String) {{\n{NEW}.add(h, "{ABSENT}")\n}}': "line 2: `h` is a parameter",
    f"{NEW}\nhosts.forEach(pinner::add)": "changes the pins in another way",
    f'{NEW}.add("x.org", "{ABSENT}" + rest)': "`rest` is declared nowhere",
    f'{NEW}.add("$host", "{ABSENT}")': "`host` is declared nowhere",
    f'{NEW}.add("x\\u002eorg", "{ABSENT}")': "has an escape",
    f'{NEW}.add("x.org", *pins, "{ABSENT}")': "`pins` is declared nowhere",
    f'{NEW}.add("""x.org""", "{ABSENT}")': "is a raw text",
    f'{NEW}.add("x.org", 5)': "`5` is no text",
    f"{NEW}.add()": "'' is not a pattern",
    f'{NEW}.add("x.org")': "'x.org' has no pins",
    f'{NEW}.add("https://x.org", "{ABSENT}")': "without scheme and path",
    f'{NEW}.add("x.org:443", "{ABSENT}")': "without a port",
    f'{NEW}.add("x.org", "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA=")': "SHA-1 can be forged",
    f'{NEW}.add("x.org", "{ABSENT.upper()}")': "write sha256/ and base64",
    f'{NEW}.add("x.org", "{ABSENT[:-1]}")': "the padding is wrong",
    f'{NEW}.add("x.org", "sha256/{ABSENT}")': "remove what stands before the base64",
    f'CertificatePinner.Builder().add("x.org", "{ABSENT}").build()\n'
    f'CertificatePinner . Builder ().add("x.org", "{OTHER}").build()': (
        "line 2: a second CertificatePinner.Builder"
    ),
    f'{NEW}\nif (debug) pinner.add("x.org", "{ABSENT}")': "is under a condition",
    f'{NEW}\npinner?.add("x.org", "{ABSENT}")': "is under a condition",
    f'{NEW}\nwhen (x) {{\n1 -> pinner.add("x.org", "{ABSENT}")\n}}': "a condition",
    f'{NEW}\nwhile (x) {{\npinner.add("x.org", "{ABSENT}")\n}}': "a condition",
    f'{NEW}\nonClick {{ pinner.add("x.org", "{ABSENT}") }}': "a block that may not run",
    f'{NEW}\nfun f() {{\npinner.add("x.org", "{ABSENT}")\n}}': "in another function",
    f'{NEW}\npinner.add("x.org", "{ABSENT}")\nmore(pinner)': "is handed on",
    f'fun f() {{\n{NEW}\npinner.add("x.org", "{ABSENT}")\nreturn pinner\n}}': (
        "is handed on"
    ),
    f'{NEW}\npinner.add("x.org", "{ABSENT}")\nval other = pinner\nf(other)': (
        "is handed on"
    ),
    f'fun f(b: CertificatePinner.Builder) {{\nb.add("x.org", "{ABSENT}")\n}}': (
        "is a builder that this file does not make"
    ),
    f'other.add("x.org", "{ABSENT}")': "adds pins to no builder",
    f'private val a = mutableListOf("{ABSENT}")\na.clear()\n'
    f'{NEW}.add("x.org", *a.toTypedArray())': "is changed in this file",
    f'private val a = mutableListOf("{ABSENT}")\na.add(x)\n'
    f'{NEW}.add("x.org", *a.toTypedArray())': "`x` is declared nowhere",
    f'var h = "x.org"\nfun f() {{\nh = "y.org"\n}}\n{NEW}.add(h, "{ABSENT}")': (
        "`h` is changed in this file"
    ),
    f'val h = "y.org"\nfun f(h: String) {{\n{NEW}.add(h, "{ABSENT}")\n}}': (
        "`h` is a parameter"
    ),
    f'val h = "y.org"\nfun f() {{\nfor (h in hosts) {{\n'
    f'CertificatePinner.Builder().add(h, "{ABSENT}").build()\n}}\n}}': (
        "`h` is a variable of a loop"
    ),
    f'val a = a\n{NEW}.add(a, "{ABSENT}")': "is nested too deeply",
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
        loads(f'{NEW}.add("x.org")\n.add(y)\n.add("z.org", "sha256/x").build()\n')
    lines = str(caught.value).splitlines()
    assert sorted(line[:16] for line in lines) == [
        "Pins.kt: line 1:",
        "Pins.kt: line 2:",
        "Pins.kt: line 3:",
    ]


ONE = f'CertificatePinner.Builder().add("cdn.org", "{OTHER}")'
BUILT = f'.add("x.org", "{ABSENT}").build()\n'
STAGED = f'.add("x.org", "{OTHER}").build()\n'
MORE_BUILDERS = {
    "an alias in Kotlin": "import okhttp3.CertificatePinner as Pinner\n"
    f"val a = Pinner.Builder(){BUILT}val b = Pinner.Builder(){STAGED}",
    "the inner class in Java": "import okhttp3.CertificatePinner.Builder;\n"
    f"A a = new Builder(){BUILT};\nA b = new Builder(){STAGED};",
    "the inner class in Kotlin": "import okhttp3.CertificatePinner.Builder\n"
    f"val a = Builder(){BUILT}val b = CertificatePinner.Builder(){STAGED}",
}
HIDDEN = {
    "a quotation mark in a template": (
        f"""val b = {ONE}\nlog("host ${{'"'}}"); b.add("x.org", "{ABSENT}"); log("")"""
    ),
    "a call in a template": (
        f"""val b = {ONE}\nlog("${{b.add("x.org", "{ABSENT}")}}")"""
    ),
    "pins +=": f'val b = {ONE}\nb.pins += CertificatePinner.Pin("x.org", "{ABSENT}")',
    "pins.addAll": f"val b = {ONE}\nb.pins.addAll(others)",
    "lines that end in CR": f'val b = {ONE} // one\rb.add("x.org", "{ABSENT}")\r',
}


@pytest.mark.parametrize("what", MORE_BUILDERS)
def test_a_builder_under_another_name_is_a_second_one(what: str) -> None:
    """A pin that is there for tests would count for users, too."""
    name = "Pins.java" if "Java" in what else "Pins.kt"
    with pytest.raises(PolicyError, match=r": line [1-4]: a second CertificateP"):
        loads(MORE_BUILDERS[what], name)


@pytest.mark.parametrize("what", HIDDEN)
def test_no_way_to_pin_a_host_is_passed_over(what: str) -> None:
    """It is read, or refused by name: the host would have no pins."""
    try:
        rules = loads(HIDDEN[what])
    except PolicyError as error:
        assert re.match(r"Pins\.kt: line [12]: ", str(error))  # noqa: PT017
    else:
        assert rules == Rules({"cdn.org": [OTHER], "x.org": [ABSENT]})


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
    assert loads(f'{NEW}.add("x.org", "{cert.pin}").build()') == Rules(
        {"x.org": [Pin.spki(cert.spki)]}
    )


def test_a_dropped_blocked_key_is_told_even_if_it_is_allowed() -> None:
    """A loss that is allowed still names its rule."""
    one, other = (cert.pin for cert in pool()[:2])
    rules = Rules({"x.org": PinSet([one], blocked=[other])})
    told = dump_rules(rules, format="okhttp", allow=["blocked"]).losses
    assert [(loss.kind, loss.where) for loss in told] == [("blocked", "x.org")]
