"""TLS pinning: check that the key of a TLS peer is one that you expect.

Pins add to certificate validation and never replace it. README.md begins with an
example; `pinverify.core` is the C core for other libraries.
"""

from pinverify.errors import DERError, PinverifyError, PolicyError
from pinverify.formats import load_policy, load_rules
from pinverify.policy import (
    UNPINNED,
    Pin,
    PinKind,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    Rules,
    find_pinning_error,
)
from pinverify.tls import (
    check,
    create_connection,
    install,
    pin_context,
    report_of,
    uninstall,
    wrap_socket,
)

__all__ = [
    "UNPINNED",
    "DERError",
    "Pin",
    "PinKind",
    "PinSet",
    "PinningError",
    "PinverifyError",
    "Policy",
    "PolicyError",
    "Reason",
    "Report",
    "Rules",
    "check",
    "create_connection",
    "find_pinning_error",
    "install",
    "load_policy",
    "load_rules",
    "pin_context",
    "report_of",
    "uninstall",
    "wrap_socket",
]

__version__ = "0.1.0"


def _name_this_module() -> None:
    """Let tracebacks and pickles name this module, not the private file behind it."""
    for name in __all__:
        public = globals()[name]
        if isinstance(public, type):
            public.__module__ = __name__


_name_this_module()
