"""The build of pinverify._core by cffi: declarations, sources, flags.

setup.py names this file to setuptools. It is in the source distribution only: an
installed pinverify contains the compiled module, not this file.

PINVERIFY_TARGET is a platform of cross/targets.toml, if the module is not for the
machine that builds it: cross.py sets it.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tomllib
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).resolve().parent.parent
TARGETS = CSRC / "python" / "cross" / "targets.toml"
HEADERS = (CSRC / "pinverify.h", CSRC / "pinverify_compile.h")
VIEWS = CSRC / "python" / "arrow_views.h"

# For C programs: Python's ssl has an OpenSSL of its own, and Python maps files itself.
NOT_FOR_PYTHON = ("openssl", "map")

# Macros of the headers for C compilers, which cffi does not understand.
C_ONLY = re.compile(r"\bPV_(?:API|CHECK)\s+")


def declarations(*headers: Path) -> str:
    """Return the declarations for Python: headers between their two cdef marks.

    Without a header, those of the public ones.
    """
    found = ""
    for header in headers or HEADERS:
        text = header.read_text(encoding="ascii")
        _, _, rest = text.partition("// cdef: begin\n")
        public, end, _ = rest.partition("// cdef: end\n")
        if not end:
            msg = f"{header} has no lines '// cdef: begin' and '// cdef: end'"
            raise ValueError(msg)
        found += C_ONLY.sub("", public)
    return found


def found(pattern: str) -> list[str]:
    """Return the files of the core that match, always in the same order.

    The paths are relative, because setuptools requires that, and so that the module
    does not contain the folder of the build.
    """
    paths = (p for p in CSRC.glob(pattern) if p.parent.name not in NOT_FOR_PYTHON)
    return sorted(map(os.path.relpath, paths))


def target_system() -> str:
    """Return sys.platform of the machine that the module is for."""
    target = os.environ.get("PINVERIFY_TARGET")
    if target is None:
        return sys.platform
    table = tomllib.loads(TARGETS.read_text(encoding="ascii"))
    return str(table[target]["system"])


def compile_flags() -> list[str]:
    """Return the compiler's flags, which is gcc or clang: one set for every file.

    There is no -march: kernels for newer processors are always compiled, and are
    chosen at run time.
    """
    # A frame of more than one page cannot jump over the guard page of the stack.
    linux_only = ["-fstack-clash-protection"] if target_system() == "linux" else []
    return [
        "-std=c11",
        "-O3",  # with gcc, the scan is twice as fast as with -O2, the walk 15 % faster
        "-g0",  # debug information would contain the folder of the build
        "-fvisibility=hidden",
        "-fstack-protector-strong",
        "-U_FORTIFY_SOURCE",  # some systems predefine another level
        "-D_FORTIFY_SOURCE=3",
        *linux_only,
    ]


def link_flags() -> list[str]:
    """Return the linker's flags.

    After loading, the table of addresses is read-only. Calls between C files stay in
    the module, even in a program that contains another copy of the core.
    """
    if target_system() in ("win32", "darwin"):  # these have no ELF
        return []
    return ["-Wl,-z,relro,-z,now", "-Wl,-Bsymbolic"]


def limited_api() -> list[tuple[str, str | None]]:
    """Return the macro for the stable ABI of Python 3.11, where there is one.

    cffi by itself takes that of Python 3.2. A free-threaded Python has none.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    return [("Py_LIMITED_API", "0x030B0000")]


# cffi releases the GIL during each call. For a call of about a microsecond that
# costs more than the call, and beside a busy thread it can take a whole switch
# interval (5 ms) to get the GIL back. These functions keep it: they are short,
# whatever a peer sends. The compiler evaluates the comparison of names.
KEEP_THE_GIL = (
    "complete_module",
    "pv_cert_is_pinned",
    "pv_decide",
    "pv_host_canonical",
    "pv_host_is_clear",
    "pv_leaf_suffices",
    "pv_policy_find",
    "pv_policy_rule",
)


# The Arrow C data and C stream interfaces, as their specification has them.
ARROW = """
struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};
"""


def preamble() -> str:
    """Return the C code in front of cffi's: headers, and calls that keep the GIL.

    cffi has no hook to extend the module that it creates. So ``complete_module`` adds
    the other functions and types afterwards, and returns 1 on success.
    """
    kept = " || ".join(
        f'strcmp(function, "_cffi_f_{name}") == 0' for name in KEEP_THE_GIL
    )
    return f"""
#include <errno.h>
#include <string.h>

#include "pinverify_compile.h"
{ARROW}
static inline int keeps_the_gil(const char *function) {{
  return {kept};
}}

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS \\
  {{ PyThreadState *saved = \\
      keeps_the_gil(__func__) ? NULL : PyEval_SaveThread();
#define Py_END_ALLOW_THREADS \\
    if (saved != NULL) {{ PyEval_RestoreThread(saved); }} }}

#include "python/matcher.h"
#include "python/evaluator.h"
#include "python/arrow.h"
#include "python/arrow_capsule.h"
#include "python/arrow_stream.h"
#include "python/arrow_views.h"

static int added(const char *name, PyObject *object) {{
  PyObject *module = PyImport_ImportModule("pinverify._core");
  const int failed = module == NULL || object == NULL ||
                     PyObject_SetAttrString(module, name, object) != 0;
  Py_XDECREF(object);
  Py_XDECREF(module);
  PyErr_Clear();
  return !failed;
}}

static int complete_module(void) {{
  return added("matcher", PyCFunction_NewEx(&matcher_method, NULL, NULL)) &&
         added("Answer", PyType_FromSpec(&answer_spec)) &&
         added("own_schema", PyCFunction_NewEx(&own_schema_method, NULL, NULL)) &&
         added("own_array", PyCFunction_NewEx(&own_array_method, NULL, NULL)) &&
         added("arrow_address",
               PyCFunction_NewEx(&arrow_address_method, NULL, NULL)) &&
         added("arrow_stream",
               PyCFunction_NewEx(&arrow_stream_method, NULL, NULL));
}}
"""


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.cdef(declarations(VIEWS))
ffibuilder.cdef("int complete_module(void);")
ffibuilder.cdef(ARROW)
ffibuilder.set_source(
    "pinverify._core",
    preamble(),
    sources=found("**/*.c"),
    depends=[*found("**/*.h"), *found("python/*.*")],
    include_dirs=[os.path.relpath(CSRC)],
    define_macros=[
        ("PV_API", ""),  # the module exports none of the core's names
        *limited_api(),
    ],
    extra_compile_args=compile_flags(),
    extra_link_args=link_flags(),
    py_limited_api=True,
)
