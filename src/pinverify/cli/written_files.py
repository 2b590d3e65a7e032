"""Write files for commands: never over a source, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import stat
import threading
from typing import IO, TYPE_CHECKING

from pinverify.cli.output import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_target", "replace_file", "replacing"]


def check_target(target: Path, *sources: Path, option: str = "-o") -> None:
    """Refuse to overwrite a source, a link or a device.

    Args:
        target: the file that will be replaced.
        sources: the policy file first, then the other files that are read.
        option: the option that names the target.
    """
    if not target.parent.is_dir():
        msg = f"{target}: there is no folder {target.parent}; create it first"
        raise NoAnswerError(msg)
    if target.is_symlink() or (target.exists() and not target.is_file()):
        msg = f"{target} is not a regular file; name a regular file with {option}"
        raise NoAnswerError(msg)
    for source in sources if target.exists() else ():
        if target.samefile(source):
            what = "the policy file itself" if source is sources[0] else "an input"
            msg = f"{target} is {what}; name another file with {option}"
            raise NoAnswerError(msg)


def replace_file(path: Path, data: bytes) -> None:
    """Replace the contents of a file, as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Replace a file atomically: readers see the whole old file or the whole new one.

    The block gets a file to write. The new file is another inode, so a process that has
    mapped the old file keeps the old contents. The new file gets the permissions of the
    old one.

    Raises:
        OSError: the file cannot be written; the old file is still there, as after any
            exception in the block. Windows replaces no file that a process has mapped.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with _removed_by_signals(temporary):
        try:
            with temporary.open("xb") as file:
                # Without fchmod, as on Windows, permissions come from the folder.
                if hasattr(os, "fchmod") and path.exists():
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # also on Ctrl-C
            temporary.unlink(missing_ok=True)
            raise
    if hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # so that the rename survives a power failure
        finally:
            os.close(folder)


# Windows has no SIGHUP.
_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextlib.contextmanager
def _removed_by_signals(file: Path) -> Iterator[None]:
    """Remove a file if a signal ends the process in the block.

    Signals that are already ignored or handled are left alone. Outside the main thread,
    all signals are left alone, because only the main thread can handle them.
    """

    def end(number: int, _: object) -> None:
        file.unlink(missing_ok=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [n for n in _SIGNALS if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
