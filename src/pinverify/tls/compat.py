"""Replacements for the fingerprint checks of urllib3 and aiohttp.

They are for programs that already pass a fingerprint to these libraries. They accept
the old arguments, and also SPKI pins and lists. They compare the leaf only, after the
handshake. `pinverify.pin_context` checks the verified chain, inside the handshake: use
that in new programs.

Importing this module imports neither library.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.errors import PinverifyError, PolicyError
from pinverify.policy import Pin, PinKind, PinSet, Policy
from pinverify.tls._judge import rejection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    # Where aiohttp is not installed, its classes are Any to the type checker.
    import aiohttp  # type: ignore[import-not-found,unused-ignore]

__all__ = ["Fingerprint", "Fingerprints", "assert_fingerprint"]

Fingerprints: TypeAlias = "str | bytes | Pin | Iterable[str | bytes | Pin]"
"""One fingerprint or several, of which one must match. Each is a `Pin`; a text that
`Pin.parse` reads; the SHA-256 of a whole DER certificate in hex, with or without
colons; or its 32 bytes."""


def assert_fingerprint(cert: bytes | None, fingerprint: Fingerprints) -> None:
    """Check a certificate as ``urllib3.util.ssl_.assert_fingerprint`` does.

    Args:
        cert: the peer's certificate in DER, or None.
        fingerprint: see `Fingerprints`; also a certificate's SHA-1 or MD5 in hex, as
            in urllib3, with a warning.

    Raises:
        urllib3.exceptions.SSLError: nothing matches, or a fingerprint is wrong.
            `find_pinning_error` finds the `PinningError` in it. Without urllib3, the
            `PinningError` or `PolicyError` itself is raised.
    """
    try:
        _Expected(fingerprint).verify(cert)
    except PinverifyError as error:
        try:
            import urllib3  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        except ImportError:
            raise error from None
        raise urllib3.exceptions.SSLError(error) from error


if TYPE_CHECKING:

    class Fingerprint(aiohttp.Fingerprint):  # type: ignore[misc,unused-ignore]
        """An ``aiohttp.Fingerprint`` that also takes pins, and several of them."""

        def __init__(self, fingerprint: Fingerprints) -> None: ...

else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - not for the type checker
        """Create `Fingerprint` on first access: it subclasses a class of aiohttp."""
        if name != "Fingerprint":
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return globals().setdefault(name, _fingerprint_class())


def _fingerprint_class() -> type:
    import aiohttp  # noqa: PLC0415 - optional

    class Fingerprint(aiohttp.Fingerprint):  # type: ignore[misc,unused-ignore]
        """An ``aiohttp.Fingerprint`` that also takes pins, and several of them.

        With a fingerprint, aiohttp validates neither the certificate nor the name:
        the pin is the only check. So SHA-1 and MD5 are refused, as aiohttp does.
        """

        def __init__(self, fingerprint: Fingerprints) -> None:
            self._expected = _Expected(fingerprint)
            if self._expected.old:
                msg = f"{self._expected.old[0]} can be forged; pin SHA-256"
                raise PolicyError(msg)
            super().__init__(self._expected.pins[0].digest)

        def check(self, transport: asyncio.Transport) -> None:
            """Raise ``aiohttp.ServerFingerprintMismatch`` if nothing matches."""
            tls = transport.get_extra_info("ssl_object")
            cert = tls and tls.getpeercert(binary_form=True)
            try:
                self._expected.verify(cert)
            except PinverifyError as error:
                got = b""  # or a digest of the first pin's kind
                with contextlib.suppress(PinverifyError):
                    kind = self._expected.pins[0].kind
                    got = Pin.from_certificate(cert or b"", kind=kind).digest
                peer = transport.get_extra_info("peername")
                host, port = peer[:2] if isinstance(peer, tuple) else ("", 0)
                # aiohttp closes the connection for this exception only.
                raise aiohttp.ServerFingerprintMismatch(
                    self.fingerprint, got, host, port
                ) from error

    Fingerprint.__module__ = __name__
    Fingerprint.__qualname__ = "Fingerprint"
    return Fingerprint


class _OldDigest(NamedTuple):
    """A certificate fingerprint of a kind that pinverify refuses elsewhere."""

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest.hex()}"

    def is_of(self, cert: bytes) -> bool:
        found = hashlib.new(self.algorithm, cert, usedforsecurity=False).digest()
        return hmac.compare_digest(found, self.digest)


class _Expected:
    """Fingerprints; a certificate must match one of them."""

    def __init__(self, fingerprint: Fingerprints) -> None:
        single = isinstance(fingerprint, str | bytes | Pin)
        several: Any = (fingerprint,) if single else fingerprint
        found = [_read(one) for one in several]
        if not found:
            msg = "expected a fingerprint or several, got none"
            raise PolicyError(msg)
        self.old = [one for one in found if isinstance(one, _OldDigest)]
        self.pins = [one for one in found if isinstance(one, Pin)]
        self._policy = Policy.for_clients(PinSet(self.pins)) if self.pins else None

    def verify(self, cert: bytes | None) -> None:
        if self.old:
            warnings.warn(
                "MD5 and SHA-1 fingerprints can be forged; pin SHA-256", stacklevel=3
            )
            if cert is not None and any(one.is_of(cert) for one in self.old):
                return
        if self._policy is not None:
            self._policy.verify(None, [] if cert is None else [cert])
            return
        expected = " or ".join(map(str, self.old))
        msg = f"the peer's certificate does not match {expected}"
        raise rejection(None, None, msg)


_OLD = {32: "md5", 40: "sha1"}  # by the number of hex digits
_SHA256_DIGITS = 64


def _read(fingerprint: str | bytes | Pin) -> Pin | _OldDigest:
    """Read one fingerprint, or raise `PolicyError`."""
    if isinstance(fingerprint, Pin):
        return fingerprint
    if isinstance(fingerprint, bytes):
        return Pin.certificate(fingerprint)
    digits = re.sub(":", "", fingerprint)  # as urllib3; TypeError if it is no text
    if re.fullmatch(r"[0-9A-Fa-f]+", digits):
        if len(digits) == _SHA256_DIGITS:
            return Pin(PinKind.CERTIFICATE, bytes.fromhex(digits))
        if len(digits) in _OLD:
            return _OldDigest(_OLD[len(digits)], bytes.fromhex(digits))
    return Pin.parse(fingerprint)
