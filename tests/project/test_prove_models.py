"""Foundations of the proofs of ``tests/prove``: a specification, and models.

A kernel is proved equal to ``fips180.h``, and its instructions are modelled by
``model_x86.h`` and ``model_arm.h``. If one of these were wrong, a proof would show the
wrong thing. So they are compared here with what they describe.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from places import TESTS

__all__: list[str] = []

pytestmark = pytest.mark.ci

PROVE = TESTS / "prove"
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")

# What Linux calls a feature, and the compiler.
X86_FEATURES = {
    "ssse3": "-mssse3",
    "sse4_1": "-msse4.1",
    "sha_ni": "-msha",
    "avx2": "-mavx2",
    "avx512f": "-mavx512f",
    "avx512vl": "-mavx512vl",
    "avx512bw": "-mavx512bw",
}

# Their results are said in part, or not at all.
NOT_COMPARED = {"_mm512_castsi256_si512", "_mm256_zeroupper"}


def build(folder: Path, source: Path, compiler: str, *flags: str) -> Path:
    """Compile a program of one file, which may not warn, and return it."""
    program = folder / source.stem
    command = [compiler, *FLAGS, *flags, "-o", str(program), str(source)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stderr) == (0, "")
    return program


def mapped(header: str) -> set[str]:
    """Return the intrinsics that a header which stands in for another one has."""
    text = (PROVE / header).read_text(encoding="ascii")
    return set(re.findall(r"^#define ((?:_mm|v)\w+)", text, re.MULTILINE))


def compiler_of_this_machine() -> str:
    """Return a C compiler of this machine."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    pytest.skip("no C compiler here")


# ---- the specification --------------------------------------------------------


def primes(num: int) -> list[int]:
    """Return the first primes."""
    found: list[int] = []
    candidate = 2
    while len(found) < num:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def cube_root(number: int) -> int:
    """Return the whole part of a cube root."""
    root = 0
    for bit in reversed(range(number.bit_length() // 3 + 1)):
        if (root | 1 << bit) ** 3 <= number:
            root |= 1 << bit
    return root


def test_constants_are_cube_roots_of_primes() -> None:
    """FIPS 180-4, 4.2.2: 32 bits of the fraction of each of 64 cube roots."""
    text = (PROVE / "fips180.h").read_text(encoding="ascii")
    table = re.search(r"fips_k\[64\] = {([^}]*)}", text)
    assert table is not None
    constants = [int(word, 16) for word in table[1].split(",")]
    expected = [cube_root(prime << 96) & 0xFFFFFFFF for prime in primes(64)]
    assert constants == expected


def test_specification_agrees_with_hashlib(tmp_path: Path) -> None:
    """Messages of every length up to four blocks."""
    program = build(tmp_path, PROVE / "fips_digest.c", compiler_of_this_machine())
    for length in range(257):
        message = hashlib.shake_128(length.to_bytes(2)).digest(length)
        done = subprocess.run([program], input=message, capture_output=True, check=True)
        assert done.stdout.decode() == hashlib.sha256(message).hexdigest()


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("der.h", "der"),
        ("host.c", "host"),
        ("policy_find.c", "policy"),
        ("policy_layout.h", "policy"),
        ("policy_hash.c", "policy_hash"),
        ("policy_open.c", "policy_open"),
        ("kernels/scan_portable.c", "scan"),
        ("kernels/siphash.h", "siphash"),
        ("kernels/siphash_portable.c", "siphash"),
        ("python/arrow_views.h", "arrow_views"),
        ("spki.c", "spki"),
    ],
)
def test_every_function_of_these_files_is_proved(name: str, table: str) -> None:
    """Each function has a row."""
    source = (PROVE.parent.parent / "csrc" / name).read_text(encoding="ascii")
    code = re.sub(r"//[^\n]*", "", source)
    functions = re.findall(r"^\w[\w \n*]*?\b(\w+)\([^;{}]*\)\s*\{", code, re.MULTILINE)
    rows = tomllib.loads((PROVE / f"{table}.toml").read_text(encoding="utf-8"))["proof"]
    assert set(functions) <= {row["function"] for row in rows}


def test_the_page_names_the_tables_of_the_proofs() -> None:
    """Each table of proofs, and no other."""
    page = PROVE.parent.parent / "docs" / "verification.md"
    proofs = page.read_text(encoding="utf-8").partition("\n## Proofs\n")[2]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", proofs, re.MULTILINE)
    listed = re.findall(r"\w+", " ".join(rows))
    assert sorted(listed) == sorted(table.stem for table in PROVE.glob("*.toml"))


