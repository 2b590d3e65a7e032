"""Reports of pin violations, as collectors of other systems expect them in JSON.

RFC 7469, section 3, says what a browser reported for HPKP. TrustKit sends nearly the
same for apps: https://github.com/datatheorem/TrustKit, "kTSKReportUris". Applications
send reports themselves: a report says who talks to whom, and may itself be blocked.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from pinverify._version import __version__
from pinverify.core._hosts import split_pattern
from pinverify.errors import PolicyError
from pinverify.policy import PinKind, PinSet, Reason
from pinverify.policy._certs_and_pins import pem
from pinverify.policy._rules import check_choice, checked_moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinverify.policy import Report, Rules

__all__ = ["violation"]

_FORMATS = ("hpkp", "trustkit")
HTTPS_PORT = 443

# TrustKit's TSKTrustEvaluationResult. With other reasons, nothing was evaluated.
_SUCCESS, _NO_MATCHING_PIN, _INVALID_PARAMETERS, _NO_SPKI_HASH = 0, 1, 3, 5
_RESULTS = {
    Reason.MATCH: _SUCCESS,
    Reason.MISMATCH: _NO_MATCHING_PIN,
    Reason.BLOCKED: _NO_MATCHING_PIN,
    Reason.EXPIRED: _NO_MATCHING_PIN,
    Reason.MALFORMED: _NO_SPKI_HASH,
}
_APP_FIELDS = (
    "app-bundle-id",
    "app-version",
    "app-platform",
    "app-platform-version",
    "app-vendor-id",
)


def violation(  # noqa: PLR0913 - what only the caller knows
    report: Report,
    rules: Rules,
    format: Literal["hpkp", "trustkit"] = "hpkp",  # noqa: A002 - the usual word
    *,
    chain: Sequence[bytes] | None = None,
    served: Sequence[bytes] = (),
    port: int | None = None,
    now: dt.datetime | None = None,
    app: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a report of a pin violation, as JSON values.

    Reports in both formats have only pins of keys. Everything else in a rule is left
    out.

    Args:
        report: a report about a host that has a rule.
        rules: the rules that decided; those of a policy are ``policy.rules``.
        format: "hpkp" for the shape of RFC 7469, section 3, or "trustkit".
        chain: the verified chain in DER, leaf first; by default the leaf alone, if the
            report has it.
        served: the certificates that the server sent, in DER.
        port: the port of the server; by default the port in the report, or 443 if the
            report has none.
        now: the time of the violation, with a timezone; by default the current time.
        app: TrustKit's facts about the application, such as "app-bundle-id".

    Raises:
        PolicyError: *rules* have no pins for the rule of the report; *now* has no
            timezone; *app* has an unknown field; *format* is neither of the two.
    """
    check_choice("format", format, _FORMATS)
    pinset = rules.hosts.get(report.rule or "")
    if not isinstance(pinset, PinSet):
        msg = (
            f"there are no pins for the rule of the report, {report.rule!r}; give the "
            "rules of the policy that decided, and a report of a host with pins"
        )
        raise PolicyError(msg)
    # Pins of keys that a peer may have, each once.
    pins = dict.fromkeys((*pinset.pins, *pinset.leaf, *pinset.ca))
    wildcard, noted = split_pattern(report.rule or "")
    if chain is None:
        chain = () if report.peer is None else (report.peer,)
    said: dict[str, Any] = {
        "date-time": _written(checked_moment(now)),
        "hostname": report.host,
        "port": _port_of(report) if port is None else port,
        "noted-hostname": noted,
        "include-subdomains": bool(wildcard),
        "served-certificate-chain": [pem("CERTIFICATE", cert) for cert in served],
        "validated-certificate-chain": [pem("CERTIFICATE", cert) for cert in chain],
        "known-pins": [
            f'pin-sha256="{str(pin).removeprefix("sha256/")}"'
            for pin in pins
            if pin.kind is PinKind.SPKI
        ],
    }
    expires = pinset.expires
    if format == "hpkp":
        date = None if expires is None else _written(expires)
        return said | {"effective-expiration-date": date}
    day = None if expires is None else expires.date().isoformat()
    said["enforce-pinning"] = pinset.mode == "enforce"
    said["validation-result"] = _RESULTS.get(report.reason, _INVALID_PARAMETERS)
    said["known-pins-expiration-date"] = day
    return _app_facts(app or {}) | said


def _port_of(report: Report) -> int:
    address = report.peer_address
    if report.side == "server" and isinstance(address, tuple) and len(address) > 1:
        return int(address[1])
    return HTTPS_PORT


def _app_facts(app: Mapping[str, str]) -> dict[str, str]:
    """Return TrustKit's facts about the application; those not given are empty."""
    unknown = app.keys() - set(_APP_FIELDS)
    if unknown:
        msg = (
            f"app: unknown {', '.join(sorted(unknown))}; there are "
            f"{', '.join(_APP_FIELDS)}"
        )
        raise PolicyError(msg)
    facts = {name: app.get(name, "") for name in _APP_FIELDS}
    return facts | {"trustkit-version": f"pinverify {__version__}"}


def _written(moment: dt.datetime) -> str:
    """Return a moment as RFC 3339 writes it, in UTC and whole seconds."""
    utc = moment.astimezone(dt.UTC).replace(tzinfo=None, microsecond=0)
    return utc.isoformat() + "Z"
