"""Names of a package that are imported when they are first used (PEP 562).

A process loads only the parts that it uses: `pinverify --version` loads no TLS. But
no decision or handshake waits for an import: modules that decide import all that they
need when they are imported themselves, except `idna`, which reads names that are not
in ASCII.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["lazily"]


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    *homes* maps each module to the names that the package takes from it, separated by
    blanks. The modules themselves become attributes of the package, too.
    """
    module_of = {
        name: module for module, names in homes.items() for name in names.split()
    }

    def getattr_(name: str) -> Any:  # noqa: ANN401 - any object
        if name in module_of:
            value = getattr(import_module(f"{package}.{module_of[name]}"), name)
            setattr(sys.modules[package], name, value)  # next time at once
            return value
        if name in homes:
            return import_module(f"{package}.{name}")
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *module_of})

    return getattr_, dir_
