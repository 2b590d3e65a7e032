"""Output of the command line: help, pipes, terminals, signals, hostile text."""

from __future__ import annotations

import io
import json
import re
import signal
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from rich.console import Console

from pinverify.cli import terminal
from pinverify.cli.commands_and_options import commands
from pinverify.core._kernels import scan_kernel
from pinverify.errors import printable
from pki import Authority, Identity, Pki
from places import ROOT
from tls_servers import LIMIT, TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]
from cli_runs import (
    ABSENT,
    Ended,
    address,
    answer,
    ended,
    environment,
    on_terminal,
    process,
    run,
)

__all__: list[str] = []

SHOWN = {
    "rules": f'version = 1\nhosts."a.example" = ["{ABSENT}"]\n',
    "two mistakes": 'version = 1\nhosts."a.example" = ["sha256/A"]\nhost = 1\n',
    "not TOML": "version = ",
    "a compiled policy": "pinvpol\0",
}


# ---- info and help -----------------------------------------------------------


def test_info_tells_versions_and_kernels() -> None:
    """It has all that a report of a problem needs, and nothing that is not so."""
    from pinverify import __version__, core  # noqa: PLC0415

    said = answer("info")
    assert said["pinverify"] == __version__
    assert said["sha256"] == {
        "in_use": core.kernel(),
        "available": list(core.kernels()),
    }
    assert said["scan"]["in_use"] == scan_kernel()
    assert said["openssl"] == ssl.OPENSSL_VERSION
    text = run("info").out
    assert f"SHA-256       {core.kernel()} in use" in text
    assert said["python"] in text
    with core.use_kernel("portable"):
        assert answer("info")["sha256"]["in_use"] == "portable"


def test_help_is_there_for_every_command() -> None:
    """And the bare command shows what there is, as wrong use."""
    for name in commands.commands:
        done = run(name, "--help")
        assert (done.code, done.err) == (0, "")
        assert f"Usage: pinverify {name}" in done.out
        assert "--json" in done.out
    bare = run()
    assert (bare.code, bare.out) == (2, "")
    assert all(f"  {name} " in bare.err for name in commands.commands)


# ---- pipes, terminals, signals -----------------------------------------------


FRAMES = re.compile(r"[\u2500-\u257f]")


def test_a_pipe_gets_plain_text(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """No colour, no frame, no progress bar; the same as in the tests above."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    done = ended(process(*command, env=environment(TERM="xterm-256color")))
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert not FRAMES.search(done.out)
    assert done == run(*command)


def test_a_terminal_gets_colour_and_a_table(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Pins stay on one line; NO_COLOR takes the colour away."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    code, shown = on_terminal(*command, columns=80)
    assert code == 0
    assert "\x1b[1;32maccepted" in shown
    assert FRAMES.search(shown)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    assert f"│ leaf         │ {pki.server.pin} │ MATCH   │" in plain
    assert max(map(len, plain.splitlines())) <= 80
    code, shown = on_terminal(*command, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*3\d", shown)


def test_a_narrow_terminal_cuts_no_pin(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Where a table does not fit, lines do: the terminal breaks and rejoins them."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    _, shown = on_terminal(*command, columns=40)
    assert shown.count(pki.server.pin) == 2


def test_a_rejection_on_a_terminal_keeps_its_columns(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """The long advice hangs in the second column, and no pin is broken."""
    server = serve(server_context(pki.impostor))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    code, shown = on_terminal(*command, columns=80)
    assert code == 1
    assert pki.impostor.pin in shown
    assert pki.server.pin in shown
    advice = shown.partition("  next:    ")[2].splitlines()
    assert len(advice) > 1
    assert advice[1].startswith(" " * 11)
    assert len(advice[0]) <= 80


@pytest.mark.parametrize("patience", [0, 3600])
def test_work_shows_a_bar_on_a_terminal_if_it_takes_a_while(
    patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short work shows none."""
    monkeypatch.setattr(terminal, "_PATIENCE", patience)
    written = io.StringIO()
    drawn = Console(file=written, force_terminal=True, width=80)
    printer = terminal.TerminalPrinter(drawn)
    end = time.monotonic() + LIMIT
    with printer.bar("compiling pins.toml", 2) as step:
        step()
        while not patience and "compiling pins.toml" not in written.getvalue():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.01)
    assert bool(FRAMES.search(written.getvalue())) is (patience == 0)


