"""The command line: what it prints, what it exits with, and what it withstands.

Most tests run the commands in this process; where a pipe, a terminal, a signal or
a missing package matters, a real process is started. Servers are on 127.0.0.1.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import mmap
import os
import pty
import re
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import pki as pki_module
from oracle_der import strict_spki
from pinverify import Policy, load_policy
from pinverify.cli.commands import commands
from pinverify.cli.output import printable
from pinverify.cli.pin import SPELLINGS, is_server
from pki import Authority, Identity, Pki, self_signed, sha256_pin
from tls_servers import LIMIT, TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Serve = Callable[..., TLSServer]

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: object, stdin: bytes | None = None) -> Ended:
    """Run a command in this process."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(commands, words, input=stdin, prog_name="pinverify")
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ended(result.exit_code, result.stdout, result.stderr)


def answer(*arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Run a command with --json; return its answer."""
    return json.loads(run(*arguments, "--json").out)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without what changes the output, and *variables*."""
    ours = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONUNBUFFERED"}
    return {k: v for k, v in os.environ.items() if k not in ours} | variables


def process(
    *arguments: object,
    code: str = "",
    **options: Any,  # noqa: ANN401 - Popen's
) -> subprocess.Popen[str]:
    """Start a command in a process of its own, or *code* in its place."""
    program = ["-c", code] if code else ["-m", "pinverify"]
    defaults: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": environment(),
    }
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        text=True,
        **(defaults | options),
    )


