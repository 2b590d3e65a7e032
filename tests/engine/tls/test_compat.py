"""The drop-ins for urllib3's and aiohttp's fingerprint checks.

What they accept is compared with the libraries' own functions, if those are installed.
tests/engine/tls/test_clients_recipes.py shows, with real connections, that they refuse
before a byte is sent.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from optional import client_library
from pinverify import Pin, PinningError, PolicyError, Reason, find_pinning_error
from pinverify.tls.compat import assert_fingerprint
from pki import Identity, Pki
from places import ROOT

FORGED = "can be forged; pin SHA-256"
SOURCE = ROOT / "src"


def _hex(algorithm: str) -> Callable[[Identity], str]:
    def digest(identity: Identity) -> str:
        return hashlib.new(algorithm, identity.der).hexdigest()

    return digest


def _with_colons(text: str) -> str:
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2))


# How urllib3's users write a fingerprint.
OLD_FORMS: dict[str, Callable[[Identity], str]] = {
    "md5": _hex("md5"),
    "sha1": _hex("sha1"),
    "sha1 with colons": lambda i: _with_colons(_hex("sha1")(i)),
    "SHA1 in capitals": lambda i: _with_colons(_hex("sha1")(i)).upper(),
}
URLLIB3_FORMS: dict[str, Callable[[Identity], str]] = {
    "sha256": _hex("sha256"),
    "sha256 with colons": lambda i: _with_colons(_hex("sha256")(i)),
    "SHA256 in capitals": lambda i: _with_colons(_hex("sha256")(i)).upper(),
    "colons anywhere": lambda i: "::" + _hex("sha256")(i).replace("a", ":a") + ":",
}
# What is ours.
NEW_FORMS: dict[str, Callable[[Identity], Any]] = {
    "sha256/": lambda i: i.pin,
    "sha256//": lambda i: i.pin.replace("/", "//", 1),
    "pin-sha256": lambda i: f'pin-sha256="{i.pin.removeprefix("sha256/")}"',
    "cert-sha256": lambda i: i.certificate_pin,
    "openssl's line": lambda i: "SHA256 Fingerprint=" + _with_colons(_hex("sha256")(i)),
    "a Pin": lambda i: Pin.parse(i.pin),
    "a certificate Pin": lambda i: Pin.parse(i.certificate_pin),
    "32 bytes": lambda i: hashlib.sha256(i.der).digest(),
}
ALL_FORMS = {**URLLIB3_FORMS, **NEW_FORMS}


def any_form(forms: dict[str, Any]) -> pytest.MarkDecorator:
    """Run a test for each of *forms*."""
    return pytest.mark.parametrize("form", forms.values(), ids=forms)


def refusal() -> type[Exception]:
    """Return what a refusal is here: urllib3's error where it is installed."""
    try:
        return importlib.import_module("urllib3.exceptions").SSLError  # type: ignore[no-any-return]
    except ImportError:
        return PinningError


# ---- urllib3 -----------------------------------------------------------------


@any_form(ALL_FORMS)
def test_a_fingerprint_of_the_certificate_passes(
    pki: Pki, form: Callable[[Identity], Any]
) -> None:
    """Each form passes for its certificate, and nothing is warned of."""
    assert_fingerprint(pki.server.der, form(pki.server))


@any_form(ALL_FORMS)
def test_a_fingerprint_of_another_certificate_is_refused(
    pki: Pki, form: Callable[[Identity], Any]
) -> None:
    """Each form refuses another certificate with urllib3's exception."""
    with pytest.raises(refusal()) as raised:
        assert_fingerprint(pki.impostor.der, form(pki.server))
    found = find_pinning_error(raised.value)
    assert found is not None
    assert found.report is not None
    assert found.report.reason is Reason.MISMATCH


@any_form(OLD_FORMS)
def test_md5_and_sha1_are_compared_and_warned_of(
    pki: Pki, form: Callable[[Identity], str]
) -> None:
    """They work as they do in urllib3, and the caller's line is named."""
    with pytest.warns(UserWarning, match=FORGED) as seen:
        assert_fingerprint(pki.server.der, form(pki.server))
    assert [warning.filename for warning in seen] == [__file__]
    with pytest.warns(UserWarning, match=FORGED), pytest.raises(refusal()) as raised:
        assert_fingerprint(pki.impostor.der, form(pki.server))
    assert find_pinning_error(raised.value) is not None


