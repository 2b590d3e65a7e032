"""The table of formats: every function and every command reads it.

A reader or a writer is named by file and function, and imported when it is used: a
program that reads TOML has no use for parsers of XML.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.files._policy_tables import Columns
    from pinverify.formats._losses import Dumped
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Rules

    Reader: TypeAlias = Callable[[bytes, Given], Loaded]
    Writer: TypeAlias = Callable[[Rules, Given], Dumped]

__all__ = ["FORMATS", "Format", "format_named", "one_way", "readable", "writable"]

_MIB = 2**20


class Format(NamedTuple):
    """One row: a format, and how it is read and written.

    Attributes:
        name: the argument ``format=`` and ``--format``.
        system: what uses the format, in words.
        reads: ``file:function`` of the reader, or empty.
        writes: ``file:function`` of the writer, or empty.
        compiles: ``file:function`` of a reader for a file that is only to be compiled,
            which is faster; or empty.
        media: the media type of a file.
        host: whether a reader needs to be told the host: the format "says" it, it is
            to be "given", or it is given where the file does not say it ("either").
        host_to_write: whether a file that is written has all hosts, and "says" them, or
            the pins of one, which has to be "given" if there are several.
        max_bytes: the largest file that is read; None if its header tells its size.
        beside: the ending of a second file that a reader needs, or empty.
    """

    name: str
    system: str
    reads: str
    writes: str
    media: str
    host: Literal["says", "given", "either"] = "says"
    host_to_write: Literal["says", "given"] = "says"
    max_bytes: int | None = 4 * _MIB
    beside: str = ""
    compiles: str = ""

    @property
    def reader(self) -> Reader:
        """The function that reads a file."""
        read: Reader = _function(self.reads)
        return read

    @property
    def compiler(self) -> Callable[[bytes, Given], Columns | Loaded]:
        """The function that reads a file which is only to be compiled."""
        read: Callable[[bytes, Given], Columns | Loaded]
        read = _function(self.compiles or self.reads)
        return read

    @property
    def writer(self) -> Writer:
        """The function that writes a file."""
        write: Writer = _function(self.writes)
        return write


_ROWS = (
    Format(
        "toml",
        "pinverify",
        "_own:load_toml",
        "_own:dump_toml",
        "application/toml",
        compiles="_own:compile_toml",
        max_bytes=1024 * _MIB,  # a million hosts are welcome
    ),
    Format(
        "json",
        "pinverify",
        "_json:loads",
        "_json:dumps",
        "application/json",
        compiles="_json:compiles",
        max_bytes=1024 * _MIB,
    ),
    Format(
        "compiled",
        "pinverify",
        "_own:load_compiled",
        "_own:dump_compiled",
        "application/octet-stream",
        max_bytes=None,
    ),
    Format(
        "okhttp",
        "OkHttp: CertificatePinner in Kotlin or Java",
        "_okhttp:loads",
        "_okhttp:dumps",
        "text/x-kotlin",
    ),
    Format(
        "android",
        "Android: network security configuration",
        "_android:loads",
        "_android:dumps",
        "application/xml",
    ),
    Format(
        "trustkit",
        "TrustKit: TSKConfiguration, a property list or JSON",
        "_trustkit:loads",
        "_trustkit:dumps",
        "application/x-plist",
    ),
    Format(
        "apple",
        "Apple: NSPinnedDomains of an Info.plist",
        "_apple:loads",
        "_apple:dumps",
        "application/x-plist",
    ),
    Format(
        "chromium",
        "Chromium: preload list, with its pins beside it",
        "_chromium:loads",
        "",
        "application/json",
        max_bytes=64 * _MIB,
        beside=".pins",
    ),
    Format(
        "hpkp",
        "RFC 7469: header Public-Key-Pins",
        "_hpkp:loads",
        "_hpkp:dumps",
        "text/plain",
        host="given",
        host_to_write="given",
        max_bytes=_MIB,  # servers send no header of that size
    ),
    Format(
        "curl",
        "curl: --pinnedpubkey",
        "_curl:loads",
        "_curl:dumps",
        "text/plain",
        host="given",
        host_to_write="given",
    ),
    Format(
        "envoy",
        "Envoy, Istio: validation contexts, in YAML or JSON",
        "_envoy:loads",
        "_envoy:dumps",
        "application/yaml",
        host="either",
        host_to_write="given",
    ),
    Format(
        "tlsa",
        "DANE: TLSA records of a zone file",
        "_tlsa:loads",
        "_tlsa:dumps",
        "text/dns",
        host="either",
    ),
    Format(
        "haproxy",
        "HAProxy: list of certificates for an ACL",
        "",
        "_haproxy:dumps",
        "text/plain",
        host_to_write="given",
    ),
    Format(
        "postfix",
        "Postfix: fingerprints in main.cf, or a table of smtp_tls_policy_maps",
        "_postfix:loads",
        "_postfix:dumps",
        "text/plain",
        host="either",
    ),
    Format(
        "kubeadm",
        "kubeadm: --discovery-token-ca-cert-hash",
        "_kubeadm:loads",
        "_kubeadm:dumps",
        "text/plain",
        host="given",
        host_to_write="given",
    ),
)

FORMATS = {row.name: row for row in _ROWS}
"""Every format by its name."""


def format_named(name: str, where: str, *, to_write: bool = False) -> Format:
    """Return the row of a format.

    Args:
        name: its name.
        where: the beginning of the message.
        to_write: it is to be written, not read.

    Raises:
        PolicyError: there is no such format, or it cannot be written, or read.
    """
    names = writable() if to_write else readable()
    if name in names:
        return FORMATS[name]
    why = one_way(name)
    if why:
        msg = f"{where}: {why}; what can: {', '.join(names)}"
    else:
        msg = f"{where}: no policy format {name!r}; there is {', '.join(names)}"
    raise PolicyError(msg)


def one_way(name: str) -> str:
    """Return in words that a format can only be read, or only written, or nothing."""
    row = FORMATS.get(name)
    if row is None or (row.reads and row.writes):
        return ""
    return f"the format {name!r} can only be {'read' if row.reads else 'written'}"


def readable() -> list[str]:
    """Return the names of the formats that can be read."""
    return [row.name for row in _ROWS if row.reads]


def writable() -> list[str]:
    """Return the names of the formats that can be written."""
    return [row.name for row in _ROWS if row.writes]


def _function(place: str) -> Any:  # noqa: ANN401 - a reader or a writer
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"pinverify.formats.{module}"), name)
