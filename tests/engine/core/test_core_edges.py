"""Inputs of the core at the edge of memory that nobody may touch.

After the last byte, or before the first, is a page without permissions: a read that
goes one byte too far ends the process. So this runs in a process of its own, with the
compiled module as it is, without a sanitizer.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# For the process of its own.
sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

import corpora  # the path above leads to it
import oracle_der
from compiled_model import digest_of
from oracle_der import SEQUENCE, encode
from pinverify import Pin, Policy, core
from pinverify._core import ffi, lib
from pinverify.core._kernels import scan_kernels, use_scan_kernel
from pinverify.core._keys import pack

__all__: list[str] = []

PAGE = mmap.PAGESIZE
NO_ACCESS, READ_AND_WRITE = 0, 3  # PROT_NONE, PROT_READ | PROT_WRITE
NOISE = hashlib.shake_256(b"edges").digest(1024)


class Edges:
    """Memory between two pages that nobody may touch."""

    def __init__(self, num_pages: int = 4) -> None:
        """Map it."""
        self._size = num_pages * PAGE
        self._memory = mmap.mmap(-1, self._size + 2 * PAGE)
        self._holder = ctypes.c_char.from_buffer(self._memory)
        base = ctypes.addressof(self._holder)
        self._first, self._end = base + PAGE, base + PAGE + self._size
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (base, self._end):
            address = ctypes.c_void_p(page)
            assert libc.mprotect(address, ctypes.c_size_t(PAGE), NO_ACCESS) == 0

    def both(self, content: bytes) -> Iterator[ffi.CData]:
        """Yield *content* behind the first edge, then before the last one."""
        assert len(content) <= self._size
        for address in (self._first, self._end - len(content)):
            ctypes.memmove(address, content, len(content))
            yield ffi.cast("uint8_t *", address)


# ---- what is asked -----------------------------------------------------------


def certificates(edges: Edges) -> None:
    """Whole, cut anywhere, and cut behind each spelling of a length."""
    digest = ffi.new("uint8_t[32]")
    ders = [entry.der for entry in corpora.inputs() if len(entry.der) < 2 * PAGE]
    for der in ders:
        for data in edges.both(der):
            lib.pv_spki_sha256(digest, data, len(der))
    good = next(der for der in ders if _is_certificate(der))
    for end in range(len(good)):
        _refuse_at_the_edge(edges, good[:end])
    # With outer lengths that fit, so that it ends in the middle of a field.
    tbs = _content(_content(good))
    for end in range(len(tbs)):
        _refuse_at_the_edge(edges, encode(SEQUENCE, encode(SEQUENCE, tbs[:end])))
    # Each element of the walk, if its length were the last thing there is.
    lengths = [bytes((0x80 + n,)) + bytes(n) for n in range(6)]
    beginnings = {length[:cut] for length in lengths for cut in range(len(length) + 1)}
    for at in range(len(good) - 8):
        for length in beginnings:
            _refuse_at_the_edge(edges, good[: at + 1] + length)


def _content(der: bytes) -> bytes:
    """Return what the first element of *der* holds."""
    element = oracle_der.read(der, 0, len(der))
    return b"".join(row.raw for row in oracle_der.split(element))


def _refuse_at_the_edge(edges: Edges, der: bytes) -> None:
    spki = ffi.new("pv_span *")
    for data in edges.both(der):
        assert lib.pv_spki_from_cert(spki, data, len(der)) != lib.PV_OK


def _is_certificate(der: bytes) -> bool:
    status = lib.pv_spki_from_cert(ffi.new("pv_span *"), der, len(der))
    return bool(status == lib.PV_OK)


def messages(edges: Edges) -> None:
    """Of each length, by each kernel: alone, and as the last of many."""
    for kernel in core.kernels():
        with core.use_kernel(kernel):
            for length in range(300):
                _hash_at_the_edge(edges, NOISE[:length], kernel)


def _hash_at_the_edge(edges: Edges, message: bytes, kernel: str) -> None:
    expected = hashlib.sha256(message).digest()
    digest, digests = ffi.new("uint8_t[32]"), ffi.new("uint8_t[]", 32 * 9)
    for data in edges.both(message):
        lib.pv_sha256(digest, data, len(message))
        assert bytes(ffi.buffer(digest)) == expected, (kernel, len(message))
    for num in (1, 2, 3, 9):
        offsets = struct.pack(
            f"={num + 1}Q", *(i * len(message) for i in range(num + 1))
        )
        for data in edges.both(message * num):
            positions = [ffi.from_buffer(offsets), 8, num]
            column = ffi.new("pv_column *", [data, num * len(message), positions])
            assert lib.pv_sha256_many(digests, column) == lib.PV_OK
            found = bytes(ffi.buffer(digests, 32 * num))
            assert found == expected * num, (kernel, len(message), num)


def pins(edges: Edges) -> None:
    """Of each number, in rows and packed, by each kernel; the digest at an edge."""
    known = [hashlib.sha256(b"%d" % i).digest() for i in range(41)]
    for kernel in scan_kernels():
        with use_scan_kernel(kernel):
            for num in range(41):
                rows = b"".join(known[:num])
                for data in edges.both(rows):
                    assert lib.pv_pins_contain(data, num, known[num - 1]) == (num > 0)
                for data in edges.both(pack(rows)):
                    assert lib.pv_packed_contain(data, num, known[40]) == 0
                for digests in edges.both(b"".join(known[:num])):
                    _look_for_several(rows, num, digests)


def _look_for_several(rows: bytes, num: int, digests: ffi.CData) -> None:
    found = ffi.new("uint8_t[]", max(num, 1))
    packed = pack(rows)
    lib.pv_packed_contain_many(found, packed, num, digests, num)
    assert list(found)[:num] == [1] * num


HOSTS = (
    b"a",
    b"www.example.org",
    b"1.2.3.4",
    b"0x1",
    b"1:2:3:4:5:6:7:8",
    b"::ffff:1.2.3.4",
    b"1::",
    b"a." * 126 + b"b",
)


def hosts(edges: Edges) -> None:
    """Whole, and cut anywhere: also behind a colon or a dot."""
    policy = Policy({"**.example.org": [Pin.spki(bytes(32))]})
    out, length = ffi.new("char[254]"), ffi.new("size_t *")
    view = ffi.new("pv_policy *")
    blob = policy.compile()
    assert lib.pv_policy_open(view, blob, len(blob)) == lib.PV_OK
    for host in HOSTS:
        for end in range(1, len(host) + 1):
            for data in edges.both(host[:end]):
                text = ffi.cast("char *", data)
                if lib.pv_host_canonical(out, length, text, end) == lib.PV_OK:
                    lib.pv_policy_find(view, text, end)


def policies(edges: Edges) -> None:
    """Whole, cut anywhere, and with each number out of range, digest or not."""
    names = ("a.example", "*.b.example", "**.c.example", "d.example")
    rules = {name: [Pin.spki(bytes([i]) * 32)] for i, name in enumerate(names)}
    view = ffi.new("pv_policy *")
    good = Policy(rules).compile()
    for end in range(0, len(good) + 1, 8):
        for data in edges.both(good[:end]):
            lib.pv_policy_open(view, data, end)
    for at in range(40, len(good) - 3, 4):
        for value in (0, 1, 2, 255, 1 << 16, 1 << 31, (1 << 32) - 1):
            damaged = bytearray(good)
            damaged[at : at + 4] = struct.pack("<I", value)
            damaged[8:40] = digest_of(bytes(damaged))
            for data in edges.both(bytes(damaged)):
                if lib.pv_policy_open(view, data, len(damaged)) == lib.PV_OK:
                    for name in (b"a.example", b"x.b.example", b"c.example"):
                        lib.pv_policy_find(view, name, len(name))


def overread(edges: Edges) -> None:
    """The fault that must be seen: a message that is one byte longer than it is."""
    for data in edges.both(NOISE):
        lib.pv_sha256(ffi.new("uint8_t[32]"), data, len(NOISE) + 1)


QUESTIONS: dict[str, Callable[[Edges], None]] = {
    function.__name__: function
    for function in (certificates, messages, pins, hosts, policies, overread)
}


# ---- the tests ---------------------------------------------------------------


def ask(name: str) -> subprocess.CompletedProcess[str]:
    """Ask one of QUESTIONS in a process of its own."""
    if sys.platform == "win32":
        pytest.skip("there is no mprotect")
    command = [sys.executable, str(Path(__file__)), name]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name != "overread"])
def test_no_byte_outside_is_read(name: str) -> None:
    """A read that is one byte too far would have ended the process."""
    done = ask(name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{name}: asked\n"


def test_a_byte_too_far_is_seen() -> None:
    """The twin: it ends the process, so that the silence above means something."""
    done = ask("overread")
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)


if __name__ == "__main__":
    QUESTIONS[sys.argv[1]](Edges())
    print(f"{sys.argv[1]}: asked")  # noqa: T201 - it is how the test knows
