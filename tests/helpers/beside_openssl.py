"""Compare pinverify with OpenSSL on certificates of others, and millions of mutants.

``fuzz/differential.c`` asks both about each, in one process. This module compares what
it reports with ``vectors/divergences.json``: a difference that is not listed fails, and
so does a listed one that is gone. Two differences always fail: both accept, but read
different keys; and pinverify accepts a frame that OpenSSL refuses.

    python tests/helpers/beside_openssl.py PROGRAM --mutants 200000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import corpora
from pinverify._core import lib
from places import TESTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["DIVERGENCES", "NEVER", "Outcome", "faults", "run", "table"]

DIVERGENCES = TESTS / "vectors" / "divergences.json"

# What the index and Debian's binary packages have; with the source packages of
# other TLS libraries it is more than 3,000.
LEAST = 1000

REFUSES = "pinverify refuses, OpenSSL accepts"
ACCEPTS = "pinverify accepts, OpenSSL refuses"
NEVER = ("other-key", "only-in-frame")

FIELDS = ("issuer", "validity", "subject", "extensions")  # as the program's bits
STATUSES = {
    getattr(lib, name): name
    for name in dir(lib)
    if name == "PV_OK" or name.startswith("PV_ERR_DER_")
}

# A class of mutants that is listed, and expected that often, has to occur.
OFTEN = 50


def fields_of(bits: int) -> list[str]:
    """Return the names of the fields that the program's bits stand for."""
    return [name for i, name in enumerate(FIELDS) if bits >> i & 1]


@dataclass
class Outcome:
    """The program's report."""

    num_mutants: int
    # index -> (verdict, status, fields) of the inputs the two differ about
    inputs: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    # (verdict, status or field) -> how many mutants
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def read(self, line: str) -> None:
        """Take in one line of the program's report."""
        what, *rest = line.split()
        if what == "input":
            index, verdict, status, bits = rest
            found = verdict, STATUSES[int(status)], fields_of(int(bits))
            self.inputs[int(index)] = found
            return
        verdict, status, bits, number = rest
        self.verdicts[verdict] += int(number)
        if verdict == "only-openssl":
            self.classes[verdict, STATUSES[int(status)]] += int(number)
        elif verdict == "only-inside":
            for name in fields_of(int(bits)):
                self.classes[verdict, name] += int(number)


def run(
    program: Path,
    inputs: Iterable[corpora.Input],
    *,
    num_mutants: int,
    seed: int,
    findings: Path,
) -> Outcome:
    """Run the program to its end; what must not be is kept in *findings*.

    Raises:
        CalledProcessError: it ended in a way that it never should.
    """
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "pack"
        with pack.open("wb") as file:
            for entry in inputs:
                file.write(struct.pack("<I", len(entry.der)) + entry.der)
        numbers = (str(num_mutants), str(seed))
        command = [str(program), str(pack), *numbers, str(findings)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise subprocess.CalledProcessError(done.returncode, command)
    outcome = Outcome(num_mutants)
    for line in done.stdout.splitlines():
        outcome.read(line)
    return outcome


# ---------------------------------------------------------------------------
# The list
# ---------------------------------------------------------------------------


def faults(
    outcome: Outcome, inputs: Sequence[corpora.Input], listed: dict[str, Any]
) -> list[str]:
    """Return what must not be, what is unlisted, and what has healed."""
    return [
        *_never(outcome, inputs),
        *_inputs_against_the_list(outcome, inputs, listed),
        *_mutants_against_the_list(outcome, listed),
    ]


def _never(outcome: Outcome, inputs: Sequence[corpora.Input]) -> list[str]:
    found = [
        f"{verdict}: {inputs[i][:2]}"
        for i, (verdict, _status, _fields) in outcome.inputs.items()
        if verdict in NEVER
    ]
    mutants = {v: outcome.verdicts[v] for v in NEVER if outcome.verdicts[v]}
    return found + [
        f"{verdict}: {number} mutants" for verdict, number in mutants.items()
    ]


def _inputs_against_the_list(
    outcome: Outcome, inputs: Sequence[corpora.Input], listed: dict[str, Any]
) -> list[str]:
    expected = {
        entry["sha256"]: (one_class["direction"], entry)
        for one_class in listed["classes"]
        if one_class["direction"] in {REFUSES, ACCEPTS}
        for entry in one_class["inputs"]
    }
    directions = {"only-openssl": REFUSES, "only-inside": ACCEPTS}
    wrong = []
    for i, entry in enumerate(inputs):
        direction, known = expected.get(entry.sha256, (None, {}))
        verdict, status, fields = outcome.inputs.get(i, ("none", "PV_OK", []))
        if verdict in NEVER:
            continue
        if verdict not in directions:
            if known:
                wrong.append(f"healed: {json.dumps(known)}")
            continue
        same = (
            direction == directions[verdict]
            and known["status"] == status
            # The list may name more: the parser of `cryptography` has its say there.
            and set(fields) <= set(known.get("within", []))
        )
        if not same:
            what = {"sha256": entry.sha256, "status": status, "within": fields}
            wrong.append(f"unlisted: {verdict}: {entry[:2]} {json.dumps(what)}")
    return wrong


def _mutants_against_the_list(outcome: Outcome, listed: dict[str, Any]) -> list[str]:
    rates = {(c["verdict"], c["where"]): c["per_million"] for c in listed["mutants"]}
    wrong = [
        f"unlisted: {number} mutants of the class {verdict}, {where}"
        for (verdict, where), number in sorted(outcome.classes.items())
        if (verdict, where) not in rates
    ]
    wrong += [
        f"healed: no mutant of the class {verdict}, {where}"
        for (verdict, where), rate in rates.items()
        if rate * outcome.num_mutants >= OFTEN * 1_000_000
        and not outcome.classes[verdict, where]
    ]
    return wrong


# ---------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------


def table(outcome: Outcome, inputs: Sequence[corpora.Input]) -> str:
    """Return the counts as lines of text."""
    seen = Counter(verdict for verdict, _, _ in outcome.inputs.values())
    lines = [f"{len(inputs):>10} inputs of {len({e.source for e in inputs})} sources"]
    lines += [f"{seen[verdict]:>10}   {verdict}" for verdict in sorted(seen)]
    lines += [f"{outcome.num_mutants:>10} mutants"]
    verdicts = ("same-key", "same-key-reencoded", *NEVER, "both-refuse")
    lines += [f"{outcome.verdicts[v]:>10}   {v}" for v in verdicts]
    for verdict in ("only-openssl", "only-inside"):
        lines.append(f"{outcome.verdicts[verdict]:>10}   {verdict}, of which")
        lines += [
            f"{number:>14}   {where}"
            for (of, where), number in sorted(outcome.classes.items())
            if of == verdict
        ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="pinverify beside OpenSSL.")
    parser.add_argument("program", type=Path, help="fuzz/differential.c, compiled")
    parser.add_argument("--mutants", type=int, default=200_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    options = parser.parse_args(arguments)
    inputs = corpora.everything()
    outcome = run(
        options.program,
        inputs,
        num_mutants=options.mutants,
        seed=options.seed,
        findings=options.findings,
    )
    print(table(outcome, inputs))  # noqa: T201 - it is what was asked for
    listed = json.loads(DIVERGENCES.read_text(encoding="utf-8"))
    wrong = faults(outcome, inputs, listed)
    if len(inputs) < LEAST:
        wrong.append(
            f"only {len(inputs)} inputs: fetch with tests/helpers/corpora.py --fetch"
        )
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
