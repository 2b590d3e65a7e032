"""Prove the C core, function by function, with the model checker CBMC.

    make prove                           # every proof
    make prove PROOFS="der read_serial"  # of these files or functions
    make prove PART=2/3                  # every third, from the second on
    make prove FIX=1                     # update the tables after names have changed

Each ``*.toml`` beside this file is a part of the table of proofs, and README.md
says what its columns mean. A proof counts only if

* every property holds, for every input that the contract allows;
* every ``REACHED`` of its harness can be reached, so that no property holds only
  for lack of inputs;
* the same proof fails on a copy of the source with the row's planted bug, and with
  each of its wrong meanings.

The exit status is 0 only if all of that is so. ``JOBS`` (2) says how many proofs
run side by side.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anchors
from anchors import AnchorError, Change
from parts import in_part, passed

__all__: list[str] = []

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"

MEMORY_KIB = 4 * 1024 * 1024  # each job may have this much, no more
SECONDS = 300  # and this long

CHECKS = [
    "bounds-check",
    "pointer-check",
    "pointer-overflow-check",
    "pointer-primitive-check",
    "signed-overflow-check",
    "unsigned-overflow-check",
    "conversion-check",
    "undefined-shift-check",
    "div-by-zero-check",
    "unwinding-assertions",
]

# The wheel on the package index has Bitwuzla as a library. CBMC wants a program
# that takes a file.
BITWUZLA = """#!{python}
import sys, bitwuzla
manager = bitwuzla.TermManager()
bitwuzla.Parser(manager, bitwuzla.Options()).parse(sys.argv[-1], False)
"""


class ProofError(Exception):
    """A proof that did not come to an end: a tool is missing, or it refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One row of the table; README.md says what each column means."""

    function: str
    harness: str
    shows: str
    bug: Change
    wrong: list[Change] = field(default_factory=list)
    contract: bool = True
    replace: list[str] = field(default_factory=list)
    instead: dict[str, str] = field(default_factory=dict)
    link: list[str] = field(default_factory=list)
    loops: bool = False
    unwind: int = 8
    parts: int = 1
    solver: str = "bitwuzla"
    flags: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    defines: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the proof: a function may be proved in several files."""
        return (
            f"{self.harness.removeprefix('prove_').removesuffix('.c')} {self.function}"
        )


@dataclass(slots=True)
class Outcome:
    """The result of one proof."""

    proof: Proof
    seconds: float = 0.0
    num_properties: int = 0
    num_reached: int = 0
    bug_found: str = ""
    num_wrong: int = 0  # meanings that were found out
    fault: str = ""  # empty: proved


# ---- the table ----------------------------------------------------------------


