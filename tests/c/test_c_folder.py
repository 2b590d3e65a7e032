"""The C core as a folder that other programs copy and build in their own ways.

They may compile each file by itself, or all as one text. Their own functions do not
clash with its names. The files have no annotations for a prover.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from c_objects import FLAGS, core_objects
from core_sources import adapter_sources, core_sources
from places import ROOT

__all__: list[str] = []

CSRC = ROOT / "csrc"
SOURCES = core_sources()
HEADERS = core_sources(suffix=".h")

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")

# Empty comments that keep a formatter from joining two lines.
MOST_EMPTY_COMMENTS = 5

EMPTY_COMMENT = re.compile(r"\S.*//[ ]*$", re.MULTILINE)
CONTRACT = re.compile(r"\b(REQUIRES|ENSURES|ASSIGNS|__CPROVER_\w+)\b")

# Functions that gateways have, by names that the core could have taken. Then the
# digest of "abc" (FIPS 180-2, B.1), and bytes that are no certificate.
PROGRAM = """
#include <string.h>
#include "pinverify.h"

int sha256_begin(void);
int sha256_end(void);
int sha256_chunk(void);
int cpu_features(void);
int kernel_use(void);
int kernel_name(void);
int policy_run(void);
int spki_find(void);
int host_is_address(void);
int packed_num_rows(void);

int sha256_begin(void) { return 1; }
int sha256_end(void) { return 2; }
int sha256_chunk(void) { return 3; }
int cpu_features(void) { return 4; }
int kernel_use(void) { return 5; }
int kernel_name(void) { return 6; }
int policy_run(void) { return 7; }
int spki_find(void) { return 8; }
int host_is_address(void) { return 9; }
int packed_num_rows(void) { return 10; }

