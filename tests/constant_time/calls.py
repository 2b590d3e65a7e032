"""Calls that differ only in their secrets: the pins, and the digests to look for.

A scan gets pins and digests. A decision gets a chain and a policy: the walk and the
hashing work on public bytes, so only the key of the chain, with it the digest, and the
pins of the policy change. The answer of a decision is public, so calls with different
answers are never compared. Scans are compared whatever they answer.
"""

from __future__ import annotations

import ctypes
import random
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from certificate_parts import certificate
from pinverify import Pin, PinKind, PinSet, Policy, core

__all__ = ["DECISIONS", "Arena", "Call", "Library", "policies", "sample_certificate"]

DECISIONS = ("pv_evaluate", "pv_decide", "pv_leaf_suffices", "pv_evaluate_many")

NUMBERS_OF_PINS = (0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 64)

# What takes several digests or certificates does many times the work, so there is less
# of it.
NUMBERS_OF_PINS_FOR_MANY = (0, 1, 4, 5, 9, 17)
NUMBERS_OF_PINS_FOR_CERTIFICATES = (0, 4, 9)
NUMBERS_OF_DIGESTS = (1, 2, 3, 4, 5)
MOST_DIGESTS = max(NUMBERS_OF_DIGESTS)

# More than a kernel takes for small: one of them goes on in another way then.
# That is 20,000 instructions or more, so only three calls are traced: the digest is
# absent, the first pin, the last one.
MOST_PINS = 1300

HOST = "a.example"
NUM_CERTS = 2

# Of each list of a policy: its pins are rows, or blocks.
NUMBERS_OF_PINS_TO_DECIDE = (3, 9)


# ---- pins and digests --------------------------------------------------------


@dataclass(frozen=True)
class Secret:
    """Pins and a digest, and what is special about them."""

    name: str
    pins: bytes
    digest: bytes

    @property
    def is_hit(self) -> bool:
        """Is the digest among the pins?"""
        starts = range(0, len(self.pins), 32)
        return any(self.pins[i : i + 32] == self.digest for i in starts)

    def pins_around(self, digest: bytes) -> bytes:
        """Return pins that meet another digest as these meet theirs, bit by bit."""
        between = bytes(a ^ b for a, b in zip(self.digest, digest, strict=True))
        return bytes(pin ^ between[i % 32] for i, pin in enumerate(self.pins))


def flipped(digest: bytes, start: int, stop: int = 32) -> bytes:
    """Return a digest with other bytes from *start* to *stop*."""
    middle = bytes(0xFF ^ byte for byte in digest[start:stop])
    return digest[:start] + middle + digest[stop:]


