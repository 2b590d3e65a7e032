"""The text of a rejection: its words, its lines, and the subjects of a hostile peer."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from pinverify import (
    Pin,
    PinKind,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    Rules,
    core,
)
from pinverify.errors import printable, shortened
from pinverify.policy._pinning_error import LINES_MAX, mistaken_pins
from pinverify.policy._policy import verify_at
from pki import Authority, Identity, Pki
from policy_samples import ABSENT, HOST, NOON, OTHER
from rejections import hostile_chain, many_pins, refusal, rejected

__all__: list[str] = []


@pytest.fixture(scope="module")
def hostile() -> list[bytes]:
    """Fifty certificates whose subjects try all that a terminal obeys."""
    return hostile_chain()


# ---- its words ---------------------------------------------------------------


def test_the_message_names_host_chain_and_pins(pki: Pki) -> None:
    """It has the keys that were seen and the pins, ready to paste into a rule."""
    message = str(refusal(pki.server.chain_der, [ABSENT, pki.impostor.pin]))
    first, *rest = message.splitlines()
    assert repr(HOST) in first
    for expected in (ABSENT, pki.impostor.pin):
        assert sum(expected in line for line in rest) == 1
    for identity, subject in ((pki.server, "localhost"), (pki.ca, "Example CA 1")):
        [line] = [line for line in rest if identity.pin in line]
        assert f"CN={subject}" in line


def test_the_message_names_the_rule_where_it_is_not_the_host(pki: Pki) -> None:
    """A wildcard rule is what a person has to look for in the policy."""
    message = str(refusal(pki.server.chain_der, pattern="**.example.com"))
    assert repr(HOST) in message
    assert "**.example.com" in message


def test_the_message_says_which_list_was_missed(pki: Pki) -> None:
    """Pins for the leaf and pins for an authority are told apart."""
    other = pki.impostor.pin
    message = str(refusal(pki.server.chain_der, PinSet(leaf=[other], ca=[ABSENT])))
    [leaf] = [line for line in message.splitlines() if other in line]
    [ca] = [line for line in message.splitlines() if ABSENT in line]
    assert "leaf" in leaf
    assert "ca" in ca.replace(ABSENT, "")


def next_step(chain: list[bytes], pinset: PinSet) -> str:
    """Return the last line of a rejection."""
    *_, last = str(refusal(chain, pinset)).splitlines()
    assert last.startswith("  next:    ")
    return last.removeprefix("  next:    ")


def test_the_message_tells_a_pin_in_the_wrong_list(pki: Pki) -> None:
    """It is in the chain, so nobody need look for an attack."""
    chain = pki.server.chain_der
    of_ca = next_step(chain, PinSet(leaf=[pki.ca.pin, ABSENT]))
    assert of_ca.startswith(f"{pki.ca.pin} is the pin of certificate 1, where leaf ")
    assert of_ca.endswith("move it to ca")
    of_leaf = next_step(chain, PinSet(ca=[pki.server.certificate_pin]))
    assert of_leaf.startswith(f"{pki.server.certificate_pin} is the pin of certificate")
    assert of_leaf.endswith("move it to leaf")


def test_the_message_tells_the_hash_of_something_else(pki: Pki) -> None:
    """A certificate's hash as a key's, a key's as a certificate's; and PEM."""
    chain = pki.server.chain_der
    whole = Pin.spki(Pin.parse(pki.ca.certificate_pin).digest)
    told = next_step(chain, PinSet([whole, ABSENT]))
    assert told.startswith(f"{whole} is the hash of the whole certificate of cert")
    assert told.endswith(f"if you mean that one, write {pki.ca.certificate_pin}")
    key = Pin.certificate(Pin.parse(pki.server.pin).digest)
    told = next_step(chain, PinSet(leaf=[key]))
    assert told.endswith(
        f"of certificate 0; if you mean that one, write {pki.server.pin}"
    )
    pem = Pin.spki(core.sha256(pki.server.public_key_pem.encode("ascii")))
    told = next_step(chain, PinSet([pem]))
    assert "is the hash of the PEM text of the key of certificate 0" in told


NUMBERS_OF_PINS = (1, 9, 10_000)
LISTS = ("pins", "leaf", "ca")


def mistakes(pki: Pki) -> Iterator[tuple[str, Pin, str]]:
    """Yield each mistake that the message knows: a list, the pin in it, the advice."""
    for depth, cert in enumerate(pki.server.chain_der):
        wrong = "leaf" if depth else "ca"
        for own in (Pin.from_certificate(cert), Pin.certificate(core.sha256(cert))):
            yield wrong, own, f"{own} is the pin of certificate {depth}, where {wrong}"
        recipes = mistaken_pins(cert).items()
        assert len({mistaken.hashed for _, mistaken in recipes}) > 8
        for (pin, mistaken), name in zip(recipes, itertools.cycle(LISTS), strict=False):
            yield name, pin, f"{pin} is the hash of {mistaken.hashed} of certificate"


def test_advice_does_not_depend_on_the_length_of_the_list(pki: Pki) -> None:
    """The same mistake in a rule of 1, 9 and 10,000 pins: the same text but for those.

    A pin that is not shown is compared, too: otherwise the advice for a long list would
    be to treat the connection as intercepted.
    """
    chain = pki.server.chain_der
    others = many_pins(max(NUMBERS_OF_PINS) - 1)
    others_of_certificates = many_pins(max(NUMBERS_OF_PINS) - 1, PinKind.CERTIFICATE)
    for name, pin, advice in mistakes(pki):
        more = others if pin.kind is PinKind.SPKI else others_of_certificates
        texts = []
        for num in NUMBERS_OF_PINS:
            lists: dict[str, list[Pin]] = {key: [] for key in LISTS}
            lists[name] = [*more[: num - 1], pin]
            pinset = PinSet(lists["pins"], leaf=lists["leaf"], ca=lists["ca"])
            policy = Policy({HOST: pinset}, blocked=many_pins(3))
            lines = str(rejected(policy, chain)).splitlines()
            texts.append([line for line in lines if not is_of_a_list(line)])
        assert texts[0] == texts[1] == texts[2]
        assert texts[0][-1].startswith(f"  next:    {advice}")


def is_of_a_list(line: str) -> bool:
    """Return True for a line with a pin of the rule, or with the number of others."""
    return bool(re.fullmatch(r"(sha256/|cert-sha256:)\S+|… and [\d,]+ more", line[11:]))


@pytest.mark.parametrize("num", NUMBERS_OF_PINS)
def test_a_wider_rule_is_told_however_many_pins_there_are(num: int, pki: Pki) -> None:
    """Its pins and those of the rule that decided may be as many as they are."""
    others = many_pins(num - 1)
    authority = Pin.parse(pki.ca.pin)
    rules = {"**.example.com": [*others, authority], HOST: [*others, Pin.parse(ABSENT)]}
    text = str(rejected(Policy(rules), pki.server.chain_der))
    assert "  next:    the pins of **.example.com match, but " in text


@pytest.mark.parametrize(
    ("expires", "days", "told"), [(2001, -1, 1), (2099, 1, 0)], ids=["then", "today"]
)
def test_a_wider_rule_is_judged_at_the_moment_of_the_decision(
    pki: Pki, expires: int, days: int, told: int
) -> None:
    """It matched then, and has expired today; or it had expired then, and has not yet.

    Decisions about other days are those of an audit, and texts are made later.
    """
    last = dt.datetime(expires, 1, 1, tzinfo=dt.UTC)
    wider = PinSet([pki.ca.pin], expires=last, after_expiry="reject")
    policy = Policy({"**.example.com": wider, HOST: [ABSENT]})
    now = last + dt.timedelta(days=days)
    with pytest.raises(PinningError) as caught:
        policy.verify(HOST, pki.server.chain_der, now=now)
    assert str(caught.value).count("the pins of **.example.com match") == told
    with pytest.raises(PinningError) as caught:
        verify_at(policy, HOST, pki.server.chain_der, int(now.timestamp()))
    assert str(caught.value).count("the pins of **.example.com match") == told


@pytest.mark.parametrize(
    ("wider", "narrower"),
    [
        ("**.example.com", HOST),
        ("*.example.com", HOST),
        ("**.com", HOST),
        (f"**.{HOST}", HOST),
        ("**.example.com", "*.example.com"),
        ("**.com", "**.example.com"),
    ],
)
def test_the_message_tells_a_wider_rule_whose_pins_match(
    wider: str, narrower: str, pki: Pki
) -> None:
    """Other systems unite rules; here the most specific one decides alone."""
    rules = {wider: [pki.ca.pin], narrower: [ABSENT], "z.example": [pki.ca.pin]}
    error = rejected(Policy(rules), pki.server.chain_der)
    assert str(error).endswith(
        f"  next:    the pins of {wider} match, but {narrower} decides alone; if you "
        "mean those, add them to it"
    )


@pytest.mark.parametrize(
    "rules",
    [
        {HOST: [ABSENT], "**.example.com": [OTHER]},
        {HOST: [ABSENT], "other.example.com": ["@CA"]},
        {HOST: [ABSENT], "**.example.org": ["@CA"]},
        {HOST: [ABSENT], f"*.{HOST}": ["@CA"]},
        {HOST: [ABSENT], "*.com": ["@CA"]},
        {HOST: [ABSENT], "*.example.com": [OTHER], "**.example.com": [OTHER]},
    ],
)
def test_the_message_tells_no_rule_that_does_not_match(
    rules: dict[str, list[str]], pki: Pki
) -> None:
    """Nor one whose pattern does not cover the host."""
    hosts = {
        pattern: [pki.ca.pin if pin == "@CA" else pin for pin in pins]
        for pattern, pins in rules.items()
    }
    error = rejected(Policy(hosts), pki.server.chain_der)
    assert "treat the connection as intercepted" in str(error)


def test_no_rule_is_wider_than_that_of_an_address(pki: Pki) -> None:
    """And none than that of peers without a name."""
    policy = Policy({"192.0.2.1": [ABSENT]})
    with pytest.raises(PinningError, match="intercepted"):
        policy.verify("192.0.2.1", pki.server.chain_der)
    with pytest.raises(PinningError, match="intercepted"):
        Policy.for_clients(PinSet([ABSENT])).verify(None, pki.server.chain_der)


def test_a_mismatch_without_an_explanation_may_be_an_attack(pki: Pki) -> None:
    """A pin that has nothing to do with the chain, or that matches in its place."""
    chain = pki.server.chain_der
    for pinset in (
        PinSet([ABSENT]),
        PinSet(leaf=[ABSENT], ca=[pki.ca.pin]),
        PinSet([pki.impostor.pin], leaf=[pki.server.pin]),
    ):
        assert "treat the connection as intercepted" in next_step(chain, pinset)


def test_the_message_lists_the_pins_of_the_rule_that_decided(pki: Pki) -> None:
    """Pins of another rule would be copied to where they let a wrong key in."""
    rules = {"a.example": [OTHER], HOST: [ABSENT], "z.example": [pki.impostor.pin]}
    for policy in (
        Policy(rules),
        Policy(Rules(rules, clients=PinSet(leaf=[pki.client.pin]))),
    ):
        error = rejected(policy, pki.server.chain_der)
        assert ABSENT in str(error)
        for another in (OTHER, pki.impostor.pin, pki.client.pin):
            assert another not in str(error)


def test_the_message_shows_certificate_pins_where_the_rule_has_some(pki: Pki) -> None:
    """A user who pins whole certificates needs their hashes, not those of the keys."""
    message = str(refusal(pki.server.chain_der, [pki.impostor.certificate_pin]))
    assert pki.impostor.certificate_pin in message
    assert pki.server.certificate_pin in message
    assert pki.ca.certificate_pin in message


def test_the_message_says_what_to_do_next(pki: Pki) -> None:
    """A message that only complains gets pinning switched off."""
    for chain, policy in (
        (pki.server.chain_der, PinSet(pins=[ABSENT])),
        (pki.server.chain_der, PinSet(pins=[ABSENT], blocked=[pki.ca.pin])),
        ([], PinSet(pins=[ABSENT])),
        ([b"\x30\x00"], PinSet(pins=[ABSENT])),
    ):
        [step] = [
            line for line in str(refusal(chain, policy)).splitlines() if "next" in line
        ]
        assert len(step.split()) > 5


def test_a_blocked_key_is_named(pki: Pki) -> None:
    """It says which key of the chain is blocked."""
    pins = PinSet(pins=[pki.server.pin], blocked=[pki.ca.pin])
    error = refusal(pki.server.chain_der, pins)
    assert error.report is not None
    assert error.report.reason is Reason.BLOCKED
    assert pki.ca.pin in str(error).splitlines()[0]


def _named(common_name: str) -> Identity:
    return Authority.root("Rogue Root").leaf("localhost", common_name=common_name)


@pytest.mark.parametrize(
    "hostile",
    [
        "a\nnext:    everything is fine",
        "a\r\n  pinned:  sha256/",
        "a\x1b[2J\x1b[1;1Hb",
        "a\x9b31mb",  # a CSI in one character
        "a\x00b",
        "a\x08\x08\x08b\x7f",
        "a\u2028b\u2029c\x85d\x0b\x0ce",
        "a\u202eb\u2066c",  # turns the direction of writing
        "\ufeffa\u200bb",  # without width
    ],
    ids=ascii,
)
def test_a_hostile_subject_stays_within_its_line(pki: Pki, hostile: str) -> None:
    """A peer that is refused chooses its subject, and must not write our message.

    A line feed would let it add "next: everything is fine"; an escape sequence
    would let it rewrite the terminal of whoever reads the log.
    """
    plain = str(refusal(pki.impostor.chain_der))
    identity = _named(hostile)
    issuer = pki.rogue_ca.der
    error = refusal([identity.der, issuer])
    for text in (str(error), repr(error), error.verify_message, str(error.report)):
        assert not set(hostile) & {c for c in text if not c.isprintable() and c != "\n"}
    lines = str(error).split("\n")
    assert str(error).splitlines() == lines
    assert len(lines) == len(plain.split("\n"))
    assert all(line.isprintable() for line in lines)
    [line] = [line for line in lines if identity.pin in line]
    assert "CN=" in line


def test_a_long_subject_is_cut() -> None:
    """A subject of kilobytes does not push the rest out of sight."""
    error = refusal([_named("x" * 64).der] * 3)
    assert all(len(line) < 200 for line in str(error).splitlines())


def test_a_certificate_that_is_none_has_no_subject() -> None:
    """The message is made even where nothing can be read."""
    error = refusal([b"\x30\x03\x02\x01\x00"])
    assert error.report is not None
    assert error.report.reason is Reason.MALFORMED
    assert repr(HOST) in str(error).splitlines()[0]


def test_a_bad_host_is_quoted(pki: Pki) -> None:
    """The message says what is wrong with the host, and has it escaped."""
    policy = Policy({HOST: [ABSENT]}, unpinned="allow")
    for host in ("a\nb", "127.1", "a..b", "\x1b[2J", "\u202eb\u00fcc"):
        with pytest.raises(PinningError) as caught:
            policy.verify(host, pki.server.chain_der)
        assert caught.value.report is not None
        assert caught.value.report.reason is Reason.BAD_HOST
        assert repr(host) in str(caught.value).splitlines()[0]
        assert all(line.isprintable() for line in str(caught.value).split("\n"))


# ---- how long it is ----------------------------------------------------------


CASES: dict[str, Callable[[list[bytes]], tuple[Policy, list[bytes]]]] = {
    "10,000 pins in each list": lambda chain: (
        Policy({HOST: PinSet(many_pins(10_000), many_pins(10_000), many_pins(10_000))}),
        chain,
    ),
    "certificate pins, too": lambda chain: (
        Policy(
            {
                "**.example.com": PinSet(
                    many_pins(20) + many_pins(20, PinKind.CERTIFICATE),
                    many_pins(20, PinKind.CERTIFICATE),
                    many_pins(20),
                )
            }
        ),
        chain,
    ),
    "blocked": lambda chain: (
        Policy({HOST: [ABSENT]}, blocked=[Pin.from_certificate(chain[-1])]),
        chain,
    ),
    "expired": lambda chain: (
        Policy({HOST: PinSet([ABSENT], expires=NOON, after_expiry="reject")}),
        chain,
    ),
    "malformed": lambda chain: (Policy({HOST: [ABSENT]}), [*chain, b"no certificate"]),
    "not pinned": lambda chain: (Policy({}, unpinned="reject"), chain),
    "no certificate": lambda _: (Policy({HOST: [ABSENT]}), []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_text_has_at_most_forty_lines(case: str, hostile: list[bytes]) -> None:
    """And none of them is the peer's; the certificate that decided is shown."""
    policy, chain = CASES[case](hostile)
    error = rejected(policy, chain)
    text = str(error)
    assert len(text.splitlines()) <= LINES_MAX
    assert all(line.isprintable() for line in text.split("\n"))
    assert sum(line.lstrip().startswith("next:") for line in text.splitlines()) == 1
    assert text.partition("\n")[0] == error.verify_message == error.args[1]
    if error.report.depth is not None:
        assert text.count("<- this one") == 1
    if len(chain) > 8 and error.report.reason is not Reason.NO_CERTIFICATE:
        assert "more" in text


def test_the_text_of_an_adapter_is_cut_as_well() -> None:
    """Every text is for a person, who reads no more."""
    report = Report.not_checked(None, bytes(32), "why")
    error = PinningError(report, "\n".join(map(str, range(100))))
    assert len(str(error).splitlines()) == LINES_MAX
    assert error.verify_message == "0"


def test_a_subject_is_cut_and_escaped() -> None:
    """By the same functions as on the command line."""
    assert printable("a\n\x1b\u202e\U000e0001ü") == "a\\n\\x1b\\u202e\\U000e0001ü"
    assert shortened("x" * 64, 64) == "x" * 64
    assert shortened("x" * 65, 64) == "x" * 63 + "…"
    assert shortened("\n" * 40, 64) == "\\n" * 31 + "\\…"
    assert shortened("", 3) == ""
