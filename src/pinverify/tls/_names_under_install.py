"""Names that a policy for the whole process looks up for its connections.

`install` also meets connections that nobody meant to pin: some have no name, some have
one that no pattern can match, such as ``fe80::1%eth0``, ``db.1`` and
``my-service:8080``. The policy has no rule for these, so they are hosts without pins.
But a name must not escape the rule of a pinned host by its spelling, so it is read in
each way in which others may read it:

* what surrounds a host is cut off: brackets, port, zone, blanks and other signs, and
  the other parts of a URL;
* `getaddrinfo` reads ``127.1`` and ``0x7f000001`` as addresses, as inet_aton does;
* OpenSSL before 3.0 reads four decimal numbers as an address, even if they have leading
  zeros, or if other text follows after a blank;
* a label that no pattern can have is still covered by a wildcard.

If a reading has a rule, that rule decides. If two readings have different rules, nobody
knows which was meant, and the connection is rejected. A policy that rejects hosts
without pins also rejects each name that is no host.
"""

from __future__ import annotations

import functools
import re
import socket
from typing import TYPE_CHECKING

from pinverify.core._hosts import HOST_MAX, canonical_host
from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from pinverify.tls._policy_in_force import InForce

__all__ = ["name_under_install"]

NO_NAME = "no-name.invalid"  # no host has this name (RFC 6761, 6.4)
_NO_LABEL = NO_NAME.partition(".")[0]


def name_under_install(
    in_force: InForce, name: str | bytes | None
) -> str | bytes | None:
    """Return the name of a server that the policy of the process looks up.

    It is *name* itself, even if that leads to a rejection; or the host that *name*
    stands for; or `NO_NAME` or a name below that, if *name* can have no rule.
    """
    handle = in_force.handle
    if handle.ignores_hosts or handle.rejects_unpinned:
        return name
    if name is None:
        return None if in_force.rejects_nameless else NO_NAME
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    read = _readings(name)
    if read is None:
        return name
    found = {rule: host for host in read if (rule := handle.find(host)) is not None}
    if not found:
        return _shown(name)
    return name if len(found) > 1 else found.popitem()[1]


def _shown(name: str) -> str:
    """Return a name below `NO_NAME` that still shows what the name was."""
    readable = re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-")[:63].strip("-")
    return f"{readable}.{NO_NAME}" if readable else NO_NAME


@functools.lru_cache(maxsize=1024)  # a connection's name is mostly one of few
def _readings(name: str) -> tuple[str, ...] | None:
    """Return the hosts that a name can stand for, in canonical spelling.

    None if the name is a host itself, or if it is unclear what the name stands for.
    """
    if _canonical(name):
        return None
    read: set[str] = set()
    for text in (name, _in_ascii(_unquoted(name))):
        numbers = _NUMBERS.fullmatch(text)
        if numbers and _UNCLEAR.search(text):
            return None
        host = _uncovered(text)
        read |= {host, _read_by_inet_aton(host)}
        read |= {*map(_with_stand_ins, (host, text, text.rpartition(":")[0]))}
        read |= {_read_by_openssl(numbers)} if numbers else set()
    return tuple(sorted({_canonical(host) for host in read} - {""}))


def _canonical(host: str) -> str:
    """Return the canonical spelling of a host; empty if it has none."""
    try:
        return canonical_host(host)
    except PolicyError:
        return ""


_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def _unquoted(text: str) -> str:
    """Return a text with each ``%XX`` replaced by its byte (RFC 3986, 2.1)."""
    return _ESCAPES.sub(
        lambda run: bytes.fromhex(run[0].replace("%", "")).decode(errors="replace"),
        text,
    )


def _in_ascii(text: str) -> str:
    """Return a text as ssl encodes it; empty if ssl refuses it."""
    try:
        return text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        return ""


_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_END = re.compile(r"[/?#\\\x00-\x20]")
_AROUND = re.compile(r"^[^][\w:%*-]+|[^][\w:%*-]+$", re.ASCII)


def _uncovered(text: str) -> str:
    """Return a text without what may surround a host."""
    rest = _AROUND.sub("", _SCHEME.sub("", text, count=1))
    host = _END.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host = host.removeprefix("[").partition("]")[0].partition("%")[0]
    host = _AROUND.sub("", host)
    return host if _canonical(host) else _AROUND.sub("", host.partition(":")[0])


def _read_by_inet_aton(host: str) -> str:
    """Return the address that `getaddrinfo` reads here; empty if it reads none."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return ""


_NUMBERS = re.compile(
    r"([0-9a-f:]*:)?" + r"\.".join(4 * [r"\s*([+-]?\d+)"]) + r"(?:\s.*)?",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_UNCLEAR = re.compile(r"[+-]\d|\d{10}", re.ASCII)
"""Numbers that C libraries read in different ways: with a sign, or too large."""


def _read_by_openssl(numbers: re.Match[str]) -> str:
    """Return what OpenSSL 1.1.1 reads here: no address if a number is above 255."""
    before, *four = numbers.groups(default="")
    return before + ".".join(str(int(number)) for number in four)


def _with_stand_ins(host: str) -> str:
    """Return a host in which labels that no pattern can have are replaced."""
    labels = [
        label if _LABEL.fullmatch(label) else _NO_LABEL
        for label in host.strip(" .").split(".")
    ]
    while len(".".join(labels)) > HOST_MAX:
        labels[:2] = [_NO_LABEL]
    return ".".join(labels)


_LABEL = re.compile(r"[0-9A-Za-z_-]{1,63}")
