"""Pins of clients, which are peers without a name: alone, and with rules for hosts."""

from __future__ import annotations

from pinverify import PinSet, Policy, Rules
from pki import Pki
from policy_samples import ABSENT, HOST

__all__: list[str] = []


def test_clients_stand_beside_hosts(pki: Pki) -> None:
    """A gateway has one policy for both of its sides."""
    rules = Rules({HOST: [pki.server.pin]}, clients=PinSet(leaf=[pki.client.pin]))
    policy = Policy(rules)
    assert policy.verify(HOST, pki.server.chain_der).rule == HOST
    report = policy.verify(None, pki.client.chain_der)
    assert (report.host, report.rule) == (None, None)
    for host, chain, reason in (
        (HOST, pki.client.chain_der, "MISMATCH"),
        (None, pki.server.chain_der, "MISMATCH"),
        ("", pki.client.chain_der, "BAD_HOST"),
        (b"", pki.client.chain_der, "BAD_HOST"),
        ("a..b", pki.client.chain_der, "BAD_HOST"),
        ("fa\u00df.de", pki.client.chain_der, "BAD_HOST"),
    ):
        report = policy.evaluate(host, chain)
        assert (report.accepted, report.reason.name) == (False, reason)
        assert policy.evaluate_many([host], [chain]) == [report]
    # Without rules for hosts, the pins of clients are for every peer.
    everybody = Policy(Rules(clients=PinSet(leaf=[pki.client.pin])))
    for name in (HOST, None, "", "a..b", "fa\u00df.de"):
        report = everybody.verify(name, pki.client.chain_der)
        assert (report.host, report.rule) == (None, None)


def test_the_policy_of_clients_is_that_of_their_rules() -> None:
    """The short form, and the long one."""
    pinset = PinSet(leaf=[ABSENT])
    policy = Policy.for_clients(pinset)
    assert policy == Policy(Rules(clients=pinset))
    assert policy.has_clients
    assert policy.rules.clients == pinset
    assert not Policy({HOST: pinset}).has_clients
