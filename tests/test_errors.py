"""Errors: what a person reads, what a program catches, and how to find ours."""

from __future__ import annotations

import copy
import pickle
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from pinverify import (
    DERError,
    Pin,
    PinningError,
    PinSet,
    PinverifyError,
    Policy,
    PolicyError,
    Reason,
    find_pinning_error,
    pin_context,
)
from pki import Authority, Identity, Pki
from tls_servers import TLSServer, client_context, server_context

ABSENT = "sha256/" + "A" * 43 + "="
HOST = "api.example.com"


def refusal(
    chain: list[bytes], pins: PinSet | list[str] | None = None, pattern: str = HOST
) -> PinningError:
    """Return the error for *chain* under a policy that asks for another key."""
    policy = Policy({pattern: [ABSENT] if pins is None else pins}, unpinned="reject")
    with pytest.raises(PinningError) as caught:
        policy.verify(HOST, chain)
    return caught.value


@pytest.fixture
def error(pki: Pki) -> PinningError:
    """The error that most users will meet: no pin of the host is in the chain."""
    return refusal(pki.server.chain_der)


# ---------------------------------------------------------------------------
# What a program catches (pitfall 19)
# ---------------------------------------------------------------------------


def test_pitfall_19_a_pinning_error_is_what_tls_clients_catch(
    error: PinningError,
) -> None:
    """It is a failed certificate check to everybody who handles those.

    A type of its own would fly past the handlers of asyncio and every client.
    """
    for kind in (
        PinverifyError,
        ssl.SSLCertVerificationError,
        ssl.CertificateError,
        ssl.SSLError,
        OSError,
        ValueError,
    ):
        assert isinstance(error, kind)
    assert not isinstance(error, TimeoutError | ConnectionError)


def test_pitfall_19_the_attributes_are_those_of_an_ssl_error(
    error: PinningError,
) -> None:
    """Clients read them without asking: a missing one is an AttributeError there.

    They also look for words of OpenSSL's in them, so nothing that a peer has
    chosen, such as a subject, may stand there: the first line alone.
    """
    headline = str(error).partition("\n")[0]
    assert error.errno == 1
    assert error.strerror == headline
    assert error.args == (1, headline)
    assert error.library
    assert isinstance(error.library, str)
    assert error.reason
    assert isinstance(error.reason, str)
    # X509_V_ERR_APPLICATION_VERIFICATION
    assert error.verify_code == 50
    assert HOST in error.verify_message
    assert error.filename is None


def test_the_report_is_on_the_error(error: PinningError, pki: Pki) -> None:
    """A program decides by the report, never by the text."""
    assert error.report is not None
    assert not error.report.accepted
    assert error.report.reason is Reason.MISMATCH
    assert error.report.host == HOST
    assert error.report.rule == HOST
    assert error.report.chain == (Pin.parse(pki.server.pin), Pin.parse(pki.ca.pin))


def test_the_other_errors_are_value_errors() -> None:
    """They are about a value that somebody wrote, and no failed check."""
    for kind in (DERError, PolicyError):
        assert issubclass(kind, PinverifyError)
        assert issubclass(kind, ValueError)
        assert not issubclass(kind, OSError)
    with pytest.raises(PolicyError):
        Pin.parse("no pin")
    with pytest.raises(DERError):
        Pin.from_certificate(b"\x30\x00")


def _same(one: PinningError, other: PinningError) -> None:
    assert other is not one
    assert type(other) is type(one)
    assert str(other) == str(one)
    assert other.args == one.args
    assert other.report == one.report
    for name in ("errno", "library", "reason", "verify_code", "verify_message"):
        assert getattr(other, name) == getattr(one, name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pitfall_19_a_pinning_error_survives_pickle(
    error: PinningError, protocol: int
) -> None:
    """Process pools send errors home: one that does not unpickle hangs them."""
    _same(error, pickle.loads(pickle.dumps(error, protocol)))  # noqa: S301  (ours)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_pinning_error_survives_a_copy(
    error: PinningError, copier: Callable[[PinningError], PinningError]
) -> None:
    """Some clients copy an error before they raise it again."""
    _same(error, copier(error))


@pytest.mark.parametrize("kind", [PolicyError, DERError, PinverifyError])
def test_every_other_error_survives_pickle(kind: type[PinverifyError]) -> None:
    """The same for the rest."""
    one = kind("what went wrong")
    other = pickle.loads(pickle.dumps(one))  # noqa: S301  (ours)
    assert type(other) is kind
    assert str(other) == str(one) == "what went wrong"


