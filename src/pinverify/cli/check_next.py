"""`pinverify check --chain`: let all policies judge what is to be deployed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pinverify.cli.chain_files import Evidence, decisions, named_hosts, read_evidence
from pinverify.cli.check import RESULTS, as_json, exit_code_of, reason_text
from pinverify.cli.exit_codes import REJECTED, worst_of
from pinverify.cli.output import Cell, NoAnswerError
from pinverify.cli.policy_files import host_of_pins, is_compiled, policy_from
from pinverify.errors import printable
from pinverify.policy import Pin
from pinverify.policy._certs_and_pins import blocks

if TYPE_CHECKING:
    from pinverify.cli.output import Output
    from pinverify.policy import Policy
    from pinverify.review import Next

__all__ = ["check_chain"]


def check_chain(  # noqa: PLR0913 - one per option
    out: Output,
    source: str,
    policies: tuple[str, ...],
    *,
    policy_format: str,
    host: str | None,
    cafile: str | None,
) -> None:
    """Judge a file by each policy, print the decisions, and set the worst exit code.

    Args:
        out: gets the decisions.
        source: the file.
        policies: policy files; compiled ones are recognized.
        policy_format: the format of the others.
        host: the host to judge for; also the host of the pins, for a format that does
            not name it.
        cafile: PEM certificates of authorities, to verify a chain; or None.
    """
    evidence = read_evidence(source)
    decided: list[tuple[str, Next]] = []
    for file in policies:
        name = "compiled" if is_compiled(Path(file)) else policy_format
        policy = policy_from(out, file, name, host_of_pins(name, host))
        judged = evidence
        if cafile is not None and evidence.key is None:
            judged = _verified(evidence, cafile, _name(evidence, policy, host))
        decided += [(file, one) for one in decisions(judged, policy, host)]
    out.exit_code = worst_of(exit_code_of(one.report) for _, one in decided)
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


# ---- verifying ---------------------------------------------------------------------


def _name(evidence: Evidence, policy: Policy, host: str | None) -> str | None:
    """Return the name to verify; None for the certificate of a client."""
    if host is not None:
        return host
    if not policy.rules.hosts:
        return None
    return named_hosts(evidence, policy.rules)[0]


def _verified(evidence: Evidence, cafile: str, name: str | None) -> Evidence:
    """Verify a chain as a TLS library would, and return it with its root.

    Raises:
        NoAnswerError: the chain is not valid.
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
        cells = [printable(file), printable(host or "clients")]
        result = RESULTS[exit_code_of(report)]
        rows.append([*map(Cell, cells), result, Cell(reason_text(report.reason))])
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
