"""The compiled core: the memory that it reads, digests of keys, and search in pins."""

from __future__ import annotations

import struct
from array import array
from functools import partial
from itertools import accumulate, compress, count, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify import _core
from pinverify._core import ffi, lib
from pinverify.errors import DERError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from _typeshed import ReadableBuffer

__all__ = [
    "DIGEST_LEN",
    "Buffer",
    "Chain",
    "Column",
    "Matches",
    "Offsets",
    "Positions",
    "address",
    "as_bytes",
    "as_columns",
    "certs_are_pinned",
    "chain",
    "check_offsets",
    "ends",
    "ffi",
    "hash_keys",
    "is_buffer",
    "lib",
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
    "status_text",
    "view",
]

# Nothing is decided without the core: there is no second implementation in Python.
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


# ---- memory --------------------------------------------------------------------------


def status_text(status: int) -> str:
    """Return the phrase for a ``pv_status``."""
    return str(ffi.string(lib.pv_status_text(status)), "ascii")


def as_bytes(data: Any) -> bytes:  # noqa: ANN401 - any argument
    """Return the bytes of a buffer; TypeError for anything else."""
    if type(data) is bytes:
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"expected bytes, got {type(data).__name__}"
        raise TypeError(msg)
    return memoryview(data).tobytes()  # a subclass may redefine len()


def view(data: Buffer) -> memoryview:
    """Return a view of contiguous bytes, no copy; TypeError for anything else."""
    found = memoryview(data)
    if not found.c_contiguous:
        msg = "expected contiguous bytes; make a copy of them first"
        raise TypeError(msg)
    return found


