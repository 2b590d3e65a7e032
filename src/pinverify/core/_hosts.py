"""Hosts in ASCII: the canonical spelling of a name or an address."""

from __future__ import annotations

from pinverify.core._library import ffi, lib, status_text
from pinverify.errors import PolicyError

__all__ = [
    "ANY_LABELS_MAX",
    "HOST_MAX",
    "canonical_host",
    "is_address",
    "not_a_host",
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
