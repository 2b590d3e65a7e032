# The compiled module. cffi makes it from csrc/pinverify.h and pinverify_compile.h,
# and describes no types; the package core, which alone imports it, gives them back.
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias, TypeVar

ffi: Any
lib: Any

# Added by csrc/python/matcher.h.
def matcher(
    packed: bytes, otherwise: Callable[[bytes], bool], /
) -> Callable[[bytes], bool]: ...

# Added by csrc/python/arrow.h.
def own_schema(address: int, owner: object, top: bool, /) -> object: ...
def own_array(address: int, owner: object, top: bool, /) -> object: ...

# Added by csrc/python/arrow_capsule.h.
def arrow_address(capsule: object, name: str, /) -> int: ...

# Added by csrc/python/arrow_stream.h.
def arrow_stream(function: Callable[[bool], object], /) -> object: ...

# Added by csrc/python/evaluator.h.
class Answer:
    _raw: bytes
    _spkis: bytes
    _given: str | bytes | None
    _digest: bytes
    _detail: str | None
    _host: str | None
    _seen: Any
    @classmethod
    def _evaluator(
        cls,
        policy: bytes,
        digest: bytes,
        otherwise: _Evaluate[Self],
        /,
    ) -> _Evaluate[Self]: ...

_Report = TypeVar("_Report", bound=Answer)
_Evaluate: TypeAlias = Callable[[str | bytes | None, Sequence[bytes], int], _Report]
