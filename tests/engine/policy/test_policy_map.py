"""Policies in files, which `csrc/map/policy_map.c` opens: mapped, or copied.

Tests of later changes to the file run in processes of their own.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from c_objects import FLAGS, compile_object, compiler, core_objects
from compiled import compiled_object, ended
from core_sources import CSRC, MAP
from pinverify import Pin, Policy
from places import TESTS

__all__: list[str] = []

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="reads the maps of a process of Linux"
)

WAYS = ("map", "read")
POLICY = Policy({f"h{n}.example": [Pin.spki(bytes([n]) * 32)] for n in range(200)})
COMPILED = POLICY.compile()
NO_RULE = 0xFFFFFFFF
OTHER = Policy({"other.example": [Pin.spki(bytes(32))]}).compile()

# program WAY FILE: opens the file, tells so, waits for a line, and prints the digest of
# the policy, as its bytes have it, and a sum of all of them.
PROGRAM = """
#include <stdio.h>
#include <string.h>

#include "pinverify_map.h"

int main(int argc, char **argv) {
  pv_policy_file file;
  const int is_map = argc == 3 && strcmp(argv[1], "map") == 0;
  if ((is_map ? pv_policy_map : pv_policy_read)(&file, argv[2]) != 1) {
    return 2;
  }
  puts("open");
  fflush(stdout);
  getchar();
  uint8_t digest[PV_DIGEST_LEN];
  unsigned sum = 0;
  for (size_t i = 0; i < file.len; i++) {
    sum += file.bytes[i];
  }
  pv_policy_digest(digest, &file.policy);
  for (size_t i = 0; i < sizeof(digest); i++) {
    printf("%02x", digest[i]);
  }
  printf(" %u", sum);
  pv_policy_unmap(&file);
  return 0;
}
"""
ANSWER = f"{POLICY.digest.hex()} {sum(COMPILED)}"


def objects_of_map() -> list[Path]:
    """Return the objects of the file and of the core."""
    command = (*compiler(), *FLAGS)
    made = compiled_object([*command, f"-I{CSRC}"], MAP)
    return [made, *core_objects(command).values()]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """The folder with a library and a program of the core and this file."""
    with tempfile.TemporaryDirectory(prefix="pinverify-") as name:
        folder = Path(name)
        source, obj = folder / "program.c", folder / "program.o"
        source.write_text(PROGRAM, encoding="ascii")
        compile_object([*compiler(), *FLAGS, f"-I{CSRC}"], source, obj)
        objects = objects_of_map()
        link = [*compiler(), "-o"]
        assert ended([*link, folder / "map.so", "-shared", *objects])[0] == 0
        assert ended([*link, folder / "program", obj, *objects])[0] == 0
        yield folder


class Library:
    """The core with the file of maps, in this process."""

    def __init__(self, path: Path) -> None:
        """Load it, with the declarations of its headers."""
        spec = importlib.util.spec_from_file_location(
            "build_cffi", CSRC / "python" / "build_cffi.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        header = (CSRC / "pinverify_map.h").read_text(encoding="ascii")
        _, _, text = header.partition('extern "C" {\n#endif\n')
        self.ffi = FFI()
        self.ffi.cdef(module.declarations())
        self.ffi.cdef(module.C_ONLY.sub("", text.partition("#ifdef")[0]))
        self.lib: Any = self.ffi.dlopen(str(path))

    def opened(self, way: str, path: Path) -> Any:  # noqa: ANN401 - of cffi
        """Open a file that may be no policy; return the structure."""
        file: Any = self.ffi.new("pv_policy_file *", {"len": 1, "error": 1})
        result = getattr(self.lib, f"pv_policy_{way}")(file, os.fsencode(path))
        assert result == (file.bytes != self.ffi.NULL)
        return file

    def why(self, file: Any) -> str:  # noqa: ANN401 - of cffi
        """Return the reason, with the text of the system's error."""
        why: Any = self.ffi.string(file.why)
        text = why.decode("ascii")
        return f"{text}: {os.strerror(file.error)}" if file.error else text


@pytest.fixture(scope="module")
def library(made: Path) -> Library:
    """The core with the file of maps, in this process."""
    return Library(made / "map.so")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a policy."""
    path = tmp_path / "pins.pvpol"
    path.write_bytes(COMPILED)
    return path


def mapped(path: str) -> list[str]:
    """Return the rights of the places where a file is mapped in this process."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if line.endswith(path)]


def rights_at(address: int) -> str:
    """Return the rights of the memory at an address."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        first, _, rest = line.partition("-")
        if int(first, 16) <= address < int(rest.split()[0], 16):
            return rest.split()[1]
    pytest.fail("there is no memory at this address")


def num_descriptors() -> int:
    """Return the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("way", WAYS)
