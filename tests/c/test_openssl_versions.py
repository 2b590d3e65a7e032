"""The adapter of OpenSSL uses only symbols that every OpenSSL 3 has.

Linux distributions replace libssl.so.3 under programs that were compiled long ago. The
version of a symbol tells which version of the library introduced it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from c_objects import ended
from openssl_programs import objects

__all__: list[str] = []

FIRST = "OPENSSL_3.0.0"

# Exported symbols as nm prints them, such as "SSL_new@@OPENSSL_3.0.0 T 1f2e0 5".
EXPORT = re.compile(r"^(\w+)@@?(OPENSSL_[\w.]+) ", re.MULTILINE)


def exports() -> dict[str, str]:
    """Return the version of each symbol of OpenSSL on this machine."""
    found: dict[str, str] = {}
    for name in ("libssl.so", "libcrypto.so"):
        code, path, _ = ended([*objects().compiler, f"-print-file-name={name}"])
        assert code == 0
        code, table, _ = ended(["nm", "-DP", "--with-symbol-versions", path.strip()])
        assert code == 0
        found |= dict(EXPORT.findall(table))
    return found


def needed(files: Sequence[Path]) -> set[str]:
    """Return the symbols that object files take from others."""
    code, table, _ = ended(["nm", "-Pu", *files])
    assert code == 0
    return {line.split()[0] for line in table.splitlines() if " U" in line}


def newer(names: set[str], versions: dict[str, str]) -> dict[str, str]:
    """Return those that the first OpenSSL 3 does not have."""
    return {n: versions[n] for n in names & versions.keys() if versions[n] != FIRST}


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    """The version of each symbol of OpenSSL."""
    if shutil.which("nm") is None:
        pytest.skip("no nm here")
    found = exports()
    if FIRST not in found.values():
        pytest.skip("the library of OpenSSL has no versions of symbols")
    return found


def test_the_adapter_needs_no_symbol_newer_than_openssl_3_0(
    versions: dict[str, str],
) -> None:
    """All that it takes from OpenSSL was in the first version."""
    names = needed(list(objects().adapter.values()))
    assert len(names & versions.keys()) > 50
    assert newer(names, versions) == {}


def test_a_planted_newer_symbol_is_seen(
    versions: dict[str, str], tmp_path: Path
) -> None:
    """The check above does not pass by seeing nothing."""
    later = sorted(name for name, version in versions.items() if version != FIRST)
    if not later:
        pytest.skip("OpenSSL is 3.0 here")
    name = later[0]
    source = tmp_path / "newer.c"
    source.write_text(
        f"int {name}(void);\nint pv_a(void);\nint pv_a(void) {{ return {name}(); }}\n",
        encoding="ascii",
    )
    code = objects().compiled(source, tmp_path)
    assert newer(needed([code]), versions) == {name: versions[name]}
