"""Certificates: from DER to the SubjectPublicKeyInfo, and to its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.core._columns import as_columns, bytes_at, check_offsets
from pinverify.core._library import DIGEST_LEN, as_bytes, ffi, lib, status_text
from pinverify.errors import DERError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pinverify.core._columns import Column
    from pinverify.core._library import Buffer, Offsets

__all__ = [
    "hash_keys",
    "malformed_rows",
    "not_a_certificate",
    "spki",
    "spki_sha256",
    "spki_sha256_many",
]


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
    return bytes(digests), malformed_rows(statuses)


def hash_keys(
    num: int, columns: Iterable[tuple[int, Column]]
) -> tuple[bytearray, bytearray]:
    """Return the SPKI digests of certificates in columns, and their statuses.

    Args:
        num: the number of certificates.
        columns: each with the index of its first certificate.

    Returns:
        n × 32 bytes, and one ``pv_status`` each. A malformed certificate has a digest
        of zeros.

    Raises:
        ValueError: the offsets descend, or exceed the end of the buffer.
    """
    digests, statuses = bytearray(DIGEST_LEN * num), bytearray(num)
    out_digests, out_statuses = bytes_at(digests), bytes_at(statuses)
    num_malformed = ffi.new("size_t *")
    for first, column in columns:
        status = lib.pv_spki_sha256_many(
            out_digests + DIGEST_LEN * first,
            out_statuses + first,
            num_malformed,
            column.handle,
        )
        check_offsets(status)
    return digests, statuses


def not_a_certificate(status: int, cert: bytes) -> str:
    """Return the message for bytes that are no certificate, with a next step."""
    pem = cert.startswith(b"-----BEGIN ")
    advice = " (this is PEM; ssl.PEM_cert_to_DER_cert makes DER of it)" if pem else ""
    return f"not a strict-DER certificate: {status_text(status)}{advice}"


def malformed_rows(statuses: bytearray) -> list[int]:
    """Return the indices of certificates that C could not read."""
    if not any(statuses):
        return []
    return [i for i, status in enumerate(statuses) if status]
