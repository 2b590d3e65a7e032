"""Review of a policy before it is deployed: mistakes, changes, decisions.

    lint         mistakes in rules that are allowed     diff      two policies
    check_next   certificates that are to be deployed   explain   the rule of a host

The advice of `pinverify rotate` is in `_rotate`.

Nothing here decides about a connection, and this package is not imported by any module
that does.
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily

if TYPE_CHECKING:
    from pinverify.review._check_next import Next, check_next
    from pinverify.review._diff import Change, diff
    from pinverify.review._explain import Explanation, Hit, explain
    from pinverify.review._lint import Finding, lint

__all__ = [
    "Change",
    "Explanation",
    "Finding",
    "Hit",
    "Next",
    "check_next",
    "diff",
    "explain",
    "lint",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_check_next": "Next check_next",
            "_diff": "Change diff",
            "_explain": "Explanation Hit explain",
            "_lint": "Finding lint",
        },
    )
