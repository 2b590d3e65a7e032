"""The manual of the command line shows what happens, and names every option."""

from __future__ import annotations

import json
import re
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import pki as pki_module
from pinverify.cli.commands import commands
from pinverify.cli.spellings import SPELLINGS
from pki import Authority
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[..., TLSServer]
from cli_runs import ROOT, run

__all__: list[str] = []


MANUAL = ROOT / "docs" / "cli.md"


@pytest.fixture
def example_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Lead every name to one server here, whose keys are always the same."""
    numbers = iter(range(1, 100))
    monkeypatch.setattr(
        pki_module,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    ca = Authority.root("Example CA 1")
    Authority.root("Corporate Proxy CA")
    identity = ca.leaf("api.example.com", "www.example.org")
    (tmp_path / "roots.pem").write_text(ca.pem, encoding="ascii")
    (tmp_path / "server.pem").write_text(identity.pem + ca.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.chdir(tmp_path)
    with TLSServer(server_context(identity)) as server:
        where = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: where)
        yield


def steady(text: str) -> str:
    """Return *text* without what differs from one certificate to the next."""
    text = re.sub(r"cert-sha256:[0-9a-f]{64}", "cert-sha256:HEX", text)
    return re.sub(r"(cert-hex\W+)(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", r"\1HEX", text)


def first_words(text: str) -> list[str]:
    """Return the first word of each line."""
    return [line.split()[0] for line in text.splitlines()]


COMMAND = re.compile(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", re.MULTILINE)


@pytest.mark.usefixtures("example_network")
def test_the_manual_shows_what_happens() -> None:
    """Each command of docs/cli.md prints what the page says, and exits as it says."""
    text = MANUAL.read_text(encoding="utf-8")
    commands_run = set()
    code = None
    said = ""
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if language == "toml":
            Path("pins.toml").write_text(block, encoding="utf-8")
        if language == "json":
            assert json.loads(steady(block)) == json.loads(steady(said))
        if language != "console":
            continue
        for command, shown in re.findall(
            r"^\$ (.*)\n((?:[^$].*\n|\n)*)", block, re.MULTILINE
        ):
            words = shlex.split(command)
            if words == ["echo", "$?"]:
                assert shown == f"{code}\n", command
            elif words[0] == "pinverify" and words[1:] != ["demo"]:
                code, out, err = run(*words[1:])
                said = out + err
                commands_run.add(words[1])
                if words[1] == "info":
                    assert first_words(said) == first_words(shown)
                elif "--json" not in words:
                    assert steady(said) == steady(shown), command
    assert commands_run == set(commands.commands) - {"demo"}


def test_the_manual_names_every_option_and_exit_code() -> None:
    """The manual has each option of a command, and nothing else."""
    text = MANUAL.read_text(encoding="utf-8")
    options = {
        option
        for command in commands.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("-")
    }
    options |= {"-h", "--help", "--version"}
    assert set(re.findall(r"`(--?[a-z]+)", text)) == options
    assert set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == {
        "0",
        "1",
        "2",
        "3",
        "130",
    }
    for spelling in SPELLINGS:
        assert f"| `{spelling}` |" in text
