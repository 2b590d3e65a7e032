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
    "address",
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


def view(data: Buffer) -> memoryview:
    """Return a view of the bytes of *data*, without a copy.

    Raises:
        TypeError: *data* is not a buffer, or not contiguous.
    """
    found = memoryview(data)
    if not found.c_contiguous:
        msg = "expected contiguous bytes; make a copy of them first"
        raise TypeError(msg)
    return found


def address(held: memoryview) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a view that the caller keeps.

    cffi lets go of the view at once: no variable has what `from_buffer` returns, not
    even in the traceback of a KeyboardInterrupt. If something had it when the view
    became garbage, the garbage collector could release the view first, and crash.
    """
    return ffi.cast("uint8_t *", ffi.from_buffer(held))