def read_table(path: Path) -> list[Proof]:
    """Return the proofs of one file: its defaults, then its rows."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = table.pop("proof")
    proofs = []
    for row in rows:
        merged = table | row
        bug = Change.of({"in": row["function"]} | merged.pop("bug"))
        wrong = [Change.of(change) for change in merged.pop("wrong", [])]
        merged.setdefault("harness", f"prove_{path.stem}.c")
        proofs.append(Proof(**merged, bug=bug, wrong=wrong))
    return proofs


def chosen(names: list[str]) -> list[Proof]:
    """Return the proofs of the named files or functions; without a name, all."""
    tables = {path.stem: read_table(path) for path in sorted(HERE.glob("*.toml"))}
    proofs = [
        proof
        for stem, rows in tables.items()
        for proof in rows
        if not names or stem in names or proof.function in names
    ]
    known = {*tables, *(proof.function for rows in tables.values() for proof in rows)}
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"no file and no function of the table: {', '.join(unknown)}"
        raise ProofError(msg)
    return proofs


def plant(bug: Change, source: Path, folder: Path) -> Path:
    """Copy *source* to *folder* with the bug in it, and return the copy."""
    copy = folder / "csrc"
    shutil.copytree(source, copy)
    file, text = anchors.made(bug, anchors.read(source))
    (copy / file).write_text(text, encoding="ascii")
    return copy


# ---- one run of CBMC ------------------------------------------------------------


def run(command: list[str], folder: Path, path: str) -> str:
    """Run a tool with a limit to its memory and time; return what it printed."""
    limited = f"ulimit -v {MEMORY_KIB}; exec {shlex.join(command)}"
    with subprocess.Popen(
        ["sh", "-c", limited],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # CBMC's solver is to end with it
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            msg = f"{command[0]} took more than {SECONDS} s"
            raise ProofError(msg) from None
    # 10: a property does not hold. That is for the caller to judge.
    if process.returncode not in (0, 10):
        msg = f"{command[0]} ended with {process.returncode}:\n{output[-1500:]}"
        raise ProofError(msg)
    return output


def compile_proof(proof: Proof, csrc: Path, folder: Path, path: str) -> Path:
    """Return the program to check: the harness, the sources, the contracts."""
    program, checked = folder / "program.gb", folder / "checked.gb"
    entry = f"prove_{proof.function}"
    sources = [str(HERE / proof.harness), *(str(csrc / name) for name in proof.link)]
    defines = [f"-D{name}" for name in ("PV_PROVE", *proof.defines)]
    include = ["-I", str(csrc), "-I", str(HERE)]
    compiler = ["goto-cc", "-std=c11", *defines, *include, "--function", entry]
    run([*compiler, "-o", str(program), *sources], folder, path)
    if not proof.contract:
        return with_stand_ins(proof, program, checked, path)
    contracts = ["--enforce-contract", proof.function]
    for name in proof.replace:
        contracts += ["--replace-call-with-contract", name]
    contracts += ["--apply-loop-contracts"] if proof.loops else []
    instrument = ["goto-instrument", "--dfcc", entry, *contracts]
    said = run([*instrument, str(program), str(checked)], folder, path)
    # Without a contract to enforce, it would make up one that says nothing.
    if "not found, deriving empty" in said:
        msg = f"a contract is missing:\n{said}"
        raise ProofError(msg)
    return checked


def with_stand_ins(proof: Proof, program: Path, changed: Path, path: str) -> Path:
    """Return the program in which calls go to other functions of the harness."""
    if not proof.instead:
        return program
    calls = []
    for function, stand_in in proof.instead.items():
        calls += ["--replace-calls", f"{function}:{stand_in}"]
    instrument = ["goto-instrument", *calls, str(program), str(changed)]
    run(instrument, program.parent, path)
    return changed


def check(
    proof: Proof, csrc: Path, folder: Path, path: str, *, stop: bool
) -> list[dict[str, Any]]:
    """Return CBMC's properties, or with *stop* the first that does not hold."""
    program = compile_proof(proof, csrc, folder, path)
    checks = [f"--{name}" for name in CHECKS if name not in proof.without]
    solver = [] if proof.solver == "sat" else [f"--{proof.solver}"]
    command = ["cbmc", "--json-ui", *solver, *checks, *proof.flags]
    command += ["--unwind", str(proof.unwind)]
    if stop:
        messages = ask([*command, "--stop-on-fail", str(program)], folder, path)
        return [message for message in messages if "property" in message]
    results = []
    for part in parts_of(proof, [*command, str(program)], folder, path):
        messages = ask([*command, *part, str(program)], folder, path)
        results += found_in(messages, "result")
    return results


def ask(command: list[str], folder: Path, path: str) -> list[dict[str, Any]]:
    """Run CBMC and return what it says."""
    messages: list[dict[str, Any]] = json.loads(run(command, folder, path))
    return messages


