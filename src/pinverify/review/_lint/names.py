"""Names of hosts: who can register them, and how they look."""

from __future__ import annotations

import unicodedata

__all__ = ["is_local", "is_public_suffix", "mixed_scripts"]

# ---- public suffixes -------------------------------------------------------------
#
# This table replaces the Public Suffix List. That changes each week, so a copy here, or
# in a dependency, is always old; and it has half a megabyte, which takes ten times as
# long to read as a usual policy. A missing suffix costs a warning, and no decision.
# Each suffix here was on the list in November 2026.
_BELOW = {
    "ae": "ac co gov mil net org sch",
    "ar": "com edu gob gov mil net org",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov mil net org",
    "br": "com edu gov ind mil net nom org",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cy": "ac com gov ltd mil net org",
    "ec": "com edu gob gov mil net org",
    "eg": "com edu gov mil net org",
    "es": "com edu gob nom org",
    "fr": "asso com gouv nom",
    "gr": "com edu gov net org",
    "gt": "com edu gob ind mil net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac co go mil net or sch web",
    "il": "ac co gov net org",
    "in": "ac co edu firm gen gov ind mil net org res",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go me ne or",
    "kr": "ac co go mil ne or pe re",
    "mx": "com edu gob net org",
    "my": "com edu gov mil net org",
    "ng": "com edu gov mil net org sch",
    "nz": "ac co gen govt iwi mil net org school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov mil net org",
    "pk": "com edu gov net org web",
    "pl": "com edu gov info net org",
    "pt": "com edu gov net org",
    "sa": "com edu gov net org sch",
    "sg": "com edu gov net org",
    "th": "ac co go in mi net or",
    "tr": "bel com edu gen gov k12 mil net org web",
    "tw": "com edu gov idv mil net org",
    "ua": "com edu gov in net org",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov mil net org web",
    "vn": "ac com edu gov net org",
    "za": "ac co edu gov law mil net nom org school web",
    "zw": "ac co gov mil org",
}
_SUFFIXES = {
    f"{label}.{country}"
    for country, labels in _BELOW.items()
    for label in labels.split()
}
# Top-level names that nobody can register, and that networks use internally.
_INSIDE = {"corp", "home", "internal", "intranet", "lan", "local", "private"}
# Top-level names that RFC 2606, 6761, 7686 and 9476 keep out of the DNS.
_SPECIAL = {"alt", "example", "invalid", "localhost", "onion", "test"}


def is_local(label: str) -> bool:
    """Return True if a top-level name is not in the public DNS."""
    return label in _INSIDE or label in _SPECIAL


def is_public_suffix(name: str) -> bool:
    """Return True if anybody can register names below *name*, as below ``co.uk``."""
    if "." in name:
        return name in _SUFFIXES
    return name not in _INSIDE


# ---- scripts ---------------------------------------------------------------------

_LOOK_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}


def mixed_scripts(name: str) -> str:
    """Return the label of a name that mixes letters of several scripts; else empty.

    Letters of some scripts look like those of others, so a name that mixes scripts can
    be mistaken for another name. The label is returned with its letters, not as an
    A-label.
    """
    for label in name.split("."):
        if label.startswith("xn--"):
            try:
                import idna  # noqa: PLC0415 - see core/_hosts.py

                text = idna.decode(label)
            except UnicodeError:  # no IDN, but a name all the same
                continue
            scripts = {unicodedata.name(c, "").partition(" ")[0] for c in text}
            if len(scripts & _LOOK_ALIKE) > 1:
                return text
    return ""
