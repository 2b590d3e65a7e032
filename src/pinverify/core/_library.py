"""Access to the compiled core: `ffi`, `lib`, statuses and buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pinverify._core import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import ReadableBuffer

__all__ = [
    "DIGEST_LEN",
    "Buffer",
    "Offsets",
    "as_bytes",
    "ffi",
    "lib",
    "status_text",
    "view",
]

if not lib.complete_module():
    msg = "pinverify._core cannot be completed: build or install it again"
    raise ImportError(msg)

DIGEST_LEN: int = lib.PV_DIGEST_LEN

Buffer: TypeAlias = "ReadableBuffer"
"""Anything with contiguous bytes: bytes, bytearray, memoryview, mmap.mmap,
array.array, a numpy array, a pyarrow buffer."""

Offsets: TypeAlias = "Sequence[int] | ReadableBuffer"
"""n + 1 ascending positions: item i is from position i to position i + 1.

A buffer of 4- or 8-byte integers is not copied: array.array, a numpy array, or
``memoryview(buffer).cast("i")`` of an Arrow buffer.
"""


def status_text(status: int) -> str:
    """Return the phrase for a ``pv_status``."""
    text: bytes = ffi.string(lib.pv_status_text(status))
    return text.decode("ascii")


def as_bytes(data: Any) -> bytes:  # noqa: ANN401 - any argument
    """Return the bytes of a buffer.

    Raises:
        TypeError: *data* is not a buffer.
    """
    if type(data) is bytes:
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"expected bytes, got {type(data).__name__}"
        raise TypeError(msg)
    return memoryview(data).tobytes()  # a subclass may redefine len()


def view(data: Buffer) -> Any:  # noqa: ANN401 - a C array
    """Return the bytes of *data*, without a copy.

    Raises:
        TypeError: *data* is not a buffer, or not contiguous.
    """
    try:
        return ffi.from_buffer(data)
    except (BufferError, ValueError) as error:  # numpy says ValueError
        msg = f"expected contiguous bytes; make a copy of them first ({error})"
        raise TypeError(msg) from None
