"""The goals for speed, row by row; `bench_counts` fails if the core gets slower.

Each gate was set before its code was written, from prototypes on a Zen 4 processor:
1 to 15 for the core, the others for the calls that users make. Gates are never lowered
to fit a result: a gate that is missed is reported as missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from measure import Spread

__all__ = [
    "ADAPTER",
    "FIRST_CALL",
    "GATES",
    "HANDSHAKE",
    "ON_EACH_WAY",
    "REFUSAL",
    "Gate",
    "Row",
    "judge",
]

Unit = Literal["×", "%", "ns", "instructions", "bytes"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One number that must be reached."""

    number: int
    what: str
    """The measured thing in words, with {} for the case."""
    case: str
    gate: float
    unit: Unit = "×"
    at_most: bool = False
    """True if the measured value must not exceed the gate; else it must reach it."""
    edge: float | None = None
    """The best possible value, as far as it is known."""

    @property
    def name(self) -> str:
        """The measured thing, in words."""
        return self.what.format(self.case)

    @property
    def key(self) -> str:
        """Its name among the measured values."""
        return f"{self.number} {self.case}".strip()


@dataclass(frozen=True, slots=True)
class Row:
    """A gate, and what was measured."""

    gate: Gate
    measured: Spread | None
    """None if it was not measured."""
    limit_here: float | None = None
    """The limit on the machine of this run, where it can be measured."""

    @property
    def reached(self) -> bool:
        """True if the median is on the right side of the gate."""
        if self.measured is None:
            return False
        if self.gate.at_most:
            return self.measured.median <= self.gate.gate
        return self.measured.median >= self.gate.gate

    @property
    def verdict(self) -> str:
        """In one word, or two."""
        if self.measured is None:
            return "not measured"
        return "reached" if self.reached else "missed"


FIRST_CALL = 16
"""The first of the gates for the calls that users make."""

PYTHON_ONE = "one certificate from Python, against "
PYTHON_MANY = "many certificates from Python, against cryptography, {}"
C_ONE = "one certificate in C, against OpenSSL, {}"
C_MANY = "many certificates in C, against OpenSSL, {}"
SCAN = "scan, share of the read bandwidth, {}"
THREE = "time of three digests in one pass, by that of one, {}"
EVALUATE = "Policy.evaluate, against three lines with cryptography, {}"
VERIFY = "time of Policy.verify, rejected, by that of evaluate, {}"
MANY_IN_BUFFERS = "time of evaluate_many from buffers, by that of hashing alone, {}"
MANY_IN_LISTS = "time of evaluate_many from lists, by that of hashing alone, {}"
COMPILE = "compile a million hosts with 2 pins, per host, {}"
FILES = "time to read 100,000 hosts, by that of the parser alone, {}"
AUDIT = "time of an audit in DuckDB, by that with its own sha256, {}"
CONTEXT = "instructions to import pin_context beyond ssl, by those at 2905595"
SHOW = "instructions of `pinverify show`, by those of `python -c pass`, {}"
START = "time of a process, by that of `python -c pass`, {}"
HANDSHAKE = "CPU added to a TLS 1.3 handshake, both ends, {}"
ON_EACH_WAY = "CPU added to a handshake, {}"
REFUSAL = "CPU of a client that a server refuses, by that of others, {}"
LATE = "an event loop late beside a reload of 10,000 hosts, {}"
ADAPTER = "CPU added to a handshake of OpenSSL in C, {}"

