"""Compiled policies opened from bytes, paths and maps, and one of a million hosts."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import mmap
import os
import threading
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import policy_model as model
from compiled_model import CLIENTS, small, status_of
from pinverify import Pin, Policy, PolicyError, Reason, load_policy
from pinverify.core._policies import OpenPolicy
from pinverify.policy._policy import handle_of
from pki import Pki

__all__: list[str] = []


# ---- where a policy is opened from -------------------------------------------


def test_bytes_that_can_change_are_copied() -> None:
    """A later change of the bytearray has no effect."""
    for source in (bytearray(small()), memoryview(bytearray(small()))):
        policy = Policy.open(source)  # type: ignore[arg-type]
        before = policy.evaluate("a.example", [])
        view = memoryview(source)
        view[:] = bytes(len(view))
        assert policy.evaluate("a.example", []) == before
        assert policy.compile() == small()
        assert policy.digest == small()[8:40]


def test_a_policy_opens_from_a_path(tmp_path: Path) -> None:
    """As text or as a Path; the file is read, and may go afterwards."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    policies = [Policy.open(source) for source in (path, str(path))]
    path.unlink()
    for policy in policies:
        assert policy == Policy.open(small())
        assert policy.compile() == small()
    with pytest.raises(FileNotFoundError):
        Policy.open(path)


class Opened(NamedTuple):
    """A path that is no compiled policy, and what is said of it."""

    path: Path
    said: str


