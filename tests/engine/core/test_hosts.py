"""Hosts: one canonical spelling for each, and a reason for each text that has none.

A host that two libraries read differently can evade a rule, so it is refused: numbers
that browsers take for addresses, letters that two versions of IDNA map differently,
characters that look like dots.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import string

import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import policy_model as model
from examples import examples
from pinverify import PolicyError
from pinverify._core import ffi, lib
from pinverify.core import _hosts as hosts
from pinverify.core._hosts import canonical_host, is_address
from pinverify.core._keys import status_text

__all__: list[str] = []


def refusal(host: str | bytes) -> str:
    """Return why a host is refused, in words; it must quote the host."""
    with pytest.raises(PolicyError) as caught:
        hosts.canonical(host)
    message = str(caught.value)
    assert message.startswith(f"{host!r} is not a host: ")
    return message.removeprefix(f"{host!r} is not a host: ")


# ---- names -------------------------------------------------------------------

NAME_CHARACTERS = string.ascii_letters + string.digits + "-_"
LABELS = st.text(NAME_CHARACTERS, min_size=1, max_size=63)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@settings(deadline=None)
@given(NAMES)
@example("EXAMPLE.org")
@example("a_b-c.--.__")
@example("x0x1.0xg")
@example("a.1a")
def test_a_name_becomes_lower_case(name: str) -> None:
    """Letters, digits, hyphens and underscores, in any order, in each label."""
    expected = model.canonical(name)
    if expected is None:  # too long, or it ends in a number
        refusal(name)
        return
    assert hosts.canonical(name) == expected
    assert hosts.canonical(name.encode()) == expected
    assert canonical_host(name) == expected
    assert expected.lower() == expected


@settings(deadline=None)
@given(NAMES)
def test_the_canonical_form_is_its_own(name: str) -> None:
    """To canonicalise twice changes nothing: rule and look-up can't drift apart."""
    try:
        canonical = hosts.canonical(name)
    except PolicyError:
        return
    assert hosts.canonical(canonical) == canonical


def test_one_trailing_dot_is_dropped() -> None:
    """The root of the DNS may be written; twice it is an empty label."""
    assert hosts.canonical("example.org.") == "example.org"
    assert hosts.canonical("ORG.") == "org"
    assert hosts.canonical("10.0.0.1.") == "10.0.0.1"
    for host in ("example.org..", ".", ".."):
        assert refusal(host) == "it has an empty label"
    assert "no IPv6" not in refusal("::1.")


def test_an_empty_host_is_refused() -> None:
    """An empty name matches nothing, and must not match everything."""
    for host in ("", b""):
        assert refusal(host) == "it is empty"


@pytest.mark.parametrize("host", [".a", "a..b", "a...b", "..a", "a..", ".a.", "1..2"])
def test_an_empty_label_is_refused(host: str) -> None:
    """Some resolvers skip it, so it could be another name."""
    assert refusal(host) == "it has an empty label"


def test_a_label_has_at_most_63_bytes() -> None:
    """63 pass and 64 do not, in any place (RFC 1035, 2.3.4)."""
    for form in ("{}", "{}.org", "a.{}", "a.{}.org", "{}."):
        longest = form.format("a" * 63)
        assert hosts.canonical(longest) == longest.rstrip(".")
        assert refusal(form.format("a" * 64)) == "it has a label of more than 63 bytes"


def test_a_name_has_at_most_253_bytes() -> None:
    """253 pass and 254 do not; a trailing dot does not count."""
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(longest) == 253
    assert hosts.canonical(longest) == longest
    assert hosts.canonical(longest + ".") == longest
    for host in (longest + "a", longest + "a.", "a." + longest, "a" * 1_000_000):
        assert refusal(host) == "it has more than 253 bytes"


def assert_as_the_model_says(host: str | bytes) -> None:
    """A host has the canonical form of the model, or neither has one."""
    expected = model.canonical(host)
    if expected is None:
        assert refusal(host)
    else:
        assert hosts.canonical(host) == expected


def test_every_byte_is_allowed_or_refused_as_the_model_says() -> None:
    """All 256, alone, first, last and in the middle of a label."""
    for byte in range(256):
        for before, after in itertools.product((b"", b"a"), (b"", b"a", b"a.b")):
            assert_as_the_model_says(before + bytes([byte]) + after)


