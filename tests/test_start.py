"""The start of a process: what a command imports, and what `import pinverify` does.

Imports are most of the time of a short command. Names of modules are compared here, not
times: whoever adds an import to one of these paths meets it in a test.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pinverify
from pinverify import policy
from pki import Pki

__all__: list[str] = []

# Slow to import, and needed by other commands only. What click imports is not ours.
NO_COMMAND_NEEDS = {
    *("asyncio", "cryptography", "dataclasses", "email", "hashlib", "idna", "inspect"),
    *("importlib.metadata", "json", "logging", "pathlib", "rich", "socket", "ssl"),
    *("tempfile", "textwrap", "tomllib", "unicodedata", "urllib", "zipfile"),
    *("pinverify.demo", "pinverify.formats", "pinverify.tls"),
    *("pinverify.policy._hosts", "pinverify.policy._pin", "pinverify.policy._policy"),
    *("pinverify.policy._report", "pinverify.policy._rules"),
    *("pinverify.cli.check", "pinverify.cli.compile", "pinverify.cli.info"),
    *("pinverify.cli.servers", "pinverify.cli.terminal"),
}
NO_VERSION_NEEDS = {"_cffi_backend", "pinverify.core", "pinverify.cli.pin", "base64"}

COMMAND = """
    import click, io, sys
    before = set(sys.modules)
    from pinverify.cli import main
    said, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    try:
        main()
    except SystemExit as end:
        print(end.code, *sorted(set(sys.modules) - before), file=said)
"""


def imported(code: str, *arguments: str) -> list[str]:
    """Run code that prints an exit code and modules; return these."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    code, *modules = done.stdout.split()
    assert code == "0"
    return modules


def without_need(modules: list[str], needless: set[str]) -> set[str]:
    """Return the modules that are needless, or inside a needless package."""
    return {
        name
        for name in modules
        if any(name == one or name.startswith(f"{one}.") for one in needless)
    }


def test_version_imports_neither_the_core_nor_tls() -> None:
    """A script asks for the version first; that must not load OpenSSL."""
    modules = imported(COMMAND, "--version")
    assert "pinverify.cli.commands" in modules
    assert without_need(modules, NO_COMMAND_NEEDS | NO_VERSION_NEEDS) == set()


@pytest.mark.parametrize("form", ["pem", "der"])
def test_the_pins_of_a_file_need_no_tls(form: str, pki: Pki, tmp_path: Path) -> None:
    """Only the core; neither rich nor `cryptography`, whose imports take longer."""
    file = tmp_path / "leaf"
    file.write_bytes(pki.server.der if form == "der" else pki.server.pem.encode())
    modules = imported(COMMAND, "pin", str(file))
    assert "pinverify.core" in modules
    assert without_need(modules, NO_COMMAND_NEEDS) == set()


def test_a_needless_import_is_seen() -> None:
    """The check above knows packages by their modules, and no other names."""
    modules = ["ssl", "rich.console", "sslx", "pinverify.core"]
    assert without_need(modules, {"ssl", "rich"}) == {"ssl", "rich.console"}


# ---- names that are imported when they are used --------------------------------

NAMES = """
    import sys
    before = set(sys.modules)
    {statement}
    ours = sorted(name for name in set(sys.modules) - before if "pinverify" in name)
    print(0, *ours)
"""


@pytest.mark.parametrize(
    ("statement", "needed", "needless"),
    [
        ("import pinverify", "pinverify", {"pinverify.core", "pinverify.errors"}),
        (
            "from pinverify import PolicyError",
            "pinverify.errors",
            {"pinverify.core", "pinverify.policy"},
        ),
        (
            "from pinverify import Pin",
            "pinverify.policy._pin",
            {"pinverify.policy._rules", "pinverify.formats", "pinverify.tls"},
        ),
        (
            "from pinverify import Policy",
            "pinverify.policy._policy",
            {"pinverify.formats", "pinverify.tls"},
        ),
        (
            "from pinverify import load_policy",
            "pinverify.formats._table",
            {"pinverify.tls", "pinverify.formats.toml", "pinverify.formats._xml"},
        ),
        ("from pinverify import pin_context", "pinverify.tls._pin_context", set()),
        ("import pinverify; pinverify.core", "pinverify.core", {"pinverify.policy"}),
    ],
)
def test_a_name_imports_what_is_below_it(
    statement: str, needed: str, needless: set[str]
) -> None:
    """Whoever checks pins only pays for no TLS."""
    modules = imported(NAMES.format(statement=statement))
    assert needed in modules
    assert without_need(modules, needless) == set()


@pytest.mark.parametrize("package", [pinverify, policy], ids=lambda p: p.__name__)
def test_every_name_is_there_and_listed(package: object) -> None:
    """Also for whoever looks with dir(), as an editor does."""
    names = package.__all__  # type: ignore[attr-defined]
    assert set(names) <= set(dir(package))
    for name in names:
        assert getattr(package, name) is getattr(package, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As in any package: hasattr() asks so."""
    assert not hasattr(pinverify, "PinningErrors")
    with pytest.raises(
        AttributeError, match=r"module 'pinverify' has no attribute 'pins'"
    ):
        pinverify.pins  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'pins'"):
        from pinverify import pins  # type: ignore[attr-defined]  # noqa: F401, PLC0415


def test_a_star_import_gives_every_name() -> None:
    """It is how people try things out."""
    names: dict[str, object] = {}
    exec("from pinverify import *", names)  # noqa: S102 - ours
    assert set(pinverify.__all__) <= set(names)
