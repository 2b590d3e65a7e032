"""`pinverify check`: answers, exit codes, and servers that do not answer."""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinverify import load_policy
from pki import Pki
from tls_servers import LIMIT, TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Serve = Callable[..., TLSServer]
from cli_runs import ABSENT, address, answer, assert_no_answer, ended, process, run

__all__: list[str] = []


def policy_file(folder: Path, rule: str, *top: str) -> Path:
    """Write a policy with one rule for 127.0.0.1."""
    file = folder / "pins.toml"
    lines = ["version = 1", *top, "[hosts]", f'"127.0.0.1" = {rule}' if rule else ""]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_check_accepts_a_pinned_key(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """It shows the pin that matched, the rule, and the verified chain."""
    server = serve(server_context(pki.server))
    done = run("check", address(server), "--pin", ABSENT, "--pin", pki.ca.pin, *trust)
    assert (done.code, done.err) == (0, "")
    fields = dict(re.findall(r"^(\w+) +(.+)$", done.out, re.MULTILINE))
    assert fields["server"] == address(server)
    assert fields["result"] == "accepted"
    assert fields["reason"].startswith("MATCH, ")
    assert fields["rule"] == "127.0.0.1"
    assert fields["pin"] == f"{pki.ca.pin} at depth 1"
    lines = [line.split() for line in done.out.splitlines()[-3:]]
    assert lines == [
        ["leaf", pki.server.pin, "CN=localhost"],
        ["intermediate", pki.ca.pin, "MATCH", "CN=Example", "CA", "1"],
        ["root", pki.root.pin, "CN=Example", "Root"],
    ]


def test_check_rejects_with_the_whole_message(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Seen, expected, and what to do next; the server got no data."""
    server = serve(server_context(pki.impostor))
    done = run("check", address(server), "--pin", pki.server.pin, *trust)
    assert (done.code, done.err) == (1, "")
    assert "result  rejected\nreason  MISMATCH, " in done.out
    assert "no pin of '127.0.0.1' is in the chain\n" in done.out
    for pin in (pki.impostor.pin, pki.rogue_ca.pin, pki.server.pin):
        assert pin in done.out
    assert "\n  next: " in done.out
    assert server.record().application == b""


def test_check_says_a_rejection_once(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Without a handler, Python prints the line of the log to stderr as well."""
    server = serve(server_context(pki.impostor))
    with process("check", address(server), "--pin", pki.server.pin, *trust) as child:
        out, err = child.communicate(timeout=60)
    assert "MISMATCH" in out
    assert err == ""


def test_check_is_not_misled_by_a_forged_chain(
    pki: Pki, serve: Serve, trust: tuple[str, Path], version: ssl.TLSVersion
) -> None:
    """The pinned authority's certificate, appended, is no match (CVE-2016-2402)."""
    context = server_context(pki.impostor, extra=[pki.ca], version=version)
    server = serve(context)
    assert run("check", address(server), "--pin", pki.ca.pin, *trust).code == 1


def with_pins(texts: Sequence[str], pki: Pki) -> list[str]:
    """Return *texts* with pins in the place of their names."""
    pins = {"@ABSENT": pki.rogue_root.pin, "@LEAF": pki.server.pin}
    for name, pin in pins.items():
        texts = [text.replace(name, pin) for text in texts]
    return list(texts)


UNMATCHED = {
    "no rule": ("", 'blocked = ["@ABSENT"]', "NOT_PINNED"),
    "unpinned": ("{ unpinned = true }", "", "NOT_PINNED"),
    "expired": (
        '{ pins = ["@LEAF"], expires = 2020-01-01T00:00:00Z, after_expiry = "allow" }',
        "",
        "EXPIRED",
    ),
    "report": ('{ pins = ["@ABSENT"], mode = "report" }', "", "MISMATCH"),
}


@pytest.mark.parametrize("case", UNMATCHED)
def test_check_tells_accepted_from_matched(
    case: str, pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Exit code 3: the policy lets the peer pass, and no pin vouches for it."""
    rule, top, reason = with_pins(UNMATCHED[case], pki)
    file = policy_file(tmp_path, rule, top)
    server = serve(server_context(pki.server))
    done = run("check", address(server), "--policy", file, *trust)
    assert done.code == 3
    told = ["PV401"] if case == "expired" else []
    assert re.findall(r"PV\d+", done.err) == told
    assert f"result  accepted without a match\nreason  {reason}, " in done.out
    steps = {"NOT_PINNED": "add a rule", "EXPIRED": "deploy", "MISMATCH": "in report"}
    assert re.search(rf"^next    .*{steps[reason]}", done.out, re.MULTILINE)
    said = answer("check", address(server), "--policy", file, *trust)
    assert (said["accepted"], said["reason"]) == (True, reason)


REJECTIONS = {
    "unpinned": ("", 'unpinned = "reject"\nblocked = ["@ABSENT"]', "NOT_PINNED"),
    "expired": (
        '{ pins = ["@LEAF"], expires = 2020-01-01T00:00:00Z, after_expiry = "reject" }',
        "",
        "EXPIRED",
    ),
    "blocked": ('["@LEAF"]', 'blocked = ["@LEAF"]', "BLOCKED"),
}


@pytest.mark.parametrize("case", REJECTIONS)
def test_check_follows_the_policy(
    case: str, pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Exit code 1 for whatever the policy rejects, with its reason."""
    rule, top, reason = with_pins(REJECTIONS[case], pki)
    file = policy_file(tmp_path, rule, top)
    server = serve(server_context(pki.server))
    done = run("check", address(server), "--policy", file, *trust)
    assert done.code == 1
    assert f"reason  {reason}, " in done.out


def test_check_json_is_complete(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Every field of the decision, and the message of a rejection."""
    file = policy_file(tmp_path, f'["{pki.server.pin}", "{pki.root.pin}"]')
    digest = load_policy(file).digest.hex()
    server = serve(server_context(pki.server))
    assert answer("check", address(server), "--policy", file, *trust) == {
        "server": address(server),
        "accepted": True,
        "reason": "MATCH",
        "host": "127.0.0.1",
        "rule": "127.0.0.1",
        "mode": "enforce",
        "matched": pki.server.pin,
        "depth": 0,
        "chain": [
            {"pin": pki.server.pin, "subject": "CN=localhost"},
            {"pin": pki.ca.pin, "subject": "CN=Example CA 1"},
            {"pin": pki.root.pin, "subject": "CN=Example Root"},
        ],
        "digest": digest,
        "detail": None,
        "message": None,
    }
    impostor = serve(server_context(pki.impostor))
    said = answer("check", address(impostor), "--policy", file, *trust)
    assert (said["accepted"], said["reason"]) == (False, "MISMATCH")
    assert [one["pin"] for one in said["chain"]][:2] == [
        pki.impostor.pin,
        pki.rogue_ca.pin,
    ]
    assert "no pin of '127.0.0.1' is in the chain\n" in said["message"]


def test_check_takes_a_compiled_policy_only_by_its_name(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Formats are said, not guessed; the error says how."""
    source = policy_file(tmp_path, f'["{pki.server.pin}", "{pki.root.pin}"]')
    compiled = tmp_path / "pins.pvpol"
    assert run("compile", source, "-o", compiled).code == 0
    server = serve(server_context(pki.server))
    command = ("check", address(server), *trust, "--policy")
    assert run(*command, compiled, "--format", "compiled").code == 0
    guessed = run(*command, compiled)
    assert (guessed.code, guessed.out) == (2, "")
    assert guessed.err.endswith("add --format compiled\n")
    swapped = run(*command, source, "--format", "compiled")
    assert (swapped.code, swapped.out) == (2, "")
    assert "not a compiled policy" in swapped.err


def unused_port() -> int:
    """Return a port on 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_no_connection_is_no_rejection(pki: Pki) -> None:
    """Exit code 2, and a line that says where and what next."""
    done = run("check", f"127.0.0.1:{unused_port()}", "--pin", pki.server.pin)
    assert_no_answer(done, "Connection refused; is it running?")


def test_an_invalid_certificate_is_no_rejection(pki: Pki, serve: Serve) -> None:
    """Pins add to validation: a pinned key in an invalid certificate is no match."""
    server = serve(server_context(pki.server))
    done = run("check", address(server), "--pin", pki.server.pin)
    assert_no_answer(done, "is not valid: unable to get local issuer certificate")
    said = answer("check", address(server), "--pin", pki.server.pin)
    assert "is not valid" in said["error"]


def test_a_certificate_for_another_name_is_no_matter_of_trust(
    pki: Pki, serve: Serve, tmp_path: Path
) -> None:
    """The next step is another name, not another authority."""
    server = serve(server_context(pki.ca.leaf("elsewhere.example")))
    trust = ("--cafile", str(pki.trust_file(tmp_path)))
    done = run("check", address(server), "--pin", pki.server.pin, *trust)
    assert_no_answer(done, "connect by a name that the certificate has")
    assert ".;" not in done.err
    assert "--cafile" not in done.err


@pytest.mark.parametrize(
    ("days", "step", "clause"),
    [
        (-9, "renew the certificate; with the same key", "has expired; pinning it"),
        (9, "set the clock of this machine", "is not valid yet; pinning it now is"),
    ],
)
def test_a_certificate_of_another_time_is_no_matter_of_trust(  # noqa: PLR0913, PLR0917
    days: int,
    step: str,
    clause: str,
    pki: Pki,
    serve: Serve,
    trust: tuple[str, Path],
) -> None:
    """An authority vouches for it: nobody is told to trust another one."""
    leaf = pki.ca.leaf("127.0.0.1", age=-days)
    server = serve(server_context(leaf))
    done = run("check", address(server), "--pin", pki.server.pin, *trust)
    assert_no_answer(done, step)
    assert "--cafile" not in done.err
    [said] = answer("pin", address(server), *trust)
    assert clause in said["warnings"][0]
    assert "no trusted authority" not in said["warnings"][0]


def test_a_server_that_says_nothing_is_waited_for_until_the_timeout(
    pki: Pki, serve: Serve
) -> None:
    """--timeout holds for the handshake, too."""
    server = serve(server_context(pki.server), silent=True)
    done = run("check", address(server), "--pin", pki.server.pin, "--timeout", 1)
    assert_no_answer(done, "in 1 second; try --timeout")


def test_a_server_without_tls_is_told(pki: Pki) -> None:
    """Something else listens there: the port may be wrong."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = process("check", f"127.0.0.1:{port}", "--pin", pki.server.pin)
        listener.settimeout(LIMIT)
        with listener.accept()[0] as sock:
            sock.sendall(b"220 mail.example ESMTP\r\n")
            done = ended(child)
    assert_no_answer(done, "is this the right port?")


WRONG_USES = [
    (("check", "127.0.0.1"), "either --pin (once or more) or --policy"),
    (("check", "127.0.0.1", "--pin", "abc"), "--pin: not a SHA-256 pin: 'abc'"),
    (("check", "a..b", "--pin", ABSENT), "'a..b' is not a host"),
    (("check", "127.0.0.1:port", "--pin", ABSENT), "not a server"),
    (("check", "http://127.0.0.1", "--pin", ABSENT), "write https://host"),
    (("check", "x" * 70, "--pin", ABSENT), "is not a host"),
    (("check", "a\0b", "--pin", ABSENT), "not a"),
    (("check", "127.0.0.1", "--policy", "/missing"), "does not exist"),
    (("check", "127.0.0.1", "--pin", ABSENT, "--timeout", "0"), "--timeout"),
    (("check", "127.0.0.1", "--pin", ABSENT, "--timeout", "nan"), "--timeout"),
    (("check", "127.0.0.1:99999", "--pin", ABSENT), "a number from 1 to 65535"),
    (("check", "https://a:0/", "--pin", ABSENT), "a number from 1 to 65535"),
    (("check", "::1", "--pin", ABSENT), "write an IPv6 address in brackets"),
    (("check", "[::1", "--pin", ABSENT), "write https://host, host or host:port"),
    (("check", "me@localhost", "--pin", ABSENT), "write https://host, host or"),
    (
        ("check", "a.org", "--pin", ABSENT, "--host", "a"),
        "--host has no effect with --p",
    ),
    (
        ("check", "a.org", "--pin", ABSENT, "--format", "toml"),
        "--format has no effect with --pin; leave --format out",
    ),
    (
        ("convert", "toml", "okhttp", __file__, "--host", "a.org"),
        "--host has no effect with toml and okhttp, whose files name their hosts",
    ),
    (
        ("diff", __file__, __file__, "--host", "a.org"),
        "--host has no effect with toml,",
    ),
    (("check",), "give either --pin"),
    (("pin",), "Missing argument 'SOURCE...'"),
    (("pin", "--format", "md5", "x.pem"), "--format"),
    (("pin", "--nope"), "--nope"),
    (("compile", "/missing", "-o", "x"), "does not exist"),
    (("nope",), "No such command 'nope'"),
    (("--nope",), "--nope"),
]


@pytest.mark.parametrize(("arguments", "phrase"), WRONG_USES)
def test_wrong_use_is_told_in_one_line(arguments: Sequence[str], phrase: str) -> None:
    """Exit code 2, before anything is connected to."""
    assert_no_answer(run(*arguments), phrase)


@pytest.mark.parametrize(("arguments", "phrase"), WRONG_USES)
def test_wrong_use_is_told_in_json(arguments: Sequence[str], phrase: str) -> None:
    """Also where the mistake stands before --json, and is not read any more."""
    done = run(*arguments, "--json")
    assert done.code == 2
    assert phrase in json.loads(done.out)["error"]


def test_pins_of_clients_alone_are_named_as_the_rule(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """They decide about every peer then, and it is not said that no rule does."""
    file = tmp_path / "clients.toml"
    file.write_text(f'version = 1\nclients = ["{pki.server.pin}", "{pki.ca.pin}"]\n')
    server = serve(server_context(pki.server))
    for command in ("check", "explain"):
        done = run(command, address(server), "--policy", file, *trust)
        assert done.code == 0
        assert "rule    clients, whose pins are for every peer if no rule" in done.out


def test_pin_and_policy_exclude_each_other(pki: Pki, tmp_path: Path) -> None:
    """Nobody has to know which of the two would win."""
    file = policy_file(tmp_path, f'["{pki.server.pin}"]')
    done = run("check", "127.0.0.1", "--policy", file, "--pin", ABSENT)
    assert_no_answer(done, "either --pin (once or more) or --policy")


def test_a_cafile_without_certificates_is_told(pki: Pki, tmp_path: Path) -> None:
    """The file is named, and what belongs there."""
    file = tmp_path / "key.pem"
    file.write_text(pki.server.public_key_pem, encoding="ascii")
    done = run("check", "127.0.0.1", "--pin", ABSENT, "--cafile", file)
    assert_no_answer(done, "--cafile takes PEM certificates")