@any_form({**OLD_FORMS, **URLLIB3_FORMS})
def test_what_urllib3_accepts_and_refuses_we_do_as_well(
    pki: Pki, form: Callable[[Identity], str]
) -> None:
    """For the forms that urllib3 has, ours is its function."""
    util: Any = client_library("urllib3.util.ssl_")
    exceptions: Any = importlib.import_module("urllib3.exceptions")
    seen: list[object] = []
    for identity in (pki.server, pki.impostor):
        seen.clear()
        for function in (util.assert_fingerprint, assert_fingerprint):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    seen.append(function(identity.der, form(pki.server)))
                except exceptions.SSLError as error:
                    seen.append(type(error))
        assert seen[0] == seen[1]
    assert seen[0] is exceptions.SSLError


def test_one_of_several_is_enough(pki: Pki) -> None:
    """A certificate in use and the next one, keys and certificates mixed."""
    several: list[str | Pin] = [
        pki.stranger.pin,
        Pin.parse(pki.client.pin),
        pki.server.certificate_pin,
    ]
    assert_fingerprint(pki.server.der, several)
    assert_fingerprint(pki.server.der, tuple(several))
    assert_fingerprint(pki.server.der, iter(several))
    with pytest.raises(refusal()):
        assert_fingerprint(pki.impostor.der, several)


def test_an_old_fingerprint_beside_a_pin_is_one_of_several(pki: Pki) -> None:
    """While somebody moves from SHA-1 to pins, either passes."""
    sha1 = _hex("sha1")
    for good in (
        [sha1(pki.server), pki.stranger.pin],
        [sha1(pki.stranger), pki.server.pin],
    ):
        with pytest.warns(UserWarning, match=FORGED):
            assert_fingerprint(pki.server.der, good)
        with pytest.warns(UserWarning, match=FORGED), pytest.raises(refusal()):
            assert_fingerprint(pki.impostor.der, good)


def test_one_of_several_old_fingerprints_is_enough(pki: Pki) -> None:
    """SHA-1 of the certificate in use, and of the next one."""
    sha1 = _hex("sha1")
    several = [sha1(pki.stranger), sha1(pki.server)]
    with pytest.warns(UserWarning, match=FORGED):
        assert_fingerprint(pki.server.der, several)
    with pytest.warns(UserWarning, match=FORGED), pytest.raises(refusal()):
        assert_fingerprint(pki.impostor.der, several)


@pytest.mark.parametrize(
    "fingerprint",
    ["", ":", "sha256/", "ab", "zz" * 32, "ab" * 31, "ab" * 33, "sha1/" + 28 * "A", []],
)
def test_what_is_no_fingerprint_is_refused(pki: Pki, fingerprint: object) -> None:
    """Nothing that can't be read is taken for "nothing to check"."""
    expected = refusal() if refusal() is not PinningError else PolicyError
    with pytest.raises(expected) as raised:
        assert_fingerprint(pki.server.der, fingerprint)  # type: ignore[arg-type]
    error = raised.value
    assert isinstance(error if expected is PolicyError else error.args[0], PolicyError)


def test_what_is_no_text_at_all_is_a_type_error(pki: Pki) -> None:
    """A number or None is a fault of the program."""
    for wrong in (None, 3, [None]):
        with pytest.raises(TypeError):
            assert_fingerprint(pki.server.der, wrong)  # type: ignore[arg-type]


def test_no_certificate_is_refused(pki: Pki) -> None:
    """A peer without a certificate matches nothing, whatever was expected."""
    with pytest.raises(refusal()) as raised:
        assert_fingerprint(None, pki.server.pin)
    found = find_pinning_error(raised.value)
    assert found is not None
    assert found.report is not None
    assert found.report.reason is Reason.NO_CERTIFICATE
    with pytest.warns(UserWarning, match=FORGED), pytest.raises(refusal()) as raised:
        assert_fingerprint(None, _hex("sha1")(pki.server))
    assert find_pinning_error(raised.value) is not None


