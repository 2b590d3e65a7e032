"""The table of checks: a row for each code, with those of `files._lint_at_load`."""

from __future__ import annotations

from operator import attrgetter

from pinverify.files._lint_at_load import (
    ANY,
    ENDS,
    KNOWN_PIN,
    Check,
)
from pinverify.files._lint_at_load import CHECKS as OF_FILES
from pinverify.review._lint import of_rules as of
from pinverify.review._lint.of_rules import IDN, PROVIDER, REPORTS, WILDCARD

__all__ = ["CHECKS", "OF_READERS", "Check"]

_ROWS = (
    *OF_FILES,
    # Reported by readers.
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
    Check("PV403", "hint", "report mode without an end", REPORTS, of.only_reports),
    # Rules together.
    Check("PV501", "hint", "rule without effect", ANY, of.has_no_effect),
    Check("PV502", "hint", "hidden rule", WILDCARD, of.is_hidden),
    Check(
        "PV503", "hint", "enforcement is hidden", REPORTS | ENDS, of.hides_enforcement
    ),
    # With certificates: see of_chains.
    Check("PV601", "error", "any key is accepted"),
    Check("PV602", "error", "hash of something else"),
    Check("PV603", "error", "pin in the wrong list"),
    Check("PV604", "error", "chain ends before the pinned authority"),
    Check("PV605", "error", "the policy rejects the server"),
    Check("PV606", "warning", "all pins in one chain"),
    Check("PV607", "warning", "leaf of a short-lived certificate"),
    Check("PV608", "warning", "certificate that ends, and no pin to follow"),
)

CHECKS = {row.code: row for row in sorted(_ROWS, key=attrgetter("code"))}
"""Every check by its code."""

OF_READERS = {row.kind: row for row in _ROWS if row.kind is not None}
"""The checks for the mistakes of readers, by their kinds."""