int main(void) {
  static const uint8_t expected[32] = {
      0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
      0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
      0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  const uint8_t *message = (const uint8_t *)"abc";
  uint8_t digest[32];
  char host[PV_HOST_MAX + 1];
  size_t host_len = 0;
  pv_policy policy;
  for (size_t i = 0; pv_sha256_kernel_name(i) != NULL; i++) {
    if (pv_sha256_use_kernel(i) != PV_OK) {
      return 1;
    }
    pv_sha256(digest, message, 3);
    if (memcmp(digest, expected, 32) != 0) {
      return 2;
    }
  }
  for (size_t i = 0; pv_scan_kernel_name(i) != NULL; i++) {
    if (pv_scan_use_kernel(i) != PV_OK || !pv_pins_contain(expected, 1, digest)) {
      return 3;
    }
  }
  if (pv_cert_is_pinned(NULL, digest, 1, message, 3)) {
    return 4;
  }
  if (pv_host_canonical(host, &host_len, "A.Example.", 10) != PV_OK ||
      strcmp(host, "a.example") != 0) {
    return 5;
  }
  if (pv_policy_open(&policy, message, 3) != PV_ERR_POLICY_MAGIC ||
      pv_host_is_clear(&policy, "a", 1)) {
    return 6;
  }
  return sha256_end() + cpu_features() + kernel_use() == 11 ? 0 : 7;
}
"""


def compilers() -> list[str]:
    """Return the C compilers of this machine that the core is made for."""
    return [name for name in ("gcc", "clang-19") if shutil.which(name)]


def build(folder: Path, compiler: str, sources: Sequence[Path], *flags: str) -> Path:
    """Compile files to one program, which may not warn, and return it."""
    program = folder / "program"
    command = [compiler, *WARNINGS, "-O0", *flags, "-o", program, *sources]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return program


def written(folder: Path, name: str, text: str) -> Path:
    """Write a C file, and return it."""
    path = folder / name
    path.write_text(text, encoding="ascii")
    return path


def concatenated(folder: Path, sources: Sequence[Path]) -> Path:
    """Return one file with the text of all, as `cat` makes it."""
    texts = [source.read_text(encoding="ascii") for source in sources]
    return written(folder, "all.c", "".join(texts))


def defined_globals(obj: Path) -> set[str]:
    """Return what an object file shows to others."""
    done = subprocess.run(
        ["nm", "-P", "-g", "--defined-only", str(obj)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split()[0] for line in done.stdout.splitlines()}


def folder_faults(files: dict[str, str]) -> list[str]:
    """Return what a folder of C files has that its readers should not meet."""
    empty = sum(len(EMPTY_COMMENT.findall(text)) for text in files.values())
    faults = [
        f"{name} has a contract" for name, t in files.items() if CONTRACT.search(t)
    ]
    if empty > MOST_EMPTY_COMMENTS:
        faults.append(f"{empty} empty comments behind code")
    return faults


def test_the_folder_is_c() -> None:
    """Contracts of functions are in tests/prove; loops keep a line or two."""
    files = {
        str(path.relative_to(CSRC)): path.read_text(encoding="ascii")
        for path in (*SOURCES, *HEADERS)
    }
    assert len(files) > 20
    assert folder_faults(files) == []


def test_the_adapter_has_no_contracts() -> None:
    """Those of the core are in tests/prove, and nothing of the adapter is proved."""
    files = {
        path.name: path.read_text(encoding="ascii")
        for path in (*adapter_sources(), *adapter_sources(suffix=".h"))
    }
    assert "judge.c" in files
    assert [name for name, text in files.items() if CONTRACT.search(text)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("int f(int x) REQUIRES(x > 0) {", "a.c has a contract"),
        ("int f(void)  //\n" * 6, "6 empty comments behind code"),
    ],
)
def test_planted_fault_of_the_folder_is_seen(text: str, fault: str) -> None:
    """The check above does not pass by seeing nothing."""
    assert folder_faults({"a.c": text}) == [fault]
    assert folder_faults({"a.c": "//\n" * 9}) == []


@pytest.mark.slow
@pytest.mark.parametrize("compiler", compilers())
def test_each_file_compiles_without_a_folder_to_search(compiler: str) -> None:
    """No -I is needed for the folder itself, and every global begins with pv_."""
    names = {
        name
        for obj in core_objects((compiler, *WARNINGS, "-O0")).values()
        for name in defined_globals(obj)
    }
    assert "pv_evaluate" in names
    assert {name for name in names if not name.startswith("pv_")} == set()


def test_planted_global_is_seen(tmp_path: Path) -> None:
    """A name without the prefix is among those that the check above looks at."""
    obj = tmp_path / "a.o"
    source = written(tmp_path, "a.c", "int pv_a(void); int pv_a(void) { return 1; }")
    subprocess.run([compilers()[0], "-c", "-o", obj, source], check=True)
    assert defined_globals(obj) == {"pv_a"}


@pytest.mark.ci  # which compiles the core with each compiler
@pytest.mark.parametrize("compiler", compilers())
def test_a_program_with_functions_of_common_names_links(
    compiler: str, tmp_path: Path
) -> None:
    """A gateway may have its own sha256_end, and the core goes on to use its own."""
    main = written(tmp_path, "main.c", PROGRAM)
    # Flags do not change names: these objects are those of other tests.
    objects = core_objects((compiler, *FLAGS)).values()
    program = build(tmp_path, compiler, [main, *objects], f"-I{CSRC}")
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("order", ["sorted", "reversed", "kernels first"])
def test_all_files_concatenated_compile_as_one(
    compiler: str, order: str, tmp_path: Path
) -> None:
    """In any order: static names and macros of one file mean nothing in another."""
    orders = {
        "sorted": SOURCES,
        "reversed": SOURCES[::-1],
        "kernels first": sorted(SOURCES, key=lambda path: path.parent == CSRC),
    }
    whole = concatenated(tmp_path, orders[order])
    main = written(tmp_path, "main.c", PROGRAM)
    # A kernel includes "../kernels.h": so its folder is searched, too.
    flags = (f"-I{CSRC}", f"-I{CSRC / 'kernels'}")
    program = build(tmp_path, compiler, [main, whole], *flags)
    assert subprocess.run([program], check=False).returncode == 0
