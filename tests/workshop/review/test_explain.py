"""Explanations: the rules that match, the pins in the chain, and what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_runs import address, answer, assert_no_answer, run
from pinverify import (
    UNPINNED,
    Hit,
    Pin,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Rules,
    core,
    dump_rules,
    explain,
)
from pinverify.policy._policy import as_policy
from pki import Pki
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]

__all__: list[str] = []

HOST = "a.x.org"
OTHER, BACKUP = (Pin.spki(core.sha256(text)) for text in (b"other", b"backup"))


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (Rules(), r"got Rules; write Policy\(rules\)"),
        ({HOST: [OTHER]}, r"got dict; write Policy\(\{…\}\)"),
        ("pins.toml", r"got str; a policy file is read by load_policy\(path\)"),
        (Path("pins.toml"), r"a policy file is read by load_policy\(path\)"),
        (b"pinvpol2", r"got bytes; a compiled policy is opened by Policy\.open\("),
        (None, r"got NoneType; make one by Policy\(\{…\}\), or read it by"),
    ],
)
def test_something_else_than_a_policy_is_refused(given: Any, advice: str) -> None:  # noqa: ANN401
    """With the next step; so do the functions that take a PinSet too."""
    with pytest.raises(TypeError, match=advice):
        explain(given, HOST, [])
    with pytest.raises(TypeError, match=advice):
        as_policy(given)


def test_wrong_arguments_are_refused(pki: Pki) -> None:
    """A chain is a list, and no bytes, nor the None of a connection without one."""
    policy = Policy({HOST: [OTHER]})
    anything: Any
    for anything in (None, pki.server.der):
        with pytest.raises(TypeError, match=r"leaf first; write \[certificate\]"):
            explain(policy, HOST, anything)
    for anything in (None, pki.server.der, [pki.server.pem]):
        with pytest.raises(TypeError, match="authorities are a list of DER"):
            explain(policy, HOST, pki.server.chain_der, authorities=anything)
    for anything in (7, [HOST]):
        with pytest.raises(TypeError, match="a host is text, got"):
            explain(policy, anything, pki.server.chain_der)


def test_every_pin_of_the_rule_has_its_places(pki: Pki) -> None:
    """Where its list looks, it counts; elsewhere and nowhere it does not."""
    server, ca = Pin.parse(pki.server.pin), Pin.parse(pki.ca.pin)
    whole = Pin.parse(pki.ca.certificate_pin)
    pinset = PinSet([server, OTHER], leaf=[ca, server], ca=[whole, server])
    told = explain(Policy({HOST: pinset}), HOST, pki.server.chain_der)
    assert told.report.reason is Reason.MATCH
    assert set(told.hits) == {
        Hit("pins", server, (0,), counts=True),
        Hit("pins", OTHER, (), counts=False),
        Hit("leaf", ca, (1,), counts=False),
        Hit("leaf", server, (0,), counts=True),
        Hit("ca", whole, (1,), counts=True),
        Hit("ca", server, (0,), counts=False),
    }


def test_a_key_may_be_in_several_places(pki: Pki) -> None:
    """It counts if one of them is where the list looks."""
    chain = [pki.ca.der, pki.server.der, pki.ca.der]
    pin = Pin.parse(pki.ca.pin)
    told = explain(Policy({HOST: PinSet(leaf=[pin], ca=[pin])}), HOST, chain)
    assert set(told.hits) == {
        Hit("leaf", pin, (0, 2), counts=True),
        Hit("ca", pin, (0, 2), counts=True),
    }


def test_blocked_pins_are_told_where_they_are(pki: Pki) -> None:
    """Those of the rule, and of those for all hosts the ones that are there."""
    pin = Pin.parse(pki.ca.pin)
    rules = Rules({HOST: PinSet([BACKUP], blocked=[OTHER])}, blocked=[pin, BACKUP])
    told = explain(Policy(rules), HOST, pki.server.chain_der)
    assert told.report.reason is Reason.BLOCKED
    assert Hit("blocked", pin, (1,), counts=True) in told.hits
    assert Hit("blocked", OTHER, (), counts=False) in told.hits
    assert len(told.hits) == 3


def test_the_rules_that_match_are_told_and_the_first_decides(pki: Pki) -> None:
    """Of the others those are told whose pins match: they have no say."""
    rules = {
        "**.x.org": PinSet([pki.server.pin]),
        "*.x.org": PinSet([pki.server.pin], leaf=[OTHER]),
        "**.org": PinSet([pki.server.pin], blocked=[pki.ca.pin]),
        HOST: PinSet([OTHER, BACKUP]),
        "b.x.org": PinSet([pki.server.pin]),
    }
    told = explain(Policy(rules), HOST, pki.server.chain_der)
    assert told.candidates == (HOST, "*.x.org", "**.x.org", "**.org")
    assert told.others == ("**.x.org",)
    assert (told.report.rule, told.report.accepted) == (HOST, False)


def test_a_host_without_a_rule_has_no_pins(pki: Pki) -> None:
    """Or one that is exempt from a wider rule."""
    chain = pki.server.chain_der
    told = explain(Policy({"x.org": [OTHER]}), HOST, chain)
    assert (told.candidates, told.hits) == ((), ())
    assert [one.code for one in told.findings] == ["PV601"]
    rules: dict[str, Any] = {HOST: UNPINNED, "**.org": [pki.ca.pin, OTHER]}
    told = explain(Policy(rules), HOST, chain)
    assert (told.candidates, told.hits) == ((HOST, "**.org"), ())
    assert told.others == ("**.org",)


def test_peers_without_a_name_are_for_clients(pki: Pki) -> None:
    """And so is every peer, where there is no rule for hosts."""
    chain = pki.client.chain_der
    rules = Rules(clients=PinSet(leaf=[pki.client.pin, OTHER]))
    for host in (None, HOST):
        told = explain(Policy(rules), host, chain)
        assert told.candidates == ()
        assert [hit.counts for hit in told.hits if hit.depths] == [True]
    beside = Rules({"x.org": [BACKUP]}, clients=rules.clients)
    assert explain(Policy(beside), HOST, chain).hits == ()


def test_findings_are_about_this_host(pki: Pki) -> None:
    """A mistake in another rule explains nothing, nor does a hint."""
    rules = Rules(
        {
            "*.x.org": PinSet(leaf=[pki.ca.pin, BACKUP]),
            "**.org": [OTHER],
            "other.org": [OTHER],
        }
    )
    told = explain(Policy(rules), HOST, pki.server.chain_der)
    assert [one.code for one in told.findings] == ["PV603"]
    root = PinSet(ca=[pki.root.pin, BACKUP])
    short = [pki.server.der, pki.ca.der]
    known = explain(Policy({HOST: root}), HOST, short, authorities=[pki.root.der])
    assert [one.code for one in known.findings] == ["PV604"]


def test_a_host_that_is_none_is_explained_to_nobody(pki: Pki) -> None:
    """A policy rejects it; there is nothing to look at."""
    with pytest.raises(PolicyError, match="is not a host"):
        explain(Policy({HOST: [OTHER]}), "..", pki.server.chain_der)


# ---- the command -----------------------------------------------------------------


def policy_file(folder: Path, hosts: Any) -> Path:  # noqa: ANN401 - rules
    """Write a policy file."""
    file = folder / "pins.toml"
    file.write_text(str(dump_rules(Rules(hosts)).text), encoding="utf-8")
    return file


def test_the_command_prints_rules_chain_and_pins(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """And at the end what is wrong, with the next step."""
    server = serve(server_context(pki.server))
    file = policy_file(
        tmp_path, {"127.0.0.1": PinSet(leaf=[pki.ca.pin], ca=[pki.ca.pin, BACKUP])}
    )
    done = run("explain", address(server), "--policy", file, *trust)
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[1:4] == [
        "result  rejected",
        "reason  MISMATCH, a list of pins does not match",
        "rule    127.0.0.1",
    ]
    assert "certificate 1  CN=Example CA 1" in lines
    hits = lines[lines.index("leaf  certificate 1: no match") :][:6]
    assert hits[1] == f"  {pki.ca.pin}"
    assert hits[hits.index("ca    certificate 1") + 1] == f"  {pki.ca.pin}"
    assert hits[hits.index("ca    not in the chain") + 1] == f"  {BACKUP}"
    assert any(line.startswith("error PV603: leaf: ") for line in lines)


def test_the_command_tells_a_wider_rule_that_has_no_say(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Its pins would match; that is what people expect of OkHttp."""
    server = serve(server_context(pki.server))
    rules = {
        "**.localhost": [pki.ca.pin, BACKUP],
        "localhost": PinSet([OTHER, BACKUP]),
    }
    file = policy_file(tmp_path, rules)
    place = f"localhost:{server.port}"
    done = run("explain", place, "--policy", file, *trust)
    assert done.code == 1
    assert "no say  **.localhost, a wider rule, and its pins match\n" in done.out
    assert "the pins of **.localhost match, but localhost decides alone" in done.out


def test_the_exit_code_is_that_of_check(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """0 for a match, 3 for an acceptance without one, 2 for no answer."""
    server = serve(server_context(pki.server))
    command = ("explain", address(server), "--policy", tmp_path / "pins.toml")
    policy_file(tmp_path, {"127.0.0.1": [pki.ca.pin, BACKUP]})
    assert run(*command, *trust).code == 0
    said = answer(*command, *trust)
    assert (said["accepted"], said["reason"]) == (True, "MATCH")
    assert said["candidates"] == ["127.0.0.1"]
    expected = {"name": "pins", "pin": pki.ca.pin, "depths": [1], "counts": True}
    assert expected in said["hits"]
    policy_file(tmp_path, {"localhost": [pki.ca.pin, BACKUP]})
    done = run(*command, *trust)
    assert (done.code, "error PV601" in done.out) == (3, True)
    assert_no_answer(run(*command), "is not valid")