@pytest.mark.parametrize("size", [15, 16, 17, 31, 32, 40])
def test_every_byte_of_a_long_name_is_read(size: int) -> None:
    """All 256 at each place: names are read sixteen bytes at a time, and the rest."""
    for place in range(size):
        name = bytearray(b"abcdefg.0_4-XYZ." * 3)[:size]
        name[-1:] = b"z"
        for byte in range(256):
            name[place] = byte
            assert_as_the_model_says(bytes(name))


def test_every_length_of_two_labels_is_read() -> None:
    """Empty, short, 63 bytes and longer, so that dots are at every place."""
    for first, second in itertools.product(range(67), repeat=2):
        for end in ("", ".", ".."):
            assert_as_the_model_says("a" * first + "." + "b" * second + end)


@settings(deadline=None)
@given(st.lists(st.integers(0, 65).map("a".__mul__), min_size=1, max_size=8))
def test_labels_of_any_lengths_make_a_name_or_none(labels: list[str]) -> None:
    """The length of a label is counted across all that is read at a time."""
    assert_as_the_model_says(".".join(labels))


@pytest.mark.parametrize(
    "host",
    [
        "example.org\0",
        "\0",
        "example.org\0.evil.example",
        "exa\0mple.org",
        b"example.org\0.evil.example",
    ],
    ids=ascii,
)
def test_nul_is_refused(host: str | bytes) -> None:
    """C would read the name up to the NUL, and DNS all of it."""
    assert refusal(host).startswith("it has a character other than letters, digits")


@pytest.mark.parametrize(
    "host",
    [
        " example.org",
        "example.org ",
        "example.org\n",
        "exam ple.org",
        "example.org/",
        "user@example.org",
        "*.example.org",
        "example.org?",
        "example.org#",
        "example%2eorg",
        "ex\tample.org",
        "a,b",
        "\x7f.org",
    ],
)
def test_another_character_is_refused(host: str) -> None:
    """A host is no URL and no pattern."""
    assert refusal(host).startswith("it has a character other than letters, digits")


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=20), st.text(max_size=12), NAMES))
def test_any_host_has_the_canonical_form_of_the_model_or_is_refused(
    host: str | bytes,
) -> None:
    """ASCII text and bytes; a reason in words for whatever is refused."""
    if isinstance(host, str) and not host.isascii():
        with contextlib.suppress(PolicyError):
            canonical = hosts.canonical(host)
            assert canonical == model.canonical(canonical)
            assert "xn--" in canonical
    else:
        assert_as_the_model_says(host)


# ---- IPv4 --------------------------------------------------------------------


@settings(deadline=None)
@given(st.ip_addresses(v=4))
@example(ipaddress.IPv4Address("0.0.0.0"))  # noqa: S104  (nobody listens)
@example(ipaddress.IPv4Address("255.255.255.255"))
def test_a_dotted_quad_is_its_own_canonical_form(
    address: ipaddress.IPv4Address,
) -> None:
    """Also with a trailing dot, as resolvers take it."""
    assert hosts.canonical(str(address)) == str(address)
    assert hosts.canonical(f"{address}.") == str(address)
    assert is_address(str(address))


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 300).map(str),
            st.integers(0, 255).map("{:03d}".format),
            st.integers(0, 255).map(hex),
            st.integers(0, 2**32 + 1).map(str),
            st.sampled_from(["", "0x", "0X1F", "1a", "a", "-1", "+1", "00", "0o7"]),
        ),
        min_size=1,
        max_size=5,
    ).map(".".join)
)
def test_what_looks_like_an_ipv4_address_is_one_or_is_refused(host: str) -> None:
    """`ipaddress` decides whether it is one; nothing is taken for a name."""
    try:
        expected: str | None = str(ipaddress.IPv4Address(host.removesuffix(".")))
    except ValueError:
        expected = model.canonical(host)
        if expected is not None:
            last = expected.rpartition(".")[2]
            assert not last.isdigit()
            assert not last.startswith("0x") or set(last[2:]) - set(string.hexdigits)
    if expected is None:
        refusal(host)
    else:
        assert hosts.canonical(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        # The URL standard and inet_aton read each of these as an address.
        "1",
        "0",
        "127.1",
        "1.2.3",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "127.0.0.0x1",
        "0x",
        "1.0x",
        "0177.0.0.1",
        "127.0.0.01",
        "00.0.0.0",
        "1.2.3.08",
        "256.0.0.1",
        "1.2.3.256",
        "1.2.3.4.5",
        "1.2.3.4294967296",
        "99999999999999999999",
        # The URL standard fails on these: their last label is a number.
        "example.1",
        "example.0x1f",
        "a.b.00",
        "foo.0XABCDEF",
        "1.2.3.4a.5",
        "-1.2.3.4",
    ],
)
def test_a_host_that_ends_in_a_number_is_a_dotted_quad_or_refused(host: str) -> None:
    """It has another meaning to each library (WHATWG URL, "ends in a number")."""
    for spelling in (host, host + "."):
        assert refusal(spelling).startswith("it ends in a number and is not four")