def secrets(num_pins: int) -> Iterator[Secret]:
    """Yield that many pins, each time with a digest that meets them otherwise."""
    noise = random.Random(num_pins)  # noqa: S311  (a test, no key)
    pins = [noise.randbytes(32) for _ in range(num_pins)]
    joined = b"".join(pins)
    absent = noise.randbytes(32)
    yield Secret("absent", joined, absent)
    yield Secret("zero pins, zero digest", bytes(32 * num_pins), bytes(32))
    yield Secret("zero pins, one bit", bytes(32 * num_pins), bytes(31) + b"\1")
    yield Secret("0xff pins, zero digest", b"\xff" * 32 * num_pins, bytes(32))
    if not pins:
        return
    yield Secret("every pin hit", absent * num_pins, absent)
    for at in sorted({0, 1, 4, 7, num_pins // 2, num_pins - 1}):
        if at < num_pins:
            yield Secret(f"hit of pin {at}", joined, pins[at])
    for at in sorted({0, num_pins - 1}):
        for same in (1, 8, 15, 16, 31):
            near = flipped(pins[at], same)
            yield Secret(f"{same} bytes of pin {at}", joined, near)
        for byte in (0, 7, 8, 31):
            near = flipped(pins[at], byte, byte + 1)
            yield Secret(f"all of pin {at} but byte {byte}", joined, near)


def arrangements(secret: Secret, num_digests: int) -> Iterator[bytes]:
    """Yield several digests: the special one first, last, or everywhere."""
    others = bytes(range(1, 33)) * (num_digests - 1)
    yield secret.digest + others
    if num_digests > 1:
        yield others + secret.digest
        yield secret.digest * num_digests


# ---- chains and policies -----------------------------------------------------


def sample_certificate(number: int = 0) -> bytes:
    """Return a certificate; those of two numbers differ in 64 bytes of their keys."""
    key = random.Random(number).randbytes(64)  # noqa: S311  (a test, no key)
    return certificate().replace(bytes(range(64)), key)


def policies() -> Iterator[bytes]:
    """Yield compiled policies for the chain of a sample certificate.

    With few pins in each list and with many; nothing matches, everything does, and a
    key is blocked.
    """
    cert = sample_certificate()
    for num in NUMBERS_OF_PINS_TO_DECIDE:
        for pinned, blocked in ((False, False), (True, False), (True, True)):
            key = core.spki_sha256(cert)
            yield policy_of(num, key if pinned else None, key if blocked else None)


def policy_of(
    num: int, pinned: bytes | None = None, blocked: bytes | None = None
) -> bytes:
    """Return a compiled policy with *num* pins in each of five lists.

    They are pins of nobody, but that *pinned* is the last one of `pins`, *blocked* the
    last one that is blocked.
    """

    def pins(text: str, last: bytes | None, kind: PinKind = PinKind.SPKI) -> list[Pin]:
        digests = [core.sha256(f"{text} {i}".encode()) for i in range(num)]
        if last is not None:
            digests[-1] = last
        return [Pin(kind, digest) for digest in digests]

    pinset = PinSet(
        pins("pins", pinned),
        leaf=() if pinned else pins("leaf", None, PinKind.CERTIFICATE),
        ca=() if pinned else pins("ca", None),
        blocked=pins("blocked", blocked),
    )
    everywhere = pins("everywhere", None, PinKind.CERTIFICATE)
    return Policy({HOST: pinset}, blocked=everywhere).compile()


class Run(NamedTuple):
    """Pins of one kind in one list of a compiled policy."""

    is_blocked: bool
    kind: int
    first_row: int
    num_pins: int


# As csrc/pinverify_compile.h describes them, section 1.
HEADER_LEN, NUM_ROWS_AT, BLOCKED_AT, RUNS_AT = 128, 64, 80, 16


def runs_of(policy: bytes) -> list[Run]:
    """Return the runs of the one PinSet of a policy, and of what it blocks."""
    (num_rows,) = struct.unpack_from("<Q", policy, NUM_ROWS_AT)
    found = []
    for start, lists in (
        (BLOCKED_AT, (True,)),
        (HEADER_LEN + 32 * num_rows + RUNS_AT, (False, False, False, True)),
    ):
        numbers = struct.iter_unpack("<II", policy[start:][: 16 * len(lists)])
        for i, (first_row, num_pins) in enumerate(numbers):
            found.append(Run(lists[i // 2], i % 2, first_row, num_pins))
    return [run for run in found if run.num_pins]


# ---- a binary ----------------------------------------------------------------


class Library:
    """A binary that holds the core, loaded here."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._loaded = ctypes.CDLL(str(self.path))
        # The kernel marks a file that somebody has linked anew since.
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        lines = maps.replace(" (deleted)", "").splitlines()
        ours = [line for line in lines if line.endswith(str(self.path))]
        base = min(int(line.split("-")[0], 16) for line in ours)
        self.functions: dict[str, int] = {}
        self.places: list[tuple[int, str]] = []  # static names may occur twice
        listing = subprocess.run(
            ["nm", str(self.path)], capture_output=True, text=True, check=True
        )
        for line in listing.stdout.splitlines():
            *address, kind, name = line.split()
            if kind in "tT":
                self.functions[name] = base + int(address[0], 16)
                self.places.append((self.functions[name], name))

    def call(self, name: str, *arguments: Any) -> int:  # noqa: ANN401
        """Call a function that returns a number, by its name."""
        types: list[Any] = [type(argument) for argument in arguments]
        function = ctypes.CFUNCTYPE(ctypes.c_uint32, *types)(self.functions[name])
        return int(function(*arguments))

    def kernels(self) -> list[str]:
        """Return the kernels that this machine can run, best first."""
        address = self.functions["pv_scan_kernel_name"]
        name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_size_t)(address)
        names: list[str] = []
        while (found := name(len(names))) is not None:
            names.append(found.decode("ascii"))
        return names

    def place(self, address: int) -> str:
        """Return an address as the name of a function and an offset."""
        below = [(at, name) for at, name in self.places if at <= address]
        at, name = max(below, default=(0, "?"))
        return f"{name}+{address - at:#x}"


# ---- calls -------------------------------------------------------------------

Call = Callable[[], object]


class Span(ctypes.Structure):
    """A pv_span."""

    _fields_ = (("data", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Offsets(ctypes.Structure):
    """pv_offsets."""

    _fields_ = (
        ("at", ctypes.c_void_p),
        ("width", ctypes.c_size_t),
        ("num", ctypes.c_size_t),
    )


class ColumnOfBytes(ctypes.Structure):
    """A pv_column."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("data_len", ctypes.c_size_t),
        ("offsets", Offsets),
    )


def offsets(*positions: int) -> Any:  # noqa: ANN401 - an array of ctypes
    """Return positions in memory, of four bytes each."""
    return (ctypes.c_uint32 * len(positions))(*positions)


class Arena:
    """Where secrets and answers lie: the same place in every call."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.rows = ctypes.create_string_buffer(32 * MOST_PINS)
        self.packed = ctypes.create_string_buffer(32 * (MOST_PINS + 8))
        self.digests = ctypes.create_string_buffer(32 * MOST_DIGESTS)
        self.answers = ctypes.create_string_buffer(4 * MOST_DIGESTS)
        # Of decisions: a chain of equal certificates, and a view of a policy.
        cert_len = len(sample_certificate())
        self.certs = ctypes.create_string_buffer(cert_len * NUM_CERTS)
        start = ctypes.addressof(self.certs)
        starts = range(0, cert_len * NUM_CERTS, cert_len)
        self.chain = (Span * NUM_CERTS)(*(Span(start + at, cert_len) for at in starts))
        self.cert_ends = offsets(*starts, cert_len * NUM_CERTS)
        self.chain_ends = offsets(0, NUM_CERTS)
        self.host = ctypes.create_string_buffer(HOST.encode("ascii"))
        self.host_ends = offsets(0, len(HOST))
        self.policy = ctypes.create_string_buffer(256)
        self.report = ctypes.create_string_buffer(256)
        self.spkis = ctypes.create_string_buffer(32 * NUM_CERTS)

    def calls(self, function: str) -> Iterator[list[tuple[str, Call]]]:
        """Yield groups of calls; within a group only secrets differ."""
        if function in DECISIONS:
            return self.decisions(function)
        if function.startswith("pv_cert"):
            return self.calls_with_certificates(function)
        return self.scans(function)

    # ---- scans

    def fill(self, num_pins: int, pins: bytes, digests: bytes) -> None:
        """Put pins, packed and not, and digests in their places."""
        ctypes.memmove(self.rows, pins, len(pins))
        ctypes.memmove(self.digests, digests, len(digests))
        size = ctypes.c_size_t(num_pins)
        self.library.call("pv_pins_pack", self.packed, self.rows, size)

    def scans(self, function: str) -> Iterator[list[tuple[str, Call]]]:
        """Yield calls with numbers of pins, and of digests."""
        many = function.endswith("_many")
        for num_pins in NUMBERS_OF_PINS_FOR_MANY if many else NUMBERS_OF_PINS:
            for num_digests in NUMBERS_OF_DIGESTS if many else (1,):
                group = []
                for secret in islice(secrets(num_pins), 0, None, 5 if many else 1):
                    for digests in arrangements(secret, num_digests):
                        call = self.scan(function, num_pins, secret.pins, digests)
                        group.append((f"{num_pins} pins, {secret.name}", call))
                yield group
        if function == "pv_packed_contain":
            group = []
            for secret in islice(secrets(MOST_PINS), 0, 11, 5):
                call = self.scan(function, MOST_PINS, secret.pins, secret.digest)
                group.append((f"{MOST_PINS} pins, {secret.name}", call))
            yield group

    def scan(self, function: str, num_pins: int, pins: bytes, digests: bytes) -> Call:
        """Return a call of one scan with these secrets."""
        size = ctypes.c_size_t(num_pins)
        where = self.packed if "packed" in function else self.rows
        arguments: tuple[object, ...] = (where, size, self.digests)
        if function.endswith("_many"):
            num_digests = ctypes.c_size_t(len(digests) // 32)
            arguments = (self.answers, *arguments, num_digests)

        def call() -> None:
            self.fill(num_pins, pins, digests)
            self.library.call(function, *arguments)

        return call

    def calls_with_certificates(
        self, function: str
    ) -> Iterator[list[tuple[str, Call]]]:
        """Yield calls that look for the keys of certificates."""
        column = ColumnOfBytes(
            ctypes.addressof(self.certs),
            len(self.certs),
            Offsets(ctypes.addressof(self.cert_ends), 4, NUM_CERTS),
        )
        for num_pins in NUMBERS_OF_PINS_FOR_CERTIFICATES:
            pins = (self.packed, ctypes.c_size_t(num_pins))
            arguments: tuple[object, ...] = (
                (self.report, *pins, self.certs, self.chain_len(1))
                if function == "pv_cert_is_pinned"
                else (
                    *(self.answers, self.spkis, self.report, self.digests),
                    *(*pins, ctypes.pointer(column)),
                )
            )

            def call(
                number: int, secret: Secret, arguments: tuple[object, ...] = arguments
            ) -> None:
                cert = self.put_chain(number)
                pins = secret.pins_around(core.spki_sha256(cert))
                self.fill(len(pins) // 32, pins, b"")
                self.library.call(function, *arguments)

            yield [
                (f"{num_pins} pins, {secret.name}", partial(call, number, secret))
                for number, secret in enumerate(secrets(num_pins))
                if number % 3 == 0
            ]

    # ---- decisions

    def chain_len(self, num_certs: int) -> ctypes.c_size_t:
        """Return the bytes of so many certificates."""
        return ctypes.c_size_t(len(self.certs) // NUM_CERTS * num_certs)

    def put_chain(self, number: int) -> bytes:
        """Put a chain in its place, and return its certificate."""
        cert = sample_certificate(number)
        ctypes.memmove(self.certs, cert * NUM_CERTS, len(self.certs))
        return cert

    def arguments_of_decisions(self) -> dict[str, tuple[object, ...]]:
        """Return the arguments of each decision."""
        num = ctypes.c_size_t(NUM_CERTS)
        now = ctypes.c_int64(0)
        peer = (self.policy, self.host, ctypes.c_size_t(len(HOST)))
        ends = ctypes.addressof(self.cert_ends)
        certs = ColumnOfBytes(
            ctypes.addressof(self.certs), len(self.certs), Offsets(ends, 4, NUM_CERTS)
        )
        hosts = ColumnOfBytes(
            ctypes.addressof(self.host),
            len(HOST),
            Offsets(ctypes.addressof(self.host_ends), 4, 1),
        )
        chains = Offsets(ctypes.addressof(self.chain_ends), 4, 1)
        answers = (ctypes.c_void_p * 8)(ctypes.addressof(self.report))
        return {
            "pv_evaluate": (self.report, self.spkis, *peer, self.chain, num, now),
            "pv_decide": (
                *(self.report, *peer, self.certs, self.chain_len(NUM_CERTS)),
                *(self.cert_ends, num, now),
            ),
            "pv_leaf_suffices": (*peer, self.certs, self.chain_len(1), now),
            "pv_evaluate_many": (
                *(answers, self.policy, ctypes.pointer(hosts)),
                *(ctypes.pointer(certs), ctypes.pointer(chains), now),
            ),
        }

    def decisions(self, function: str) -> Iterator[list[tuple[str, Call]]]:
        """Yield calls of a decision; in each group all of them answer the same.

        In one group the digest is in no list, in one in every list that must match, in
        one in the lists that must not.
        """
        arguments = self.arguments_of_decisions()[function]
        for num_pins in NUMBERS_OF_PINS_TO_DECIDE:
            policy = policy_of(num_pins)
            view = ctypes.create_string_buffer(policy, len(policy))
            size = ctypes.c_size_t(len(policy))
            if self.library.call("pv_policy_open", self.policy, view, size) != 0:
                msg = "the policy does not open"
                raise AssertionError(msg)
            runs = runs_of(policy)
            pins_at = ctypes.addressof(view) + HEADER_LEN

            def call(
                number: int,
                both: tuple[Secret, Secret],
                runs: Sequence[Run] = runs,
                pins_at: int = pins_at,
            ) -> None:
                cert = self.put_chain(number)
                digests = (core.spki_sha256(cert), core.sha256(cert))
                for run in runs:
                    pins = both[run.is_blocked].pins_around(digests[run.kind])
                    self.library.call(
                        "pv_pins_pack",
                        ctypes.c_void_p(pins_at + 32 * run.first_row),
                        ctypes.c_char_p(pins),
                        ctypes.c_size_t(run.num_pins),
                    )
                self.library.call(function, *arguments)

            every = list(secrets(num_pins))
            misses = [secret for secret in every if not secret.is_hit]
            hits = [secret for secret in every if secret.is_hit]
            some_hits = [*hits[:1], *hits[2::2]]
            for what, pinned, blocked in (
                ("no match", misses[::5], misses[1::5]),
                ("a match", some_hits, misses[::5]),
                ("blocked", misses[::5], some_hits),
            ):
                yield [
                    (
                        f"{what}, {num_pins} pins, {both[0].name} and {both[1].name}",
                        partial(call, number, both),
                    )
                    for number, both in enumerate(zip(pinned, blocked, strict=False))
                ]
