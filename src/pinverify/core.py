"""The C core, one Python function per C function. Stable, for other libraries.

Sizes are checked here, and statuses become exceptions here. Certificates and
messages are ``bytes``; digests and pins are 32 bytes each, several of them back
to back. The GIL is released during a call, but for those of about a microsecond
(see csrc/python/build_cffi.py).
"""

from __future__ import annotations

import contextlib
import struct
from array import array
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify import _core
from pinverify._core import ffi, lib
from pinverify.errors import DERError, PolicyError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterator, Sequence

    from _typeshed import ReadableBuffer

__all__ = [
    "ACCEPTED",
    "DIGEST_LEN",
    "NOTHING_TO_TELL",
    "NO_DEPTH",
    "NO_RULE",
    "SHAPE_PREFIXES",
    "Buffer",
    "Chain",
    "Chains",
    "Matches",
    "Offsets",
    "OpenPolicy",
    "PinSetFields",
    "RawReport",
    "canonical_host",
    "certs_are_pinned",
    "chain",
    "is_address",
    "kernel",
    "kernels",
    "matcher",
    "pack_pins",
    "pins_contain",
    "scan_kernel",
    "scan_kernels",
    "sha256",
    "sha256_many",
    "spki",
    "spki_sha256",
    "spki_sha256_many",
    "status_text",
    "use_kernel",
    "use_scan_kernel",
]

DIGEST_LEN: int = lib.PV_DIGEST_LEN

if not lib.add_matcher():
    msg = "pinverify._core can't be completed: build or install it again"
    raise ImportError(msg)

Buffer: TypeAlias = "ReadableBuffer"
"""Whatever shows contiguous bytes: bytes, bytearray, memoryview, mmap.mmap,
array.array, a numpy array, a pyarrow buffer."""

Offsets: TypeAlias = "Sequence[int] | ReadableBuffer"
"""n + 1 ascending positions: item i reaches from position i to position i + 1.

A buffer of 4- or 8-byte integers is read where it lies, whatever made it:
array.array, numpy, ``memoryview(buffer).cast("i")`` of a buffer of Arrow's.
"""


def status_text(status: int) -> str:
    """Return the phrase for a ``pv_status``."""
    text: bytes = ffi.string(lib.pv_status_text(status))
    return text.decode("ascii")


# ---- certificates ------------------------------------------------------------


