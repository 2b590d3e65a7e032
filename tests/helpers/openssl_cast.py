"""Certificates and policies in files, for the scenarios of the OpenSSL adapter.

tests/c/openssl/dialogue.c reads them by their names. As a program, this writes them
into a folder: ``python -m openssl_cast FOLDER``.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_cases import NOT_SHOWN, policy_of, read
from oracle_der import SEQUENCE, encode
from pinverify import PinSet, Policy, Rules
from pki import LOCAL_HOSTS, Authority, Identity, Pki, example_pki, self_signed

__all__ = ["Cases", "write_cases", "write_cast"]

HOST = "localhost"
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

SETS = 32
"""PV__SETS of openssl/hash_cache.h: the last byte selects where a context keeps it."""

# Of the OIDs of ECDSA with a hash; a last byte follows (RFC 5758, 3.2).
ECDSA_WITH = bytes.fromhex("2a8648ce3d0403")
WITH_SHA256, WITH_SHA384 = b"\2", b"\3"


def _below(root: Authority, num_issuers: int) -> Identity:
    """Make a leaf for HOST below so many authorities, the root included."""
    ca = root
    for number in range(1, num_issuers):
        ca = ca.intermediate(f"CA {number}")
    return ca.leaf(HOST)


def _twin(of: Identity, issuer: Authority) -> Identity:
    """Make a leaf whose certificate has as many bytes as another, and ends alike."""
    # Few signatures are shorter by two bytes; a twin of such a leaf is as rare.
    leaves = (issuer.leaf(*LOCAL_HOSTS) for _ in range(200_000))
    end = (len(of.der), of.der[-1] % SETS)
    return next(x for x in leaves if (len(x.der), x.der[-1] % SETS) == end)


def _all_but_one_part(of: Identity, issuer: Authority) -> dict[str, Identity]:
    """Make leaves that each have two of the three parts of a certificate.

    Its issuer signed the second alone, and that twice.
    """
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    tbs, signature = of.certificate.tbs_certificate_bytes, of.certificate.signature
    signatures = (issuer.key.sign(tbs, ec.ECDSA(SHA256())) for _ in range(10_000))
    again = next(s for s in signatures if s[-1] % SETS == signature[-1] % SETS)
    forged = issuer.forged_leaf(HOST)
    parts = {
        "other_tbs": (forged.certificate.tbs_certificate_bytes, WITH_SHA256, signature),
        "other_signature": (tbs, WITH_SHA256, again),
        "other_algorithm": (tbs, WITH_SHA384, signature),
    }
    made = {}
    for name, (signed, hash_, bits) in parts.items():
        algorithm = encode(SEQUENCE, encode(0x06, ECDSA_WITH, hash_))
        der = encode(SEQUENCE, signed, algorithm, encode(0x03, b"\0", bits))
        key = forged.key if name == "other_tbs" else of.key
        made[name] = Identity(x509.load_der_x509_certificate(der), key)
    return made


def _policies(pki: Pki, made: dict[str, Identity]) -> dict[str, Policy]:
    """Return the policies by their names."""
    blocked_root = [pki.root.pin]
    hosts = {
        "leaf": PinSet(leaf=[pki.server.pin]),
        "certificate": PinSet(leaf=[pki.server.certificate_pin]),
        "ca": PinSet(ca=[pki.ca.pin]),
        "root_blocked": PinSet(pins=[pki.ca.pin], blocked=blocked_root),
        "leaf_root_blocked": PinSet(leaf=[pki.server.pin], blocked=blocked_root),
        "blocked_elsewhere": PinSet(
            leaf=[pki.server.pin], blocked=[pki.rogue_root.pin]
        ),
        "root": PinSet(ca=[pki.root.pin]),
        "watched": PinSet(leaf=[pki.server.pin], mode="report"),
        "impostor_leaf": PinSet(leaf=[pki.impostor.pin]),
        "self_signed": PinSet(leaf=[made["self_signed"].pin]),
        "forged_leaf": PinSet(leaf=[made["forged"].pin]),
        "constrained_ca": PinSet(ca=[made["constrained_ca"].pin]),
        "constrained_leaf": PinSet(leaf=[made["constrained"].pin]),
    }
    clients = {
        "clients_leaf": PinSet(leaf=[pki.client.pin]),
        "clients_stranger": PinSet(leaf=[pki.stranger.pin]),
        "clients_ca": PinSet(ca=[pki.ca.pin]),
        "clients_any_of_ca": PinSet(ca=[pki.ca.pin, pki.rogue_ca.pin]),
        "clients_blocked": PinSet(leaf=[pki.client.pin], blocked=[pki.rogue_root.pin]),
        "clients_root_blocked": PinSet(leaf=[pki.client.pin], blocked=blocked_root),
        "clients_watched": PinSet(leaf=[pki.client.pin], mode="report"),
        "clients_watched_ca": PinSet(ca=[pki.ca.pin], mode="report"),
    }
    expired = PinSet(leaf=[pki.impostor.pin], expires=PAST, after_expiry="allow")
    two = {HOST: PinSet(ca=[pki.ca.pin]), "other.localhost": hosts["impostor_leaf"]}
    alike = dict.fromkeys((HOST, "other.localhost"), hosts["ca"])
    return {
        **{name: Policy({HOST: pins}) for name, pins in hosts.items()},
        **{name: Policy.for_clients(pins) for name, pins in clients.items()},
        "elsewhere": Policy({"elsewhere.example": hosts["leaf"]}),
        "elsewhere_ca": Policy({"elsewhere.example": hosts["ca"]}),
        "address": Policy({"127.0.0.1": hosts["leaf"]}),
        "two_hosts": Policy(two),
        "two_hosts_alike": Policy(alike),
        "expired_blocked": Policy({HOST: expired}, blocked=blocked_root),
        "hosts_and_clients": Policy(
            Rules({HOST: hosts["leaf"]}, clients=clients["clients_leaf"])
        ),
    }


def write_cast(folder: Path, pki: Pki) -> Path:
    """Write what dialogue.c reads into *folder*, and return it."""
    ca = pki.root.limited_to("example.org", "Constrained CA")
    leaf = ca.leaf(HOST)
    made: dict[str, Identity] = {
        "self_signed": self_signed(HOST),
        "forged": pki.ca.forged_leaf(HOST),
        "constrained_ca": ca,
        "constrained": leaf,
        "longest_chain": _below(pki.root, 15),
        "longer_chain": _below(pki.root, 16),
    }
    identities = {
        **made,
        "server": pki.server,
        "twin": _twin(pki.server, pki.ca),
        **_all_but_one_part(pki.server, pki.ca),
        "impostor": pki.impostor,
        "client": pki.client,
        "stranger": pki.stranger,
        "rogue_client": pki.rogue_ca.leaf("client.example", purpose="client"),
        "forged_client": pki.ca.forged_leaf("client.example"),
    }
    for name, identity in identities.items():
        identity.write(folder / f"{name}.pem")
    pki.impostor.write(folder / "impostor_with_ca.pem", [pki.ca])
    # The public certificate of the authority is sent along, as an attacker would.
    for name in ("forged", "forged_client"):
        identities[name].write(folder / f"{name}.pem", [pki.ca])
    (folder / "trust.pem").write_text(pki.trust_pem, encoding="ascii")
    for name, policy in _policies(pki, made).items():
        (folder / f"{name}.pvpol").write_bytes(policy.compile())
    return folder


class Cases(NamedTuple):
    """The cases of the rule of evidence that a library can show.

    Attributes:
        file: the cases, for the program c/openssl/evidence_cases.c.
        num: their number.
        left_out: the number of the others, by the reason.
    """

    file: Path
    num: int
    left_out: dict[str, int]


def write_cases(folder: Path, pki: Pki, library: str) -> Cases:
    """Write the cases of the rule of evidence, and their policies, beside a cast.

    Args:
        folder: has the cast.
        pki: that of the cast.
        library: the name of the library that will run them.
    """
    lines, left_out = [], Counter[str]()
    for case, outcome in read():
        reasons = [why for why, hides in NOT_SHOWN[library].items() if hides(case)]
        if reasons:
            left_out[reasons[0]] += 1
            continue
        lines.append("\t".join((*case, *outcome.words())) + "\n")
        leaf = pki.client if case.peer == "client" else pki.server
        file = folder / f"{case.policy}.pvpol"
        if not file.exists():
            policy = policy_of(case, HOST, leaf.pin, pki.ca.pin)
            file.write_bytes(policy.compile())
    cases = folder / "cases.tsv"
    cases.write_text("".join(lines), encoding="ascii")
    return Cases(cases, len(lines), dict(left_out))


if __name__ == "__main__":
    write_cast(Path(sys.argv[1]), example_pki())
