"""Write the whole C library as one file, pinverify.c, and its public headers.

    python3 csrc/amalgamate.py FOLDER

A program compiles pinverify.c like a file of its own, and includes pinverify.h, or to
compile policies pinverify_compile.h. Each file of the library is in it as it is, but
that a header stands in place of the line that includes it, the first time.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["amalgamate"]

CSRC = Path(__file__).resolve().parent
HEADERS = (CSRC / "pinverify.h", CSRC / "pinverify_compile.h")  # copied as they are
INCLUDE = re.compile(r'#include "([\w./]+)"')

BEGINNING = """\
// pinverify.c: the C library pinverify, version {version}, in one file.
// SPDX-License-Identifier: MIT
//
// csrc/amalgamate.py made it from the files that the lines of dashes name.
// Compile it as C11 with gcc or clang, and with -O3; no other flag matters.
// pinverify.h and pinverify_compile.h, beside it, are the public API and its
// manual.
#include "pinverify.h"
#include "pinverify_compile.h"
"""


def sources() -> list[Path]:
    """Return the C files of the library, always in the same order."""
    folders = (CSRC, CSRC / "compile", CSRC / "kernels")
    return [path for folder in folders for path in sorted(folder.glob("*.c"))]


def inlined(path: Path, seen: set[Path], depth: int = 0) -> str:
    """Return the text of a file, with headers in place of the lines that include them.

    A header that is in *seen* is left out. One is added to *seen* if it has a guard and
    its line stands under no condition: else another file may need it as well.

    Args:
        path: the file.
        seen: headers that whatever comes later can rely on.
        depth: the conditions that the file as a whole stands under.
    """
    lines = []
    text = path.read_text(encoding="ascii")
    depth -= _is_guarded(text)  # its own guard is no condition
    for line in text.splitlines():
        if line.startswith("#if"):
            depth += 1
        elif line.startswith("#endif"):
            depth -= 1
        found = INCLUDE.match(line)
        if found is None:
            lines.append(line)
            continue
        header = (path.parent / found[1]).resolve()
        if not header.exists():  # the contracts, which are for proofs alone
            lines.append(f'#error "{found[1]} is not in this file"')
        elif header not in seen:
            if depth == 0 and _is_guarded(header.read_text(encoding="ascii")):
                seen.add(header)
            lines.append(inlined(header, seen, depth).rstrip("\n"))
    return "\n".join(lines) + "\n"


def _is_guarded(text: str) -> bool:
    return re.search(r"^#ifndef PINVERIFY_\w+_H$", text, re.MULTILINE) is not None


def amalgamate(folder: Path) -> None:
    """Write the files into *folder*, which is made if it is not there."""
    version = re.search(
        r'#define PV_VERSION "([\d.]+)"', HEADERS[0].read_text(encoding="ascii")
    )
    if version is None:
        msg = f"{HEADERS[0]} has no line '#define PV_VERSION'"
        raise ValueError(msg)
    parts = [BEGINNING.format(version=version[1])]
    seen = set(HEADERS)
    for path in sources():
        name = path.relative_to(CSRC).as_posix()
        parts.append(f"\n// {f' {name} ':-^76}\n{inlined(path, seen)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pinverify.c").write_text("".join(parts), encoding="ascii")
    for header in HEADERS:
        (folder / header.name).write_bytes(header.read_bytes())


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the name of the program, and a folder
        sys.exit(__doc__)
    amalgamate(Path(sys.argv[1]))