@pytest.mark.parametrize(
    "host",
    [
        *("0xg", "a.0xfg", "1.2.3.4a", "1a", "a1", "0x1.a", "1.a", "x0x1", "0-1"),
        *("x1", "a.x1", "00x1", "a.00x1", "1x1", "0y1", "a.x", "0x1x1", "0-0x1"),
    ],
)
def test_a_host_that_only_resembles_a_number_is_a_name(host: str) -> None:
    """The last label decides, and all of it."""
    assert hosts.canonical(host) == host
    assert not is_address(host)


@pytest.mark.parametrize("before", ["", "a.", "f" * 14 + ".", "b1." * 20])
@pytest.mark.parametrize("size", [1, 2, 14, 15, 16, 17, 18, 31, 32, 33, 48, 49, 63])
def test_the_last_label_of_a_long_name_is_read(before: str, size: int) -> None:
    """Any of its letters may be the one that makes it a name: all sizes, all places."""
    for digits in ("1" * size, ("0x" + "5" * size)[:size], ("0X" + "Fe" * size)[:size]):
        for place, letter in itertools.product(range(size), "09afgFGx-"):
            label = digits[:place] + letter + digits[place + 1 :]
            assert_as_the_model_says(before + label)


# ---- IPv6 --------------------------------------------------------------------


def packed(address: str) -> bytes:
    """Return the 16 bytes of an address, by `ipaddress`."""
    return ipaddress.IPv6Address(address).packed


