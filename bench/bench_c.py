"""The C benches: build them, run them, and read their output.

``bench/c/Makefile`` builds them; ``bench/c/bench.h`` explains a line of the output.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import certificates

__all__ = ["figures", "has_openssl_headers"]

FOLDER = Path(__file__).resolve().parent / "c"


def figures(
    certs: Path, *, compiler: str = "gcc", quick: bool = False
) -> list[dict[str, Any]]:
    """Build the C benches, run them, and return what they print.

    Args:
        certs: where the sets of certificates are written.
        compiler: the C compiler.
        quick: one short round of each.
    """
    certificates.write(certs)
    command = ["make", "-s", "-C", str(FOLDER), f"CERTS={certs}", f"CC={compiler}"]
    command += ["QUICK=--quick"] if quick else []
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=1200, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def has_openssl_headers() -> bool:
    """Return True if programs on OpenSSL can be built here."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or shutil.which("make") is None:
        return False
    command = [compiler, "-E", "-include", "openssl/x509.h", "-x", "c", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_c_benches_run(tmp_path: Path) -> None:
    """Each competitor answers, and each line is a figure."""
    if not has_openssl_headers():
        pytest.skip("no C compiler, or no headers of OpenSSL (Debian: libssl-dev)")
    found = figures(tmp_path, quick=True)
    assert {"verify", "batch", "two threads", "scan"} <= {
        line["bench"] for line in found
    }
    for line in found:
        assert min(line["ours_ns"], line["theirs_ns"], line["ratio"]["median"]) > 0