@pytest.fixture(
    params=[
        *("a pipe", "/dev/zero", "/dev/null", "a directory", "1 GiB of zeros"),
        *("a header that says 1 GiB", "1 GiB behind a header", "empty", "7 bytes"),
        *("a header", "truncated", "appended", "another version", "TOML"),
    ]
)
def unusual(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Return each of them."""
    path, gib, head = tmp_path / "policy.bin", 2**30, small()[:128]
    contents: dict[str, tuple[bytes, int, str]] = {
        "1 GiB of zeros": (b"", gib, "does not begin like one"),
        "a header that says 1 GiB": (
            head[:40] + gib.to_bytes(8, "little") + head[48:],
            128,
            r"truncated.* has 128 bytes, and its header says 1,073,741,824",
        ),
        "1 GiB behind a header": (head, gib, r"appended.* has 1,073,741,824 bytes"),
        "empty": (b"", 0, "it is empty; compile the policy again"),
        "7 bytes": (head[:7], 7, "does not begin like one"),
        "a header": (head, 128, "truncated, .* has 128 bytes"),
        "truncated": (small()[:-1], len(small()) - 1, "truncated, or bytes were"),
        "appended": (small() + b"!", len(small()) + 1, "or bytes were appended"),
        "another version": (b"pinvpol1" + small()[8:], 128, "compile it again"),
        "TOML": (b"version = 1\n" * 20, 240, "in TOML is read by load_policy"),
    }
    device = "no regular file; read the policy, and give its bytes, as in Policy.open"
    if request.param.startswith("/dev"):
        return Opened(Path(request.param), device)
    if request.param == "a pipe":
        os.mkfifo(path)
        return Opened(path, r"a pipe; .* Policy\.open\(sys\.stdin\.buffer\.read\(\)\)$")
    if request.param == "a directory":
        return Opened(
            tmp_path, "it is a directory; name the file of a compiled policy$"
        )
    data, length, said = contents[request.param]
    path.write_bytes(data)
    os.truncate(path, length)
    return Opened(path, said)


LITTLE = 2**22
"""So many bytes may be read of what is no policy."""


def test_a_path_that_is_no_policy_is_refused_at_once(unusual: Opened) -> None:
    """Before it is read: a pipe may have no writer, and a device no end."""
    tracemalloc.start()
    try:
        with pytest.raises(PolicyError, match=unusual.said) as caught:
            Policy.open(unusual.path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{unusual.path}: ")
    assert peak < LITTLE


@pytest.mark.parametrize("change", [1, -1])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    """Another process writes it in place: the message says how to do it."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    look = os.fstat

    def late(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        os.truncate(path, len(small()) + change)
        return found

    monkeypatch.setattr(os, "fstat", late)
    what = "grew" if change > 0 else "shrank"
    with pytest.raises(PolicyError, match=f"{what} while it was read; write a new"):
        Policy.open(path)


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_a_compiled_policy_may_come_from_a_pipe(tmp_path: Path) -> None:
    """In commands and load_policy, as of <(…) in a shell, but no more than it says."""
    path = tmp_path / "policy.bin"
    whole, chunk = small(), 2**16
    endless = itertools.chain([whole], itertools.repeat(bytes(chunk)))
    lying = whole[:40] + (2**62).to_bytes(8, "little") + whole[48:]
    pipes: list[tuple[Iterable[bytes], str]] = [
        ([whole[:99], whole[99:]], ""),
        ([whole[:-1]], "truncated"),
        ([lying], r"truncated.* header says 4,611,686,018,427,387,904"),
        (endless, "has more than"),
        (itertools.repeat(bytes(chunk)), "does not begin like one"),
    ]
    for pieces, said in pipes:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        writer = threading.Thread(target=write, args=(path, pieces))
        writer.start()
        if said:
            with pytest.raises(PolicyError, match=said):
                load_policy(path, format="compiled")
        else:
            assert load_policy(path, format="compiled").compile() == whole
        writer.join()


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write to a pipe until nobody reads it."""
    with contextlib.suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
        for piece in pieces:
            pipe.write(piece)


@contextmanager
def mapped(path: Path, access: int) -> Iterator[mmap.mmap]:
    """Map a file."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=access) as data:
        yield data


def test_a_read_only_map_is_used_where_it_lies(tmp_path: Path) -> None:
    """It can't be closed under the policy, and a replaced file changes nothing."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    with mapped(path, mmap.ACCESS_READ) as data:
        policy = Policy.open(data)
        with pytest.raises(BufferError):
            data.close()
        report = policy.evaluate("a.example", [])
        assert report.rule == "a.example"
        newer = tmp_path / "newer.bin"
        newer.write_bytes(model.policy(CLIENTS).compile())
        newer.replace(path)
        assert policy.evaluate("a.example", []) == report
        assert policy.compile() == small()
        assert Policy.open(path).has_clients
        del policy  # so that the map can be closed


@pytest.mark.parametrize("access", [mmap.ACCESS_WRITE, mmap.ACCESS_COPY])
def test_a_map_that_can_be_written_is_refused(tmp_path: Path, access: int) -> None:
    """Its bytes could change after they were checked. The message says what to do."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    with mapped(path, access) as data:
        with pytest.raises(PolicyError, match=r"access=mmap\.ACCESS_READ"):
            Policy.open(data)
        assert Policy.open(bytes(data)).compile() == small()


def test_a_damaged_map_is_refused(tmp_path: Path) -> None:
    """It is checked like any other bytes."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small() + b"\0")
    with (
        mapped(path, mmap.ACCESS_READ) as data,
        pytest.raises(PolicyError, match="appended"),
    ):
        Policy.open(data)


def test_an_opened_policy_keeps_its_bytes_alive() -> None:
    """Nobody else has to hold them."""
    policies = [Policy.open(bytes(bytearray(small()))) for _ in range(50)]
    noise = [bytes(len(small())) for _ in range(50)]
    assert all(policy.compile() == small() for policy in policies)
    assert len(noise) == 50


# ---- a million hosts ---------------------------------------------------------


HOSTS_SHORT, HOSTS_LONG = 100_000, 1_000_000


class ManyHosts(Mapping[str, list[Pin]]):
    """Rules for many hosts, 3 pins each, made when they are asked for."""

    def __init__(self, num_hosts: int, first: list[Pin]) -> None:
        """Take the number of hosts, and the pins of host 0."""
        self._num_hosts = num_hosts
        self._first = first

    def __getitem__(self, host: str) -> list[Pin]:
        number = int(host.removeprefix("host").partition(".")[0])
        if number == 0:
            return self._first
        digests = hashlib.shake_128(host.encode()).digest(96)
        return [Pin.spki(digests[at : at + 32]) for at in (0, 32, 64)]

    def __iter__(self) -> Iterator[str]:
        return (f"host{i}.shop{i % 977}.example" for i in range(self._num_hosts))

    def __len__(self) -> int:
        return self._num_hosts


@pytest.mark.parametrize(
    "num_hosts", [HOSTS_SHORT, pytest.param(HOSTS_LONG, marks=pytest.mark.slow)]
)
def test_many_hosts_with_3_pins_each_compile_open_from_a_map_and_answer(
    tmp_path: Path, pki: Pki, num_hosts: int
) -> None:
    """Each host that is asked for has its own pins, and no other has any."""
    path = tmp_path / "policy.bin"
    first = [Pin.parse(pki.server.pin), *(Pin.spki(bytes([i]) * 32) for i in (1, 2))]
    rules = ManyHosts(num_hosts, first)
    path.write_bytes(Policy(rules).compile())
    with mapped(path, mmap.ACCESS_READ) as data:
        policy = Policy.open(data)
        assert handle_of(policy).num_rules == num_hosts
        assert len(data) / num_hosts < 250  # bytes per host
        asked = list(itertools.islice(rules, 0, num_hosts, 499))
        chain = pki.server.chain_der
        for host, report in zip(
            asked, policy.evaluate_many(asked, [chain] * len(asked)), strict=True
        ):
            assert report.rule == host
            expected = Reason.MATCH if host == asked[0] else Reason.MISMATCH
            assert report.reason is expected
        others = [f"x{host}" for host in asked] + [f"a.{host}" for host in asked]
        for report in policy.evaluate_many(others, [[]] * len(others)):
            assert report.reason is Reason.NOT_PINNED
        opened = OpenPolicy(data)
        for host in asked[:200]:
            rule = opened.find(host)
            assert rule is not None
            pattern, pinset = opened.rule(rule)
            assert pattern == host
            assert pinset is not None
            assert opened.pinset(pinset).num_pins == (len(rules[host]), *(0,) * 7)
            digests = opened.pins(pinset, 0, 0, len(rules[host]))
            assert digests == sorted(pin.digest for pin in rules[host])
        damaged = bytearray(data)
        for at in (100, len(damaged) // 2, len(damaged) - 1):
            damaged[at] ^= 1
            assert status_of(bytes(damaged)) == "DIGEST"
            damaged[at] ^= 1
        del policy, opened
