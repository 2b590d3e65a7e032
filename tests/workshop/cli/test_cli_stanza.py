"""`pinverify pin --stanza`, `--pem`, and requests: keys on their way into a policy."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from cli_runs import address, answer, assert_no_answer, run
from pinverify import PinSet, load_rules
from pinverify.cli.key_files import Item, read_items
from pinverify.cli.x509 import details, key_text
from pinverify.errors import DERError
from pinverify.formats._format_table import FORMATS, writable
from pki import Pki, sha256_pin
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]

__all__: list[str] = []


def request(key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    """Return a request for the certificate of a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "next.test")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    names = x509.SubjectAlternativeName([x509.DNSName("next.test")])
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key, DER."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def next_key() -> ec.EllipticCurvePrivateKey:
    """A key that has no certificate yet."""
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def csr(next_key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> Path:
    """The request for its certificate."""
    file = tmp_path / "next.csr"
    pem = request(next_key).public_bytes(serialization.Encoding.PEM)
    file.write_bytes(pem)
    return file


# ---- requests ----------------------------------------------------------------


@pytest.mark.parametrize("form", ["PEM", "DER", "NEW"])
def test_a_request_has_the_pin_of_the_next_key(
    form: str, csr: Path, next_key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    """It is the file in which the next key comes, before any certificate."""
    file = tmp_path / "file"
    data = csr.read_bytes()
    if form == "NEW":
        data = data.replace(b"CERTIFICATE REQ", b"NEW CERTIFICATE REQ")
    if form == "DER":
        data = request(next_key).public_bytes(serialization.Encoding.DER)
    file.write_bytes(data)
    [said] = answer("pin", file)
    [entry] = said["entries"]
    assert (entry["kind"], entry["role"]) == ("public key", "request")
    assert (entry["subject"], entry["key"]) == ("CN=next.test", "EC, P-384")
    assert entry["fingerprints"]["sha256"] == sha256_pin(spki_of(next_key))


def test_a_request_that_is_damaged_is_none(
    next_key: ec.EllipticCurvePrivateKey,
) -> None:
    """Cut, longer, or with another key inside: an error or the key that is there."""
    der = request(next_key).public_bytes(serialization.Encoding.DER)
    [good] = read_items(der)
    assert good == Item("public key", spki_of(next_key), "CN=next.test")
    for bad in [der + b"\0", b"\x30\x03\2\1\0", *(der[:n] for n in range(len(der)))]:
        with pytest.raises(DERError):
            list(read_items(bad))


def test_a_request_with_a_subject_that_cannot_be_read_has_its_key(
    next_key: ec.EllipticCurvePrivateKey,
) -> None:
    """Old programs write Latin-1 as UTF-8; the key is what counts."""
    der = request(next_key).public_bytes(serialization.Encoding.DER)
    [item] = read_items(der.replace(b"next.test", b"n\xe9xt.test"))
    assert item == Item("public key", spki_of(next_key), "")


@given(data=st.data())
def test_damage_to_a_request_is_no_other_exception(data: st.DataObject) -> None:
    """Files come from anywhere."""
    der = bytearray(REQUEST)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        for item in read_items(bytes(der)):
            assert isinstance(item, Item | DERError)
    except DERError:
        pass


REQUEST = request(ec.derive_private_key(7, ec.SECP256R1())).public_bytes(
    serialization.Encoding.DER
)


def test_bytes_after_a_certificate_are_counted(pki: Pki, tmp_path: Path) -> None:
    """An editor adds a line end, and the error says what to do."""
    file = tmp_path / "leaf.der"
    file.write_bytes(pki.server.der + b"\n")
    assert_no_answer(run("pin", file), "1 bytes follow the DER; cut them off")


# ---- details -----------------------------------------------------------------

KEYS: dict[str, Callable[[], Any]] = {
    "RSA, 2048 bits": lambda: rsa.generate_private_key(65537, 2048),
    "EC, P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC, P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EC, secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("text", KEYS)
def test_kinds_of_keys_are_named(text: str) -> None:
    """With their size, which is what policies of companies ask for."""
    assert key_text(spki_of(KEYS[text]())) == text


@given(noise=st.binary(max_size=200), at=st.integers(0, 600))
def test_details_of_damaged_certificates_are_texts(noise: bytes, at: int) -> None:
    """They are for people, and never an error."""
    cert = REQUEST[:at] + noise + REQUEST[at:]
    found = details(cert, noise)
    assert all(isinstance(text, str) for _, text in found.rows())
    assert found.to_dict().keys() >= {"key", "names", "not_after"}


def test_a_certificate_that_is_out_of_date_is_marked(pki: Pki) -> None:
    """Names are cut after the eighth, and the rest is counted."""
    leaf = pki.ca.leaf(*(f"n{number}.test" for number in range(11)), age=5)
    rows = dict(details(leaf.der, leaf.spki).rows())
    assert rows["names"].endswith("n6.test, n7.test, and 3 more")
    assert rows["valid"].endswith(", expired")


# ---- stanzas -----------------------------------------------------------------


def test_a_stanza_pins_the_server_and_the_next_key(  # noqa: PLR0913, PLR0917
    pki: Pki,
    serve: Serve,
    trust: tuple[str, Path],
    csr: Path,
    next_key: ec.EllipticCurvePrivateKey,
    tmp_path: Path,
) -> None:
    """A policy that is printed is read back, and accepts the server."""
    server = serve(server_context(pki.server))
    done = run("pin", "--stanza", "toml", address(server), csr, *trust)
    assert (done.code, done.err) == (0, "")
    file = tmp_path / "pins.toml"
    file.write_text(done.out, encoding="utf-8")
    backup = sha256_pin(spki_of(next_key))
    assert done.out.startswith(
        f"# {pki.server.pin} is of {address(server)}: CN=localhost\n"
        f"# {backup} is of {csr}: CN="
    )
    expected = PinSet([pki.server.pin, backup])
    assert dict(load_rules(file).hosts) == {"127.0.0.1": expected}
    assert run("check", address(server), "--policy", file, *trust).code == 0


NEEDS_AN_END = {"hpkp"}


@pytest.mark.parametrize("name", [n for n in writable() if n != "compiled"])
def test_a_stanza_of_every_format_is_read_back(  # noqa: PLR0913, PLR0917
    name: str,
    pki: Pki,
    serve: Serve,
    trust: tuple[str, Path],
    csr: Path,
    next_key: ec.EllipticCurvePrivateKey,
    tmp_path: Path,
) -> None:
    """Formats that tell positions apart get the keys as those of leaves."""
    server = serve(server_context(pki.server))
    place: tuple[str, ...] = ("localhost", "--connect", address(server))
    allow = ("--allow", "expiry-needed") if name in NEEDS_AN_END else ()
    if name == "trustkit":  # takes no name at the top
        place = (*place, "--host", "localhost.example.com")
    if name == "kubeadm":
        allow = ("--as", "ca")
    if name == "tlsa":
        allow = ("--allow", "validation")
    done = run("pin", "--stanza", name, *place, csr, *trust, *allow)
    assert done.code == (3 if "--allow" in allow else 0)
    if name == "haproxy":
        assert pki.server.certificate_pin[-64:].upper() in done.out
        assert not FORMATS[name].reads
        return
    file = tmp_path / "file"
    file.write_text(done.out, encoding="utf-8")
    host = None if FORMATS[name].host == "says" else "localhost"
    if FORMATS[name].host == "either":
        host = None
    rules = load_rules(file, format=name, host=host)
    value = next(iter(rules.hosts.values()))
    assert isinstance(value, PinSet)
    lists = (
        {"leaf"} if name in {"apple", "curl", "envoy", "postfix"} else {"pins", "ca"}
    )
    found = {
        str(pin)
        for one in lists
        for pin in getattr(value, one)
        if str(pin).startswith("sha256/")
    }
    if name == "tlsa":
        found |= {str(pin) for pin in value.leaf}
    assert found == {pki.server.pin, sha256_pin(spki_of(next_key))}


def test_a_stanza_without_a_backup_is_warned_of(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """As `lint` does of any policy; an untrusted server is told as well."""
    server = serve(server_context(pki.server))
    done = run("pin", "--stanza", "okhttp", address(server), *trust)
    assert done.code == 0
    assert "PV204" in done.err
    blind = run("pin", "--stanza", "okhttp", address(server))
    assert "trust on first use" in blind.err


def test_keys_in_files_need_a_host(csr: Path, pki: Pki, tmp_path: Path) -> None:
    """The pattern may be a wildcard; a file that is not there spoils the policy."""
    command = ("pin", "--stanza", "json", csr)
    assert_no_answer(run(*command), "files name no host; add a server, or --host")
    done = run(*command, "--host", "**.x.test")
    assert (done.code, '"**.x.test"' in done.out) == (0, True)
    missing = run(*command, tmp_path / "missing.pem", "--host", "x.test")
    assert (missing.code, missing.out) == (2, "")
    ca = tmp_path / "ca.pem"
    ca.write_text(pki.root.pem, encoding="ascii")
    apple = run("pin", "--stanza", "apple", ca, csr, "--host", "x.test")
    assert_no_answer(apple, "apple has to know whose keys")  # one is an authority's
    apple = run("pin", "--stanza", "apple", ca, csr, "--host", "x.test", "--as", "ca")
    assert "NSPinnedCAIdentities" in apple.out


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("--stanza", "compiled"), "--stanza"),
        (("--stanza", "toml", "--format", "curl"), "--format has no effect with --st"),
        (("--stanza", "toml", "--pem"), "--pem has no effect with --stanza"),
        (("--pem", "--format", "curl"), "--format has no effect with --pem"),
        (("--host", "a.org"), "--host has no effect without --stanza"),
        (("--allow", "position"), "--allow has no effect without --stanza"),
        (("--cafile", __file__), "--cafile has no effect on files"),
        (("--timeout", "3"), "--timeout has no effect on files"),
        (("--starttls", "smtp"), "--starttls has no effect on files"),
    ],
)
def test_options_without_effect_are_refused(
    words: tuple[str, ...], phrase: str, csr: Path
) -> None:
    """Nobody has to know which of two would win."""
    assert_no_answer(run("pin", csr, *words), phrase)
    if words[0] not in {"--stanza", "--pem"}:
        done = run("pin", csr, "--json", "--pem")
        assert "--pem has no effect with --json" in done.err


# ---- PEM ---------------------------------------------------------------------


def test_pem_is_the_verified_chain(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """Leaf first, the root last, and nothing that was only sent."""
    server = serve(server_context(pki.server, extra=[pki.rogue_ca]))
    done = run("pin", "--pem", address(server), *trust)
    assert (done.code, done.err) == (0, "")
    assert done.out == pki.server.pem + pki.ca.pem + pki.root.pem
    blind = run("pin", "--pem", address(server))
    assert blind.out == pki.server.pem + pki.ca.pem + pki.rogue_ca.pem
    assert "warning" in blind.err


def test_pem_of_a_request_is_its_public_key(
    csr: Path, next_key: ec.EllipticCurvePrivateKey
) -> None:
    """As openssl prints it."""
    done = run("pin", "--pem", csr)
    theirs = subprocess.run(
        ["openssl", "req", "-in", csr, "-pubkey", "-noout"],
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert done.out == theirs.stdout
    assert re.sub(r"\s", "", done.out).startswith("-----BEGINPUBLICKEY")
    assert (
        sha256_pin(spki_of(next_key)) + "\n"
        == run("pin", "--format", "sha256", "-", stdin=done.out.encode()).out
    )