GROUPS = st.lists(
    st.one_of(st.just(0), st.just(0), st.integers(0, 0xFFFF)), min_size=8, max_size=8
)
ADDRESSES = st.one_of(
    st.ip_addresses(v=6).map(lambda a: a.packed),
    GROUPS.map(lambda groups: b"".join(group.to_bytes(2, "big") for group in groups)),
)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw an address and one of its many spellings (RFC 4291, 2.2)."""
    address = draw(ADDRESSES)
    groups = [int.from_bytes(address[i : i + 2], "big") for i in range(0, 16, 2)]
    forms = st.sampled_from(["{:x}", "{:X}", "{:04x}", "{:03x}", "{:04X}"])
    written = [draw(forms).format(group) for group in groups]
    quad_is_last = draw(st.booleans())
    if quad_is_last:
        written[6:] = [str(ipaddress.IPv4Address(address[12:]))]
    zero_runs = [
        (start, end)
        for start in range(8)
        for end in range(start + 1, 7 if quad_is_last else 9)
        if not any(groups[start:end])
    ]
    if not zero_runs or draw(st.booleans()):
        return ":".join(written), address
    start, end = draw(st.sampled_from(zero_runs))
    return ":".join(written[:start]) + "::" + ":".join(written[end:]), address


@settings(max_examples=examples(500), deadline=None)
@given(spellings())
def test_every_spelling_of_an_ipv6_address_becomes_the_shortest(
    drawn: tuple[str, bytes],
) -> None:
    """The same 16 bytes, in the one form of RFC 5952, always in hexadecimal."""
    text, address = drawn
    assert packed(text) == address
    canonical = hosts.canonical(text)
    assert packed(canonical) == address
    assert canonical == model.canonical(text)
    assert hosts.canonical(canonical) == canonical
    assert "." not in canonical
    assert is_address(canonical)


@settings(deadline=None)
@given(ADDRESSES)
def test_the_canonical_form_is_that_of_ipaddress(address: bytes) -> None:
    """Except where `ipaddress` writes a dotted quad: IPv4-mapped, since 3.13."""
    text = str(ipaddress.IPv6Address(address))
    if "." not in text:
        assert hosts.canonical(text) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("::", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("1::1", "1::1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        # RFC 5952, 4.2.2: one zero group is not shortened, even where it may be.
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("1:2:3::5:6:7:8", "1:2:3:0:5:6:7:8"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        # 4.2.3: the longest run, and of two as long the first.
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"),
        ("1:0:0:1:1:1:0:0", "1::1:1:1:0:0"),
        ("0:1:0:0:0:0:1:0", "0:1::1:0"),
        ("::ffff:192.0.2.1", "::ffff:c000:201"),
        ("::FFFF:C000:0201", "::ffff:c000:201"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"),
        ("::1.2.3.4", "::102:304"),
        ("1::0.0.0.0", "1::"),
        ("FEDC:ba98::aF", "fedc:ba98::af"),
    ],
)
def test_the_shortest_form_is_that_of_rfc_5952(text: str, canonical: str) -> None:
    """Section 4, one line for each of its rules."""
    assert hosts.canonical(text) == canonical
    assert packed(text) == packed(canonical)


@pytest.mark.parametrize(
    "host",
    [
        ":",
        ":::",
        "::::",
        "1:::2",
        "1::2::3",
        ":1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8:",
        "1:2:3:4:5:6:7:",
        ":1",
        "1:",
        "::1:",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8:7",  # the ninth group, where a count may stand in memory
        "1:2:3:4:5:6:7:0.0.0.6",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "12345::",
        "::00001",
        "::g",
        "::-1",
        "::+1",
        "::0x1",
        ":: 1",
        "::1 ",
        "::1\0",
        "::1.2.3",
        "::1.2.3.4.5",
        "::01.2.3.4",
        "::1.2.3.256",
        "::1.2.3.4:5",
        "1.2.3.4::",
        "1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.4.",
        "::a.2.3.4",
        "::1.",
        "::ffff:1.2.3.4a",
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "::1%",
        "[::1]",
        "[::1",
        "::1]",
        "[::1]:443",
        "::1/128",
        "example.org:443",
        "10.0.0.1:443",
        "https://example.org",
    ],
    ids=ascii,
)
def test_a_host_with_a_colon_is_an_ipv6_address_or_refused(host: str) -> None:
    """No zone, no port, no brackets: those belong to a URL or a socket."""
    assert refusal(host).startswith("it has a colon, which only a bare IPv6 address")


@st.composite
def damaged_addresses(draw: st.DrawFn) -> str:
    """Draw the spelling of an address with up to two characters off."""
    text, _ = draw(spellings())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 1))
        text = text[:at] + draw(st.text("01f:.", max_size=1)) + text[end:]
    return text


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(damaged_addresses(), st.text("0123fF:.", max_size=24)))
def test_text_with_a_colon_is_an_address_where_ipaddress_says_so(host: str) -> None:
    """Colons, dots and digits in any order: neither reads what the other refuses."""
    if ":" not in host:
        return
    try:
        address = packed(host)
    except ValueError:
        refusal(host)
        return
    assert packed(hosts.canonical(host)) == address


# ---- names that are not ASCII ------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example".lower(), "xn--bcher-kva.example"),
        ("bücher.EXAMPLE.", "xn--bcher-kva.example"),
        ("www.bücher.example", "www.xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"),
        ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("l·l.cat", "xn--ll-0ea.cat"),
    ],
)
def test_u_labels_become_a_labels(name: str, canonical: str) -> None:
    """RFC 5891: both spellings of a name meet in one rule."""
    assert hosts.canonical(name) == canonical
    assert hosts.canonical(canonical) == canonical
    assert hosts.canonical(canonical.upper()) == canonical


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("faß.de", "xn--fa-hia", "fass"),
        ("straße.example", "xn--strae-oqa", "strasse"),
        ("βόλος.com", "xn--nxasmm1c", "xn--nxasmq6b"),
        ("ς.gr", "xn--3xa", "xn--4xa"),
        ("क्\u200dष.example", "xn--11b2ezcw70k", "xn--11b2ezc"),
        (
            "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com",
            "xn--mgba3gch31f060k",
            "xn--mgba3gch31f",
        ),
    ],
    ids=ascii,
)
def test_a_letter_that_two_versions_of_idna_read_differently_is_refused(
    name: str, one: str, other: str
) -> None:
    """A rule for one name must not be taken for a rule about another.

    The ss of a sharp s, the final sigma, and the two joiners (UTS 46, section 7).
    Both A-labels are shown, so that the author can write the one that is meant.
    """
    why = refusal(name)
    assert "IDNA 2008" in why
    assert "IDNA 2003" in why
    assert repr(one) in why
    assert repr(other) in why


@pytest.mark.parametrize("dot", ["\u3002", "\uff0e", "\uff61"], ids=ascii)
def test_a_dot_that_is_not_ascii_is_refused(dot: str) -> None:
    """Browsers take it for a dot and others don't: it moves the labels."""
    for host in (f"example{dot}org", f"bücher{dot}example", f"a{dot}", f"127{dot}1"):
        assert refusal(host) == "it has a dot that is not ASCII; write '.'"