def ended(child: subprocess.Popen[str]) -> Ended:
    """Wait for a process."""
    try:
        out, err = child.communicate(timeout=3 * LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise
    return Ended(child.returncode, out, err)


def on_terminal(
    *arguments: object, columns: int = 100, **variables: str
) -> tuple[int, str]:
    """Run a command on a terminal of its own; return exit code and what it shows."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "pinverify", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color", COLUMNS=str(columns), **variables),
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells the end
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    return child.wait(LIMIT), shown.decode("utf-8")


def colons(digest: bytes) -> str:
    """Return hex in pairs, as OpenSSL prints it."""
    return digest.hex(":").upper()


def spellings(identity: Identity) -> dict[str, str]:
    """Return the fingerprints of a certificate, by hashlib."""
    spki = hashlib.sha256(identity.spki).digest()
    whole = hashlib.sha256(identity.der).digest()
    b64 = base64.b64encode(spki).decode("ascii")
    return {
        "sha256": f"sha256/{b64}",
        "curl": f"sha256//{b64}",
        "hpkp": f'pin-sha256="{b64}"',
        "hex": colons(spki),
        "cert": f"cert-sha256:{whole.hex()}",
        "cert-hex": colons(whole),
    }


@pytest.fixture
def trust(pki: Pki, tmp_path: Path) -> tuple[str, Path]:
    """The options by which a command trusts both authorities of the cast."""
    return ("--cafile", pki.trust_file(tmp_path))


def address(server: TLSServer) -> str:
    """Return where a server listens, as the commands take it."""
    return f"127.0.0.1:{server.port}"


# ---- pin: files --------------------------------------------------------------


def test_pin_prints_every_spelling_of_a_certificate(pki: Pki, tmp_path: Path) -> None:
    """Each is what hashlib gives, under its name."""
    file = tmp_path / "leaf.pem"
    file.write_text(pki.server.pem, encoding="ascii")
    done = run("pin", file)
    assert (done.code, done.err) == (0, "")
    lines = dict(re.findall(r"^    (\S+) +(\S+)$", done.out, re.MULTILINE))
    assert lines == spellings(pki.server)
    assert f"  leaf  CN={pki_module.LOCAL_HOSTS[0]}\n" in done.out


def test_pin_reads_each_certificate_of_a_file(pki: Pki, tmp_path: Path) -> None:
    """A server's file holds a private key and a chain; the key is passed over."""
    file = pki.server.write(tmp_path / "server.pem")
    assert "PRIVATE KEY" in file.read_text(encoding="ascii")
    done = run("pin", "--format", "sha256", file)
    assert done == Ended(0, f"{pki.server.pin}\n{pki.ca.pin}\n", "")
    roles = [entry["role"] for entry in answer("pin", file)[0]["entries"]]
    assert roles == ["leaf", "intermediate"]


@pytest.mark.parametrize("form", ["pem", "der", "public pem", "public der", "stdin"])
def test_pin_reads_each_form(form: str, pki: Pki, tmp_path: Path) -> None:
    """Certificates and public keys, PEM and DER: the same key, the same pin."""
    contents = {
        "pem": pki.server.pem.encode(),
        "der": pki.server.der,
        "public pem": pki.server.public_key_pem.encode(),
        "public der": pki.server.spki,
        "stdin": pki.server.pem.encode(),
    }
    file = tmp_path / "file"
    file.write_bytes(contents[form])
    source = "-" if form == "stdin" else file
    done = run("pin", "--format", "sha256", source, stdin=contents[form])
    assert done == Ended(0, pki.server.pin + "\n", "")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_format_prints_that_spelling_alone(
    spelling: str, pki: Pki, tmp_path: Path
) -> None:
    """A script gets one line for each certificate, and nothing else."""
    file = tmp_path / "two.pem"
    file.write_text(pki.server.pem + pki.client.pem, encoding="ascii")
    expected = [spellings(one)[spelling] for one in (pki.server, pki.client)]
    done = run("pin", "--format", spelling, file)
    assert done == Ended(0, "\n".join(expected) + "\n", "")


def test_a_public_key_has_no_certificate_fingerprint(pki: Pki, tmp_path: Path) -> None:
    """It is said so, in place of printing one of something else."""
    file = tmp_path / "key.pem"
    file.write_text(pki.server.public_key_pem, encoding="ascii")
    done = run("pin", "--format", "cert", file)
    assert (done.code, done.out) == (2, "")
    assert "has no cert fingerprint" in done.err
    names = answer("pin", file)[0]["entries"][0]["fingerprints"]
    assert set(names) == {"sha256", "curl", "hpkp", "hex"}


BAD_FILES = {
    "empty": (b"", "empty"),
    "noise": (b"\x00\xff" * 40, "neither PEM nor DER"),
    "text": (b"hello", "neither PEM nor DER"),
    "short": (b"\x30\x82\x01\x00", "not a strict-DER certificate"),
    "cut": (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "without its END line"),
    "twice": (
        b"-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
        "without its END line",
    ),
    "base64": (
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "not base64",
    ),
    "other": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "not a strict-DER certificate",
    ),
    "key": (
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "SubjectPublicKeyInfo",
    ),
    "request": (
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
        "openssl req -pubkey",
    ),
    "label": (b"-----BEGIN CERTIFICATE----\n", "no certificate and no public key"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_and_the_others_are_answered(
    name: str, pki: Pki, tmp_path: Path
) -> None:
    """One line on stderr for the bad one; the pins of the good one; exit code 2."""
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    good.write_text(pki.server.pem, encoding="ascii")
    content, complaint = BAD_FILES[name]
    bad.write_bytes(content)
    done = run("pin", "--format", "sha256", bad, good)
    assert (done.code, done.out) == (2, pki.server.pin + "\n")
    assert done.err.startswith(f"pinverify: {bad}: ")
    assert complaint in done.err
    assert done.err.count("\n") == max(content.count(b"-BEGIN CERTIFICATE--"), 1)


@pytest.mark.parametrize("name", ["missing.pem", ".", "./api.example.com"])
def test_what_is_no_file_is_named(name: str, tmp_path: Path, pki: Pki) -> None:
    """A missing file, and a folder; what looks like a path is never a host."""
    good = tmp_path / "good.pem"
    good.write_text(pki.server.pem, encoding="ascii")
    missing = f"{tmp_path}/{name}"
    done = run("pin", "--format", "sha256", missing, good)
    assert (done.code, done.out) == (2, pki.server.pin + "\n")
    assert done.err.startswith(f"pinverify: {missing}: ")
    assert done.err.count("\n") == 1


def test_a_bad_block_does_not_hide_the_next(pki: Pki, tmp_path: Path) -> None:
    """Of one file, what can be read is answered, and what can't is counted."""
    file = tmp_path / "mixed.pem"
    file.write_text(BAD_FILES["base64"][0].decode() + pki.server.pem, encoding="ascii")
    done = run("pin", "--format", "sha256", file)
    assert (done.code, done.out) == (2, pki.server.pin + "\n")
    assert "number 1: the CERTIFICATE block is not base64" in done.err


def test_pin_json_is_complete(pki: Pki, tmp_path: Path) -> None:
    """It holds each source, good or bad, with every spelling."""
    good = tmp_path / "good.pem"
    good.write_text(pki.server.pem, encoding="ascii")
    done = run("pin", good, tmp_path / "missing.pem", "--json")
    assert done.code == 2
    assert done.out.isascii()
    first, second = json.loads(done.out)
    assert first == {
        "source": str(good),
        "verified": None,
        "problem": None,
        "warnings": [],
        "errors": [],
        "entries": [
            {
                "kind": "certificate",
                "role": "leaf",
                "subject": "CN=localhost",
                "proven": True,
                "fingerprints": spellings(pki.server),
                "warnings": [],
            }
        ],
    }
    assert second["entries"] == []
    assert "No such file" in second["errors"][0]


# ---- pin: encodings ----------------------------------------------------------


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run openssl; return what it prints."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def unusual_key(encoding: str) -> bytes:
    """Return a private key, PEM, whose public key has an unusual encoding."""
    if encoding == "pss":
        return openssl("genpkey", "-algorithm", "RSA-PSS")
    if encoding == "explicit":
        options = ("-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit")
        return openssl("ecparam", *options)
    key = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    return openssl("ec", "-conv_form", "compressed", stdin=key)


@pytest.mark.parametrize("encoding", ["pss", "explicit", "compressed"])
def test_pin_warns_where_the_popular_recipe_differs(
    encoding: str, tmp_path: Path
) -> None:
    """public_key().public_bytes(…) writes such keys in another way.

    The pin that is printed is of the bytes as they stand in the certificate.
    """
    key, file = tmp_path / "key", tmp_path / "cert.pem"
    key.write_bytes(unusual_key(encoding))
    file.write_bytes(
        openssl("req", "-x509", "-key", key, "-subj", "/CN=unusual.example")
    )
    done = run("pin", file)
    cert = x509.load_pem_x509_certificate(file.read_bytes())
    spki = strict_spki(cert.public_bytes(Encoding.DER))
    recipe = cert.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert spki != recipe
    assert f"    sha256    {sha256_pin(spki)}\n" in done.out
    assert f"the pin by that recipe, {sha256_pin(recipe)}, does not match" in done.out
    scripted = run("pin", "--format", "sha256", file)
    assert scripted.out == sha256_pin(spki) + "\n"
    assert "does not match" in scripted.err


def test_pin_warns_of_an_rsa_key_without_null(tmp_path: Path) -> None:
    """RFC 3279 asks for NULL parameters; some keys lack them."""
    key = Authority.root("RSA", "rsa").spki
    null = bytes.fromhex("300d06092a864886f70d0101010500")
    bare = bytes.fromhex("300b06092a864886f70d010101")
    changed = key.replace(null, bare)
    length = int.from_bytes(changed[2:4]) - 2
    changed = changed[:2] + length.to_bytes(2) + changed[4:]
    file = tmp_path / "key.der"
    file.write_bytes(changed)
    done = run("pin", file)
    assert f"    sha256  {sha256_pin(changed)}\n" in done.out
    assert sha256_pin(key) in done.out.partition("warning")[2]


def test_pin_does_not_warn_of_ordinary_keys(pki: Pki, tmp_path: Path) -> None:
    """A warning on each key would be read by nobody."""
    file = tmp_path / "two.pem"
    rsa = Authority.root("RSA", "rsa")
    file.write_text(pki.server.pem + rsa.pem, encoding="ascii")
    done = run("pin", file)
    assert done.code == 0
    assert "warning" not in done.out + done.err


# ---- pin: servers ------------------------------------------------------------


def test_pin_prints_the_verified_chain_of_a_server(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Leaf first, the root from the trust store last; it says that it verified."""
    server = serve(server_context(pki.server))
    done = run("pin", address(server), *trust)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{address(server)}  verified: ")
    assert "warning" not in done.out
    [said] = answer("pin", address(server), *trust)
    assert (said["verified"], said["problem"]) == (True, None)
    pins = [entry["fingerprints"]["sha256"] for entry in said["entries"]]
    assert pins == [pki.server.pin, pki.ca.pin, pki.root.pin]
    roles = [entry["role"] for entry in said["entries"]]
    assert roles == ["leaf", "intermediate", "root"]
    assert server.record().application == b""


def test_pin_tells_what_was_only_sent(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """A foreign certificate in the chain is shown as what it is: not to be pinned."""
    server = serve(server_context(pki.impostor, extra=[pki.ca]))
    [said] = answer("pin", address(server), *trust)
    assert said["verified"] is True
    extra = said["entries"][-1]
    assert (extra["role"], extra["proven"]) == ("only sent", False)
    assert extra["fingerprints"]["sha256"] == pki.ca.pin
    assert all(entry["proven"] for entry in said["entries"][:-1])
    text = run("pin", address(server), *trust).out.partition("only sent")[2]
    assert text.count(pki.ca.pin) == 1
    assert "pin-sha256" not in text  # nothing to paste
    assert "warning: anybody can send this certificate" in text


def test_pin_warns_of_trust_on_first_use(pki: Pki, serve: Serve) -> None:
    """Without a verified chain it says why, and that the pin is unproven."""
    device = self_signed("127.0.0.1")
    server = serve(server_context(device, extra=[pki.ca]))
    done = run("pin", address(server))
    assert done.code == 0
    assert "not verified: self-signed certificate" in done.out
    assert "trust on first use" in done.out
    [said] = answer("pin", address(server))
    assert said["verified"] is False
    assert said["problem"] == "self-signed certificate"
    assert "trust on first use" in said["warnings"][0]
    assert [entry["proven"] for entry in said["entries"]] == [True, False]
    assert said["entries"][0]["fingerprints"] == spellings(device)


def test_a_wrong_name_is_not_verified(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """A valid chain of another host vouches for nothing here."""
    server = serve(server_context(pki.ca.leaf("elsewhere.example")))
    [said] = answer("pin", address(server), *trust)
    assert said["verified"] is False
    assert "127.0.0.1" in said["problem"]
    assert said["warnings"]


def test_format_prints_the_leaf_of_a_server_alone(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """A script gets what the handshake proves; warnings stay on stderr."""
    server = serve(server_context(pki.server, extra=[pki.rogue_ca]))
    verified = run("pin", "--format", "curl", address(server), *trust)
    expected = spellings(pki.server)["curl"] + "\n"
    assert verified == Ended(0, expected, "")
    blind = run("pin", "--format", "curl", address(server))
    assert (blind.code, blind.out) == (0, expected)
    assert "pinverify: warning: " in blind.err
    assert "trust on first use" in blind.err


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("api.example.com", "server"),
        ("api.example.com:8443", "server"),
        ("https://api.example.com", "server"),
        ("https://api.example.com/path", "server"),
        ("[::1]:443", "server"),
        ("-", "file"),
        ("leaf.pem", "file"),
        ("LEAF.CRT", "file"),
        ("./api.example.com", "file"),
        ("certs/api.example.com", "file"),
        ("there", "file"),
        ("there:443", "server"),
    ],
)
def test_servers_and_files_are_told_apart(
    source: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how they are written; where that says nothing, a file that is there wins."""
    monkeypatch.chdir(tmp_path)
    Path("there").touch()
    Path("there:443").touch()
    assert is_server(source) is (kind == "server")


# ---- check -------------------------------------------------------------------


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


def test_check_is_not_misled_by_a_forged_chain(
    pki: Pki, serve: Serve, trust: tuple[str, Path], version: ssl.TLSVersion
) -> None:
    """The pinned authority's certificate, appended, is no match (CVE-2016-2402)."""
    context = server_context(pki.impostor, extra=[pki.ca], version=version)
    server = serve(context)
    assert run("check", address(server), "--pin", pki.ca.pin, *trust).code == 1


def with_pins(texts: Sequence[str], pki: Pki) -> list[str]:
    """Return *texts* with pins in the place of their names."""
    pins = {"@ABSENT": ABSENT, "@LEAF": pki.server.pin}
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
    assert (done.code, done.err) == (3, "")
    assert f"result  accepted without a match\nreason  {reason}, " in done.out
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
    file = policy_file(tmp_path, f'["{pki.server.pin}"]')
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
        "policy": digest,
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
    source = policy_file(tmp_path, f'["{pki.server.pin}"]')
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


def assert_no_answer(done: Ended, phrase: str) -> None:
    """See that a command ended with one line on stderr and exit code 2."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("pinverify: ")
    assert done.err.count("\n") == 1
    assert phrase in done.err


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


def test_a_server_that_says_nothing_is_waited_for_until_the_timeout(
    pki: Pki, serve: Serve
) -> None:
    """--timeout holds for the handshake, too."""
    server = serve(server_context(pki.server), silent=True)
    done = run("check", address(server), "--pin", pki.server.pin, "--timeout", 1)
    assert_no_answer(done, "in 1 seconds; try --timeout")


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
    (("check",), "Missing argument 'SERVER'"),
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


# ---- compile -----------------------------------------------------------------


@pytest.fixture
def source(pki: Pki, tmp_path: Path) -> Path:
    """A policy file with a host, a wildcard and an unpinned host."""
    file = tmp_path / "pins.toml"
    file.write_text(
        "version = 1\n[hosts]\n"
        f'"api.example.com" = ["{pki.server.pin}"]\n'
        f'"*.example.com" = ["{pki.server.pin}"]\n'
        '"status.example.com" = { unpinned = true }\n',
        encoding="utf-8",
    )
    return file


def test_compile_writes_what_opens(source: Path, tmp_path: Path) -> None:
    """The bytes are those of Policy.compile, and the summary is of them."""
    target = tmp_path / "pins.pvpol"
    done = run("compile", source, "-o", target)
    assert (done.code, done.err) == (0, "")
    policy = Policy.open(target)
    assert target.read_bytes() == load_policy(source).compile()
    assert dict(re.findall(r"^(\w+) +(.+)$", done.out, re.MULTILINE)) == {
        "policy": str(target),
        "hosts": "3; of these wildcards 1, unpinned 1",
        "PinSets": "1",
        "bytes": str(target.stat().st_size),
        "digest": policy.digest.hex(),
    }
    assert answer("compile", source, "-o", target) == {
        "policy": str(target),
        "rules": 3,
        "wildcards": 1,
        "unpinned": 1,
        "pinsets": 1,
        "bytes": target.stat().st_size,
        "digest": policy.digest.hex(),
    }


def test_compile_leaves_the_old_file_to_those_who_mapped_it(
    source: Path, tmp_path: Path
) -> None:
    """The new policy is another inode, with the permissions of the old one."""
    target = tmp_path / "pins.pvpol"
    run("compile", source, "-o", target)
    before = target.read_bytes()
    target.chmod(0o640)
    inode = target.stat().st_ino
    with target.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    source.write_text(
        source.read_text(encoding="utf-8").replace("api.", "www."), encoding="utf-8"
    )
    assert run("compile", source, "-o", target).code == 0
    assert mapped[:] == before
    assert target.read_bytes() != before
    assert target.stat().st_ino != inode
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    mapped.close()


def test_compile_respects_the_umask(source: Path, tmp_path: Path) -> None:
    """A new file is as readable as any other that the user makes."""
    target = tmp_path / "pins.pvpol"
    before = os.umask(0o027)
    try:
        run("compile", source, "-o", target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("problem", [OSError(28, "No space"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_compile_writes_the_whole_policy_or_nothing(
    step: str,
    problem: BaseException,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever happens while it writes, the old file stays, and no other is left."""
    target = tmp_path / "pins.pvpol"
    target.write_bytes(b"old")
    names = sorted(path.name for path in tmp_path.iterdir())

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    done = run("compile", source, "-o", target)
    monkeypatch.undo()
    assert done.out == ""
    if isinstance(problem, OSError):
        assert_no_answer(done, "No space")
    else:
        assert (done.code, done.err) == (130, "")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_compile_keeps_the_old_file_when_the_policy_is_wrong(
    source: Path, tmp_path: Path
) -> None:
    """A mistake in the policy file is named, and costs nothing."""
    target = tmp_path / "pins.pvpol"
    target.write_bytes(b"old")
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("unpinned", "unpined"), encoding="utf-8")
    assert_no_answer(run("compile", source, "-o", target), f"{source}: ")
    assert target.read_bytes() == b"old"
    said = json.loads(run("compile", source, "-o", target, "--json").out)
    assert said["error"].startswith(f"{source}: ")


def test_compile_replaces_no_link_device_folder_or_source(
    source: Path, tmp_path: Path
) -> None:
    """What is not a policy is not meant, whatever the name leads to."""
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("link", "loose", "fifo", "folder"):
        done = run("compile", source, "-o", tmp_path / name)
        assert_no_answer(done, "is not a regular file")
    text = source.read_bytes()
    assert_no_answer(run("compile", source, "-o", source), "the policy file itself")
    missing = tmp_path / "missing" / "pins.pvpol"
    assert_no_answer(run("compile", source, "-o", missing), "make it first")
    assert source.read_bytes() == text
    assert other.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


# ---- info and help -----------------------------------------------------------


def test_info_tells_versions_and_kernels() -> None:
    """What a report of a problem needs, and nothing that is not so."""
    from pinverify import __version__, core  # noqa: PLC0415

    said = answer("info")
    assert said["pinverify"] == __version__
    assert said["sha256"] == {
        "in_use": core.kernel(),
        "available": list(core.kernels()),
    }
    assert said["scan"]["in_use"] == core.scan_kernel()
    assert said["openssl"] == ssl.OPENSSL_VERSION
    text = run("info").out
    assert f"SHA-256       {core.kernel()} in use" in text
    assert said["python"] in text
    with core.use_kernel("portable"):
        assert answer("info")["sha256"]["in_use"] == "portable"


def test_help_is_there_for_every_command() -> None:
    """And the bare command shows what there is, as wrong use."""
    for name in commands.commands:
        done = run(name, "--help")
        assert (done.code, done.err) == (0, "")
        assert f"Usage: pinverify {name}" in done.out
        assert "--json" in done.out
    bare = run()
    assert (bare.code, bare.out) == (2, "")
    assert all(f"  {name} " in bare.err for name in commands.commands)


# ---- pipes, terminals, signals -----------------------------------------------

FRAMES = re.compile(r"[\u2500-\u257f]")


def test_a_pipe_gets_plain_text(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """No colour, no frame, no progress bar; the same as in the tests above."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    done = ended(process(*command, env=environment(TERM="xterm-256color")))
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert not FRAMES.search(done.out)
    assert done == run(*command)


def test_a_terminal_gets_colour_and_a_table(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Pins stay on one line; NO_COLOR takes the colour away."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    code, shown = on_terminal(*command, columns=80)
    assert code == 0
    assert "\x1b[1;32maccepted" in shown
    assert FRAMES.search(shown)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    assert f"│ leaf         │ {pki.server.pin} │ MATCH   │" in plain
    assert max(map(len, plain.splitlines())) <= 80
    code, shown = on_terminal(*command, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*3\d", shown)


def test_a_narrow_terminal_cuts_no_pin(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Where a table does not fit, lines do: the terminal breaks and rejoins them."""
    server = serve(server_context(pki.server))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    _, shown = on_terminal(*command, columns=40)
    assert shown.count(pki.server.pin) == 2


def test_a_rejection_on_a_terminal_keeps_its_columns(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """The long advice hangs in the second column, and no pin is broken."""
    server = serve(server_context(pki.impostor))
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    code, shown = on_terminal(*command, columns=80)
    assert code == 1
    assert pki.impostor.pin in shown
    assert pki.server.pin in shown
    advice = shown.partition("  next:    ")[2].splitlines()
    assert len(advice) > 1
    assert advice[1].startswith(" " * 11)
    assert len(advice[0]) <= 80


def test_long_work_shows_a_bar_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """On stderr, and gone at the end."""
    _, shown = on_terminal("compile", source, "-o", tmp_path / "pins.pvpol")
    assert "compiling pins.toml" in shown
    assert FRAMES.search(shown)


@pytest.mark.parametrize("command", ["check", "pin", "--help"])
def test_a_closed_pipe_is_no_error(
    command: str, pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Who reads only the beginning gets no complaint, and check keeps its verdict."""
    server = serve(server_context(pki.impostor))
    options = ("--pin", pki.server.pin) if command == "check" else ()
    rest = () if command == "--help" else (address(server), *options, *trust)
    child = process(command, *rest)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    done = ended(child)
    assert done.code == (1 if command == "check" else 0)
    assert done.err == ""


def test_a_full_disk_is_told(tmp_path: Path, pki: Pki) -> None:
    """What was not written was not answered."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    file = tmp_path / "leaf.pem"
    file.write_text(pki.server.pem, encoding="ascii")
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = ended(process("pin", file, stdout=full))
    assert done.code == 2
    assert done.err.startswith("pinverify: ")
    assert done.err.count("\n") == 1


def test_ctrl_c_ends_quietly(pki: Pki, serve: Serve) -> None:
    """Exit code 130, not a word."""
    server = serve(server_context(pki.server), silent=True)
    child = process("check", address(server), "--pin", pki.server.pin)
    deadline = time.monotonic() + LIMIT
    while not server.records and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.records
    child.send_signal(signal.SIGINT)
    assert ended(child) == Ended(130, "", "")


def test_an_ascii_stdout_gets_escapes(tmp_path: Path) -> None:
    """What the encoding lacks is escaped; nothing fails for it."""
    file = tmp_path / "cert.pem"
    file.write_text(Authority.root("Zürich").pem, encoding="ascii")
    child = process("pin", file, env=environment(PYTHONIOENCODING="ascii"))
    done = ended(child)
    assert (done.code, done.err) == (0, "")
    assert r"CN=Z\xfcrich" in done.out


def test_the_module_and_the_entry_point_are_one_command() -> None:
    """`python -m pinverify` runs, and pyproject.toml names the same function."""
    done = ended(process("--version"))
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"pinverify \d+\.\d+\S*\n", done.out)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'pinverify = "pinverify.cli:main"' in project


@pytest.mark.parametrize("package", ["click", "rich", "cryptography"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    """One line, exit code 2: the library works without these packages."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from pinverify.cli import main; sys.exit(main())"
    )
    done = ended(process("demo", code=code))
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"pinverify: the command line needs {package}; "
        "run pip install 'pinverify[cli]'\n"
    )


# ---- hostile text ------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07 [bold red]safe[/] \u202etxt \r\n\x9b2J\x00 :smile:"


def assert_harmless(text: str) -> None:
    """See that a terminal would obey nothing in *text*."""
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)


def test_printable_escapes_what_a_terminal_obeys() -> None:
    """Controls, bidirectional overrides, and bytes of no encoding; not letters."""
    assert_harmless(printable(HOSTILE + "\udcff\u2028\u00ad"))
    assert "\n" not in printable(HOSTILE)
    assert printable("Zürich 東京 [b]") == "Zürich 東京 [b]"
    assert printable("\x1b\u202e") == r"\x1b\u202e"


def test_a_long_subject_is_cut(pki: Pki, serve: Serve, trust: tuple[str, Path]) -> None:
    """It can't push anything off the screen, nor the table out of shape."""
    parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "n" * 60)] * 9
    leaf = named_leaf(pki.ca, x509.Name(parts))
    server = serve(server_context(leaf))
    command = ("check", address(server), "--pin", leaf.pin, *trust)
    checked = run(*command).out
    assert len(re.findall(r"CN=n.*", checked)[0]) == len(leaf.pin)
    printed = run("pin", address(server), *trust).out
    assert len(re.findall(r"CN=n.*", printed)[0]) == 95
    _, shown = on_terminal(*command, columns=80)
    assert FRAMES.search(shown)


def named_leaf(ca: Authority, subject: x509.Name) -> Identity:
    """Issue a leaf for 127.0.0.1 with this subject."""
    leaf = ca.leaf("127.0.0.1")
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca.certificate.subject)
        .subject_name(subject)
        .public_key(leaf.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(leaf.certificate.not_valid_before_utc)
        .not_valid_after(leaf.certificate.not_valid_after_utc)
    )
    for extension in leaf.certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(ca.key, hashes.SHA256())
    return Identity(certificate, leaf.key, leaf.issuers)


def test_a_hostile_subject_reaches_no_terminal(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Neither as a control character nor as markup, in pin and in check."""
    leaf = pki.rogue_ca.leaf("127.0.0.1", common_name=HOSTILE)
    file = tmp_path / "leaf.pem"
    file.write_text(leaf.pem, encoding="ascii")
    server = serve(server_context(leaf))
    for command in (
        ("pin", file),
        ("pin", address(server), *trust),
        ("check", address(server), "--pin", leaf.pin, *trust),
        ("check", address(server), "--pin", ABSENT, *trust),
    ):
        done = run(*command)
        assert_harmless(done.out)
        assert "[bold red]safe[/]" in done.out  # not read as markup
    _, shown = on_terminal("pin", file)
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert json.loads(run("pin", file, "--json").out.encode("ascii"))


def test_a_hostile_name_reaches_no_terminal(tmp_path: Path) -> None:
    """File names, hosts and pins are quoted back in errors, and escaped."""
    name = "\x1b]0;owned\x07[bold red].pem"
    for command in (
        ("pin", f"{tmp_path}/{name}"),
        ("check", "\x1b]0;host", "--pin", ABSENT),
        ("check", "127.0.0.1", "--pin", "\x1b]0;pin"),
        ("check", "127.0.0.1", "--policy", f"{tmp_path}/{name}"),
        (f"\x1b{name}",),
    ):
        done = run(*command)
        assert done.code == 2
        assert_harmless(done.err)
        assert done.err.count("\n") == 1


# ---- the manual --------------------------------------------------------------

MANUAL = ROOT / "docs" / "cli.md"


@pytest.fixture
def example_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Lead every name to one server here, whose keys are always the same."""
    numbers = iter(range(1, 100))
    monkeypatch.setattr(
        pki_module,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    ca = Authority.root("Example CA 1")
    Authority.root("Corporate Proxy CA")
    identity = ca.leaf("api.example.com", "www.example.org")
    (tmp_path / "roots.pem").write_text(ca.pem, encoding="ascii")
    (tmp_path / "server.pem").write_text(identity.pem + ca.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.chdir(tmp_path)
    with TLSServer(server_context(identity)) as server:
        where = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: where)
        yield


def steady(text: str) -> str:
    """Return *text* without what differs from one certificate to the next."""
    text = re.sub(r"cert-sha256:[0-9a-f]{64}", "cert-sha256:HEX", text)
    return re.sub(r"(cert-hex\W+)(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", r"\1HEX", text)


def first_words(text: str) -> list[str]:
    """Return the first word of each line."""
    return [line.split()[0] for line in text.splitlines()]


COMMAND = re.compile(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", re.MULTILINE)


@pytest.mark.usefixtures("example_network")
def test_the_manual_shows_what_happens() -> None:
    """Each command of docs/cli.md prints what the page says, and exits as it says."""
    text = MANUAL.read_text(encoding="utf-8")
    commands_run = set()
    code = None
    said = ""
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if language == "toml":
            Path("pins.toml").write_text(block, encoding="utf-8")
        if language == "json":
            assert json.loads(steady(block)) == json.loads(steady(said))
        if language != "console":
            continue
        for command, shown in re.findall(
            r"^\$ (.*)\n((?:[^$].*\n|\n)*)", block, re.MULTILINE
        ):
            words = shlex.split(command)
            if words == ["echo", "$?"]:
                assert shown == f"{code}\n", command
            elif words[0] == "pinverify" and words[1:] != ["demo"]:
                code, out, err = run(*words[1:])
                said = out + err
                commands_run.add(words[1])
                if words[1] == "info":
                    assert first_words(said) == first_words(shown)
                elif "--json" not in words:
                    assert steady(said) == steady(shown), command
    assert commands_run == set(commands.commands) - {"demo"}


def test_the_manual_names_every_option_and_exit_code() -> None:
    """What a command takes stands in the manual, and nothing else."""
    text = MANUAL.read_text(encoding="utf-8")
    options = {
        option
        for command in commands.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("-")
    }
    options |= {"-h", "--help", "--version"}
    assert set(re.findall(r"`(--?[a-z]+)", text)) == options
    assert set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == {
        "0",
        "1",
        "2",
        "3",
        "130",
    }
    for spelling in SPELLINGS:
        assert f"| `{spelling}` |" in text