def test_every_proof_says_what_it_shows() -> None:
    """In words, for whoever reads the table."""
    for table in PROVE.glob("*.toml"):
        for row in tomllib.loads(table.read_text(encoding="utf-8"))["proof"]:
            assert " " in row["shows"], row["function"]


def test_stand_ins_stand_for_what_is_proved() -> None:
    """A function that a proof calls another one for has a proof of its own."""
    for name in ("sha256_kernels", "siphash_means"):
        table = tomllib.loads((PROVE / f"{name}.toml").read_text(encoding="utf-8"))
        rows = [{"harness": f"prove_{name}.c"} | row for row in table["proof"]]
        proved = {(row["harness"], row["function"]) for row in rows}
        for row in rows:
            for function in row.get("instead", {}):
                # CBMC can't shift a vector; SOUNDNESS.md says so.
                assert function.endswith("_shr") or (row["harness"], function) in proved


# ---- x86 ----------------------------------------------------------------------


def x86_flags() -> list[str]:
    """Return a compiler's flags for what this machine has of the kernels' needs."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="ascii") if path.exists() else ""
    found = re.search(r"^flags\s*:(.*)", text, re.MULTILINE)
    has = set(found[1].split()) if found else set()
    if not {"ssse3", "sse4_1"} <= has:
        pytest.skip("not an x86 machine, or an old one")
    return [flag for name, flag in X86_FEATURES.items() if name in has]


@pytest.mark.slow
def test_x86_models_are_the_instructions(tmp_path: Path) -> None:
    """Random registers, every immediate byte; all models that the machine can run."""
    flags = x86_flags()
    source = PROVE / "compare_x86.c"
    program = build(tmp_path, source, compiler_of_this_machine(), *flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    compared = done.stdout.split()
    assert done.returncode == 0, done.stdout
    assert len(compared) == len(set(compared))
    if len(flags) == len(X86_FEATURES):
        assert set(compared) == mapped("immintrin.h") - NOT_COMPARED


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("sha256msg1_epu32", "sha_ror(w, 18) ^ w >> 3", "sha_ror(w, 18) ^ w >> 4"),
        ("shuffle_epi8", "(which) & 0x80 ? 0 :", "(which) & 0x40 ? 0 :"),
        ("alignr_epi8", "byte / 4 + 1)", "byte / 4)"),
    ],
)
def test_wrong_x86_model_is_seen(
    tmp_path: Path, name: str, right: str, wrong: str
) -> None:
    """The comparison does not pass by comparing a model with itself."""
    flags = x86_flags()
    if "-msha" not in flags:
        pytest.skip("no SHA instructions here")
    text = (PROVE / "model_x86.h").read_text(encoding="ascii")
    assert text.count(right) == 1
    (tmp_path / "model_x86.h").write_text(text.replace(right, wrong), encoding="ascii")
    source = Path(shutil.copy(PROVE / "compare_x86.c", tmp_path))
    # A model is wrong at each level, and this one takes a fifth of the time.
    program = build(tmp_path, source, compiler_of_this_machine(), *flags, "-O0")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.endswith(f"differs: {name}\n")


# ---- AArch64 --------------------------------------------------------------------

ARM_FLAGS = ("-static", "-march=armv8-a+sha2")


def arm_tools() -> tuple[str, str]:
    """Return a compiler for AArch64 and a program that runs its programs."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    runner = shutil.which("qemu-aarch64")
    if compiler is None or runner is None:
        pytest.skip("no cross compiler for AArch64, or no QEMU")
    return compiler, runner


def test_arm_models_are_the_instructions(tmp_path: Path) -> None:
    """Random registers; all models, as QEMU has the instructions."""
    compiler, runner = arm_tools()
    program = build(tmp_path, PROVE / "compare_arm.c", compiler, *ARM_FLAGS)
    done = subprocess.run(
        [runner, program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert set(done.stdout.split()) == mapped("arm_neon.h")


def test_wrong_arm_model_is_seen(tmp_path: Path) -> None:
    """The comparison does not pass by comparing a model with itself."""
    compiler, runner = arm_tools()
    right, wrong = "part1 ? x : y", "part1 ? y : x"
    text = (PROVE / "model_arm.h").read_text(encoding="ascii")
    assert text.count(right) == 1
    (tmp_path / "model_arm.h").write_text(text.replace(right, wrong), encoding="ascii")
    source = Path(shutil.copy(PROVE / "compare_arm.c", tmp_path))
    program = build(tmp_path, source, compiler, *ARM_FLAGS)
    done = subprocess.run(
        [runner, program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()[-1]) == (1, "vsha256hq_u32")
