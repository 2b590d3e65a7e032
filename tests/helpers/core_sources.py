"""C files of the core, and those on top of it that need other libraries."""

from __future__ import annotations

from pathlib import Path

from places import ROOT

__all__ = ["BESIDE", "CSRC", "MAP", "adapter_sources", "core_sources"]

CSRC = ROOT / "csrc"

# Folders that need more than a compiler: OpenSSL, and files of POSIX.
BESIDE = ("openssl", "map")

MAP = CSRC / "map" / "policy_map.c"


def core_sources(csrc: Path = CSRC, suffix: str = ".c") -> list[Path]:
    """Return the C files of the core: they need no other library.

    Args:
        csrc: the folder, or a copy of it.
        suffix: that of the files.
    """
    found = csrc.rglob(f"*{suffix}")
    return sorted(path for path in found if path.parent.name not in BESIDE)


def adapter_sources(csrc: Path = CSRC, suffix: str = ".c") -> list[Path]:
    """Return the C files of the adapter of OpenSSL."""
    return sorted((csrc / "openssl").glob(f"*{suffix}"))