def test_a_policy_in_a_file_opens(library: Library, file: Path, way: str) -> None:
    """It has all bytes, which cannot be written to; only a map is one of the file."""
    opened = library.opened(way, file)
    assert library.why(opened) == ""
    assert bytes(library.ffi.buffer(opened.bytes, opened.len)) == COMPILED
    assert opened.policy.bytes == opened.bytes
    address = int(library.ffi.cast("uintptr_t", opened.bytes))
    assert rights_at(address).startswith("r--")
    assert len(mapped(str(file))) == (way == "map")
    policy = library.ffi.addressof(opened.policy)
    for host, is_there in ((b"h7.example", True), (b"other.example", False)):
        found = library.lib.pv_policy_find(policy, host, len(host)) != NO_RULE
        assert found == is_there
    library.lib.pv_policy_unmap(opened)
    assert mapped(str(file)) == []
    assert set(bytes(library.ffi.buffer(policy))) == {0}
    library.lib.pv_policy_unmap(opened)  # a second time: nothing is left


def nothing(path: Path) -> str:
    """Have no file there."""
    assert not path.exists()
    return f"it cannot be opened: {os.strerror(errno.ENOENT)}"


def folder(path: Path) -> str:
    """Have a folder there."""
    path.mkdir()
    return "it is no file"


def pipe(path: Path) -> str:
    """Have a pipe there, to which nobody writes."""
    os.mkfifo(path)
    return "it is no file"


def empty(path: Path) -> str:
    """Have an empty file there."""
    path.touch()
    return "it is empty"


def toml(path: Path) -> str:
    """Have a policy there that is not compiled."""
    path.write_text("version = 1\n", encoding="ascii")
    return (
        "not a compiled policy; make one with `pinverify compile pins.toml --output "
        "pins.pvpol`"
    )


def large(path: Path) -> str:
    """Have a terabyte of something else there: it cannot be copied, nor read."""
    with path.open("wb") as out:
        out.write(b"pinvpol0")
        out.truncate(1 << 40)
    return toml(path.with_name("another"))


def truncated(path: Path) -> str:
    """Leave the last byte out."""
    path.write_bytes(COMPILED[:-1])
    return "it is truncated, or bytes were appended"


def magic_alone(path: Path) -> str:
    """Have the first bytes there, and no more."""
    path.write_bytes(COMPILED[:8])
    return "it is truncated, or bytes were appended"


def appended(path: Path) -> str:
    """Have a terabyte of zeros behind it."""
    path.write_bytes(COMPILED)
    os.truncate(path, 1 << 40)
    return "it is truncated, or bytes were appended"


def damaged(path: Path) -> str:
    """Have another last byte."""
    path.write_bytes(COMPILED[:-1] + b"\1")
    return "its bytes changed since it was compiled"


SPOILT = (
    *(nothing, folder, pipe, empty, toml, large),
    *(truncated, magic_alone, appended, damaged),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_no_policy_is_refused(
    library: Library, tmp_path: Path, way: str, spoil: Callable[[Path], str]
) -> None:
    """The reason is told; nothing is open, mapped, or left of the file."""
    path = tmp_path / "pins.pvpol"
    why = spoil(path)
    descriptors = num_descriptors()
    opened = library.opened(way, path)
    assert library.why(opened) == why
    assert (opened.bytes, opened.len) == (library.ffi.NULL, 0)
    assert opened.policy.bytes == library.ffi.NULL
    assert mapped(str(path)) == []
    assert num_descriptors() == descriptors


def test_nothing_but_the_whole_policy_opens(tmp_path: Path) -> None:
    """No beginning of it, and nothing with another byte; also under sanitizers."""
    source = TESTS / "c" / "map" / "policy_files.c"
    files = compiled_object([*compiler(), *FLAGS, f"-I{CSRC}"], source)
    link: list[str | Path] = [*compiler(), "-o", tmp_path / "files"]
    assert ended([*link, files, *objects_of_map()]) == (0, "", "")
    (tmp_path / "policy").write_bytes(
        Policy({"a.example": [Pin.spki(bytes(32))]}).compile()
    )
    done = ended([tmp_path / "files", tmp_path / "policy", tmp_path / "scratch"])
    assert done == (0, "policy_files: nothing but the whole policy opens\n", "")


# ---- changes of the file afterwards ------------------------------------------


def truncate(path: Path) -> None:
    """Cut the file off."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Write another policy into the file, in place."""
    with path.open("r+b") as out:
        out.write(bytes(len(COMPILED)))


def rename(path: Path) -> None:
    """Put a new file in its place."""
    new = path.with_suffix(".new")
    new.write_bytes(OTHER)
    new.replace(path)


@pytest.mark.parametrize(
    ("way", "change", "harm"),
    [
        ("map", rename, ""),
        ("map", truncate, "SIGBUS"),
        ("map", overwrite, "another answer"),
        ("read", rename, ""),
        ("read", truncate, ""),
        ("read", overwrite, ""),
    ],
)
def test_only_a_copy_stands_a_change_in_place(
    made: Path, file: Path, way: str, change: Callable[[Path], None], harm: str
) -> None:
    """A map stands a new file in the place of the old one, and nothing else."""
    process = subprocess.Popen(
        [made / "program", way, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        change(file)
        told, _ = process.communicate("\n", timeout=60)
    if harm == "SIGBUS":
        assert process.returncode == -signal.SIGBUS
    else:
        assert process.returncode == 0
        assert (told == ANSWER) == (harm == "")
