"""Rules as lint looks at them: keys of operators and names of providers tell more."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pinverify.files import _checks, _digests
from pinverify.review._lint import names, operators

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["each_rule"]


def _known_among(digests: Sequence[bytes]) -> set[bytes]:
    return _digests.known_among(digests) | operators.keys_among(digests)


each_rule = functools.partial(
    _checks.each_rule, known_among=_known_among, is_provided=names.provider_of
)
"""Yield what to look at, as `_checks.each_rule` does, with all traits."""
