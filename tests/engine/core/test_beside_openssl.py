"""pinverify compared with OpenSSL, in one process, on certificates and mutants.

`make differential` does this with every certificate that can be fetched, and with as
many mutants as time allows. These tests check the comparison: it is clean, gives the
same result each time, and notices a core that reads another key, one that accepts what
OpenSSL refuses, and a wrong list.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import beside_openssl
import corpora
from core_sources import core_sources
from places import ROOT

__all__: list[str] = []

FUZZ = ROOT / "tests" / "fuzz"
NUM_MUTANTS = 5000


def compile_differential(folder: Path, core: Path) -> Path:
    """Compile fuzz/differential.c with a core; skip without OpenSSL's headers."""
    names = ("cc", "gcc", "clang")
    found = [path for name in names if (path := shutil.which(name))]
    compiler = shlex.split(os.environ.get("CC", "")) or found[:1]
    header = "#include <openssl/x509.h>\n"
    if not compiler:
        pytest.skip("there is no C compiler")
    probe = [*compiler, "-fsyntax-only", "-x", "c", "-"]
    if subprocess.run(probe, input=header, text=True, check=False).returncode != 0:
        pytest.skip("there are no headers of OpenSSL (Debian: libssl-dev)")
    program = folder / "differential"
    names = ("differential.c", "der_mutator.c", "openssl_oracle.c")
    sources = [FUZZ / name for name in names] + core_sources(core)
    flags = ["-std=c11", "-O1", "-D_DEFAULT_SOURCE", f"-I{core}"]
    subprocess.run([*compiler, *flags, "-o", program, *sources, "-lcrypto"], check=True)
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with the core as it is."""
    folder = tmp_path_factory.mktemp("differential")
    return compile_differential(folder, ROOT / "csrc")


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    """The list of known differences."""
    text = beside_openssl.DIVERGENCES.read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def run(program: Path, folder: Path, seed: int = 1) -> beside_openssl.Outcome:
    """Run the program over the corpora that are always here."""
    return beside_openssl.run(
        program,
        corpora.inputs(),
        num_mutants=NUM_MUTANTS,
        seed=seed,
        findings=folder / "findings",
    )


@pytest.mark.slow
def test_pinverify_and_openssl_differ_in_what_is_listed_alone(
    program: Path,
    listed: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where both accept, the key is the same bytes; no frame is ours alone."""
    inputs = corpora.inputs()
    outcome = run(program, tmp_path)
    assert beside_openssl.faults(outcome, inputs, listed) == []
    assert outcome.verdicts["same-key"] > NUM_MUTANTS / 10
    assert outcome.verdicts["same-key-reencoded"] == 0
    assert list((tmp_path / "findings").iterdir()) == []
    with capsys.disabled():
        print("\n" + beside_openssl.table(outcome, inputs))  # noqa: T201


@pytest.mark.slow
def test_the_same_seed_gives_the_same_mutants(program: Path, tmp_path: Path) -> None:
    """A finding can be found again; another seed is another run."""
    first, again, other = (run(program, tmp_path, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.classes != other.classes
    assert first.inputs == other.inputs


# The key without its first byte; a BIT STRING that cannot be.
BROKEN = {
    "*out = (spki_walk){certificate, tbs, fields};": (
        "fields.spki.data += 1; *out = (spki_walk){certificate, tbs, fields};"
    ),
    "unused == 0 || (unused <= 7 && bits->end - bits->pos > 1)": "unused < 128",
}


@pytest.mark.slow
def test_a_broken_walk_is_seen(listed: dict[str, Any], tmp_path: Path) -> None:
    """A key at another place, and a frame that OpenSSL refuses, are both told."""
    core = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc", core)
    text = (core / "spki.c").read_text(encoding="ascii")
    for good, bad in BROKEN.items():
        assert text.count(good) == 1
        text = text.replace(good, bad)
    (core / "spki.c").write_text(text, encoding="ascii")
    outcome = run(compile_differential(tmp_path, core), tmp_path)
    wrong = beside_openssl.faults(outcome, corpora.inputs(), listed)
    assert {line.partition(":")[0] for line in wrong} >= set(beside_openssl.NEVER)
    assert list((tmp_path / "findings").iterdir())


@pytest.mark.slow
def test_a_list_that_is_not_true_is_seen(
    program: Path, listed: dict[str, Any], tmp_path: Path
) -> None:
    """An input or a class that is missing, that has healed, or is told otherwise."""
    inputs = corpora.inputs()
    outcome = run(program, tmp_path)

    def beginnings(
        seen: beside_openssl.Outcome = outcome, **changes: object
    ) -> set[str]:
        wrong = beside_openssl.faults(seen, inputs, listed | changes)
        return {line.partition(":")[0] for line in wrong}

    assert beginnings() == set()
    assert beginnings(classes=[]) == {"unlisted"}
    assert beginnings(mutants=[]) == {"unlisted"}
    never_seen = {"verdict": "only-openssl", "where": "PV_OK", "per_million": 10**5}
    assert beginnings(mutants=[*listed["mutants"], never_seen]) == {"healed"}
    assert beginnings(replace(outcome, inputs={})) == {"healed"}
    others = {i: (v, "PV_ERR_DER_SPKI", f) for i, (v, _, f) in outcome.inputs.items()}
    assert beginnings(replace(outcome, inputs=others)) == {"unlisted"}
