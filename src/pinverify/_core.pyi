# The compiled module. cffi makes it from csrc/pinverify.h and describes no
# types; the package core, which alone imports it, gives them back.
from collections.abc import Callable
from typing import Any

ffi: Any
lib: Any

# Added by csrc/python/matcher.h.
def matcher(
    packed: bytes, otherwise: Callable[[bytes], bool], /
) -> Callable[[bytes], bool]: ...
