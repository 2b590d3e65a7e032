"""`pinverify check --chain`: judge what is to be deployed, by all policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.answers import contents
from pinverify.cli.check import (
    REASONS,
    RESULTS,
    as_json,
    load,
)
from pinverify.cli.exit_codes import ACCEPTED_UNMATCHED, REJECTED
from pinverify.cli.key_files import is_private_key, read_items
from pinverify.cli.output import NoAnswerError
from pinverify.cli.plain import Cell
from pinverify.cli.policies import is_compiled
from pinverify.errors import DERError, PolicyError, printable
from pinverify.policy import Pin, Reason
from pinverify.policy._der_and_pem import blocks
from pinverify.review import check_next
from pinverify.review._check_next import hosts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinverify.cli.key_files import Item
    from pinverify.cli.output import Output
    from pinverify.policy import Policy, Report, Rules
    from pinverify.review import Next

__all__ = ["Evidence", "chains_in", "check_chain", "decisions", "read_evidence"]

_WORST_FIRST = (REJECTED, ACCEPTED_UNMATCHED)


class Evidence(NamedTuple):
    """A chain or a key that is to be deployed.

    Attributes:
        source: the file, as the user wrote it.
        chain: its certificates, leaf first; empty for a key.
        key: of a request or a public key; None for a chain.
        is_verified: True if the chain was verified, and has its root.
    """

    source: str
    chain: list[bytes]
    key: bytes | None = None
    is_verified: bool = False


def read_evidence(source: str) -> Evidence:
    """Read a chain, a request or a public key.

    Raises:
        NoAnswerError: the file is a private key, or has none of them, or several.
    """
    try:
        data = contents(source)
    except OSError as error:
        msg = f"{source}: {error.strerror}"
        raise NoAnswerError(msg) from None
    if is_private_key(data):
        msg = (
            f"{source}: a private key, which nothing here needs; print its public "
            f"half: openssl pkey -pubout -in {source}"
        )
        raise NoAnswerError(msg)
    items: list[Item] = []
    try:
        for number, item in enumerate(read_items(data), 1):
            if isinstance(item, DERError):
                msg = f"{source}: number {number}: {item}"
                raise NoAnswerError(msg)
            items.append(item)
    except DERError as error:
        msg = f"{source}: {error}"
        raise NoAnswerError(msg) from None
    keys = [item.der for item in items if item.kind == "public key"]
    if not keys:
        return Evidence(source, [item.der for item in items])
    if len(items) > 1:
        msg = f"{source}: {len(items)} of them; give one chain, request or key"
        raise NoAnswerError(msg)
    return Evidence(source, [], keys[0])


def check_chain(  # noqa: PLR0913 - one per option
    out: Output,
    source: str,
    policies: tuple[str, ...],
    *,
    policy_format: str,
    host: str | None,
    cafile: str | None,
) -> None:
    """Judge a file by each policy, and print the decisions; the worst is the code.

    Args:
        out: gets the decisions.
        source: the file.
        policies: files of policies; one that is compiled says so itself.
        policy_format: the format of the others.
        host: to judge for, and of the pins for a format that does not name it.
        cafile: PEM certificates of authorities, to verify a chain; or None.
    """
    from pinverify.formats._format_table import FORMATS

    evidence = read_evidence(source)
    decided: list[tuple[str, Next]] = []
    for file in policies:
        name = "compiled" if is_compiled(Path(file)) else policy_format
        of_pins = None if FORMATS[name].host == "says" else host
        policy = load(out, Path(file), name, of_pins)
        judged = evidence
        if cafile is not None and evidence.key is None:
            judged = _verified(evidence, cafile, _name(evidence, policy, host))
        decided += [(file, one) for one in decisions(judged, policy, host)]
    codes = {_code(one.report) for _, one in decided}
    out.exit_code = next((code for code in _WORST_FIRST if code in codes), 0)
    key = evidence.key
    pin = Pin.from_certificate(evidence.chain[0]) if key is None else None
    shown = str(pin or Pin.from_public_key(key or b""))
    if out.as_json:
        results = [
            {
                "policy": file,
                **as_json(one.report),
                "host": one.host,
                "unsaid": one.unsaid,
            }
            for file, one in decided
        ]
        out.json({"source": source, "pin": shown, "results": results})
    else:
        _print(out, source, shown, decided)


def decisions(evidence: Evidence, policy: Policy, host: str | None) -> list[Next]:
    """Return the decisions of a policy, one for each host.

    Raises:
        NoAnswerError: it is not known for which host.
    """
    try:
        return check_next(
            policy,
            evidence.chain,
            key=evidence.key,
            host=host,
            is_verified=evidence.is_verified,
        )
    except PolicyError as error:
        advice = " (--host)" if error.kind == "host" and host is None else ""
        msg = f"{evidence.source}: {error}{advice}"
        raise NoAnswerError(msg) from None


def chains_in(source: str, rules: Rules, host: str | None) -> Mapping[str, list[bytes]]:
    """Return the chain in a file for each host that it is to be compared with.

    Args:
        source: a file of certificates.
        rules: those of the policy.
        host: for which the chain is; None is each host that the certificate names.

    Raises:
        NoAnswerError: the file has no certificate, or names no host.
    """
    evidence = read_evidence(source)
    if evidence.key is not None:
        msg = f"{source}: a key alone; `pinverify check --chain` judges it"
        raise NoAnswerError(msg)
    if host is not None:
        return {host: evidence.chain}
    try:
        return dict.fromkeys(
            hosts_of(evidence.chain[0], rules).values(), evidence.chain
        )
    except PolicyError as error:
        msg = f"{source}: {error} (--host)"
        raise NoAnswerError(msg) from None


def _code(report: Report) -> int:
    if not report.accepted:
        return REJECTED
    return 0 if report.reason is Reason.MATCH else ACCEPTED_UNMATCHED


# ---- verifying ---------------------------------------------------------------------


def _name(evidence: Evidence, policy: Policy, host: str | None) -> str | None:
    """Return the name to verify; None for the certificate of a client."""
    if host is not None:
        return host
    if not policy.rules.hosts:
        return None
    try:
        return next(iter(hosts_of(evidence.chain[0], policy.rules).values()))
    except PolicyError as error:
        msg = f"{evidence.source}: {error} (--host)"
        raise NoAnswerError(msg) from None


def _verified(evidence: Evidence, cafile: str, name: str | None) -> Evidence:
    """Verify a chain as a TLS library would, and return it with its root.

    Raises:
        NoAnswerError: it is not valid.
    """
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import verification

    try:
        trusted = [
            x509.load_der_x509_certificate(block.der())
            for block in blocks(Path(cafile).read_bytes())
            if "CERTIFICATE" in block.label
        ]
        builder = verification.PolicyBuilder().store(verification.Store(trusted))
        leaf, *others = map(x509.load_der_x509_certificate, evidence.chain)
        if name is None:
            client = builder.build_client_verifier().verify(leaf, others)
            chain = client.chain
        else:
            subject: x509.DNSName | x509.IPAddress
            try:
                subject = x509.IPAddress(ipaddress.ip_address(name))
            except ValueError:
                subject = x509.DNSName(name)
            chain = builder.build_server_verifier(subject).verify(leaf, others)
    except (ValueError, verification.VerificationError) as error:
        msg = f"{evidence.source}: not verified by {cafile}: {error}"
        raise NoAnswerError(msg) from None
    der = [certificate.public_bytes(Encoding.DER) for certificate in chain]
    return Evidence(evidence.source, der, is_verified=True)


# ---- printing ----------------------------------------------------------------------


def _print(out: Output, source: str, pin: str, decided: list[tuple[str, Next]]) -> None:
    out.fields([("next", Cell(printable(source))), ("pin of its key", Cell(pin))])
    out.line()
    rows = []
    for file, (host, report, _) in decided:
        why = f"{report.reason.name}, {REASONS[report.reason]}"
        cells = [printable(file), printable(host or "clients")]
        rows.append([*map(Cell, cells), RESULTS[_code(report)], Cell(why)])
    out.table(["policy", "host", "result", "reason"], rows)
    said = {text: None for _, one in decided for text in one.unsaid}
    for text in said:
        out.line()
        out.hanging(f"not judged: {text}", indent=2)
    if out.exit_code == REJECTED:
        out.line()
        text = (
            f"add {pin} to the policies that reject it, wait until they are in force "
            "everywhere, and deploy then"
        )
        out.hanging(text, indent=2)