def address(held: memoryview) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a view that the caller keeps.

    No variable keeps the result of `from_buffer`, not even in the traceback of a
    KeyboardInterrupt, so cffi releases the view at once. If a variable kept the result,
    the garbage collector could release the view before it, and crash.
    """
    return ffi.cast("uint8_t *", ffi.from_buffer(held))


class Chain(NamedTuple):
    """Certificates of one chain, in the layout that C reads in one call."""

    certs: Sequence[bytes]
    """DER, leaf first."""
    data: bytes
    """The same, back to back."""
    offsets: bytes
    """Where each certificate begins, and where the last ends: 4 bytes each."""


def chain(certs: Sequence[bytes]) -> Chain:
    """Return *certs* (DER, leaf first) as a `Chain`."""
    ends = accumulate(map(len, certs), initial=0)
    return Chain(certs, b"".join(certs), struct.pack(f"={len(certs) + 1}I", *ends))


class Positions:
    """n + 1 positions that cut a sequence into n pieces: ``pv_offsets``."""

    __slots__ = ("_address", "num", "view", "width")

    def __init__(self, offsets: Offsets) -> None:
        self.view = _positions(offsets)
        self.width = self.view.itemsize
        self.num = len(self.view) - 1
        self._address = address(self.view)

    @classmethod
    def kept(cls, offsets: Offsets) -> Positions:
        """Make positions that nobody can change; copy them if somebody could.

        A view may be read-only while the memory behind it is not.
        """
        found: Any = _positions(offsets)
        own = type(found.obj) is bytes or not is_buffer(offsets)
        return cls(found if own else memoryview(found.tobytes()).cast(found.format))

    def part(self, first: int, num: int) -> tuple[Any, int, int]:
        """Return the ``pv_offsets`` of *num* pieces, from number *first* on."""
        return (self._address + self.width * first, self.width, num)

    def from_zero(self, first: int, num: int) -> Positions:
        """Return the positions of *num* pieces, from number *first* on, moved to zero.

        The first position is subtracted from all in a copy; if it is zero, nothing is
        copied. ValueError if it is negative, or exceeds the last or one in the copy.
        """
        some = self.view[first : first + num + 1]
        start = some[0]
        if not 0 <= start <= some[-1]:
            raise ValueError(_DESCEND)
        if start == 0:
            return Positions(some)
        try:
            return Positions(array("Q", (at - start for at in some)))
        except OverflowError:
            raise ValueError(_DESCEND) from None


class Column:
    """Byte strings in one buffer: a ``pv_column``, and the memory it points to."""

    __slots__ = ("_address", "data", "data_len", "handle", "num", "positions")

    def __init__(self, data: Buffer, offsets: Offsets | Positions) -> None:
        given = offsets if isinstance(offsets, Positions) else Positions(offsets)
        self.data = view(data)
        self.data_len = self.data.nbytes
        if given.view.format in _SIGNED and given.width == _NARROW:
            # No signed position exceeds this, and C reads a negative one as larger.
            self.data_len = min(self.data_len, _NARROW_MAX)
        self.positions = given
        self.num = given.num
        self._address = address(self.data)
        self.handle = self.part(0, self.num)

    @classmethod
    def of_list(cls, items: Sequence[bytes]) -> Column:
        """Make a column of a list of byte strings, which are copied."""
        if set(map(type, items)) - {bytes}:
            items = [as_bytes(item) for item in items]
        return cls(b"".join(items), ends(items))

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Column:
        """Make a column of a list of texts; UnicodeEncodeError if one is not ASCII."""
        return cls("".join(texts).encode("ascii"), ends(texts))

    def item(self, row: int) -> bytes:
        """Return a copy of one string; C must have written or accepted the offsets."""
        at = self.positions.view
        return bytes(self.data[at[row] : at[row + 1]])

    def texts(self) -> list[str]:
        """Return all strings; C must have written or accepted the offsets."""
        at = self.positions.view
        text = bytes(self.data[: at[-1]]).decode("ascii")
        return [text[a:b] for a, b in pairwise(at)]

    def text(self, row: int) -> str:
        """Return one string, with escapes where it is not UTF-8."""
        at = self.positions.view
        text = self.data.tobytes()[at[row] : at[row + 1]]
        return text.decode("utf-8", "backslashreplace")

    def part(self, first: int, num: int) -> Any:  # noqa: ANN401 - a C struct
        """Return a ``pv_column`` of *num* strings, from number *first* on."""
        positions = self.positions.part(first, num)
        return ffi.new("pv_column *", (self._address, self.data_len, positions))


# Lists are joined this many at a time, so that the copies stay in the caches.
_ITEMS_AT_ONCE = 256


def as_columns(
    items: Sequence[bytes] | Buffer, offsets: Offsets | None
) -> tuple[int, Iterator[tuple[int, Column]]]:
    """Return the number of byte strings, and the columns that hold them.

    Each column comes with the index of its first string. The number of strings is a
    multiple of `_ITEMS_AT_ONCE` in every column but the last.
    """
    given: Any = items
    if offsets is not None:
        column = Column(given, offsets)
        return column.num, iter([(0, column)])
    if is_buffer(given):
        msg = "expected a list of byte strings; for one buffer give offsets as well"
        raise TypeError(msg)
    rows = list(given)
    firsts = range(0, len(rows), _ITEMS_AT_ONCE)
    columns = (
        (first, Column.of_list(rows[first : first + _ITEMS_AT_ONCE]))
        for first in firsts
    )
    return len(rows), columns


def is_buffer(given: Any) -> bool:  # noqa: ANN401 - any argument
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


_SIGNED, _UNSIGNED = ("i", "l", "q"), ("I", "L", "Q")
_NARROW, _NARROW_MAX = 4, 2**31 - 1


def _positions(offsets: Offsets) -> memoryview:
    """Return offsets as integers of 4 or 8 bytes; a buffer is not copied."""
    given: Any = offsets
    if not is_buffer(given):
        try:
            given = array("Q", given)
        except OverflowError:
            msg = "an offset is negative or has more than 64 bits"
            raise ValueError(msg) from None
    found = memoryview(given)
    if found.ndim != 1 or found.format not in _SIGNED + _UNSIGNED:
        msg = (
            f"offsets are integers of 4 or 8 bytes, got a buffer of {found.format!r}; "
            "for an Arrow buffer write memoryview(offsets).cast('i') if the "
            "column is binary, .cast('q') if it is large_binary"
        )
        raise TypeError(msg)
    if not found.c_contiguous:
        msg = "the offsets are not contiguous; make a copy of them first"
        raise TypeError(msg)
    if len(found) == 0:
        msg = "offsets need one entry more than there are items, so at least one"
        raise ValueError(msg)
    return found


def ends(items: Sequence[Sequence[Any]]) -> array[int]:
    """Return the offsets of items that lie back to back, in the narrowest integers."""
    try:
        return array("I", accumulate(map(len, items), initial=0))
    except OverflowError:
        return array("Q", accumulate(map(len, items), initial=0))


_DESCEND = "offsets descend, or exceed the end of the buffer"


def check_offsets(status: int) -> None:
    """Raise ValueError unless C accepted the offsets of a column."""
    if status != lib.PV_OK:
        raise ValueError(_DESCEND)


# ---- digests -------------------------------------------------------------------------


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


# ---- search --------------------------------------------------------------------------


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
