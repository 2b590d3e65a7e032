"""CPU time that the adapter of OpenSSL adds to a handshake in C.

    python bench/bench_openssl.py            a table, in about three minutes
    python bench/bench_openssl.py --count    instructions as well, with callgrind

`bench/c/handshakes.c` has a client and a server of OpenSSL in one process, which talk
in memory. Handshakes without pins, again without, and with pins take turns, and each
round compares neighbours. The time is that of both ends together; with a network and
an application, the share of pins would be smaller.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import gates
import machine
import pki
from bench_c import has_openssl_headers
from bench_handshake import added
from measure import Spread
from openssl_cast import write_cast
from openssl_programs import objects

__all__ = ["CASES", "ratios", "spreads"]

FOLDER = Path(__file__).resolve().parent / "c"

VERSIONS = {"TLS 1.2": "TLS1.2", "TLS 1.3": "TLS1.3"}
KINDS = ("full", "resumed")
WHO = {"client": "client", "server": "server", "both ends": "both"}

CASES = {
    f"{version}, {kind}, {who}": (VERSIONS[version], kind, WHO[who])
    for version in VERSIONS
    for kind in KINDS
    for who in WHO
}
"""Arguments of `handshakes.c`, by the case of a gate."""

# The counts of two runs, so that the start of the program does not matter.
FEW, MANY = 10, 30


def built(compiler: str = "gcc") -> Path:
    """Build the program, and return it."""
    target = Path("build", Path(compiler).name, "handshakes")
    command = ["make", "-s", "-C", str(FOLDER), f"CC={compiler}", str(target)]
    subprocess.run(command, check=True)
    return FOLDER / target


def ratios(
    program: Path, cast: Path, rounds: int, repeat: int
) -> dict[str, list[float]]:
    """Return the CPU time of a pinned handshake by that of others, by rounds.

    Args:
        program: `handshakes.c`, compiled.
        cast: a folder, in which certificates and policies are written.
        rounds: how often the three kinds of handshakes take turns.
        repeat: handshakes in each turn, of which the fastest counts.
    """
    write_cast(cast, pki.example_pki())
    return {
        case: _ratios(program, cast, asked, (str(rounds), str(repeat)))
        for case, asked in CASES.items()
    }


def _ratios(
    program: Path, cast: Path, asked: tuple[str, ...], numbers: tuple[str, ...]
) -> list[float]:
    command = [str(program), str(cast), *asked, *numbers]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=600, check=True
    )
    lines = (map(float, line.split()) for line in done.stdout.splitlines())
    return [pinned / statistics.mean(plain) for *plain, pinned in lines]


def spreads(rounds: int, repeat: int, compiler: str = "gcc") -> dict[str, Spread]:
    """Return what they spread over, by `CASES`; nothing without OpenSSL's headers."""
    if not has_openssl_headers():
        print("  no headers of OpenSSL: its adapter is not measured")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        found = ratios(built(compiler), Path(folder), rounds, repeat)
    return {case: Spread.of(values) for case, values in found.items()}


def _instructions(program: Path, cast: Path, asked: tuple[str, ...], which: str) -> int:
    counts = []
    for times in (FEW, MANY):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        command += [str(program), str(cast), *asked, which, str(times)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"Collected : (\d+)", done.stderr)
        assert found
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) // (MANY - FEW)


def counted(cast: Path, case: str) -> tuple[int, int]:
    """Return the instructions of a handshake, without pins and with them."""
    program, asked = built(), CASES[case]
    return (
        _instructions(program, cast, asked, "plain"),
        _instructions(program, cast, asked, "pinned"),
    )


def test_handshakes_of_openssl(benchmark: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """All cases shake hands, and each has a gate; the figures come from `main`."""
    if not has_openssl_headers():
        pytest.skip("no C compiler, or no headers of OpenSSL (Debian: libssl-dev)")
    # No time is measured: so it is made of the objects that tests have compiled.
    program = objects().linked(tmp_path / "handshakes", FOLDER / "handshakes.c")
    found = benchmark.pedantic(lambda: ratios(program, tmp_path, 1, 1), rounds=1)
    assert found.keys() == {g.case for g in gates.GATES if g.what == gates.ADAPTER}
    for values in found.values():
        assert min(values) > 0


@pytest.mark.ci
def test_the_program_that_is_measured_shakes_hands(tmp_path: Path) -> None:
    """It is the one that make builds, with the flags of the module."""
    if not has_openssl_headers():
        pytest.skip("no C compiler, or no headers of OpenSSL (Debian: libssl-dev)")
    assert ratios(built(), tmp_path, 1, 1).keys() == CASES.keys()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="CPU added by the adapter of OpenSSL.")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--count", action="store_true", help="with callgrind, too")
    given = parser.parse_args()
    if given.count and shutil.which("valgrind") is None:
        parser.error("there is no valgrind: apt install valgrind")
    print("| handshake, and who has pins | CPU added | instructions added |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        cast = Path(folder)
        for case, values in ratios(built(), cast, given.rounds, 4).items():
            more = ""
            if given.count:
                plain, pinned = counted(cast, case)
                more = f"{pinned - plain:,} of {pinned:,}"
            print(f"| {case} | {added(values)} | {more} |", flush=True)
    print(
        f"\nBoth ends, chains of three, {given.rounds} rounds, the fastest of 4; "
        f"{machine.cpu()}, {machine.facts()['C libraries']}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


if __name__ == "__main__":
    main()
