"""What pyproject.toml can't say: how the C core is built, and for which ABI."""

import sysconfig

from setuptools import setup

# One wheel serves CPython 3.11 and every later one. The free-threaded CPython
# has no stable ABI, so there the wheel is for one version.
has_abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=["csrc/build_cffi.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if has_abi3 else {},
)
