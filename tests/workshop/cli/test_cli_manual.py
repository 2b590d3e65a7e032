"""The manual of the command line shows what happens, and names every option.

It shows a terminal of 80 columns. After a change of the output,
``UPDATE=1 make test TESTS=tests/workshop/cli/test_cli_manual.py`` writes the new output
into the page; look at it before you commit it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import client_servers
import pages
import pki as pki_module
from cli_runs import run
from pinverify.cli.commands_and_options import commands
from pinverify.cli.spellings import SPELLINGS
from pinverify.cli.starttls import PROTOCOLS
from pki import Authority, self_signed
from places import ROOT
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__: list[str] = []


MANUAL = ROOT / "docs" / "cli.md"
ROTATION = ROOT / "docs" / "rotate.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
COLUMNS = 80
TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": str(COLUMNS)}


@pytest.fixture
def example_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Lead every name to servers here, whose keys are always the same.

    Port 25 is a mail server's, and one name is that of a device that signs itself.
    """
    numbers = iter(range(1, 100))
    monkeypatch.setattr(
        pki_module,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    ca = Authority.root("Example CA 1")
    Authority.root("Corporate Proxy CA")
    identity = ca.leaf("api.example.com", "www.example.org", "mail.example.org")
    (tmp_path / "roots.pem").write_text(ca.pem, encoding="ascii")
    (tmp_path / "server.pem").write_text(identity.pem + ca.pem, encoding="ascii")
    next_key = ec.derive_private_key(next(numbers), ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = builder.sign(next_key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "next.csr").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        context = server_context(identity)
        server = TLSServer(context, greeting=RESPONSE, echo=False)
        stack.enter_context(server)
        device_context = server_context(self_signed("device.example.org"))
        device = stack.enter_context(TLSServer(device_context))
        mail = stack.enter_context(
            client_servers.Server(
                client_servers.smtp, server_context(identity), tls_first=False
            )
        )

        real = socket.getaddrinfo

        def lead(host: str, port: int, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
            if host == "127.0.0.1":  # servers wake themselves when they close
                return real(host, port, *rest, **more)
            here = mail.port if port == PROTOCOLS["smtp"].port else server.port
            if host.startswith("device."):
                here = device.port
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", here))]

        monkeypatch.setattr(socket, "getaddrinfo", lead)
        yield


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands draw, without colours and bars, as on a terminal."""
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def steady(text: str) -> str:
    """Return *text* without what differs from one certificate to the next."""
    text = re.sub(r"cert-sha256:[0-9a-f]{64}", "cert-sha256:HEX", text)
    text = re.sub(r"(cert-hex\W+)(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", r"\1HEX", text)
    text = re.sub(r"[0-9-]{10}(\s+)to(\s+)[0-9-]{10}", r"DATE\1to\2DATE", text)
    return re.sub(r"(\bends? on) [0-9-]{10}", r"\1 DATE", text)


def first_words(text: str) -> list[str]:
    """Return the first word of each line that does not go on with another one.

    A processor may have more kernels than fit on a line.
    """
    return [line.split()[0] for line in text.splitlines() if not line.startswith(" ")]


COMMAND = re.compile(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", re.MULTILINE)


class Page:
    """A page, as its commands are run one after the other.

    Attributes:
        text: the page, with the output of today where it differs.
        run: the names of the commands that ran.
        said: the output of the last command.
    """

    def __init__(self, manual: Path = MANUAL) -> None:
        self._manual = manual
        self._names: dict[str, Any] = {}
        self.text = ""
        self.run: set[str] = set()
        self.said = ""
        self._code: int | None = None

    def read(self) -> None:
        """Read the page and run it."""
        text = self._manual.read_text(encoding="utf-8")
        at = 0
        for block in re.finditer(r"```(\w+)\n(.*?)```", text, re.DOTALL):
            language, body = block.groups()
            if language == "toml":
                Path("pins.toml").write_text(body, encoding="utf-8")
            elif language == "json":
                shown, said = json.loads(steady(body)), json.loads(steady(self.said))
                body = body if shown == said else self.said
            elif language == "console":
                body = COMMAND.sub(self._console, body)
            elif language == "python":
                self.said = pages.run(body, self._names)
            elif language == "text":
                body = self.said
            self.text += text[at : block.start(2)] + body
            at = block.end(2)
        self.text += text[at:]

    def _console(self, shown: re.Match[str]) -> str:
        """Run one command; return it with its output."""
        command, text = shown[1], shown[2]
        words, _, target = command.partition(" > ")
        name, *arguments = shlex.split(words)
        if [name, *arguments] == ["echo", "$?"]:
            return f"$ {command}\n{self._code}\n"
        if name != "pinverify" or arguments == ["demo"]:
            return shown[0]
        self._code, out, err = run(*arguments)
        if target:
            Path(target).write_text(out, encoding="utf-8")
            out = ""
        # What a bar leaves behind, and blank lines at an end, are not shown.
        texts = [text.strip("\n") for text in (out, err)]
        self.said = "".join(f"{text}\n" for text in texts if text)
        self.run.add(arguments[0])
        if arguments[0] == "info":
            same = first_words(self.said) == first_words(text)
        elif "--json" in arguments:
            same = True  # a block of JSON follows
        else:
            same = steady(self.said) == steady(text)
        return shown[0] if same else f"$ {command}\n{self.said}"


@pytest.mark.usefixtures("example_network", "terminal")
def test_the_manual_shows_what_happens() -> None:
    """Each command of docs/cli.md prints what the page says, and exits as it says."""
    page = Page()
    page.read()
    if os.environ.get("UPDATE"):
        MANUAL.write_text(page.text, encoding="utf-8")
    assert page.text == MANUAL.read_text(encoding="utf-8")
    assert page.run == set(commands.commands) - {"demo"}


@pytest.mark.usefixtures("example_network", "terminal")
def test_the_page_on_rotation_shows_what_happens() -> None:
    """So does each command of docs/rotate.md."""
    page = Page(ROTATION)
    page.read()
    if os.environ.get("UPDATE"):
        ROTATION.write_text(page.text, encoding="utf-8")
    assert page.text == ROTATION.read_text(encoding="utf-8")
    assert page.run == {"check", "rotate"}


@pytest.mark.usefixtures("example_network", "terminal")
def test_the_tutorial_shows_what_happens() -> None:
    """So do each command and each block of Python of docs/tutorial.md."""
    page = Page(TUTORIAL)
    page.read()
    if os.environ.get("UPDATE"):
        TUTORIAL.write_text(page.text, encoding="utf-8")
    assert page.text == TUTORIAL.read_text(encoding="utf-8")
    assert page.run == {"lint", "pin", "show"}


def test_the_manual_fits_a_terminal() -> None:
    """No line of output has more than 80 columns; what is to be pasted may have."""
    text = MANUAL.read_text(encoding="utf-8")
    outputs = "".join(
        shown
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for command, shown in COMMAND.findall(block)
        if not re.match("pinverify (convert|pin --stanza)", command)
    )
    long = [line for line in outputs.splitlines() if len(line) > COLUMNS]
    assert long == []
    assert outputs.count("\n") > 100


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
    assert set(re.findall(r"`(--?[a-z][a-z-]*)", text)) == options
    assert set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == {
        "0",
        "1",
        "2",
        "3",
        "130",
    }
    for spelling in SPELLINGS:
        assert f"| `{spelling}` |" in text
