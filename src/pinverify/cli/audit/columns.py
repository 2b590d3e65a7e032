"""The columns of a table that hold certificates and hosts, found by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinverify.cli.audit.rows import Wanted

__all__ = ["BINARY", "TEXT", "Place", "chosen", "none_fits"]

BINARY, TEXT = "binary", "text"
"""Types of columns that may hold certificates: DER; PEM or base64."""

_CERTIFICATES = (
    *("certificate", "cert", "der", "pem", "leaf", "x509", "certificate_der"),
    *("cert_der", "leaf_der", "der_certificate", "certificate_pem", "cert_pem"),
    *("leaf_pem", "leaf_cert", "leaf_certificate", "raw", "server_certificate"),
)
_HOSTS = (
    *("host", "hostname", "host_name", "server_name", "servername", "server"),
    *("domain", "domain_name", "fqdn", "sni", "dns_name", "peer"),
)
_NAMES_MAX = 12

NAME_ANOTHER = "name another one with"
"""The next step of a column that has something else."""


class Place(NamedTuple):
    """The names of both columns; without one of hosts, names of certificates count."""

    certificates: str
    hosts: str | None


def chosen(types: Mapping[str, str], wanted: Wanted) -> Place | str:
    """Return the columns; or what is wrong, and the next step.

    Args:
        types: of each column its type: BINARY, TEXT, or the name of another.
        wanted: the columns that the user named.
    """
    cert = _one(types, wanted.certificates, _CERTIFICATES, _Role.certificates())
    if isinstance(cert, _Wrong):
        return cert.text
    if cert is None:
        listed = ", ".join(shown(name, 30) for name in list(types)[:_NAMES_MAX])
        more = ", …" if len(types) > _NAMES_MAX else ""
        return (
            f"no column of certificates among {listed}{more}; name it with "
            "--certificates"
        )
    host = _one(types, wanted.hosts, _HOSTS, _Role.hosts())
    if isinstance(host, _Wrong):
        return host.text
    return Place(cert, host)


def none_fits(name: str, cells: Sequence[bytes | None]) -> str:
    """Return what is wrong with a column of texts that are no certificates."""
    first = next((cell for cell in cells if cell), b"").decode("utf-8", "replace")
    return (
        f"the column {name!r} has no PEM and no base64 of DER, but {shown(first, 30)}; "
        f"{NAME_ANOTHER} --certificates"
    )


class _Role(NamedTuple):
    """The use of a column, and how to name another one."""

    holds: str
    option: str

    @classmethod
    def certificates(cls) -> _Role:
        return cls("certificates are binary (DER) or text (PEM)", "--certificates")

    @classmethod
    def hosts(cls) -> _Role:
        return cls("hosts are text", "--hosts")


class _Wrong(NamedTuple):
    text: str


def _one(
    types: Mapping[str, str], wanted: str | None, usual: Sequence[str], role: _Role
) -> str | _Wrong | None:
    if wanted is not None:
        if wanted not in types:
            listed = ", ".join(shown(name, 30) for name in list(types)[:_NAMES_MAX])
            return _Wrong(f"no column {wanted!r}; it has {listed}; see {role.option}")
        found = [wanted]
    else:
        lower = {name.lower().replace("-", "_"): name for name in reversed([*types])}
        found = [lower[name] for name in usual if name in lower]
    fitting = [name for name in found if types[name] in {BINARY, TEXT}]
    if found and not fitting:
        name = found[0]
        return _Wrong(
            f"the column {name!r} has the type {types[name]}; {role.holds}: name "
            f"another one with {role.option}"
        )
    return fitting[0] if fitting else None