def found_in(messages: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the list that one of CBMC's messages has under this key."""
    for message in messages:
        if key in message:
            return list(message[key])
    msg = f"cbmc gave no {key}:\n{json.dumps(messages)[-1500:]}"
    raise ProofError(msg)


def parts_of(
    proof: Proof, command: list[str], folder: Path, path: str
) -> list[list[str]]:
    """Return arguments that deal the properties out to as many runs as *parts*.

    A solver is often much faster with some properties at a time than with all.
    """
    if proof.parts == 1:
        return [[]]
    messages = ask([*command, "--show-properties"], folder, path)
    names = [found["name"] for found in found_in(messages, "properties")]
    size = -(-len(names) // proof.parts)
    return [
        [word for name in part for word in ("--property", name)]
        for part in (names[i : i + size] for i in range(0, len(names), size))
    ]


# ---- one proof --------------------------------------------------------------------


def judge(outcome: Outcome, properties: list[dict[str, Any]]) -> None:
    """Note whether each property holds and each mark is reached."""
    marks = [p for p in properties if p["description"].startswith("reached: ")]
    others = [p for p in properties if p not in marks]
    outcome.num_reached = len(marks)
    outcome.num_properties = len(others)
    missed = [p["description"] for p in marks if p["status"] != "FAILURE"]
    broken = [
        f"{p['status']} {p['property']} line {p['sourceLocation'].get('line', '?')}: "
        f"{p['description']}"
        for p in others
        if p["status"] != "SUCCESS"
    ]
    if broken:
        outcome.fault = "\n".join(broken[:20])
    elif missed or not marks:
        outcome.fault = f"vacuous, not {missed or 'one mark is reached'}"


def prove(proof: Proof, tools: str) -> Outcome:
    """Carry out one proof and its controls, which plant faults."""
    outcome = Outcome(proof)
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="prove-") as name:
            clean = Path(name) / "clean"
            clean.mkdir()
            judge(outcome, check(proof, CSRC, clean, tools, stop=False))
            for number, change in enumerate([proof.bug, *proof.wrong]):
                folder = Path(name) / f"planted-{number}"
                found = found_with(proof, change, folder, tools)
                if not found:
                    outcome.fault = outcome.fault or f"not found: {change}"
                elif number == 0:
                    outcome.bug_found = found
                else:
                    outcome.num_wrong += 1
    except (AnchorError, ProofError) as error:
        outcome.fault = str(error)
    outcome.seconds = time.monotonic() - start
    return outcome


def found_with(proof: Proof, change: Change, folder: Path, tools: str) -> str:
    """Return what the proof finds in a copy with a planted change, or nothing."""
    csrc = plant(change, CSRC, folder)
    fields = {key: getattr(proof, key) for key in proof.__slots__}
    planted = Proof(**fields | {"defines": [*proof.defines, "PLANTED"]})
    found = check(planted, csrc, folder, tools, stop=True)
    return str(found[0]["description"]) if found else ""


def controls_of(outcome: Outcome) -> str:
    """Return what came of the planted faults, in words."""
    wrong = f"; {outcome.num_wrong} wrong meanings" if outcome.proof.wrong else ""
    return f"bug: {outcome.bug_found or 'NOT FOUND'}{wrong}"


def tell(outcome: Outcome) -> None:
    """Print one line of the table, and below it what went wrong."""
    proof = outcome.proof
    verdict = "FAILED" if outcome.fault else "proved"
    print(
        f"{verdict}  {proof.name:<35} {outcome.seconds:6.1f} s "
        f"{outcome.num_properties:5} properties, {outcome.num_reached} reached;"
        f" {controls_of(outcome)}",
        flush=True,
    )
    if outcome.fault:
        print("    " + outcome.fault.replace("\n", "\n    "), flush=True)


def main(names: list[str]) -> int:
    """Carry out the proofs and return the exit status."""
    rows = [row for row in enumerate(chosen(names)) if in_part(row[0])]
    with tempfile.TemporaryDirectory(prefix="solver-") as folder:
        script = Path(folder) / "bitwuzla"
        script.write_text(BITWUZLA.format(python=sys.executable), encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        tools = f"{folder}{os.pathsep}{os.environ['PATH']}"
        with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
            start = time.monotonic()
            failed = 0
            outcomes = pool.map(lambda row: (row[0], prove(row[1], tools)), rows)
            for number, outcome in outcomes:
                tell(outcome)
                failed += bool(outcome.fault)
                if not outcome.fault:
                    passed(number)
    print(
        f"{len(rows) - failed} of {len(rows)} proved in "
        f"{time.monotonic() - start:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
