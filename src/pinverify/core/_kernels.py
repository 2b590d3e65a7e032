"""Kernels: the implementations of SHA-256 and the scan that this machine can run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pinverify.core._keys import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = [
    "kernel",
    "kernels",
    "scan_kernel",
    "scan_kernels",
    "use_kernel",
    "use_scan_kernel",
]


def kernels() -> tuple[str, ...]:
    """Return the names of the SHA-256 kernels of this machine, best first."""
    return _kernel_names(lib.pv_sha256_kernel_name)


def kernel() -> str:
    """Return the name of the SHA-256 kernel in use."""
    number: int = lib.pv_sha256_kernel()
    return kernels()[number]


def use_kernel(name: str) -> AbstractContextManager[None]:
    """Use another SHA-256 kernel in a ``with`` block, in the whole process.

    For tests and benches: other threads use it too.

    Raises:
        ValueError: this machine has no kernel of that name.
    """
    return _using(name, kernels(), lib.pv_sha256_kernel(), lib.pv_sha256_use_kernel)


def scan_kernels() -> tuple[str, ...]:
    """Return the names of the scan kernels of this machine, best first."""
    return _kernel_names(lib.pv_scan_kernel_name)


def scan_kernel() -> str:
    """Return the name of the scan kernel in use."""
    number: int = lib.pv_scan_kernel()
    return scan_kernels()[number]


def use_scan_kernel(name: str) -> AbstractContextManager[None]:
    """Use another scan kernel in a ``with`` block, as `use_kernel` does."""
    return _using(name, scan_kernels(), lib.pv_scan_kernel(), lib.pv_scan_use_kernel)


def _kernel_names(name_of: Any) -> tuple[str, ...]:  # noqa: ANN401 - a C function
    names: list[str] = []
    while (name := name_of(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode("ascii"))
    return tuple(names)


@contextlib.contextmanager
def _using(
    name: str, names: tuple[str, ...], before: int, use: Callable[[int], int]
) -> Iterator[None]:
    if name not in names:
        msg = f"no kernel {name!r} on this machine; there are {', '.join(names)}"
        raise ValueError(msg)
    use(names.index(name))
    try:
        yield
    finally:
        use(before)
