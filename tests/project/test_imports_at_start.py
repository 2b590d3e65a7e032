"""The start of a process: the imports of a command, and of `import pinverify`.

Imports take most of the time of a short command. These tests compare names of modules,
not times: an import that somebody adds to one of these paths fails a test.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pinverify
from pinverify import headers, policy, tls
from pki import Pki

__all__: list[str] = []

# Slow to import, and needed by other commands only. What click imports is not ours.
NO_COMMAND_NEEDS = {
    *("asyncio", "cryptography", "dataclasses", "email", "hashlib", "idna", "inspect"),
    *("importlib.metadata", "json", "logging", "pathlib", "rich", "socket", "ssl"),
    *("tempfile", "textwrap", "tomllib", "unicodedata", "urllib", "zipfile"),
    *("pinverify.demo", "pinverify.formats", "pinverify.tls"),
    *("pinverify.policy._policy", "pinverify.policy._report"),
    "pinverify.policy._rules",
    *("pinverify.cli.check", "pinverify.cli.compile", "pinverify.cli.info"),
    *("pinverify.cli.servers", "pinverify.cli.terminal"),
}
# What pins a context reads no file and no URL, and few hosts are not in ASCII.
NO_CONTEXT_NEEDS = {
    *("idna", "json", "pathlib", "tomllib", "unicodedata", "urllib"),
    *("pinverify.headers", "pinverify.tls._connect", "pinverify.tls._process_wide"),
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
    assert "pinverify.cli.commands_and_options" in modules
    assert without_need(modules, NO_COMMAND_NEEDS | NO_VERSION_NEEDS) == set()


@pytest.mark.parametrize("form", ["pem", "der"])
def test_the_pins_of_a_file_need_no_tls(form: str, pki: Pki, tmp_path: Path) -> None:
    """Only the core; neither rich nor `cryptography`, whose imports take longer."""
    file = tmp_path / "leaf"
    file.write_bytes(pki.server.der if form == "der" else pki.server.pem.encode())
    modules = imported(COMMAND, "pin", str(file))
    assert "pinverify.core" in modules
    assert without_need(modules, NO_COMMAND_NEEDS) == set()


# Without an option there is nothing to parse, and with click comes inspect.
NO_SHOW_NEEDS = {
    *("click", "cryptography", "dataclasses", "inspect", "logging", "rich", "socket"),
    *("ssl", "pinverify.demo", "pinverify.review", "pinverify.policy._pinning_error"),
    *("pinverify.policy._policy", "pinverify.tls"),
}
SHOW = """
    import io, sys
    from pinverify.cli import main
    said, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    print(main(), *sys.modules, file=said)
"""


def test_the_rules_of_a_file_need_neither_click_nor_tls(tmp_path: Path) -> None:
    """Nor the log, nor what looks for mistakes: the file is read and printed."""
    file = tmp_path / "pins.toml"
    pin = f"sha256/{'A' * 43}="
    file.write_text(f'version = 1\nhosts."a.example" = ["{pin}"]\n')
    modules = imported(SHOW, "show", str(file))
    assert "pinverify.files.toml" in modules
    assert without_need(modules, NO_SHOW_NEEDS) == set()


def test_a_needless_import_is_seen() -> None:
    """The check above knows packages by their modules, and no other names."""
    modules = ["ssl", "rich.console", "sslx", "pinverify.core"]
    assert without_need(modules, {"ssl", "rich"}) == {"ssl", "rich.console"}


# ---- names that are imported when they are used --------------------------------

# What these import is not ours to choose: in 3.15 it is pathlib, too.
NAMES = """
    import dataclasses, logging, ssl, sys
    before = set(sys.modules)
    {statement}
    print(0, *sorted(set(sys.modules) - before))
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
            "pinverify.policy._certs_and_pins",
            {"pinverify.policy._rules", "pinverify.formats", "pinverify.tls"},
        ),
        (
            "from pinverify import Policy",
            "pinverify.policy._policy",
            {"pinverify.formats", "pinverify.tls"},
        ),
        (
            "from pinverify import load_policy",
            "pinverify.files.toml",
            {"pinverify.tls", "pinverify.formats", "pinverify.review"},
        ),
        (
            "from pinverify import pin_context",
            "pinverify.tls._pin_context",
            {"pinverify.formats", "pinverify.review", *NO_CONTEXT_NEEDS},
        ),
        (
            "from pinverify import install",
            "pinverify.tls._process_wide",
            {"pinverify.formats", "pinverify.review", "pinverify.tls._connect"},
        ),
        ("import pinverify; pinverify.core", "pinverify.core", {"pinverify.policy"}),
    ],
)
def test_a_name_imports_what_it_needs(
    statement: str, needed: str, needless: set[str]
) -> None:
    """Whoever checks pins only pays for no TLS, and who pins a context for no files."""
    modules = imported(NAMES.format(statement=statement))
    assert needed in modules
    assert without_need(modules, needless) == set()


# A module more is a reason to think: this is what every pinned process pays.
A_CONTEXT_NEEDS = {
    *("contextlib", "datetime", "importlib", "mmap", "threading", "typing", "weakref"),
    *("array", "copyreg", "functools", "re", "struct"),  # ssl imported them before 3.14
    *("annotationlib", "ast"),  # of typing, since 3.14
    *("errors", "core", "policy", "tls"),
    *("core._arrow", "core._hosts", "core._kernels", "core._keys"),
    *("core._peers", "core._policies"),
    *("policy._certs_and_pins", "policy._compiled"),
    *("policy._policy", "policy._pinning_error", "policy._report"),
    *("policy._report_columns", "policy._rules"),
    *("tls._ssl_connections", "tls._events"),
    *("tls._ssl_contexts", "tls._policy_in_force", "tls._judge"),
    *("tls._memo", "tls._names_under_install", "tls._pin_context"),
}
BESIDE_SSL = """
    import ssl, sys
    before = set(sys.modules)
    from pinverify import pin_context
    print(0, *set(sys.modules) - before)
"""


def test_a_pinned_context_imports_what_it_needs_and_no_more() -> None:
    """Neither the log, nor dataclasses: each would take half as long as ssl does."""
    modules = {
        name.removeprefix("pinverify.")
        for name in imported(BESIDE_SSL)
        # Python's own halves of the modules above differ between versions.
        if not name.startswith(("_", "importlib.", "re.", "typing.", "pinverify._"))
    }
    assert modules - {"pinverify"} <= A_CONTEXT_NEEDS
    assert {name for name in A_CONTEXT_NEEDS if "." in name} <= modules


def test_a_name_that_is_not_ascii_is_read() -> None:
    """Its tables are imported then: a policy and a decision need nothing before."""
    modules = imported(
        NAMES.format(
            statement="from pinverify import Policy; "
            "Policy({'b\u00fccher.example': ['sha256/' + 'A' * 43 + '=']})"
        )
    )
    assert "idna" in modules


PACKAGES = [pinverify, policy, tls, headers]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
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
