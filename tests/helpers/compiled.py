"""Objects of C files, compiled once for all tests, processes and runs of tests.

They are kept in build/objects, which `make clean` removes. The name of an object has
everything in it that the object was made of, so one that is found there is never stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import itertools
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from places import ROOT

__all__ = ["Ended", "compiled_object", "ended"]

Ended = tuple[int, str, str]
"""The exit code of a program, and what it printed."""

# Variables that change what a compiler reads or writes.
VARIABLES = (
    *("CPATH", "C_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"),
    *("SOURCE_DATE_EPOCH", "CCC_OVERRIDE_OPTIONS", "LC_ALL"),
)

# A file may be written twice within one tick of the clock of its file system.
TICK = 1.0  # seconds


def ended(command: Sequence[str | Path], timeout: float = 120) -> Ended:
    """Run a program to its end."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def compiled_object(command: Sequence[str], source: Path) -> Path:
    """Return the object of a C file; its compiler may not warn.

    Nobody may change the file that is returned.

    Args:
        command: a compiler and its flags.
        source: the C file.
    """
    while True:
        key = _key(command, source)
        if (found := _found(key, source)) is not None:
            return found
        with _locked(key):
            # Another process may have compiled it in the meantime.
            found = _found(key, source) or _compile(command, source, key)
        # If a file was changed while the compiler read it, nobody knows what it read.
        if found is not None:
            return found


def _compile(command: Sequence[str], source: Path, key: str) -> Path | None:
    """Compile it and keep the object, unless a file has changed since the key."""
    with tempfile.TemporaryDirectory(dir=_store()) as folder:
        out, rule = Path(folder) / "object.o", Path(folder) / "rule"
        depends = ("-MD", "-MF", rule, "-MT", "object")
        done = ended([*command, *depends, "-c", "-o", out, source])
        assert done == (0, "", ""), done[2]
        included = _included(rule.read_text(encoding="utf-8"))
        if _key(command, source) != key:
            return None
        target = _object(key, source, included)
        # The object first: a list without its object would be no harm, only a miss.
        out.replace(target)
        listed = Path(folder) / "list"
        listed.write_text("\n".join(included), encoding="utf-8")
        listed.replace(_store() / f"{key}.included")
    return target


def _found(key: str, source: Path) -> Path | None:
    """Return the object, if it was made of these files as they are now."""
    try:
        text = (_store() / f"{key}.included").read_text(encoding="utf-8")
        path = _object(key, source, text.split("\n"))
    except FileNotFoundError:
        return None
    return path if path.exists() else None


def _object(key: str, source: Path, included: Sequence[str]) -> Path:
    """Return the place of an object, whose name has the included files' bytes in it."""
    parts = (f"{name}\0{_digest(Path(name))}" for name in included)
    return _store() / f"{source.stem}-{_hashed(itertools.chain([key], parts))}.o"


def _included(rule: str) -> list[str]:
    """Return the files that a compiler has read, from the rule it wrote for make."""
    files = rule.replace("\\\n", " ").partition(":")[2]
    words = re.findall(r"(?:\\.|[^\s\\])+", files)
    return sorted(re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in words)


# ---- the key -------------------------------------------------------------------------


def _key(command: Sequence[str], source: Path) -> str:
    """Return a digest of everything but the files that the compiler will include.

    Headers that it could include are part of it all the same, since a new one may hide
    one that was included.
    """
    given = [f"{name}={os.environ.get(name)}" for name in VARIABLES]
    # The path of the source is in an object: __FILE__ and assert have it.
    text = [str(source.resolve()), str(source), str(Path.cwd()), _digest(source)]
    named = (_contents(path) for path in _named(command))
    headers = _contents(source.resolve().parent)
    words = ("command", *command, "variables", *given, "source", *text)
    return _hashed(itertools.chain([_identity(command)], words, headers, *named))


def _identity(command: Sequence[str]) -> str:
    """Return which compiler it is."""
    # CC may be "ccache gcc".
    words = tuple(itertools.takewhile(lambda word: word[:1] != "-", command))
    paths = [shutil.which(word) or word for word in words]
    files = [os.stat(path) for path in paths if Path(path).is_file()]  # noqa: PTH116
    stamps = [f"{file.st_size} {file.st_mtime_ns}" for file in files]
    return "\0".join((*paths, *stamps, _version(words, tuple(stamps))))


@functools.cache
def _version(words: tuple[str, ...], _: tuple[str, ...]) -> str:
    code, told, _ignored = ended([*words, "--version"])
    assert code == 0
    return told


def _named(command: Sequence[str]) -> Iterator[Path]:
    """Yield the files and folders that flags name."""
    for word in command[1:]:
        # As in -Ifolder, -isystem folder, -include file, and -flist=file.
        for text in (word, word[2:], word.partition("=")[2]):
            if text and (path := Path(text)).exists():
                yield path


def _contents(path: Path) -> Iterator[str]:
    """Yield the names and digests of headers in a folder, or those of one file."""
    if path.is_file():
        yield f"{path}\0{_digest(path)}"
    elif _may_change(path):
        for folder, names, files in os.walk(path):
            names.sort()
            for name in sorted(files):
                if name.endswith((".h", ".inc")):
                    file = Path(folder, name)
                    yield f"{file}\0{_digest(file)}"


def _may_change(folder: Path) -> bool:
    """Tell if it is the checkout's or a test's; headers of the system are listed."""
    whole = folder.resolve()
    ours = (ROOT, Path(tempfile.gettempdir()).resolve())
    return any(whole.is_relative_to(place) and whole != place for place in ours)


def _hashed(words: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for word in words:
        data = word.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


_digests: dict[tuple[str, int, int, int, int], str] = {}


def _digest(path: Path) -> str:
    """Return the digest of a file, which is read again only if it was written."""
    now = path.stat()
    stamps = (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    known = _digests.get((str(path), *stamps))
    if known is None:
        known = hashlib.sha256(path.read_bytes()).hexdigest()
        if time.time() - max(now.st_mtime, now.st_ctime) > TICK:
            _digests[str(path), *stamps] = known
    return known


# ---- the folder ----------------------------------------------------------------------


@functools.cache
def _store() -> Path:
    """Return the folder of objects: that of the checkout, if it can be written."""
    folder = ROOT / "build" / "objects"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"pinverify-objects-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # An object of somebody else would be run here.
    found = folder.lstat()
    assert stat.S_ISDIR(found.st_mode)
    assert (found.st_uid, found.st_mode & 0o022) == (os.getuid(), 0)
    return folder


@contextlib.contextmanager
def _locked(key: str) -> Iterator[None]:
    """Let one process, or one thread, compile what many ask for."""
    with (_store() / f"{key}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
