"""TLS pinning: check that the key of a TLS peer is one that you expect.

Pins add to certificate validation and never replace it. README.md begins with an
example; `pinverify.core` is the C core for other libraries.
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily
from pinverify._version import __version__ as __version__

if TYPE_CHECKING:
    from pinverify.errors import DERError, PinverifyError, PolicyError
    from pinverify.files import PolicyWarning, load_policy, load_rules
    from pinverify.formats import Dumped, Loss, dump_rules, violation
    from pinverify.policy import (
        UNPINNED,
        Pin,
        PinKind,
        PinningError,
        PinSet,
        Policy,
        Reason,
        Report,
        Reports,
        Rules,
        find_pinning_error,
    )
    from pinverify.review import (
        Change,
        Explanation,
        Finding,
        Hit,
        Next,
        check_next,
        diff,
        explain,
        lint,
    )
    from pinverify.tls import (
        Installed,
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
    "Change",
    "DERError",
    "Dumped",
    "Explanation",
    "Finding",
    "Hit",
    "Installed",
    "Loss",
    "Next",
    "Pin",
    "PinKind",
    "PinSet",
    "PinningError",
    "PinverifyError",
    "Policy",
    "PolicyError",
    "PolicyWarning",
    "Reason",
    "Report",
    "Reports",
    "Rules",
    "check",
    "check_next",
    "create_connection",
    "diff",
    "dump_rules",
    "explain",
    "find_pinning_error",
    "install",
    "lint",
    "load_policy",
    "load_rules",
    "pin_context",
    "report_of",
    "uninstall",
    "violation",
    "wrap_socket",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "errors": "DERError PinverifyError PolicyError",
            "files": "PolicyWarning load_policy load_rules",
            "formats": "Dumped Loss dump_rules violation",
            "policy": (
                "UNPINNED Pin PinKind PinningError PinSet Policy Reason Report Reports "
                "Rules find_pinning_error"
            ),
            "review": (
                "Change Explanation Finding Hit Next check_next diff explain lint"
            ),
            "tls": (
                "Installed check create_connection install pin_context report_of "
                "uninstall wrap_socket"
            ),
            "core": "",
            "headers": "",
            "live": "",
            "arrow": "",
            "ct": "",
        },
    )
