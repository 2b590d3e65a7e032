"""Facts about the machine that figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pinverify import core
from pinverify.core._kernels import scan_kernel

__all__ = ["cpu", "facts", "load"]

LIBRARIES = ("cryptography", "pyOpenSSL", "asn1crypto", "urllib3", "cffi")


def cpu() -> str:
    """Return the name of the processor, as far as the system reports it."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in info.read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family')}, model {fields.get('model')})"


def facts(compiler: str = "gcc") -> dict[str, str]:
    """Return the facts in reading order."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{cpu()}, {os.cpu_count()} cores",
        "kernels": f"SHA-256 by {core.kernel()}, scan by {scan_kernel()}",
        "system": f"{_distribution()}, Linux {platform.release()}"
        if platform.system() == "Linux"
        else platform.platform(),
        "compiler": _first_line(compiler, "--version"),
        "Python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "libraries": ", ".join(filter(None, map(_version, LIBRARIES))),
        "C libraries": ", ".join(filter(None, map(_c_version, C_LIBRARIES))),
    }


C_LIBRARIES = {"openssl": "OpenSSL", "gnutls": "GnuTLS", "mbedcrypto": "mbedTLS"}


def _c_version(package: str) -> str | None:
    version = _first_line("pkg-config", "--modversion", package)
    return f"{C_LIBRARIES[package]} {version}" if version else None


def load() -> float:
    """Return how many processes wanted to run in the last minute."""
    return os.getloadavg()[0]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "Linux"


def _version(library: str) -> str | None:
    try:
        return f"{library} {importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.returncode == 0 else ""