# ---------------------------------------------------------------------------
# What a person reads
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# find_pinning_error
# ---------------------------------------------------------------------------


class _Failure:
    """The class in which Twisted keeps an exception."""

    def __init__(self, value: BaseException) -> None:
        self.value = value


def _with(**attributes: object) -> Exception:
    outer = RuntimeError("a client failed")
    for name, value in attributes.items():
        setattr(outer, name, value)
    return outer


WRAPPINGS: dict[str, Callable[[BaseException], BaseException]] = {
    "itself": lambda e: e,
    "__cause__": lambda e: _with(__cause__=e),
    "__context__": lambda e: _with(__context__=e),
    "reason": lambda e: _with(reason=e),
    "os_error": lambda e: _with(os_error=e),
    "args": lambda e: RuntimeError("why", e),
    "args-in-a-subclass": lambda e: ConnectionError(5, e),
    "a-group": lambda e: BaseExceptionGroup("all", [OSError("one"), e]),
    "a-group-in-a-group": lambda e: BaseExceptionGroup(
        "all", [BaseExceptionGroup("some", [e])]
    ),
    "reasons-value": lambda e: _with(reasons=[_Failure(OSError("one")), _Failure(e)]),
    "reasons": lambda e: _with(reasons=(e,)),
    "urllib": urllib.error.URLError,
    "requests": lambda e: OSError(_with(reason=OSError("Caused by", e))),
}


@pytest.mark.parametrize("outer", WRAPPINGS.values(), ids=WRAPPINGS)
@pytest.mark.parametrize("inner", WRAPPINGS.values(), ids=WRAPPINGS)
def test_a_pinning_error_is_found_in_any_wrapping(
    error: PinningError,
    inner: Callable[[BaseException], BaseException],
    outer: Callable[[BaseException], BaseException],
) -> None:
    """Each way in which a client keeps its cause, and each two of them together."""
    assert find_pinning_error(outer(inner(error))) is error


@pytest.mark.parametrize("outer", WRAPPINGS.values(), ids=WRAPPINGS)
def test_other_errors_are_not_taken_for_ours(
    outer: Callable[[BaseException], BaseException],
) -> None:
    """A failed validation and a failed network are no pinning errors."""
    for other in (
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        TimeoutError("timed out"),
        PolicyError("no policy"),
        KeyboardInterrupt(),
    ):
        assert find_pinning_error(outer(other)) is None


def test_cycles_end(error: PinningError) -> None:
    """Causes that go around in a circle are walked once."""
    one, two = _with(), _with()
    one.__cause__, two.__context__ = two, one
    two.args = (two, one)
    assert find_pinning_error(one) is None
    two.reason = error  # type: ignore[attr-defined]
    assert find_pinning_error(one) is error


def test_a_long_chain_is_walked_to_its_end(error: PinningError) -> None:
    """Ten thousand errors deep is far, and not too far."""
    outer: BaseException = error
    for _ in range(10_000):
        outer = _with(__context__=outer)
    assert find_pinning_error(outer) is error
    # Taken apart from the outside, so that freeing it does not recurse.
    while outer is not error:
        inner = outer.__context__
        outer.__context__ = None
        assert inner is not None
        outer = inner


def test_what_is_no_exception_holds_none() -> None:
    """None comes from "did anything fail?", and means no."""
    assert find_pinning_error(None) is None
    assert find_pinning_error(_with(reason="text", args=("text", 1))) is None
    assert find_pinning_error(_with(reasons=None, exceptions=7)) is None


def test_pitfall_19_urllib_delivers_the_error_in_its_reason(
    pki: Pki, serve: Callable[..., TLSServer], version: ssl.TLSVersion
) -> None:
    """urllib.request over a real handshake: URLError, with ours inside."""
    server = serve(server_context(pki.impostor, version=version))
    context = client_context(pki.root, pki.rogue_root)
    pin_context(context, Policy({"localhost": [pki.server.pin]}))
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(
            f"https://localhost:{server.port}/secret", context=context, timeout=20
        )
    found = find_pinning_error(caught.value)
    assert found is caught.value.reason
    assert isinstance(found, PinningError)
    assert found.report is not None
    assert found.report.host == "localhost"
    assert server.record().application == b""