@pytest.mark.parametrize("command", ["check", "pin", "show", "--help"])
def test_a_closed_pipe_is_no_error(
    command: str, pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """A reader of the first line alone gets no complaint; check keeps its verdict."""
    server = serve(server_context(pki.impostor))
    options = ("--pin", pki.server.pin) if command == "check" else ()
    rest: tuple[object, ...] = (address(server), *options, *trust)
    if command == "show":
        file = tmp_path / "pins.toml"
        file.write_text(SHOWN["rules"])
        rest = (file,)
    elif command == "--help":
        rest = ()
    child = process(command, *rest)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    done = ended(child)
    assert done.code == (1 if command == "check" else 0)
    assert done.err == ""


@pytest.mark.parametrize("command", ["pin", "show"])
def test_a_full_disk_is_told(command: str, tmp_path: Path, pki: Pki) -> None:
    """An answer that was not written was not given."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    file = tmp_path / "file"
    text = pki.server.pem if command == "pin" else SHOWN["rules"]
    file.write_text(text, encoding="ascii")
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = ended(process(command, file, stdout=full))
    assert done.code == 2
    assert done.err.startswith("pinverify: ")
    assert done.err.count("\n") == 1


def test_ctrl_c_ends_quietly(pki: Pki, serve: Serve) -> None:
    """Exit code 130, not a word."""
    server = serve(server_context(pki.server), silent=True)
    child = process("check", address(server), "--pin", pki.server.pin)
    deadline = time.monotonic() + LIMIT
    while not server.records and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.records
    child.send_signal(signal.SIGINT)
    assert ended(child) == Ended(130, "", "")


def test_an_ascii_stdout_gets_escapes(tmp_path: Path) -> None:
    """Characters that the encoding lacks are escaped; nothing fails for them."""
    file = tmp_path / "cert.pem"
    file.write_text(Authority.root("Zürich").pem, encoding="ascii")
    child = process("pin", file, env=environment(PYTHONIOENCODING="ascii"))
    done = ended(child)
    assert (done.code, done.err) == (0, "")
    assert r"CN=Z\xfcrich" in done.out


def test_the_module_and_the_entry_point_are_one_command() -> None:
    """`python -m pinverify` runs, and pyproject.toml names the same function."""
    done = ended(process("--version"))
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"pinverify \d+\.\d+\S*\n", done.out)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'pinverify = "pinverify.cli:main"' in project


@pytest.mark.parametrize("name", [*SHOWN, "nothing", "a folder", "-x"])
def test_show_without_options_is_the_same_without_click(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves click out if the words of the call have no mistake."""
    monkeypatch.chdir(tmp_path)
    if name == "a folder":
        Path(name).mkdir()
    elif name != "nothing":
        Path(name).write_text(SHOWN.get(name, SHOWN["rules"]))
    by_click = run("show", name)
    assert by_click == ended(process("show", name))
    assert by_click.code == (0 if name == "rules" else 2)


@pytest.mark.parametrize("package", ["click", "rich", "cryptography"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    """One line, exit code 2: the library works without these packages."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from pinverify.cli import main; sys.exit(main())"
    )
    done = ended(process("demo", code=code))
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"pinverify: the command line needs {package}; "
        "run pip install '.[cli]' in the checkout\n"
    )


def test_a_command_imports_what_it_needs() -> None:
    """`pinverify check` in a script starts without the demo and without bars."""
    code = (
        "import sys, pinverify.cli.commands_and_options\n"
        "print(*({'pinverify.demo', 'rich.progress', 'rich.syntax'} & {*sys.modules}))"
    )
    assert ended(process(code=code)) == (0, "\n", "")


# ---- hostile text ------------------------------------------------------------


HOSTILE = "\x1b]0;owned\x07 [bold red]safe[/] \u202etxt \r\n\x9b2J\x00 :smile:"


def assert_harmless(text: str) -> None:
    """See that a terminal would obey nothing in *text*."""
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)


def test_printable_escapes_what_a_terminal_obeys() -> None:
    """Controls, bidirectional overrides, and bytes of no encoding; not letters."""
    assert_harmless(printable(HOSTILE + "\udcff\u2028\u00ad"))
    assert "\n" not in printable(HOSTILE)
    assert printable("Zürich 東京 [b]") == "Zürich 東京 [b]"
    assert printable("\x1b\u202e") == r"\x1b\u202e"


def test_a_long_subject_is_cut(pki: Pki, serve: Serve, trust: tuple[str, Path]) -> None:
    """It can't push anything off the screen, nor the table out of shape."""
    parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "n" * 60)] * 9
    leaf = named_leaf(pki.ca, x509.Name(parts))
    server = serve(server_context(leaf))
    command = ("check", address(server), "--pin", leaf.pin, *trust)
    checked = run(*command).out
    assert len(re.findall(r"CN=n.*", checked)[0]) == len(leaf.pin)
    printed = run("pin", address(server), *trust).out
    assert len(re.findall(r"CN=n.*", printed)[0]) == 95
    _, shown = on_terminal(*command, columns=80)
    assert FRAMES.search(shown)


def named_leaf(ca: Authority, subject: x509.Name) -> Identity:
    """Issue a leaf for 127.0.0.1 with this subject."""
    leaf = ca.leaf("127.0.0.1")
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca.certificate.subject)
        .subject_name(subject)
        .public_key(leaf.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(leaf.certificate.not_valid_before_utc)
        .not_valid_after(leaf.certificate.not_valid_after_utc)
    )
    for extension in leaf.certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(ca.key, hashes.SHA256())
    return Identity(certificate, leaf.key, leaf.issuers)


def test_a_hostile_subject_reaches_no_terminal(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Neither as a control character nor as markup, in pin and in check."""
    leaf = pki.rogue_ca.leaf("127.0.0.1", common_name=HOSTILE)
    file = tmp_path / "leaf.pem"
    file.write_text(leaf.pem, encoding="ascii")
    server = serve(server_context(leaf))
    for command in (
        ("pin", file),
        ("pin", address(server), *trust),
        ("check", address(server), "--pin", leaf.pin, *trust),
        ("check", address(server), "--pin", ABSENT, *trust),
    ):
        done = run(*command)
        assert_harmless(done.out)
        assert "[bold red]safe[/]" in done.out  # not read as markup
    _, shown = on_terminal("pin", file)
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert json.loads(run("pin", file, "--json").out.encode("ascii"))


def test_a_hostile_name_reaches_no_terminal(tmp_path: Path) -> None:
    """File names, hosts and pins are quoted back in errors, and escaped."""
    name = "\x1b]0;owned\x07[bold red].pem"
    for command in (
        ("pin", f"{tmp_path}/{name}"),
        ("check", "\x1b]0;host", "--pin", ABSENT),
        ("check", "127.0.0.1", "--pin", "\x1b]0;pin"),
        ("check", "127.0.0.1", "--policy", f"{tmp_path}/{name}"),
        (f"\x1b{name}",),
    ):
        done = run(*command)
        assert done.code == 2
        assert_harmless(done.err)
        assert done.err.count("\n") == 1
