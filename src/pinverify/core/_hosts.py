"""Hosts and patterns: the canonical spelling of each, in ASCII.

The C core (`csrc/host.c`) reads ASCII only. Other names become ASCII here first:
U-labels (RFC 5890) become A-labels, unless they are ambiguous.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pinverify.core._keys import Column, check_offsets, ffi, lib, status_text
from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "HOST_MAX",
    "BadPatternError",
    "canonical",
    "canonical_column",
    "canonical_host",
    "canonical_pattern",
    "canonical_patterns",
    "covering",
    "is_address",
    "split_pattern",
    "takes_any_labels",
]

HOST_MAX: int = lib.PV_HOST_MAX
ANY_LABELS_MAX: int = lib.PV_ANY_LABELS_MAX


def canonical_host(host: str | bytes) -> str:
    """Return the canonical spelling of an ASCII *host*, or raise as `canonical` does.

    A name becomes lower case, without a trailing dot; an IP address, its shortest form.
    """
    try:
        data = host.encode("ascii") if isinstance(host, str) else bytes(host)
    except UnicodeEncodeError:
        why = status_text(lib.PV_ERR_HOST_CHARACTER)
        raise _not_a_host(host, why) from None
    out = ffi.new("char[]", lib.PV_HOST_MAX + 1)
    out_len = ffi.new("size_t *")
    status = lib.pv_host_canonical(out, out_len, data, len(data))
    if status != lib.PV_OK:
        raise _not_a_host(host, status_text(status))
    return str(ffi.string(out), "ascii")


def is_address(canonical: str) -> bool:
    """Return True for an IP address, False for a name; *canonical* is canonical."""
    return ":" in canonical or canonical.rpartition(".")[2].isdigit()


def _not_a_host(host: str | bytes, why: str) -> PolicyError:
    return PolicyError(f"{host!r} is not a host: {why}", kind="host")


# Characters that IDNA 2003 and browsers read as a dot, but IDNA 2008 does not.
_OTHER_DOTS = "\u3002\uff0e\uff61"


def canonical(host: str | bytes) -> str:
    """Return the canonical spelling of *host*, with A-labels for U-labels (RFC 5891).

    PolicyError if the core refuses the host, if a label is neither ASCII nor a U-label,
    or if IDNA 2003 and IDNA 2008 disagree about a label.
    """
    if not isinstance(host, str | bytes):
        msg = f"a host is text, got {type(host).__name__}"
        raise TypeError(msg)
    if isinstance(host, bytes) or host.isascii():
        return canonical_host(host)
    return canonical_host(in_a_labels(host))


@functools.lru_cache(maxsize=1024)  # a new label takes 14 us, longer than a decision
def in_a_labels(host: str) -> str:
    """Return a host with A-labels in place of U-labels."""
    if any(dot in host for dot in _OTHER_DOTS):
        raise _not_a_host(host, "it has a dot that is not ASCII; write '.'")
    labels = host.split(".")
    # The sum has a dot after the last label, too, and a host may end with a dot.
    if sum(map(least_len, labels)) > HOST_MAX + 2:
        raise _not_a_host(host, status_text(lib.PV_ERR_HOST_TOO_LONG))
    return ".".join(_a_label(host, label) for label in labels)


def least_len(label: str) -> int:
    """Return the least length that *label* can have as an A-label, its dot included.

    An A-label has "xn--", then at least as many characters as the U-label (RFC 3492).
    """
    return len(label) + (1 if label.isascii() else 5)


def _a_label(host: str, label: str) -> str:
    if label.isascii():
        return label
    # Few processes meet a U-label, and the tables of these modules load slowly.
    import unicodedata  # noqa: PLC0415

    import idna  # noqa: PLC0415

    if any(unicodedata.category(c) == "Nd" and not c.isascii() for c in label):
        raise _not_a_host(host, "it has a digit that is not ASCII")
    try:
        ours = idna.alabel(label).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        raise _not_a_host(host, f"{label!r} is not a U-label: {error}") from None
    # The ssl module still uses IDNA 2003, which maps 'ß' to 'ss'. A rule for one of
    # the two names must not be mistaken for a rule for the other.
    try:
        theirs = label.encode("idna").decode("ascii")
    except UnicodeError:
        theirs = ours
    if ours != theirs:
        why = (
            f"IDNA 2008 reads {label!r} as {ours!r}, IDNA 2003 as {theirs!r}; "
            "write the A-label that you mean"
        )
        raise _not_a_host(host, why)
    return ours


class BadPatternError(PolicyError):
    """Raised when a pattern of a column cannot be compiled; ``row`` says which."""

    def __init__(self, row: int, why: str) -> None:
        self.row = row
        super().__init__(f"row {row}: {why}")


def canonical_column(patterns: Column) -> Column:
    """Return the canonical spellings of patterns; BadPatternError if one has none."""
    data = bytearray(patterns.data_len + patterns.num + 1)
    offsets = bytearray(8 * (patterns.num + 1))
    out, out_offsets = ffi.from_buffer(data), ffi.from_buffer("uint64_t[]", offsets)
    row = ffi.new("size_t *")
    status = lib.pv_patterns_canonical(
        out, len(data), out_offsets, row, patterns.handle
    )
    if status == lib.PV_ERR_POLICY_PATTERN:
        raise BadPatternError(row[0], status_text(status))
    check_offsets(status)
    return Column(data, memoryview(offsets).cast("Q"))


def canonical_patterns(texts: Sequence[str]) -> list[str]:
    """Return the canonical spelling of many patterns, as `canonical_pattern` does."""
    try:
        return canonical_column(Column.of_texts(texts)).texts()
    except (BadPatternError, TypeError, UnicodeEncodeError):
        return [canonical_pattern(text) for text in texts]


def canonical_pattern(text: str) -> str:
    """Return the canonical spelling of a pattern; PolicyError says what is wrong."""
    if not isinstance(text, str):
        msg = f"a pattern is text, got {text!r}"
        raise PolicyError(msg, kind="host")
    prefix, rest = split_pattern(text)
    try:
        name = canonical(rest)
    except PolicyError as error:
        raise PolicyError(_bad_pattern(text, str(error)), kind="host") from None
    if prefix and is_address(name):
        msg = f"{text!r}: an IP address takes no wildcard; remove {prefix!r}"
        raise PolicyError(msg, kind="host")
    if prefix == "**." and not takes_any_labels(name):
        msg = (
            f"{text!r}: '**.' stands before names of at most {ANY_LABELS_MAX} labels, "
            f"so that no look-up takes long; this one has {name.count('.') + 1}; write "
            "the hosts, or '*.' for one label more"
        )
        raise PolicyError(msg, kind="host")
    return prefix + name


def takes_any_labels(name: str) -> bool:
    """Return True if ``**.`` may precede *name*, which is canonical and no address."""
    return name.count(".") < ANY_LABELS_MAX


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return a pattern's wildcard (empty if the pattern is exact) and its name."""
    if not pattern.startswith("*"):  # fast path
        return "", pattern
    wildcard = next((p for p in ("**.", "*.") if pattern.startswith(p)), "")
    return wildcard, pattern.removeprefix(wildcard)


def covering(pattern: str) -> Iterator[str]:
    """Yield every pattern that matches all hosts of *pattern*, the most specific first.

    For an exact pattern, which is a host, these are the patterns that match it, in the
    order in which they decide.
    """
    yield pattern
    wildcard, name = split_pattern(pattern)
    if not wildcard and is_address(name):
        return
    if wildcard != "**.":
        yield f"**.{name}"
    _, dot, suffix = name.partition(".")
    if dot and not wildcard:
        yield f"*.{suffix}"
    while dot:
        yield f"**.{suffix}"
        _, dot, suffix = suffix.partition(".")


def _bad_pattern(text: str, why: str) -> str:
    advice = ""
    if "://" in text or "/" in text:
        advice = "; write only the host, without scheme and path"
    elif "*" in text:
        advice = "; a wildcard is '*.' or '**.' at the beginning, then a name"
    elif text.count(":") == 1:
        advice = "; write the host without a port: rules hold for all ports"
    return f"{text!r} is not a pattern: {why}{advice}"
