"""Hosts and patterns: the canonical ASCII spelling of any way to write them.

The C core canonicalises ASCII names (`csrc/host.c`). Others become ASCII first:
U-labels (RFC 5890) become A-labels, unless they are ambiguous.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pinverify.core._library import Column, ffi, lib, status_text
from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "ANY_LABELS_MAX",
    "HOST_MAX",
    "BadPatternError",
    "canonical",
    "canonical_column",
    "canonical_host",
    "canonical_pattern",
    "canonical_patterns",
    "covering",
    "in_a_labels",
    "is_address",
    "least_len",
    "not_a_host",
    "split_pattern",
    "takes_any_labels",
]

HOST_MAX: int = lib.PV_HOST_MAX
ANY_LABELS_MAX: int = lib.PV_ANY_LABELS_MAX


def canonical_host(host: str | bytes) -> str:
    """Return the canonical spelling of an ASCII *host*.

    Lower case, without a trailing dot; IP addresses in their shortest form.

    Raises:
        PolicyError: the host has no canonical form; the message says why.
    """
    try:
        data = host.encode("ascii") if isinstance(host, str) else bytes(host)
    except UnicodeEncodeError:
        raise not_a_host(host, lib.PV_ERR_HOST_CHARACTER) from None
    out = ffi.new("char[]", lib.PV_HOST_MAX + 1)
    out_len = ffi.new("size_t *")
    status = lib.pv_host_canonical(out, out_len, data, len(data))
    if status != lib.PV_OK:
        raise not_a_host(host, status)
    text: bytes = ffi.string(out)
    return text.decode("ascii")


def is_address(canonical: str) -> bool:
    """Return True for an IP address, False for a name; *canonical* is canonical."""
    return ":" in canonical or canonical.rpartition(".")[2].isdigit()


def not_a_host(host: str | bytes, status: int) -> PolicyError:
    """Return the error that quotes a host and says what is wrong with it."""
    msg = f"{host!r} is not a host: {status_text(status)}"
    return PolicyError(msg, kind="host")


# Characters that IDNA 2003 and browsers read as a dot, and IDNA 2008 does not.
_OTHER_DOTS = "\u3002\uff0e\uff61"


def canonical(host: str | bytes) -> str:
    """Return the canonical spelling of *host*.

    U-labels become A-labels (RFC 5891, without mapping).

    Raises:
        PolicyError: *host* has no canonical spelling: the core refuses it, a label
            is neither ASCII nor a U-label, or IDNA 2003 and IDNA 2008 disagree about
            it. The message quotes the host and gives the reason.
        TypeError: *host* is not text.
    """
    if not isinstance(host, str | bytes):
        msg = f"a host is text, got {type(host).__name__}"
        raise TypeError(msg)
    if isinstance(host, bytes) or host.isascii():
        return canonical_host(host)
    return canonical_host(in_a_labels(host))


@functools.lru_cache(maxsize=1024)  # a new label takes 14 us, longer than a decision
def in_a_labels(host: str) -> str:
    """Return a host with A-labels in the place of U-labels.

    Raises:
        PolicyError: it has none, or it is too long whatever they are.
    """
    if any(dot in host for dot in _OTHER_DOTS):
        msg = f"{host!r} is not a host: it has a dot that is not ASCII; write '.'"
        raise PolicyError(msg, kind="host")
    labels = host.split(".")
    # Each label has a dot here; and one more may stand at the end.
    if sum(map(least_len, labels)) > HOST_MAX + 2:
        raise not_a_host(host, lib.PV_ERR_HOST_TOO_LONG)
    return ".".join(_a_label(host, label) for label in labels)


def least_len(label: str) -> int:
    """Return how long the A-label of *label* is at least, and a dot.

    It is "xn--", and a character or more for each one of the U-label (RFC 3492).
    """
    return len(label) + (1 if label.isascii() else 5)


def _a_label(host: str, label: str) -> str:
    if label.isascii():
        return label
    # Few processes meet a U-label, and the tables take long to import.
    import unicodedata  # noqa: PLC0415

    import idna  # noqa: PLC0415

    if any(unicodedata.category(c) == "Nd" and not c.isascii() for c in label):
        msg = f"{host!r} is not a host: it has a digit that is not ASCII"
        raise PolicyError(msg, kind="host")
    try:
        ours = idna.alabel(label).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        msg = f"{host!r} is not a host: {label!r} is not a U-label: {error}"
        raise PolicyError(msg, kind="host") from None
    # The ssl module still uses IDNA 2003, which maps 'ß' to 'ss'. A rule for one of
    # the two names must not be mistaken for a rule for the other.
    try:
        theirs = label.encode("idna").decode("ascii")
    except UnicodeError:
        theirs = ours
    if ours != theirs:
        msg = (
            f"{host!r} is not a host: IDNA 2008 reads {label!r} as {ours!r}, "
            f"IDNA 2003 as {theirs!r}; write the A-label that you mean"
        )
        raise PolicyError(msg, kind="host")
    return ours


# ---- patterns ----------------------------------------------------------------

_WILDCARDS = ("**.", "*.")


class BadPatternError(PolicyError):
    """Raised for a pattern of a column that cannot be compiled.

    Attributes:
        row: its number.
    """

    def __init__(self, row: int, why: str) -> None:
        self.row = row
        super().__init__(f"row {row}: {why}")


def canonical_column(patterns: Column) -> Column:
    """Return a column with the canonical spelling of each pattern.

    Raises:
        BadPatternError: a pattern has none.
    """
    data = bytearray(patterns.data_len + patterns.num + 1)
    offsets = bytearray(8 * (patterns.num + 1))
    row = ffi.new("size_t *")
    status = lib.pv_patterns_canonical(
        ffi.from_buffer("uint8_t[]", data),
        len(data),
        ffi.from_buffer("uint64_t[]", offsets),
        row,
        patterns.handle,
    )
    if status == lib.PV_ERR_POLICY_PATTERN:
        raise BadPatternError(row[0], status_text(status))
    if status != lib.PV_OK:
        msg = "offsets descend, or exceed the end of the buffer"
        raise ValueError(msg)
    return Column(data, memoryview(offsets).cast("Q"))


def canonical_patterns(texts: Sequence[str]) -> list[str]:
    """Return the canonical spelling of many patterns.

    Raises:
        PolicyError: one is not a pattern; the message quotes it and says why.
    """
    try:
        return canonical_column(Column.of_texts(texts)).texts()
    except (BadPatternError, TypeError, UnicodeEncodeError):
        return [canonical_pattern(text) for text in texts]


def canonical_pattern(text: str) -> str:
    """Return the canonical spelling of a pattern.

    Raises:
        PolicyError: *text* is not a pattern; the message quotes it and says why.
    """
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
    """Return True if ``**.`` can stand before a canonical *name*, which is no address.

    A look-up goes through the ends of a host that have as few labels.
    """
    return name.count(".") < ANY_LABELS_MAX


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return the wildcard of a pattern, empty if it is exact, and its name."""
    if not pattern.startswith("*"):  # fast path
        return "", pattern
    wildcard = next((p for p in _WILDCARDS if pattern.startswith(p)), "")
    return wildcard, pattern.removeprefix(wildcard)


def covering(pattern: str) -> Iterator[str]:
    """Yield every pattern that matches all hosts of *pattern*, from the most specific.

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
