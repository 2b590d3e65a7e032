# The compiled module. cffi makes it from csrc/pinverify.h and describes no
# types; core.py, the only module that imports it, gives them back.
from typing import Any

ffi: Any
lib: Any
