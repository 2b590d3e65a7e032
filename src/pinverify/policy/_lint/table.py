"""The table of checks: a row for each code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinverify.policy._lint import of_rules as of
from pinverify.policy._lint.rule import (
    ALONE,
    ANY,
    BLOCKED,
    ENDS,
    IDN,
    KNOWN_PIN,
    PROVIDER,
    REPORTS,
    WILDCARD,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.errors import Kind
    from pinverify.policy._lint.finding import Level
    from pinverify.policy._lint.rule import Rule

__all__ = ["CHECKS", "OF_READERS", "Check"]


@dataclass(frozen=True)
class Check:
    """One row.

    Attributes:
        code: its name; docs/lint.md has a section for it.
        level: the level of its findings.
        title: the mistake, in a few words.
        needs: the sum of traits of which a rule has one if `of_rule` yields anything.
        of_rule: yields the findings of one rule; None if they are found elsewhere.
        kind: of the mistakes of readers that it is for.
    """

    code: str
    level: Level
    title: str
    needs: int = ANY
    of_rule: Callable[[Rule], Iterator[str]] | None = None
    kind: Kind | None = None


_ROWS = (
    # Told by a reader.
    Check("PV101", "error", "the file has a mistake", kind=""),
    Check("PV102", "warning", "a part of the file is left out"),
    Check("PV103", "error", "the file is not of its format", kind="syntax"),
    Check("PV104", "error", "not a pin", kind="pin"),
    Check("PV105", "error", "not a host or pattern", kind="host"),
    Check("PV106", "error", "not an expiry", kind="expiry"),
    Check("PV107", "error", "unknown key", kind="key"),
    Check("PV108", "error", "there twice", kind="twice"),
    Check("PV109", "error", "digest beside a stronger one", kind="digest"),
    Check("PV110", "hint", "how a part of the file is read"),
    # Pins.
    Check("PV201", "error", "hash of nothing", KNOWN_PIN, of.hashes_nothing),
    Check("PV202", "error", "placeholder", KNOWN_PIN, of.holds_a_placeholder),
    Check(
        "PV203", "warning", "example of a documentation", KNOWN_PIN, of.holds_an_example
    ),
    Check("PV204", "warning", "no backup pin", ALONE, of.has_no_backup),
    Check("PV205", "error", "all pins are blocked", BLOCKED, of.blocks_a_whole_list),
    Check("PV206", "warning", "a pin is blocked", BLOCKED, of.blocks_a_pin),
    Check("PV207", "hint", "certificates alone", ANY, of.pins_certificates_only),
    Check(
        "PV208", "warning", "rotating intermediate", KNOWN_PIN, of.pins_an_intermediate
    ),
    Check("PV209", "warning", "some of several roots", KNOWN_PIN, of.pins_some_roots),
    # Names.
    Check("PV301", "warning", "public suffix", WILDCARD, of.is_for_a_public_suffix),
    Check("PV302", "warning", "host of a provider", PROVIDER, of.is_for_a_provider),
    Check(
        "PV303", "hint", "wildcard without its parent", WILDCARD, of.misses_the_parent
    ),
    Check("PV304", "warning", "letters of several scripts", IDN, of.mixes_scripts),
    # Time and mode.
    Check("PV401", "error", "expired", ENDS, of.has_ended),
    Check("PV402", "warning", "expires within 30 days", ENDS, of.ends_soon),
    Check("PV403", "hint", "report mode without an end", REPORTS, of.only_reports),
    # Rules together.
    Check("PV501", "hint", "rule without effect", ANY, of.has_no_effect),
    Check("PV502", "hint", "hidden rule", WILDCARD, of.is_hidden),
    Check(
        "PV503", "hint", "enforcement is hidden", REPORTS | ENDS, of.hides_enforcement
    ),
    # Beside certificates: see of_chains.
    Check("PV601", "error", "any key is accepted"),
    Check("PV602", "error", "hash of something else"),
    Check("PV603", "error", "pin in the wrong list"),
    Check("PV604", "error", "chain ends before the pinned authority"),
    Check("PV605", "error", "the policy rejects the server"),
    Check("PV606", "warning", "all pins in one chain"),
    Check("PV607", "warning", "leaf of a short-lived certificate"),
    Check("PV608", "warning", "certificate that ends, and no pin to follow"),
)

CHECKS = {row.code: row for row in _ROWS}
"""Every check by its code."""

OF_READERS = {row.kind: row for row in _ROWS if row.kind is not None}
"""The checks for the mistakes of readers, by their kinds."""