def test_a_prefix_of_a_fingerprint_is_none(pki: Pki) -> None:
    """The first 20 bytes of a SHA-256 have the length of a SHA-1, and are none."""
    with pytest.warns(UserWarning, match=FORGED), pytest.raises(refusal()):
        assert_fingerprint(pki.server.der, _hex("sha256")(pki.server)[:40])


def test_old_digests_are_compared_in_constant_time(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is hmac's; SHA-256 is the core's."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.warns(UserWarning, match=FORGED):
        assert_fingerprint(pki.server.der, _hex("sha1")(pki.server))
    assert_fingerprint(pki.server.der, _hex("sha256")(pki.server))
    sha1 = hashlib.sha1(pki.server.der, usedforsecurity=False).digest()
    assert compared == [(sha1, sha1)]


def test_without_urllib3_the_error_is_ours(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody needs urllib3 to be told of a mismatch."""
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(PinningError) as raised:
        assert_fingerprint(pki.impostor.der, pki.server.pin)
    assert pki.server.pin in str(raised.value)
    with pytest.raises(PolicyError):
        assert_fingerprint(pki.impostor.der, "ab")


def test_urllib3_finds_our_error_where_it_puts_its_own(pki: Pki) -> None:
    """It is the argument of the SSLError, and its cause."""
    exceptions: Any = client_library("urllib3.exceptions")
    with pytest.raises(exceptions.SSLError) as raised:
        assert_fingerprint(pki.impostor.der, pki.server.pin)
    assert isinstance(raised.value.args[0], PinningError)
    assert raised.value.__cause__ is raised.value.args[0]
    assert isinstance(raised.value.args[0], ssl.SSLCertVerificationError)


# ---- aiohttp -----------------------------------------------------------------


class Transport:
    """The part of a transport that `Fingerprint.check` uses."""

    def __init__(self, cert: bytes | None, *, tls: bool = True) -> None:
        """Take the peer's certificate."""
        self.cert = cert
        self.tls = tls

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        """Answer as `ssl.SSLObject` does."""
        assert binary_form
        return self.cert

    def get_extra_info(self, name: str) -> object:
        """Answer as `asyncio.Transport` does."""
        if name == "peername":
            return ("127.0.0.1", 443)
        return self if self.tls and name in {"ssl_object", "sslcontext"} else None


@pytest.fixture
def aiohttp() -> Any:  # noqa: ANN401
    """The library, if it is installed."""
    return client_library("aiohttp")


def _fingerprint(value: object) -> Any:  # noqa: ANN401
    return importlib.import_module("pinverify.tls.compat").Fingerprint(value)


def test_a_fingerprint_is_one_of_aiohttp(pki: Pki, aiohttp: Any) -> None:  # noqa: ANN401
    """Aiohttp takes it wherever it takes its own, and there is one class of it."""
    fingerprint = _fingerprint(pki.server.pin)
    assert isinstance(fingerprint, aiohttp.Fingerprint)
    assert type(fingerprint) is type(_fingerprint(pki.client.pin))
    assert type(fingerprint).__module__ == "pinverify.tls.compat"
    assert type(fingerprint).__qualname__ == "Fingerprint"
    assert fingerprint.fingerprint == Pin.parse(pki.server.pin).digest
    own = aiohttp.Fingerprint(hashlib.sha256(pki.server.der).digest())
    assert own.fingerprint == _fingerprint(own.fingerprint).fingerprint


@any_form(ALL_FORMS)
def test_a_fingerprint_checks_the_leaf_of_a_transport(
    pki: Pki,
    aiohttp: Any,  # noqa: ANN401
    form: Callable[[Identity], Any],
) -> None:
    """Each form passes for its certificate, and no other."""
    fingerprint = _fingerprint(form(pki.server))
    fingerprint.check(Transport(pki.server.der))
    with pytest.raises(aiohttp.ServerFingerprintMismatch) as raised:
        fingerprint.check(Transport(pki.impostor.der))
    error = raised.value
    assert isinstance(find_pinning_error(error), PinningError)
    assert (error.host, error.port) == ("127.0.0.1", 443)
    assert error.expected == fingerprint.fingerprint
    whole = hashlib.sha256(pki.impostor.der).digest()
    assert error.got in {whole, Pin.parse(pki.impostor.pin).digest}
    assert error.got != error.expected


def test_the_digest_that_came_is_of_the_kind_that_was_expected(
    pki: Pki,
    aiohttp: Any,  # noqa: ANN401
) -> None:
    """Somebody compares the two; a key's and a certificate's are never equal."""
    for expected, got in (
        (pki.server.pin, pki.impostor.pin),
        (pki.server.certificate_pin, pki.impostor.certificate_pin),
    ):
        with pytest.raises(aiohttp.ServerFingerprintMismatch) as raised:
            _fingerprint(expected).check(Transport(pki.impostor.der))
        assert raised.value.expected == Pin.parse(expected).digest
        assert raised.value.got == Pin.parse(got).digest


def test_a_fingerprint_takes_several(pki: Pki, aiohttp: Any) -> None:  # noqa: ANN401
    """The key in use, and the backup."""
    fingerprint = _fingerprint([pki.stranger.pin, pki.server.certificate_pin])
    fingerprint.check(Transport(pki.server.der))
    fingerprint.check(Transport(pki.stranger.der))
    with pytest.raises(aiohttp.ServerFingerprintMismatch):
        fingerprint.check(Transport(pki.impostor.der))


@pytest.mark.usefixtures("aiohttp")
@any_form(OLD_FORMS)
def test_a_fingerprint_refuses_md5_and_sha1(
    pki: Pki, form: Callable[[Identity], str]
) -> None:
    """Aiohttp refuses them, with a ValueError: nothing else is checked there."""
    with pytest.raises(PolicyError, match="can be forged"):
        _fingerprint(form(pki.server))
    with pytest.raises(PolicyError, match="can be forged"):
        _fingerprint([pki.server.pin, form(pki.server)])


@pytest.mark.usefixtures("aiohttp")
@pytest.mark.parametrize("length", [0, 16, 20, 31, 33])
def test_a_fingerprint_of_another_length_is_a_value_error(length: int) -> None:
    """As aiohttp says it, when the object is made and not at the first request."""
    with pytest.raises(ValueError, match="32 bytes"):
        _fingerprint(bytes(length))


def test_a_transport_without_tls_or_certificate_is_refused(
    pki: Pki,
    aiohttp: Any,  # noqa: ANN401
) -> None:
    """There is nothing that could match, and so it does not."""
    for transport in (Transport(None), Transport(pki.server.der, tls=False)):
        with pytest.raises(aiohttp.ServerFingerprintMismatch) as raised:
            _fingerprint(pki.server.pin).check(transport)
        assert raised.value.got == b""
        found = find_pinning_error(raised.value)
        assert found is not None
        assert found.report is not None
        assert found.report.reason is Reason.NO_CERTIFICATE


# ---- both --------------------------------------------------------------------


def test_importing_it_needs_neither_library() -> None:
    """A program that uses one of them does not load the other, nor need it."""
    code = (
        "import sys; sys.modules['urllib3'] = sys.modules['aiohttp'] = None\n"
        "from pinverify.tls import compat\n"
        "assert callable(compat.assert_fingerprint)\n"
        "try:\n    compat.Fingerprint\n"
        "except ImportError as error:\n    print('no', error.name)\n"
        "try:\n    compat.fingerprint\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "no aiohttp",
        "module 'pinverify.tls.compat' has no attribute 'fingerprint'",
    ]


def test_several_fingerprints_for_the_pools_of_urllib3_are_a_tuple(pki: Pki) -> None:
    """A PoolManager hashes its arguments, as the page says."""
    urllib3: Any = client_library("urllib3")
    several = [pki.server.pin, pki.impostor.pin]
    with urllib3.PoolManager(assert_fingerprint=tuple(several)) as pools:
        pool = pools.connection_from_url("https://a.example/")
        assert_fingerprint(pki.server.der, pool.assert_fingerprint)
    with (
        urllib3.PoolManager(assert_fingerprint=several) as pools,
        pytest.raises(TypeError, match="unhashable"),
    ):
        pools.connection_from_url("https://a.example/")
