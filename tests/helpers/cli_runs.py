"""Runs of the command line: in this process, in a new one, and on a terminal."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from click.testing import CliRunner

from pinverify.cli.commands_and_options import commands
from pki import Identity
from tls_servers import LIMIT, TLSServer

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]

__all__ = [
    "ABSENT",
    "Ended",
    "address",
    "answer",
    "assert_no_answer",
    "ended",
    "environment",
    "on_terminal",
    "process",
    "run",
    "spellings",
]

ABSENT = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: object, stdin: bytes | None = None) -> Ended:
    """Run a command in this process."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(commands, words, input=stdin, prog_name="pinverify")
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ended(result.exit_code, result.stdout, result.stderr)


def answer(*arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Run a command with --json; return its answer."""
    return json.loads(run(*arguments, "--json").out)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without what changes the output, and *variables*."""
    ours = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONUNBUFFERED"}
    return {k: v for k, v in os.environ.items() if k not in ours} | variables


def process(
    *arguments: object,
    code: str = "",
    **options: Any,  # noqa: ANN401 - Popen's
) -> subprocess.Popen[str]:
    """Start a command in a process of its own, or *code* in its place."""
    program = ["-c", code] if code else ["-m", "pinverify"]
    defaults: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment(),
    }
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        **(defaults | options),
    )


def ended(child: subprocess.Popen[str]) -> Ended:
    """Wait for a process."""
    try:
        out, err = child.communicate(timeout=3 * LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise
    return Ended(child.returncode, out, err)


def on_terminal(
    *arguments: object, columns: int = 100, **variables: str
) -> tuple[int, str]:
    """Run a command on a terminal of its own; return exit code and what it shows."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "pinverify", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color", COLUMNS=str(columns), **variables),
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells the end
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    return child.wait(LIMIT), shown.decode("utf-8")


def colons(digest: bytes) -> str:
    """Return hex in pairs, as OpenSSL prints it."""
    return digest.hex(":").upper()


def spellings(identity: Identity) -> dict[str, str]:
    """Return the fingerprints of a certificate, by hashlib."""
    spki = hashlib.sha256(identity.spki).digest()
    whole = hashlib.sha256(identity.der).digest()
    b64 = base64.b64encode(spki).decode("ascii")
    return {
        "sha256": f"sha256/{b64}",
        "curl": f"sha256//{b64}",
        "hpkp": f'pin-sha256="{b64}"',
        "base64": b64,
        "hex": colons(spki),
        "base16": spki.hex(),
        "cert": f"cert-sha256:{whole.hex()}",
        "cert-hex": colons(whole),
        "cert-base16": whole.hex(),
    }


def address(server: TLSServer) -> str:
    """Return where a server listens, as the commands take it."""
    return f"127.0.0.1:{server.port}"


def assert_no_answer(done: Ended, phrase: str) -> None:
    """See that a command ended with one line on stderr and exit code 2."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("pinverify: ")
    assert done.err.count("\n") == 1
    assert phrase in done.err
