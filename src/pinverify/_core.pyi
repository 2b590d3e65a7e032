# The compiled module. cffi makes it from csrc/pinverify.h and describes no
# types; core.py, the only module that imports it, gives them back.
from collections.abc import Callable
from typing import Any

ffi: Any
lib: Any

# Added by csrc/python/matcher.h.
def matcher(
    packed: bytes, otherwise: Callable[[bytes], bool], /
) -> Callable[[bytes], bool]: ...
