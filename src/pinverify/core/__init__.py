"""The C core, for other libraries: digests, pins, kernels. Documented and stable.

Certificates and messages are ``bytes``. Digests and pins have 32 bytes each; several
of them lie back to back. Sizes are checked, and a bad status becomes an exception. The
GIL is released during a call, except for calls of about a microsecond (see
csrc/python/build_cffi.py).
"""

from pinverify.core._kernels import kernel, kernels, use_kernel
from pinverify.core._keys import (
    Matches,
    certs_are_pinned,
    matcher,
    pins_contain,
    sha256,
    sha256_many,
    spki,
    spki_sha256,
    spki_sha256_many,
)

__all__ = [
    "Matches",
    "certs_are_pinned",
    "kernel",
    "kernels",
    "matcher",
    "pins_contain",
    "sha256",
    "sha256_many",
    "spki",
    "spki_sha256",
    "spki_sha256_many",
    "use_kernel",
]
