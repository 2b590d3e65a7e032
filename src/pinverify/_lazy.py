"""Names of a package that are imported when they are first used (PEP 562).

A process pays for the parts that it uses: `pinverify --version` needs no TLS. Decisions
and handshakes import nothing by this: a module that decides imports all that it needs
when it is imported itself.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["lazily"]


def lazily(
    package: str, modules: Sequence[str], names: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its name.
        modules: the modules that define the names, the lowest first: none is imported
            that is above the one with the name.
        names: the names that the package hands on. Each is in the ``__all__`` of a
            module.
    """

    def getattr_(name: str) -> Any:  # noqa: ANN401 - any object
        if name in modules:
            return import_module(f"{package}.{name}")
        if name in names:
            for each in modules:
                module = import_module(f"{package}.{each}")
                if name in module.__all__:
                    value = getattr(module, name)
                    setattr(sys.modules[package], name, value)  # next time at once
                    return value
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules, *names})

    return getattr_, dir_
