"""PinningError: its attributes, its copies, and how it is found in other errors."""

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
    Report,
    find_pinning_error,
    pin_context,
)
from pinverify.tls.pyopenssl import PinningSSLError
from pki import Pki
from policy_samples import ABSENT, HOST, NOON
from rejections import hostile_chain, many_pins, refusal, rejected
from tls_servers import TLSServer, client_context, server_context

__all__: list[str] = []


@pytest.fixture
def error(pki: Pki) -> PinningError:
    """The error that most users will meet: no pin of the host is in the chain."""
    return refusal(pki.server.chain_der)


@pytest.fixture(scope="module")
def hostile() -> list[bytes]:
    """Fifty certificates whose subjects try all that a terminal obeys."""
    return hostile_chain()


# ---- what a program catches (pitfall 19) -------------------------------------


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


def test_the_attributes_can_be_set_as_those_of_any_error(error: PinningError) -> None:
    """Libraries add to the arguments of errors that pass by."""
    other: OSError = error
    before = repr(error)
    assert before == f"PinningError{error.args!r}"
    other.args += ("seen",)
    other.strerror = "another text"
    assert error.args[2] == "seen"
    assert error.strerror == "another text"
    assert repr(error) != before
    assert str(error).startswith("no pin of")


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


# ---- copies and pickles ------------------------------------------------------


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


@pytest.mark.parametrize("read_first", [False, True])
def test_a_rejection_travels_with_its_text(
    pki: Pki,
    hostile: list[bytes],
    read_first: bool,  # noqa: FBT001
) -> None:
    """To another process, which has neither the chain nor the policy."""
    for policy, chain in (
        (Policy({HOST: many_pins(100)}), pki.server.chain_der),
        (
            Policy({HOST: PinSet([ABSENT], expires=NOON, after_expiry="reject")}),
            hostile,
        ),
    ):
        error = rejected(policy, chain)
        error.add_note("seen in the test")
        expected = str(error) if read_first else None
        for copied in (
            pickle.loads(pickle.dumps(error)),  # noqa: S301  (ours)
            copy.copy(error),
            copy.deepcopy(error),
        ):
            assert type(copied) is PinningError
            assert str(copied) == (expected or str(error))
            assert copied.args == error.args
            assert copied.report == error.report
            assert copied.verify_message == error.verify_message
            assert copied.__notes__ == ["seen in the test"]


# ---- errors that a library makes anew ----------------------------------------

TEXT = "no pin of 'api.example.com' is in the chain\n  chain: sha256/…"
MADE_ANEW: dict[str, tuple[Callable[[], PinningError], str]] = {
    "text": (lambda: PinningError(TEXT), TEXT),
    "the text of an error": (lambda: PinningError(str(PinningError(TEXT))), TEXT),
    "arguments": (lambda: PinningError(1, "no pin"), "no pin"),
    "its own arguments": (
        lambda: PinningError(*PinningError(TEXT).args),
        TEXT.partition("\n")[0],
    ),
    "a number": (lambda: PinningError(1), "1"),
    "of pyOpenSSL": (lambda: PinningSSLError(TEXT), TEXT),
}


@pytest.mark.parametrize("how", MADE_ANEW)
def test_pitfall_67_an_error_can_be_made_of_its_text(how: str) -> None:
    """ldap3 does that, and a TypeError would take the place of the refusal."""
    make, text = MADE_ANEW[how]
    error = make()
    headline = text.partition("\n")[0]
    assert str(error) == text
    assert error.strerror == error.verify_message == headline
    assert (error.errno, error.verify_code) == (1, 50)
    report = error.report
    assert isinstance(report, Report)
    assert not report.accepted
    assert (report.reason, report.mode) == (Reason.NOT_CHECKED, "enforce")
    assert (report.host, report.rule, report.matched) == (None, None, None)
    assert (report.detail, report.digest) == (headline, bytes(32))
    for copied in (
        pickle.loads(pickle.dumps(error)),  # noqa: S301  (ours)
        copy.copy(error),
        copy.deepcopy(error),
    ):
        _same(error, copied)


def test_an_error_that_is_made_of_a_long_text_has_a_short_report() -> None:
    """The text may be a peer's, and go into a log."""
    error = PinningError("x" * 10**6)
    assert len(error.report.detail) <= 1000
    assert len(pickle.dumps(error.report)) < 2000


def test_pitfall_67_the_original_is_found_behind_its_copy(error: PinningError) -> None:
    """The copy knows the text alone; a copy is better than nothing."""
    copied = type(error)(str(error))
    assert find_pinning_error(copied) is copied
    copied.__context__ = OSError("in between")
    assert find_pinning_error(copied) is copied
    copied.__context__.__context__ = error
    assert find_pinning_error(copied) is error
    assert find_pinning_error(RuntimeError(copied, error)) is error


# ---- its report --------------------------------------------------------------


def test_an_error_that_is_made_anew_from_its_text_keeps_the_text(
    error: PinningError,
) -> None:
    """Some libraries do that, as ldap3 does; they would raise a TypeError instead.

    The report is lost then, and says so: it accepts nothing.
    """
    anew = type(error)(str(error))
    assert str(anew) == str(error)
    assert anew.args == error.args
    assert anew.report.reason is Reason.NOT_CHECKED
    assert not anew.report.accepted
    assert anew.report.detail == error.strerror
    again = pickle.loads(pickle.dumps(anew))  # noqa: S301  (ours)
    assert (str(again), again.report) == (str(anew), anew.report)


def test_an_error_always_has_a_report() -> None:
    """`error.report.reason` needs no test for None, also where nothing was decided."""
    report = Report.not_checked("A.example.", bytes(range(32)), "no evidence")
    assert not report.accepted
    assert report.reason is Reason.NOT_CHECKED
    assert (report.host, report.rule, report.mode) == ("a.example", None, "enforce")
    assert (report.matched, report.depth, report.chain) == (None, None, ())
    assert (report.digest, report.detail) == (bytes(range(32)), "no evidence")
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301  (ours)
    with pytest.raises(TypeError, match=r"use report\.accepted"):
        bool(report)
    error = PinningError(report, lambda: "a text\nof two lines")
    assert error.report is report
    assert error.verify_message == "'a.example' was not checked: no evidence"
    assert find_pinning_error(error) is error


# ---- find_pinning_error ------------------------------------------------------


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
    "inner_exception": lambda e: _with(inner_exception=e),
    "errors-in-a-list": lambda e: _with(errors=[OSError("one"), e]),
    "errors-in-a-dict": lambda e: _with(errors={"a": OSError("one"), "b": e}),
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