@pytest.mark.parametrize(
    "digit", ["\u0661", "\u06f1", "\u0967", "\uff11", "\U0001d7cf"], ids=ascii
)
def test_a_digit_that_is_not_ascii_is_refused(digit: str) -> None:
    """Arabic, Persian, Devanagari, full-width, mathematical: some map to 1."""
    for host in (digit, f"{digit}.example", f"a{digit}.example", f"127.0.0.{digit}"):
        assert refusal(host) == "it has a digit that is not ASCII"


@pytest.mark.parametrize(
    "label",
    [
        "BÜCHER",
        "Bücher",
        "bÜcher",
        "bücheR",
        "ПРИМЕР",
        "\u212a",  # the sign of kelvin, which lower() makes a k
        "\uff45xample",
        "ﬁnd",
        "ⅳ",
        "a²",
        "a⒈com",
        "e\u0301",  # not composed
        "\u0301a",  # begins with a combining mark
        "-ü",
        "ü-",
        "ab--ü",
        "xn--ü",
        "a\u00adb",  # a soft hyphen
        "a\u200bb",  # a space without width
        "a\u200db",  # a joiner without a virama before it
        "a\u2024b",  # one dot leader
        "a\u2044b",  # a slash, to the eye
        "☃",
        "💩",
        "·ü",
        "אa",
        "\ud800",
        "ü\0",
        "ü ",
        "ü" * 60,
    ],
    ids=ascii,
)
def test_what_is_no_u_label_is_refused(label: str) -> None:
    """No mapping (UTS 46 is off): upper case and look-alikes are no U-labels."""
    for host in (label, f"www.{label}.example", f"bücher.{label}"):
        why = refusal(host)
        assert "is not a U-label: " in why or "digit that is not ASCII" in why


def test_the_rest_of_a_name_with_u_labels_is_judged_as_ever() -> None:
    """Empty labels, NUL, numbers at the end, and lengths as A-labels."""
    for host, why in (
        ("ü..example", "empty label"),
        (".ü", "empty label"),
        ("ü.exa\0mple", "character"),
        ("ü.1", "ends in a number"),
        ("ü.0x1f", "ends in a number"),
        ("ü:443", "is not a U-label"),
        ("ü." + "a" * 64, "63 bytes"),
        (".".join(["ü" * 50] * 5), "253 bytes"),
    ):
        with pytest.raises(PolicyError, match=why):
            hosts.canonical(host)
    # xn--…, 63 bytes: the longest that passes, and one more.
    assert len(hosts.canonical("ü" + "a" * 55)) == 63
    refusal("ü" + "a" * 56)


def test_a_host_of_u_labels_may_be_as_long_as_any() -> None:
    """253 bytes as A-labels, with a dot behind them or not; and no byte more."""
    labels = ".".join(["ü"] * 25)
    room = 253 - len(hosts.canonical(labels)) - 1
    for dot in ("", "."):
        longest = f"{labels}.{'a' * room}{dot}"
        assert len(hosts.canonical(longest)) == 253
        with pytest.raises(PolicyError, match="more than 253 bytes"):
            hosts.canonical("a" + longest)


