"""C files of the core, and those of the adapter of OpenSSL, which stands on it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CSRC", "adapter_sources", "core_sources"]

CSRC = Path(__file__).resolve().parent.parent / "csrc"


def core_sources(csrc: Path = CSRC, suffix: str = ".c") -> list[Path]:
    """Return the C files of the core: they need no other library.

    Args:
        csrc: the folder, or a copy of it.
        suffix: that of the files.
    """
    adapter = csrc / "openssl"
    return sorted(
        path for path in csrc.rglob(f"*{suffix}") if adapter not in path.parents
    )


def adapter_sources(csrc: Path = CSRC, suffix: str = ".c") -> list[Path]:
    """Return the C files of the adapter of OpenSSL."""
    return sorted((csrc / "openssl").glob(f"*{suffix}"))
