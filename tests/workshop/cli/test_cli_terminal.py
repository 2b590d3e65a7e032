"""Output on terminals: no line is broken badly, and 80 columns are enough."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli_runs import address, on_terminal
from pinverify.cli.terminal import wrapped
from pki import Pki
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]

__all__: list[str] = []

WORDS = st.lists(st.text(st.characters(exclude_characters=" \n\r"), min_size=1))


@given(words=WORDS, width=st.integers(1, 30), indent=st.integers(0, 12))
def test_wrapping_breaks_no_word(words: list[str], width: int, indent: int) -> None:
    """Every word is in one piece, and a line is too wide only if its one word is."""
    text = wrapped(" ".join(words), width, indent)
    assert re.findall("[^ \n]+", text) == words
    for number, line in enumerate(text.split("\n")):
        if cell_len(line) > width:
            assert " " not in line
        elif number and line.startswith(" ") is False and indent:
            assert cell_len(line.split(" ")[0]) + 1 > width - indent


def test_wrapping_keeps_blanks_and_indents() -> None:
    """Two blanks between a pin and a subject stay; a blank beginning gives way."""
    assert wrapped("  chain:   aaaa  bb", 40, 11) == "  chain:   aaaa  bb"
    assert wrapped("  chain:   aaaa  bb", 16, 11) == "  chain:   aaaa\n           bb"
    assert wrapped("  chain:   aaaaaaaaaa", 16, 11) == "  chain:\n      aaaaaaaaaa"
    assert wrapped(" " * 11 + "a" * 10, 16, 11) == "      aaaaaaaaaa"
    assert wrapped("a" * 20 + " b", 16, 4) == "a" * 20 + "\n    b"
    assert not wrapped("", 16, 4)


@pytest.fixture
def policies(pki: Pki, tmp_path: Path) -> tuple[Path, Path]:
    """Two policies with clients, blocked pins and certificate pins, the longest."""
    whole, key = pki.server.certificate_pin, pki.server.pin
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    end = 'expires = 2040-01-01T00:00:00Z\nafter_expiry = "reject"\n'
    first.write_text(
        f'version = 1\n[clients]\nleaf = ["{whole}", "{key}"]\n{end}[hosts."127.0.0.1"]'
        f'\npins = ["{whole}", "{pki.ca.pin}", "{pki.root.pin}"]\n{end}'
    )
    second.write_text(
        f'version = 1\nblocked = ["{pki.root.pin}"]\n[hosts."127.0.0.1"]\n'
        f'leaf = ["{pki.ca.pin}", "{whole}"]\nblocked = ["{whole}"]\n'
    )
    return first, second


COMMANDS = {
    "show": ("show", "@first"),
    "diff": ("diff", "@first", "@second"),
    "lint": ("lint", "@second", "--server", "@server", "--cafile", "@roots"),
    "check": ("check", "@server", "--policy", "@first", "--cafile", "@roots"),
    "refused": ("check", "@server", "--policy", "@second", "--cafile", "@roots"),
    "mismatch": ("check", "@other", "--policy", "@first", "--cafile", "@roots"),
    "explain": ("explain", "@server", "--policy", "@second", "--cafile", "@roots"),
    "compile": ("compile", "@first", "-o", "@folder/pins.pvpol"),
    "convert": ("convert", "toml", "okhttp", "@first", "-o", "@folder/Pins.kt"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_80_columns_are_enough(
    command: str, pki: Pki, serve: Serve, policies: tuple[Path, Path], tmp_path: Path
) -> None:
    """A terminal of the usual width breaks no line, not even a certificate pin's."""
    places = {
        "@first": str(policies[0]),
        "@second": str(policies[1]),
        "@roots": str(pki.trust_file(tmp_path)),
        "@server": address(serve(server_context(pki.server))),
        "@other": address(serve(server_context(pki.impostor))),
        "@folder": str(tmp_path),
    }
    words = [
        re.sub("^@[a-z]+", lambda found: places[found[0]], word)
        for word in COMMANDS[command]
    ]
    code, shown = on_terminal(*words, columns=80, NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;?]*\w", "", shown).replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2] for line in plain.split("\n")]
    assert code in {0, 1, 2, 3}
    assert len(lines) > 1
    path = str(tmp_path)
    too_long = [line for line in lines if len(line) > 80 and path not in line]
    assert too_long == []