@settings(deadline=None)
@given(st.text("aü字я-", min_size=1, max_size=20))
def test_no_a_label_is_shorter_than_a_host_is_taken_to_be(label: str) -> None:
    """So what is refused for its length would be refused as A-labels as well."""
    with contextlib.suppress(PolicyError):
        assert len(hosts.canonical(label)) + 1 >= hosts.least_len(label)


def test_labels_are_not_converted_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a host that is too long anyway, or was there before."""
    calls = []
    alabel = idna.alabel

    def noted(label: str) -> bytes:
        calls.append(label)
        return alabel(label)

    monkeypatch.setattr(idna, "alabel", noted)
    for host in ("ü." * 43, "ü." * 16_000, "ü" * 251, "ü." + "a" * 1_000_000):
        assert refusal(host) == "it has more than 253 bytes"
    assert not calls
    hosts.in_a_labels.cache_clear()
    assert hosts.canonical("ü.ö") == hosts.canonical("ü.ö") == "xn--tda.xn--nda"
    assert calls == ["ü", "ö"]
    maxsize = hosts.in_a_labels.cache_info().maxsize
    assert maxsize is not None
    assert maxsize < 10_000


def test_bytes_are_taken_as_ascii() -> None:
    """OpenSSL and asyncio hand out bytes; UTF-8 in them is no name."""
    assert hosts.canonical(b"Example.ORG.") == "example.org"
    assert hosts.canonical(b"xn--bcher-kva.example") == "xn--bcher-kva.example"
    for host in ("bücher.example".encode(), b"b\xfccher.example", b"\xff", b"\x80.a"):
        assert refusal(host).startswith("it has a character")
    with pytest.raises(PolicyError, match="it has a character"):
        canonical_host("bücher.example")


# ---- the C function ----------------------------------------------------------

STATUSES = {
    "PV_ERR_HOST_EMPTY": ("", "it is empty"),
    "PV_ERR_HOST_TOO_LONG": ("a." * 127 + "a", "it has more than 253 bytes"),
    "PV_ERR_HOST_LABEL_EMPTY": ("a..b", "it has an empty label"),
    "PV_ERR_HOST_LABEL_TOO_LONG": ("a" * 64, "it has a label of more than 63 bytes"),
    "PV_ERR_HOST_CHARACTER": ("a b", "it has a character other than letters"),
    "PV_ERR_HOST_IPV4": ("1.2.3", "it ends in a number"),
    "PV_ERR_HOST_IPV6": ("::g", "it has a colon"),
}


def test_every_status_of_a_host_has_an_example_here() -> None:
    """None is left out of the next test."""
    assert set(STATUSES) == {name for name in dir(lib) if "PV_ERR_HOST_" in name}


@pytest.mark.parametrize("name", STATUSES)
def test_each_status_of_a_host_has_its_reason_in_words(name: str) -> None:
    """And on any failure the outputs are empty, whatever stood in them."""
    host, words = STATUSES[name]
    out = ffi.new("char[]", b"x" * (lib.PV_HOST_MAX + 1))
    out_len = ffi.new("size_t *", 99)
    data = host.encode()
    status = lib.pv_host_canonical(out, out_len, data, len(data))
    assert status == getattr(lib, name)
    assert status_text(status).startswith(words)
    assert refusal(host).startswith(words)
    assert out_len[0] == 0
    assert not any(bytes(ffi.buffer(out, lib.PV_HOST_MAX + 1)))


def test_the_canonical_host_is_ended_by_nul_and_its_length_told() -> None:
    """The longest host fills its room but for the NUL."""
    longest = (".".join(["A" * 63] * 3 + ["A" * 61])).encode()
    for host in (b"a", longest, longest + b".", b"::"):
        out = ffi.new("char[]", b"x" * (lib.PV_HOST_MAX + 1))
        out_len = ffi.new("size_t *")
        assert lib.pv_host_canonical(out, out_len, host, len(host)) == lib.PV_OK
        expected = host.rstrip(b".").lower()
        assert out_len[0] == len(expected)
        assert ffi.string(out) == expected
        room = bytes(ffi.buffer(out, lib.PV_HOST_MAX + 1))
        assert not any(room[len(expected) :])
