"""Base class of immutable values, which are compared by their fields.

It does what `dataclasses.dataclass` does with ``frozen`` and ``slots``, without that
module, which with `inspect` takes half as long to import as `ssl`. The tools of the
module work all the same: `fields`, `asdict` and `replace`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar, NoReturn, dataclass_transform

__all__ = ["Value"]


class _Fields:
    """The fields as `dataclasses` describes them, made when one of its tools asks."""

    def __get__(self, _value: object, owner: type) -> dict[str, Any]:
        """Return the fields of a class by name."""
        from dataclasses import make_dataclass  # noqa: PLC0415 - see above

        made: Any = make_dataclass(owner.__name__, owner.__annotations__.items())
        found: dict[str, Any] = made.__dataclass_fields__
        return found


@dataclass_transform(frozen_default=True)
class Value:
    """An immutable value.

    A subclass annotates its fields, and names them in ``__match_args__`` in order, and
    in ``__slots__``. Its ``__init__`` writes them through the slots.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    __dataclass_fields__: ClassVar[Any] = _Fields()
    _values: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        """Learn to read all fields at once."""
        cls._values = property(attrgetter(*cls.__match_args__))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse to change."""
        msg = f"cannot assign to field {name!r}"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse to change."""
        msg = f"cannot delete field {name!r}"
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if not isinstance(other, Value) or type(other) is not type(self):
            return NotImplemented
        return bool(self._values == other._values)

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._values)

    def __getstate__(self) -> tuple[object, ...]:
        """Copy and pickle all fields."""
        values: tuple[object, ...] = self._values
        return values

    def __setstate__(self, state: tuple[object, ...]) -> None:
        """Fill a copy."""
        for name, value in zip(self.__match_args__, state, strict=True):
            object.__setattr__(self, name, value)
