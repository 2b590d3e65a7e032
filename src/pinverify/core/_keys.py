"""Keys: SHA-256 digests of data and of certificates' keys, and the search in pins."""

from __future__ import annotations

from functools import partial
from itertools import compress, count
from typing import TYPE_CHECKING, NamedTuple

from pinverify import _core
from pinverify.core._cffi import (
    DIGEST_LEN,
    address,
    as_bytes,
    as_columns,
    check_offsets,
    ffi,
    lib,
    status_text,
    view,
)
from pinverify.errors import DERError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pinverify.core._cffi import Buffer, Column, Offsets

__all__ = [
    "Matches",
    "certs_are_pinned",
    "hash_keys",
    "match_keys",
    "matcher",
    "not_a_certificate",
    "pack",
    "pins_contain",
    "sha256",
    "sha256_many",
    "spki",
    "spki_sha256",
    "spki_sha256_many",
]


def sha256(data: Buffer) -> bytes:
    """Return the SHA-256 of *data*: 32 bytes (FIPS 180-4)."""
    out = ffi.new("uint8_t[32]")
    message = view(data)
    lib.pv_sha256(out, address(message), message.nbytes)
    return bytes(ffi.buffer(out))


def sha256_many(
    messages: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> bytes:
    """Return the SHA-256 of many messages: n × 32 bytes, back to back.

    The arguments and the errors are those of `spki_sha256_many`.
    """
    num, columns = as_columns(messages, offsets)
    digests = bytearray(DIGEST_LEN * num)
    out = ffi.from_buffer(digests)
    for first, column in columns:
        check_offsets(lib.pv_sha256_many(out + DIGEST_LEN * first, column.handle))
    return bytes(digests)


def spki(cert: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a DER certificate, byte for byte.

    The result has tag and length, so its SHA-256 is the pin (RFC 7469, 2.4).

    Raises:
        DERError: *cert* is not one strict-DER Certificate (RFC 5280, 4.1).
    """
    out = ffi.new("pv_span *")
    cert = as_bytes(cert)
    status = lib.pv_spki_from_cert(out, ffi.from_buffer(cert), len(cert))
    if status != lib.PV_OK:
        raise DERError(not_a_certificate(status, cert))
    return bytes(ffi.buffer(out.data, out.len))


def spki_sha256(cert: bytes) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo: 32 bytes.

    Raises:
        DERError: *cert* is not one strict-DER Certificate.
    """
    out = ffi.new("uint8_t[32]")
    cert = as_bytes(cert)
    status = lib.pv_spki_sha256(out, cert, len(cert))
    if status != lib.PV_OK:
        raise DERError(not_a_certificate(status, cert))
    return bytes(ffi.buffer(out))


def spki_sha256_many(
    certs: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> tuple[bytes, list[int]]:
    """Return the SPKI digests of many certificates.

    Args:
        certs: DER certificates; or, with *offsets*, one buffer that holds them
            (the data of an Arrow binary or large_binary column). The buffer is not
            copied: no other thread may change it during the call.
        offsets: certificate i is bytes offsets[i] to offsets[i + 1] of the buffer.

    Returns:
        The digests, n × 32 bytes back to back, and the indices of the
        certificates that are not strict DER. Their digests are zero.

    Raises:
        ValueError: the offsets descend, or exceed the end of the buffer.
        TypeError: the offsets are not integers of 4 or 8 bytes.
    """
    digests, statuses = hash_keys(*as_columns(certs, offsets))
    return bytes(digests), [*compress(count(), statuses)]


def hash_keys(
    num: int, columns: Iterable[tuple[int, Column]]
) -> tuple[bytearray, bytearray]:
    """Return the SPKI digests of certificates in columns, and their statuses.

    Each column comes with the index of its first certificate. The digest of a malformed
    certificate is zero. Each status is one byte, a ``pv_status``.
    """
    digests, statuses = bytearray(DIGEST_LEN * num), bytearray(num)
    out_digests, out_statuses = map(ffi.from_buffer, (digests, statuses))
    num_malformed = ffi.new("size_t *")
    for first, column in columns:
        places = out_digests + DIGEST_LEN * first, out_statuses + first, num_malformed
        check_offsets(lib.pv_spki_sha256_many(*places, column.handle))
    return digests, statuses


def not_a_certificate(status: int, cert: bytes) -> str:
    """Return the message for bytes that are no certificate, with a next step."""
    pem = cert.startswith(b"-----BEGIN ")
    advice = " (this is PEM; ssl.PEM_cert_to_DER_cert makes DER of it)" if pem else ""
    return f"not a strict-DER certificate: {status_text(status)}{advice}"


def pins_contain(pins: bytes, digest: bytes) -> bool:
    """Return True if *digest* is one of *pins*, in time independent of their bytes.

    Args:
        pins: n × 32 bytes, back to back.
        digest: 32 bytes.

    Raises:
        ValueError: a length is wrong.
    """
    pins, digest = as_bytes(pins), as_bytes(digest)
    num_pins = _num_pins(pins)
    if len(digest) != DIGEST_LEN:
        msg = f"a digest has 32 bytes, got {len(digest)}"
        raise ValueError(msg)
    return bool(lib.pv_pins_contain(pins, num_pins, digest) == 1)


def pack(pins: bytes) -> bytes:
    """Return *pins* (n × 32 bytes) as packed pins, the layout of the scan."""
    pins = as_bytes(pins)
    num_pins = _num_pins(pins)
    packed = bytearray(lib.pv_pins_packed_len(num_pins))
    lib.pv_pins_pack(ffi.from_buffer(packed), ffi.from_buffer(pins), num_pins)
    return bytes(packed)


class Matches(NamedTuple):
    """The answer of `certs_are_pinned`."""

    pinned: bytes
    """One bit for each certificate, the first in the lowest bit of the first byte
    (an Arrow bitmap)."""
    digests: bytes
    """Their SPKI digests, n × 32 bytes, as in `spki_sha256_many`."""
    malformed: list[int]
    """The indices of those that are not strict DER; they are not pinned."""

    def is_pinned(self, i: int) -> bool:
        """Return True if certificate *i* is pinned."""
        return self.pinned[i // 8] >> i % 8 & 1 == 1


def certs_are_pinned(
    pins: bytes, certs: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> Matches:
    """Find the certificates, among many, whose SPKI is pinned.

    Args:
        pins: n × 32 bytes, back to back.
        certs: as in `spki_sha256_many`.
        offsets: as in `spki_sha256_many`.

    Raises:
        ValueError: *pins* is not a multiple of 32 bytes, or the offsets descend, or
            exceed the end of the buffer.
        TypeError: the offsets are not integers of 4 or 8 bytes.
    """
    pinned, digests, statuses = match_keys(pins, *as_columns(certs, offsets))
    return Matches(bytes(pinned), bytes(digests), [*compress(count(), statuses)])


def match_keys(
    pins: bytes, num: int, columns: Iterable[tuple[int, Column]]
) -> tuple[bytearray, bytearray, bytearray]:
    """Return a bit for each certificate, 1 if pinned, and what `hash_keys` returns.

    The index that comes with each column must be a multiple of 8.
    """
    packed, num_pins = pack(pins), _num_pins(pins)
    pinned = bytearray((num + 7) // 8)
    digests, statuses = bytearray(DIGEST_LEN * num), bytearray(num)
    out_pinned = ffi.from_buffer(pinned)
    out_digests, out_statuses = map(ffi.from_buffer, (digests, statuses))
    num_malformed = ffi.new("size_t *")
    for first, column in columns:
        places = out_digests + DIGEST_LEN * first, out_statuses + first, num_malformed
        status = lib.pv_certs_are_pinned(
            out_pinned + first // 8, *places, packed, num_pins, column.handle
        )
        check_offsets(status)
    return pinned, digests, statuses


def matcher(pins: bytes) -> Callable[[bytes], bool]:
    """Return a function that tells whether a DER certificate's SPKI is pinned.

    Calling that function is the cheapest check: one C call, and no allocation.

    Args:
        pins: n × 32 bytes, back to back.

    Raises:
        ValueError: *pins* is not a multiple of 32 bytes.
        DERError: the returned function was called with no strict-DER Certificate.
    """
    packed = pack(pins)
    answer: Callable[[bytes], bool] = _core.matcher(packed, partial(_is_pinned, packed))
    return answer


def _is_pinned(packed: bytes, cert: bytes) -> bool:
    """Slow path of `matcher`: the argument is not ``bytes``, or not a certificate."""
    cert = as_bytes(cert)
    out_status = ffi.new("pv_status *")
    num_pins = _num_pins(packed)
    answer: int = lib.pv_cert_is_pinned(out_status, packed, num_pins, cert, len(cert))
    if out_status[0] != lib.PV_OK:
        raise DERError(not_a_certificate(out_status[0], cert))
    return answer == 1


def _num_pins(pins: bytes) -> int:
    """Return the number of pins in these bytes; ValueError if one is incomplete."""
    if len(pins) % DIGEST_LEN:
        msg = f"pins are 32 bytes each, back to back; got {len(pins)} bytes"
        raise ValueError(msg)
    return len(pins) // DIGEST_LEN
