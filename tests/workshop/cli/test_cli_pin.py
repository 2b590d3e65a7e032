"""`pinverify pin`: fingerprints of files and servers, and its warnings."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import pki as pki_module
from oracle_der import strict_spki
from pinverify.cli.key_sources import is_server
from pinverify.cli.servers import Shown
from pinverify.cli.spellings import SPELLINGS
from pki import Authority, Pki, self_signed, sha256_pin
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]
from cli_runs import Ended, address, answer, run, spellings

__all__: list[str] = []


# ---- pin: files --------------------------------------------------------------


def test_pin_prints_the_pins_of_a_certificate(pki: Pki, tmp_path: Path) -> None:
    """They are what hashlib gives, ready to paste; the other spellings are in JSON."""
    file = tmp_path / "leaf.pem"
    file.write_text(pki.server.pem, encoding="ascii")
    done = run("pin", file)
    assert (done.code, done.err) == (0, "")
    lines = re.findall(r"^    (\S+)$", done.out, re.MULTILINE)
    assert lines == [pki.server.pin, pki.server.certificate_pin]
    [entry] = answer("pin", file)[0]["entries"]
    assert entry["fingerprints"] == spellings(pki.server)
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
    assert "cert is the fingerprint of a certificate" in done.err
    names = answer("pin", file)[0]["entries"][0]["fingerprints"]
    assert set(names) == {"sha256", "curl", "hpkp", "base64", "hex", "base16"}


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
        "not a certificate request",
    ),
    "private key": (
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        "openssl pkey -pubout",
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
    times = pki.server.certificate
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
                "key": "EC, P-256",
                "issuer": "CN=Example CA 1",
                "names": list(pki_module.LOCAL_HOSTS),
                "not_before": times.not_valid_before_utc.isoformat(),
                "not_after": times.not_valid_after_utc.isoformat(),
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
    assert f"    {sha256_pin(spki)}\n" in done.out
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
    assert f"    {sha256_pin(changed)}\n" in done.out
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
    assert "cert-sha256" not in text
    assert "warning: any server can send this certificate" in text


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
    assert said["warnings"][0].startswith("the certificate of this server is for other")


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


@pytest.mark.parametrize("option", ["--format", "--stanza"])
def test_an_unreadable_leaf_is_not_replaced_by_its_issuer(
    option: str, pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TLS library may accept more than we read; a script gets no other pin then."""
    server = serve(server_context(pki.server))
    leaf = pki.server.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")
    shown = Shown([leaf, pki.ca.der], [leaf, pki.ca.der])
    monkeypatch.setattr("pinverify.cli.servers.look_at", lambda *_: shown)
    spelling = "sha256" if option == "--format" else "toml"
    done = run("pin", option, spelling, address(server))
    assert (done.code, done.out) == (2, "")
    assert "certificate 0 of its chain: " in done.err


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
