"""SHA-256 (FIPS 180-4), of one message or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.core._columns import as_columns, bytes_at, check_offsets
from pinverify.core._library import DIGEST_LEN, address, ffi, lib, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.core._library import Buffer, Offsets

__all__ = ["sha256", "sha256_many"]


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
    out = bytes_at(digests)
    for first, column in columns:
        status = lib.pv_sha256_many(out + DIGEST_LEN * first, column.handle)
        check_offsets(status)
    return bytes(digests)