GATES = (
    Gate(1, PYTHON_ONE + "cryptography, {}", "P-256", 40, edge=55),
    Gate(1, PYTHON_ONE + "cryptography, {}", "RSA-2048", 11, edge=14),
    Gate(1, PYTHON_ONE + "cryptography, {}", "Ed25519", 16, edge=22),
    Gate(2, PYTHON_ONE + "{}, P-256", "pyOpenSSL", 120),
    Gate(2, PYTHON_ONE + "{}, P-256", "asn1crypto", 40),
    Gate(3, PYTHON_ONE + "a walk in Python, {}", "P-256", 7, edge=10),
    Gate(3, PYTHON_ONE + "a walk in Python, {}", "RSA-2048", 6, edge=8),
    Gate(4, PYTHON_ONE + "assert_fingerprint, {}", "P-256", 4, edge=6),
    Gate(4, PYTHON_ONE + "assert_fingerprint, {}", "RSA-2048", 3.5, edge=4.6),
    Gate(
        5,
        "time of that, by that of an empty hashlib.sha256, {}",
        "P-256",
        0.80,
        at_most=True,
        edge=0.61,
    ),
    Gate(6, C_ONE, "P-256", 240),
    Gate(6, C_ONE, "RSA-2048", 85),
    Gate(
        7,
        "instructions of a strict walk to the last byte, at most",
        "",
        450,
        unit="instructions",
        at_most=True,
        edge=260,
    ),
    Gate(8, "SHA-256 of many keys in C, against OpenSSL, {}", "web", 1.9, edge=2.5),
    Gate(9, C_MANY, "web", 160, edge=230),
    Gate(9, C_MANY, "real", 125),
    Gate(10, PYTHON_MANY, "contiguous", 60, edge=90),
    Gate(10, PYTHON_MANY, "list[bytes]", 28, edge=65),
    Gate(11, SCAN, "1,000 pins", 90, unit="%", edge=100),
    Gate(11, SCAN, "10,000 pins", 90, unit="%", edge=100),
    Gate(11, SCAN, "100,000 pins", 90, unit="%", edge=100),
    Gate(12, THREE, "10,000 pins", 1.15, at_most=True, edge=1),
    Gate(12, THREE, "100,000 pins", 1.15, at_most=True, edge=1),
    Gate(13, HANDSHAKE, "leaf pin", 3, unit="%", at_most=True, edge=1),
    Gate(13, HANDSHAKE, "CA pin", 4, unit="%", at_most=True),
    Gate(14, "hot look-up of a host among a million", "", 300, unit="ns", at_most=True),
    Gate(15, "two threads against one, many certificates, {}", "in C", 1.8, edge=2),
    Gate(
        15,
        "two threads against one, many certificates, {}",
        "from Python",
        1.8,
        edge=2,
    ),
    Gate(16, EVALUATE, "leaf", 18, edge=28),
    Gate(17, EVALUATE, "chain of two", 14, edge=22),
    Gate(17, EVALUATE, "miss", 14, edge=22),
    Gate(17, EVALUATE, "host without rule", 14, edge=22),
    Gate(18, VERIFY, "2 pins", 2.5, at_most=True, edge=1.5),
    Gate(18, VERIFY, "10,000 pins", 2.5, at_most=True, edge=1.5),
    Gate(19, MANY_IN_BUFFERS, "leaf alone", 1.5, at_most=True, edge=1.15),
    Gate(19, MANY_IN_BUFFERS, "chain of two", 1.5, at_most=True, edge=1.15),
    Gate(20, MANY_IN_LISTS, "leaf alone", 6, at_most=True, edge=3),
    Gate(20, MANY_IN_LISTS, "chain of two", 6, at_most=True, edge=3),
    Gate(
        21,
        "memory of 19 for each chain of two, answers included",
        "",
        120,
        unit="bytes",
        at_most=True,
    ),
    Gate(
        22, ON_EACH_WAY, "memory buffers, leaf pin", 2, unit="%", at_most=True, edge=1
    ),
    Gate(22, ON_EACH_WAY, "memory buffers, CA pin", 2.5, unit="%", at_most=True),
    Gate(
        22,
        ON_EACH_WAY,
        "memory buffers, host without pins",
        1.5,
        unit="%",
        at_most=True,
    ),
    Gate(
        22,
        ON_EACH_WAY,
        "server, memory buffers, client pins",
        2.5,
        unit="%",
        at_most=True,
    ),
    Gate(23, ON_EACH_WAY, "sockets, leaf pin", 2, unit="%", at_most=True, edge=1),
    Gate(23, ON_EACH_WAY, "sockets, CA pin", 2.5, unit="%", at_most=True),
    Gate(24, REFUSAL, "1 pin", 1.3, at_most=True, edge=1),
    Gate(24, REFUSAL, "10,000 pins", 1.3, at_most=True, edge=1),
    Gate(25, COMPILE, "from objects", 8_000, unit="ns", at_most=True, edge=3_000),
    Gate(25, COMPILE, "from columns", 1_500, unit="ns", at_most=True, edge=500),
    Gate(26, FILES, "toml", 1.4, at_most=True, edge=1.2),
    Gate(26, FILES, "json", 8, at_most=True, edge=4),
    Gate(
        27,
        "open a million hosts from a map",
        "",
        90_000_000,
        unit="ns",
        at_most=True,
        edge=40_000_000,
    ),
    Gate(28, START, "--version", 6, at_most=True),
    Gate(28, START, "pin FILE", 6, at_most=True),
    Gate(29, AUDIT, "keys of a Parquet file", 1.5, at_most=True, edge=1),
    *(
        Gate(30, ADAPTER, f"{version}, {kind}, {who}", 1, "%", at_most=True, edge=0.2)
        for version in ("TLS 1.2", "TLS 1.3")
        for kind in ("full", "resumed")
        for who in ("client", "server", "both ends")
    ),
    Gate(32, CONTEXT, "", 0.5, at_most=True, edge=0.33),
    Gate(33, SHOW, "two rules", 6, at_most=True, edge=4),
    Gate(34, LATE, "compiled", 5_000_000, unit="ns", at_most=True, edge=1_000_000),
    Gate(34, LATE, "text", 5_000_000, unit="ns", at_most=True, edge=1_000_000),
    Gate(35, "counting a connection", "", 100, unit="ns", at_most=True),
)


def judge(values: dict[str, Spread], limits: dict[str, float]) -> list[Row]:
    """Put gates and measured values together.

    Args:
        values: what was measured, by `Gate.key`.
        limits: what could be reached on this machine, by the same.
    """
    unknown = values.keys() - {gate.key for gate in GATES}
    if unknown:
        msg = f"measured, and in no gate: {', '.join(sorted(unknown))}"
        raise KeyError(msg)
    return [Row(gate, values.get(gate.key), limits.get(gate.key)) for gate in GATES]