def spki(cert: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a DER certificate, as it stands in it.

    The result has tag and length, so its SHA-256 is the pin (RFC 7469, 2.4).

    Raises:
        DERError: *cert* is not one strict-DER Certificate (RFC 5280, 4.1).
    """
    out = ffi.new("pv_span *")
    cert = _as_bytes(cert)
    status = lib.pv_spki_from_cert(out, ffi.from_buffer(cert), len(cert))
    if status != lib.PV_OK:
        raise DERError(_not_a_certificate(status, cert))
    return bytes(ffi.buffer(out.data, out.len))


def spki_sha256(cert: bytes) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo: 32 bytes.

    Raises:
        DERError: *cert* is not one strict-DER Certificate.
    """
    out = ffi.new("uint8_t[32]")
    cert = _as_bytes(cert)
    status = lib.pv_spki_sha256(out, cert, len(cert))
    if status != lib.PV_OK:
        raise DERError(_not_a_certificate(status, cert))
    return bytes(ffi.buffer(out))


def spki_sha256_many(
    certs: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> tuple[bytes, list[int]]:
    """Return the SPKI digests of many certificates.

    Args:
        certs: DER certificates; or, with *offsets*, one buffer that holds them
            (the data of an Arrow binary or large_binary column). It is read where
            it lies: no other thread may change it meanwhile.
        offsets: certificate i is bytes offsets[i] to offsets[i + 1] of the buffer.

    Returns:
        The digests, n × 32 bytes back to back, and the indices of the
        certificates that are not strict DER. Their digests are zero.

    Raises:
        ValueError: the offsets do not ascend, or pass the end of the buffer.
        TypeError: the offsets are not integers of 4 or 8 bytes.
    """
    num, columns = _columns(certs, offsets)
    digests, statuses = bytearray(DIGEST_LEN * num), bytearray(num)
    out_digests, out_statuses = _bytes_at(digests), _bytes_at(statuses)
    num_malformed = ffi.new("size_t *")
    for first, column in columns:
        status = lib.pv_spki_sha256_many(
            out_digests + DIGEST_LEN * first,
            out_statuses + first,
            num_malformed,
            column.handle,
        )
        _check_offsets(status)
    return bytes(digests), _malformed(statuses)


class Matches(NamedTuple):
    """Which certificates of many are pinned."""

    pinned: bytes
    """One bit for each certificate, the first in the lowest bit of the first byte
    (an Arrow bitmap)."""
    digests: bytes
    """Their SPKI digests, n × 32 bytes, as `spki_sha256_many` gives them."""
    malformed: list[int]
    """The indices of those that are not strict DER; they are not pinned."""

    def is_pinned(self, i: int) -> bool:
        """Say whether certificate number *i* is pinned."""
        return self.pinned[i // 8] >> i % 8 & 1 == 1


def certs_are_pinned(
    pins: bytes, certs: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> Matches:
    """Say which of many certificates have an SPKI that is pinned.

    Args:
        pins: n × 32 bytes, back to back.
        certs: as in `spki_sha256_many`.
        offsets: as in `spki_sha256_many`.

    Raises:
        ValueError: *pins* is not a multiple of 32 bytes, or the offsets do not
            ascend, or pass the end of the buffer.
        TypeError: the offsets are not integers of 4 or 8 bytes.
    """
    packed, num_pins = pack_pins(pins), _num_pins(pins)
    num, columns = _columns(certs, offsets)
    pinned = bytearray((num + 7) // 8)
    digests, statuses = bytearray(DIGEST_LEN * num), bytearray(num)
    out_pinned = _bytes_at(pinned)
    out_digests, out_statuses = _bytes_at(digests), _bytes_at(statuses)
    num_malformed = ffi.new("size_t *")
    for first, column in columns:
        status = lib.pv_certs_are_pinned(
            out_pinned + first // 8,
            out_digests + DIGEST_LEN * first,
            out_statuses + first,
            num_malformed,
            packed,
            num_pins,
            column.handle,
        )
        _check_offsets(status)
    return Matches(bytes(pinned), bytes(digests), _malformed(statuses))


def matcher(pins: bytes) -> Callable[[bytes], bool]:
    """Return a function that says whether a DER certificate's SPKI is pinned.

    It is the cheapest call there is: one handle, one C call, no allocation.

    Args:
        pins: n × 32 bytes, back to back.

    Raises:
        ValueError: *pins* is not a multiple of 32 bytes.
        DERError: (by the function) its argument is not a strict-DER Certificate.
    """
    packed = pack_pins(pins)
    answer: Callable[[bytes], bool] = _core.matcher(packed, partial(_is_pinned, packed))
    return answer


def _is_pinned(packed: bytes, cert: bytes) -> bool:
    """Answer, or raise, where `matcher` meets what is no certificate in bytes."""
    cert = _as_bytes(cert)
    answer: int = lib.pv_cert_is_pinned(packed, _num_pins(packed), cert, len(cert))
    if answer < 0:
        raise DERError(_not_a_certificate(-answer, cert))
    return answer == 1


# ---- SHA-256 -----------------------------------------------------------------


def sha256(data: Buffer) -> bytes:
    """Return the SHA-256 of *data*: 32 bytes (FIPS 180-4)."""
    out = ffi.new("uint8_t[32]")
    view = _view(data)
    lib.pv_sha256(out, view, len(view))
    return bytes(ffi.buffer(out))


def sha256_many(
    messages: Sequence[bytes] | Buffer, offsets: Offsets | None = None
) -> bytes:
    """Return the SHA-256 of many messages: n × 32 bytes, back to back.

    The arguments and the errors are those of `spki_sha256_many`.
    """
    num, columns = _columns(messages, offsets)
    digests = bytearray(DIGEST_LEN * num)
    out = _bytes_at(digests)
    for first, column in columns:
        status = lib.pv_sha256_many(out + DIGEST_LEN * first, column.handle)
        _check_offsets(status)
    return bytes(digests)


# ---- pins --------------------------------------------------------------------


def pins_contain(pins: bytes, digest: bytes) -> bool:
    """Say whether *digest* is one of *pins*, in time that depends on neither.

    Args:
        pins: n × 32 bytes, back to back.
        digest: 32 bytes.

    Raises:
        ValueError: a length is wrong.
    """
    pins, digest = _as_bytes(pins), _as_bytes(digest)
    num_pins = _num_pins(pins)
    if len(digest) != DIGEST_LEN:
        msg = f"a digest has 32 bytes, got {len(digest)}"
        raise ValueError(msg)
    answer: int = lib.pv_pins_contain(
        ffi.from_buffer(pins), num_pins, ffi.from_buffer(digest)
    )
    return answer == 1


def pack_pins(pins: bytes) -> bytes:
    """Return *pins* (n × 32 bytes) as the scan likes them: packed pins.

    Raises:
        ValueError: *pins* is not a multiple of 32 bytes.
    """
    pins = _as_bytes(pins)
    num_pins = _num_pins(pins)
    packed = bytearray(lib.pv_pins_packed_len(num_pins))
    lib.pv_pins_pack(ffi.from_buffer(packed), ffi.from_buffer(pins), num_pins)
    return bytes(packed)


# ---- kernels -----------------------------------------------------------------


def kernels() -> tuple[str, ...]:
    """Return the names of the SHA-256 kernels that run here, best first."""
    return _kernel_names(lib.pv_sha256_kernel_name)


def kernel() -> str:
    """Return the name of the SHA-256 kernel in use."""
    number: int = lib.pv_sha256_kernel()
    return kernels()[number]


@contextlib.contextmanager
def use_kernel(name: str) -> Iterator[None]:
    """Use another SHA-256 kernel in a ``with`` block, in the whole process.

    For tests and benches: other threads change with it.

    Raises:
        ValueError: this machine has no kernel of that name.
    """
    with _kernel_used(
        name, kernels(), lib.pv_sha256_kernel(), lib.pv_sha256_use_kernel
    ):
        yield


def scan_kernels() -> tuple[str, ...]:
    """Return the names of the scan kernels that run here, best first."""
    return _kernel_names(lib.pv_scan_kernel_name)


def scan_kernel() -> str:
    """Return the name of the scan kernel in use."""
    number: int = lib.pv_scan_kernel()
    return scan_kernels()[number]


@contextlib.contextmanager
def use_scan_kernel(name: str) -> Iterator[None]:
    """Use another scan kernel in a ``with`` block, as `use_kernel` does.

    Raises:
        ValueError: this machine has no kernel of that name.
    """
    with _kernel_used(
        name, scan_kernels(), lib.pv_scan_kernel(), lib.pv_scan_use_kernel
    ):
        yield


def _kernel_names(name_of: Any) -> tuple[str, ...]:  # noqa: ANN401 - a C function
    names: list[str] = []
    while (name := name_of(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode("ascii"))
    return tuple(names)


@contextlib.contextmanager
def _kernel_used(
    name: str, names: tuple[str, ...], before: int, use: Callable[[int], int]
) -> Iterator[None]:
    if name not in names:
        msg = f"no kernel {name!r} on this machine; there are {', '.join(names)}"
        raise ValueError(msg)
    use(names.index(name))
    try:
        yield
    finally:
        use(before)


# ---- hosts -------------------------------------------------------------------


def canonical_host(host: str | bytes) -> str:
    """Return the one spelling that stands for an ASCII *host*.

    Lower case, without a trailing dot; IP addresses in their shortest form.

    Raises:
        PolicyError: the host has no canonical form; the message says why.
    """
    try:
        data = host.encode("ascii") if isinstance(host, str) else bytes(host)
    except UnicodeEncodeError:
        raise PolicyError(_not_a_host(host, lib.PV_ERR_HOST_CHARACTER)) from None
    out = ffi.new("char[]", lib.PV_HOST_MAX + 1)
    out_len = ffi.new("size_t *")
    status = lib.pv_host_canonical(out, out_len, data, len(data))
    if status != lib.PV_OK:
        raise PolicyError(_not_a_host(host, status))
    text: bytes = ffi.string(out)
    return text.decode("ascii")


def is_address(canonical: str) -> bool:
    """Tell an IP address from a name; *canonical* is what `canonical_host` gave."""
    return ":" in canonical or canonical.rpartition(".")[2].isdigit()


# ---- columns: many byte strings ----------------------------------------------


class _Column:
    """A ``pv_column``, and what it points to: the handle lives as long as this."""

    __slots__ = ("_kept", "handle", "num")

    def __init__(self, data: Buffer, offsets: Offsets) -> None:
        view, positions = _view(data), _positions(offsets)
        data_len = len(view)
        if positions.format in _SIGNED and positions.itemsize == _NARROW:
            # Signed positions reach no further, so a negative one passes the end.
            data_len = min(data_len, _NARROW_MAX)
        at = ffi.from_buffer(positions)
        self.num = len(positions) - 1
        self.handle = ffi.new(
            "pv_column *", (view, data_len, (at, positions.itemsize, self.num))
        )
        self._kept = view, at

    @classmethod
    def of_list(cls, items: Sequence[bytes]) -> _Column:
        """Make a column of a list of byte strings, which are copied."""
        if set(map(type, items)) - {bytes}:
            items = [_as_bytes(item) for item in items]
        return cls(b"".join(items), _ends(items))


class Chains:
    """n chains of certificates, as `OpenPolicy.verify_many` takes them."""

    __slots__ = ("certs", "handle", "num", "positions")

    def __init__(
        self,
        chains: Sequence[Sequence[bytes]] | Buffer,
        offsets: Offsets | None = None,
        chain_offsets: Offsets | None = None,
    ) -> None:
        """Find the certificates, and which of them make a chain.

        Args:
            chains: n chains, each leaf first; or, with *offsets*, one buffer that
                holds the certificates of all.
            offsets: certificate j is bytes offsets[j] to offsets[j + 1].
            chain_offsets: chain i is the certificates chain_offsets[i] to
                chain_offsets[i + 1]; None: each certificate is a chain.
        """
        given: Any = chains
        if offsets is not None:
            self.certs = _Column(given, offsets)
            if chain_offsets is None:
                chain_offsets = range(self.certs.num + 1)
        elif chain_offsets is None:
            _check_list(given)
            lists = [list(certs) for certs in given]
            self.certs = _Column.of_list([cert for certs in lists for cert in certs])
            chain_offsets = _ends(lists)
        else:
            msg = "chain_offsets are for certificates in one buffer: give offsets, too"
            raise TypeError(msg)
        self.positions = _positions(chain_offsets)
        self.num = len(self.positions) - 1
        at = ffi.from_buffer(self.positions)
        self.handle = ffi.new("pv_offsets *", (at, self.positions.itemsize, self.num))


# Lists are joined this many at a time: the copies stay in the caches.
_ITEMS_AT_ONCE = 256


def _columns(
    items: Sequence[bytes] | Buffer, offsets: Offsets | None
) -> tuple[int, Iterator[tuple[int, _Column]]]:
    """Return how many byte strings there are, and the columns that hold them.

    Each column comes with the index of its first. All but the last have a multiple
    of `_ITEMS_AT_ONCE`.
    """
    given: Any = items
    if offsets is not None:
        column = _Column(given, offsets)
        return column.num, iter([(0, column)])
    _check_list(given)
    rows = list(given)
    firsts = range(0, len(rows), _ITEMS_AT_ONCE)
    columns = (
        (first, _Column.of_list(rows[first : first + _ITEMS_AT_ONCE]))
        for first in firsts
    )
    return len(rows), columns


def _check_list(items: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    try:
        memoryview(items)
    except TypeError:
        return
    msg = "expected a list of byte strings; for one buffer give offsets, too"
    raise TypeError(msg)


def _view(data: Buffer) -> Any:  # noqa: ANN401 - a C array
    """Return the bytes of *data* where they lie."""
    try:
        return ffi.from_buffer(data)
    except (BufferError, ValueError) as error:  # numpy says ValueError
        msg = f"expected contiguous bytes; make a copy of them first ({error})"
        raise TypeError(msg) from None


_SIGNED, _UNSIGNED = ("i", "l", "q"), ("I", "L", "Q")
_NARROW, _WIDE = 4, 8
_NARROW_MAX = 2**31 - 1


def _positions(offsets: Offsets) -> memoryview:
    """Return offsets as integers of 4 or 8 bytes; those of a buffer are not copied."""
    given: Any = offsets
    try:
        view = memoryview(given)
    except TypeError:
        view = memoryview(_as_array(given))
    if view.ndim != 1 or view.format not in _SIGNED + _UNSIGNED:
        msg = (
            f"offsets are integers of 4 or 8 bytes, got a buffer of {view.format!r}; "
            "for a buffer of Arrow's write memoryview(offsets).cast('i') if the "
            "column is binary, .cast('q') if it is large_binary"
        )
        raise TypeError(msg)
    if not view.c_contiguous:
        msg = "the offsets are not contiguous; make a copy of them first"
        raise TypeError(msg)
    if len(view) == 0:
        msg = "offsets have one entry more than there are items, so at least one"
        raise ValueError(msg)
    return view


def _as_array(offsets: Sequence[int]) -> array[int]:
    try:
        return array("Q", offsets)
    except OverflowError:
        msg = "an offset is negative or has more than 64 bits"
        raise ValueError(msg) from None


def _ends(items: Sequence[Sequence[Any]]) -> array[int]:
    return array("Q", accumulate(map(len, items), initial=0))


def _bytes_at(buffer: bytearray) -> Any:  # noqa: ANN401 - a C pointer
    return ffi.from_buffer("uint8_t[]", buffer)


def _malformed(statuses: bytearray) -> list[int]:
    if not any(statuses):
        return []
    return [i for i, status in enumerate(statuses) if status]


def _check_offsets(status: int) -> None:
    if status != lib.PV_OK:
        msg = "offsets do not ascend, or pass the end of the buffer"
        raise ValueError(msg)


# ---- policies ----------------------------------------------------------------


class RawReport(NamedTuple):
    """The fields of a ``pv_report`` that Python needs; see pinverify.h."""

    accepted: int
    reason: int
    mode: int
    matched_kind: int
    shape: int
    name_len: int
    rule: int
    depth: int
    num_seen: int
    detail: int
    matched: bytes


_REPORT = struct.Struct("=6B2x4I32s")
"""A ``pv_report`` in memory."""

if _REPORT.size != ffi.sizeof("pv_report"):
    msg = "pinverify._core is of another version: build or install it again"
    raise ImportError(msg)

SHAPE_PREFIXES = ("", "*.", "**.")
"""How a pattern begins, by its ``pv_shape``."""

ACCEPTED: int = lib.PV_ACCEPTED
NOTHING_TO_TELL: tuple[int, ...] = (
    lib.PV_ACCEPTED + lib.PV_MATCH,
    lib.PV_ACCEPTED + lib.PV_NOT_PINNED,
)
"""What ``pv_decide`` returns where there is nothing to report."""
NO_RULE: int = lib.PV_NO_RULE
NO_DEPTH: int = lib.PV_NO_DEPTH


class Chain(NamedTuple):
    """Certificates, and the form in which C takes them in one call."""

    certs: Sequence[bytes]
    """DER, leaf first."""
    data: bytes
    """The same, back to back."""
    lens: bytes
    """The length of each: 4 bytes, little-endian."""


def chain(certs: Sequence[bytes]) -> Chain:
    """Return *certs* (DER, leaf first) as a `Chain`."""
    lens = struct.pack(f"<{len(certs)}I", *map(len, certs))
    return Chain(certs, b"".join(certs), lens)


class PinSetFields(NamedTuple):
    """A PinSet as it stands in a compiled policy."""

    mode: int
    expires: int | None
    """Seconds since 1970-01-01T00:00:00Z."""
    expired_rejects: bool
    runs: tuple[tuple[bytes, ...], ...]
    """Eight tuples of digests: of list l and kind k at 2 × l + k."""


_FLAG_EVERY_PEER = 2


class OpenPolicy:
    """An opened compiled policy: the handle that the C functions take.

    It keeps the bytes alive. They must not change while it lives.

    Attributes:
        leaf_suffices: ``pv_leaf_suffices`` of this policy. Its arguments: host (ASCII;
            the empty one is rejected), its length, the leaf in DER, its length, and
            the time in seconds since 1970-01-01T00:00:00Z. It returns 1 if the leaf
            alone decides that the peer is accepted, whatever stands above it.
        decide: ``pv_decide`` of this policy. Its arguments: host and its length, the
            certificates back to back (see `Chain`) and their length, the length of
            each, their number, and the time. Where it returns one of
            `NOTHING_TO_TELL`, `verify` would accept with the reason MATCH or
            NOT_PINNED; else `verify` says more, and that may be an acceptance, too.
    """

    __slots__ = ("_data", "_handle", "_pinned_buffer", "decide", "leaf_suffices")

    def __init__(self, data: bytes | memoryview | mmap.mmap) -> None:
        """Open and check *data*.

        Raises:
            PolicyError: *data* is not a compiled policy, whole and unchanged.
        """
        self._data = data
        self._pinned_buffer = ffi.from_buffer(data)
        self._handle = ffi.new("pv_policy *")
        status = lib.pv_policy_open(self._handle, self._pinned_buffer, len(data))
        if status != lib.PV_OK:
            msg = f"not a compiled policy: {status_text(status)}"
            raise PolicyError(msg)
        # Without a Python function around them: handshakes meet these two cold.
        self.leaf_suffices: Callable[[bytes, int, bytes, int, int], int] = partial(
            lib.pv_leaf_suffices, self._handle
        )
        self.decide: Callable[[bytes, int, bytes, int, bytes, int, int], int] = partial(
            lib.pv_decide, self._handle
        )

    @property
    def data(self) -> bytes | memoryview | mmap.mmap:
        """The compiled policy."""
        return self._data

    @property
    def digest(self) -> bytes:
        """The digest in its header: 32 bytes that name the policy."""
        return bytes(ffi.buffer(self._pinned_buffer)[8:40])

    def verify(
        self, host: bytes, chain: Sequence[bytes], now: int
    ) -> tuple[RawReport, bytes]:
        """Decide about one peer; see ``pv_verify``.

        Args:
            host: ASCII.
            chain: the verified chain, leaf first.
            now: seconds since 1970-01-01T00:00:00Z.

        Returns:
            The report, and the SPKI digests of the chain: n × 32 bytes.
        """
        num_certs = len(chain)
        spans = ffi.new("pv_span[]", num_certs)
        certs = [ffi.from_buffer(_as_bytes(cert)) for cert in chain]  # kept alive
        for span, cert in zip(spans, certs, strict=True):
            span.data = cert
            span.len = len(cert)
        report = ffi.new("pv_report *")
        spkis = ffi.new("uint8_t[]", DIGEST_LEN * num_certs)
        status = lib.pv_verify(
            report, spkis, self._handle, host, len(host), spans, num_certs, now
        )
        if status != lib.PV_OK:
            raise ValueError(status_text(status))
        fields = _REPORT.unpack(ffi.buffer(report))
        return RawReport._make(fields), bytes(ffi.buffer(spkis))

    def verify_many(
        self, hosts: Sequence[bytes], chains: Chains, now: int
    ) -> Iterator[tuple[RawReport, bytes]]:
        """Decide about n peers in one C call; see ``pv_verify_many``.

        Args:
            hosts: n host names, ASCII.
            chains: their n chains.
            now: seconds since 1970-01-01T00:00:00Z.

        Returns:
            What `verify` would for each.
        """
        names = _Column.of_list(hosts)
        if names.num != chains.num:
            msg = f"{names.num} hosts and {chains.num} chains: give one per peer"
            raise ValueError(msg)
        reports = bytearray(_REPORT.size * names.num)
        spkis = bytearray(DIGEST_LEN * chains.certs.num)
        status = lib.pv_verify_many(
            ffi.from_buffer("pv_report[]", reports),
            _bytes_at(spkis),
            self._handle,
            names.handle,
            chains.certs.handle,
            chains.handle,
            now,
        )
        _check_offsets(status)
        raw = map(RawReport._make, _REPORT.iter_unpack(reports))
        for i, report in enumerate(raw):
            first = DIGEST_LEN * chains.positions[i]
            end = DIGEST_LEN * chains.positions[i + 1]
            yield report, bytes(spkis[first:end])

    def find(self, canonical: str) -> int | None:
        """Return the index of the rule that decides about a canonical host."""
        host = canonical.encode("ascii")
        rule: int = lib.pv_policy_find(self._handle, host, len(host))
        return None if rule == NO_RULE else rule

    def blocks(self, rule: int | None) -> bool:
        """Say whether a key is blocked for a rule's hosts; see ``pv_rule_blocks``."""
        number = NO_RULE if rule is None else rule
        answer: int = lib.pv_rule_blocks(self._handle, number)
        return answer == 1

    @property
    def num_rules(self) -> int:
        """How many rules there are."""
        num: int = self._handle.num_rules
        return num

    @property
    def num_pinsets(self) -> int:
        """How many different PinSets there are."""
        num: int = self._handle.num_pinsets
        return num

    @property
    def every_peer(self) -> bool:
        """Whether it is one PinSet for every peer: see the header's flags."""
        every: bool = self._handle.flags & _FLAG_EVERY_PEER != 0
        return every

    def rule(self, index: int) -> tuple[str, int | None]:
        """Return a rule's pattern and the index of its PinSet (None: unpinned)."""
        out = ffi.new("pv_rule *")
        _check_index(lib.pv_policy_rule(out, self._handle, index))
        name = bytes(ffi.buffer(out.name, out.name_len)).decode("ascii")
        pinset = None if out.pinset == lib.PV_UNPINNED else int(out.pinset)
        return SHAPE_PREFIXES[out.shape] + name, pinset

    def pinset(self, index: int) -> PinSetFields:
        """Return PinSet number *index*."""
        out = ffi.new("pv_pinset *")
        _check_index(lib.pv_policy_pinset(out, self._handle, index))
        return PinSetFields(
            out.mode,
            out.expires if out.expires_set else None,
            bool(out.expired_rejects),
            tuple(
                tuple(
                    self._pin(index, run // 2, run % 2, i)
                    for i in range(out.num_pins[run])
                )
                for run in range(8)
            ),
        )

    def _pin(self, pinset: int, pin_list: int, kind: int, i: int) -> bytes:
        out = ffi.new("uint8_t[32]")
        _check_index(lib.pv_policy_pin(out, self._handle, pinset, pin_list, kind, i))
        return bytes(ffi.buffer(out))


# ---- sizes and statuses ------------------------------------------------------


def _not_a_host(host: str | bytes, status: int) -> str:
    return f"{host!r} is not a host: {status_text(status)}"


def _not_a_certificate(status: int, cert: bytes) -> str:
    pem = cert.startswith(b"-----BEGIN ")
    advice = " (this is PEM; ssl.PEM_cert_to_DER_cert makes DER of it)" if pem else ""
    return f"not a strict-DER certificate: {status_text(status)}{advice}"


def _as_bytes(data: Any) -> bytes:  # noqa: ANN401 - whatever a caller gives
    """Return the bytes of a buffer.

    Raises:
        TypeError: it is none.
    """
    if type(data) is bytes:
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"expected bytes, got {type(data).__name__}"
        raise TypeError(msg)
    return memoryview(data).tobytes()  # the true bytes, whatever len() says


def _num_pins(pins: bytes) -> int:
    if len(pins) % DIGEST_LEN:
        msg = f"pins are 32 bytes each, back to back; got {len(pins)} bytes"
        raise ValueError(msg)
    return len(pins) // DIGEST_LEN


def _check_index(status: int) -> None:
    if status != lib.PV_OK:
        msg = "no rule, PinSet or pin has that number"
        raise IndexError(msg)
