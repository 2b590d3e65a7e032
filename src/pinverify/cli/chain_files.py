"""Files with chains and keys, in use or to be deployed, and decisions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.key_files import contents, is_private_key, read_items
from pinverify.cli.output import NoAnswerError
from pinverify.errors import DERError, PolicyError
from pinverify.review import check_next
from pinverify.review._check_next import hosts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinverify.cli.key_files import Item
    from pinverify.policy import Policy, Rules
    from pinverify.review import Next

__all__ = ["Evidence", "chains_in", "decisions", "named_hosts", "read_evidence"]


class Evidence(NamedTuple):
    """A chain or a key, in use or to be deployed.

    Attributes:
        source: the file, as the user wrote it.
        chain: its certificates, leaf first; empty for a key.
        key: the key of a certificate request, or a public key; None for a chain.
        is_verified: True if the chain was verified, and ends with its root.
    """

    source: str
    chain: list[bytes]
    key: bytes | None = None
    is_verified: bool = False


def read_evidence(source: str) -> Evidence:
    """Read a chain, a request or a public key.

    Raises:
        NoAnswerError: the file cannot be read, is a private key, or does not have
            exactly one chain, request or public key.
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


def decisions(evidence: Evidence, policy: Policy, host: str | None) -> list[Next]:
    """Return the decisions of a policy, one for each host.

    Raises:
        NoAnswerError: *host* is not a host, or is needed and not given.
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
    """Return the chain in a file for each host whose rule it is compared with.

    Args:
        source: a file of certificates.
        rules: the rules of the policy.
        host: the host of the chain; None for each host that the leaf names.

    Raises:
        NoAnswerError: the file has no certificate, or names no host.
    """
    evidence = read_evidence(source)
    if evidence.key is not None:
        msg = f"{source}: a key alone; `pinverify check --chain` judges it"
        raise NoAnswerError(msg)
    if host is not None:
        return {host: evidence.chain}
    return dict.fromkeys(named_hosts(evidence, rules), evidence.chain)


def named_hosts(evidence: Evidence, rules: Rules) -> list[str]:
    """Return the hosts that a certificate names and that have rules.

    Raises:
        NoAnswerError: there is no such host.
    """
    try:
        return [*hosts_of(evidence.chain[0], rules).values()]
    except PolicyError as error:
        msg = f"{evidence.source}: {error} (--host)"
        raise NoAnswerError(msg) from None
