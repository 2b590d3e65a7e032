"""Routes through the package: the files to read in order to follow one call.

The second call is followed, so that imports and one-time work do not count. The fewer
files a route has, the fewer a person must open to learn why a handshake was refused.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import pinverify
from cli_runs import ABSENT, address, run
from pki import Pki
from tls_clients import Serve, connect, pinning, trusting
from tls_servers import server_context

__all__: list[str] = []

pytestmark = pytest.mark.ci

PACKAGE = Path(pinverify.__file__).parent

# The files of each route. These fall freely; a commit that raises one says why.
ACCEPTED = 4
REFUSED = 13
LOAD_POLICY = 13
CHECK = 23
CHECK_WITH_POLICY = 34


def files_of(call: Callable[[], object]) -> set[str]:
    """Return the files of the package that a second call passes through."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found.add(frame.f_code.co_filename)

    call()
    gc.collect()  # what others left would be finalized on the way
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    prefix = f"{PACKAGE}{os.sep}"
    return {
        Path(name).relative_to(PACKAGE).as_posix()
        for name in found
        if name.startswith(prefix)
    }


def test_an_accepted_handshake(pki: Pki, serve: Serve) -> None:
    """A pinned socket over the network, whose leaf is pinned."""
    server = serve(server_context(pki.server))
    context = trusting(pki, pinning(pki))
    route = files_of(lambda: connect(context, server).close())
    assert "tls/_judge.py" in route
    assert len(route) <= ACCEPTED, sorted(route)


def test_a_refused_handshake(pki: Pki, serve: Serve) -> None:
    """The same, with another key; the text of the error is read."""
    server = serve(server_context(pki.impostor))
    context = trusting(pki, pinning(pki))

    def refused() -> str:
        with pytest.raises(pinverify.PinningError) as error:
            connect(context, server)
        return str(error.value)

    route = files_of(refused)
    assert "next: " in refused()
    assert "tls/_judge.py" in route
    assert len(route) <= REFUSED, sorted(route)


def test_load_policy(source: Path) -> None:
    """A file of TOML without a mistake."""
    route = files_of(lambda: pinverify.load_policy(source))
    assert "files/__init__.py" in route
    assert len(route) <= LOAD_POLICY, sorted(route)


def test_pinverify_check(pki: Pki, serve: Serve, trust: tuple[str, Path]) -> None:
    """A server that shows one of two pins, and the table of its chain."""
    server = serve(server_context(pki.server))
    pins = ("--pin", ABSENT, "--pin", pki.server.pin)
    words = ("check", address(server), *pins, *trust)
    route = files_of(lambda: run(*words))
    assert run(*words).code == 0
    assert "cli/check.py" in route
    assert len(route) <= CHECK, sorted(route)


def test_pinverify_check_with_a_policy(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """The same, and its pins are in a file."""
    server = serve(server_context(pki.server))
    file = tmp_path / "pins.toml"
    rule = f'"127.0.0.1" = ["{ABSENT}", "{pki.server.pin}"]'
    file.write_text(f"version = 1\n[hosts]\n{rule}\n", encoding="utf-8")
    words = ("check", address(server), "--policy", file, *trust)
    route = files_of(lambda: run(*words))
    assert run(*words).code == 0
    assert "cli/check.py" in route
    assert len(route) <= CHECK_WITH_POLICY, sorted(route)


def test_a_file_is_seen() -> None:
    """The tests above measure; they do not pass by seeing nothing."""
    route = files_of(lambda: str(pinverify.Pin.parse(ABSENT)))
    assert route == {"policy/_certs_and_pins.py"}
    assert files_of(list) == set()
