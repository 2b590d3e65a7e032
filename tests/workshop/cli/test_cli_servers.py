"""Ways in which the commands reach a server, and their errors if it fails."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from cli_runs import ABSENT, address, answer, assert_no_answer, run
from pinverify.cli.servers import Server, connection_problem
from pinverify.cli.shared_options import Way
from pki import Pki, self_signed
from tls_servers import LIMIT, TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[..., TLSServer]

__all__: list[str] = []


# ---- names and places --------------------------------------------------------


def test_a_server_is_reached_at_another_place(
    pki: Pki, serve: Serve, trust: tuple[str, Path]
) -> None:
    """The name is asked for and verified, and the place is where to connect to."""
    server = serve(server_context(pki.server))
    place = ("--connect", address(server))
    assert (
        run("check", "other.localhost", "--pin", pki.server.pin, *place, *trust)[0] == 0
    )
    assert server.record().server_name == "other.localhost"
    [said] = answer("pin", "other.localhost", *place, *trust)
    assert said["source"] == f"other.localhost:443 at {address(server)}"
    assert said["verified"] is True
    done = run("check", "elsewhere.test", "--pin", pki.server.pin, *place, *trust)
    assert_no_answer(done, "not valid for 'elsewhere.test'")


def test_an_address_is_asked_for_a_name(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """The rule is that of the name, also in a policy."""
    server = serve(server_context(pki.ca.leaf("api.test", key=pki.server.key)))
    file = tmp_path / "pins.toml"
    file.write_text(
        f'version = 1\n[hosts]\n"api.test" = ["{pki.server.pin}", "{pki.root.pin}"]\n'
    )
    name = ("--servername", "api.test")
    for command in ("check", "explain"):
        done = run(command, address(server), "--policy", file, *name, *trust)
        assert done.code == 0
        assert "rule    api.test\n" in done.out
    assert server.record().server_name == "api.test"
    [said] = answer("pin", address(server), *name, *trust)
    assert said["verified"] is True


def test_all_hosts_of_a_policy_are_checked_at_one_place(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """So a new server is tried before names lead to it."""
    server = serve(server_context(pki.ca.leaf("a.test", "b.test")))
    file = tmp_path / "pins.toml"
    file.write_text(
        f'version = 1\n[hosts]\n"a.test" = ["{pki.ca.pin}", "{pki.root.pin}"]\n'
        f'"b.test" = ["{pki.ca.pin}", "{pki.root.pin}"]\n'
    )
    command = ("check", "--policy", file, *trust)
    done = run(*command, "--connect", address(server))
    assert done.code == 0
    assert done.out.count("accepted") == 2
    wrong = run(*command, "--servername", "a.test")
    assert_no_answer(wrong, "--servername has no effect without SERVER")


# ---- certificates of the client ----------------------------------------------


@pytest.mark.parametrize("files", ["one", "two"])
def test_a_client_shows_its_certificate(  # noqa: PLR0913, PLR0917
    files: str,
    version: ssl.TLSVersion,
    pki: Pki,
    serve: Serve,
    trust: tuple[str, Path],
    tmp_path: Path,
) -> None:
    """Its key is in the same file or in another; a blind look shows it too."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    server = serve(context)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(pki.client.pem_chain(), encoding="ascii")
    key.write_text(pki.client.key_pem, encoding="ascii")
    if files == "one":
        cert.write_text(pki.client.pem_chain() + pki.client.key_pem, encoding="ascii")
    shown = ("--cert", cert) if files == "one" else ("--cert", cert, "--key", key)
    done = run("check", address(server), "--pin", pki.server.pin, *shown, *trust)
    assert done.code == 0
    assert server.record().handshake
    [said] = answer("pin", address(server), *shown)  # not trusted: looked at twice
    assert said["verified"] is False
    assert said["entries"][0]["fingerprints"]["sha256"] == pki.server.pin
    assert server.record(2).handshake


def test_a_server_that_wants_a_certificate_says_so(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Before TLS 1.3 the handshake fails; the next step is the option."""
    context = server_context(
        pki.server, version=ssl.TLSVersion.TLSv1_2, client_authority=pki.root
    )
    server = serve(context)
    command = ("check", address(server), "--pin", pki.server.pin, *trust)
    assert_no_answer(run(*command), "wants the certificate of a client, add --cert")
    other = pki.rogue_ca.leaf("client.example", purpose="client")
    file = other.write(tmp_path / "other.pem")
    done = run(*command, "--cert", file)
    assert_no_answer(done, f"does it accept the certificate in {file}?")


def test_files_without_a_certificate_or_its_key_are_told(
    pki: Pki, tmp_path: Path
) -> None:
    """The line names the file, and what belongs there."""
    good = pki.client.write(tmp_path / "client.pem")
    cert, other = tmp_path / "cert.pem", tmp_path / "other.pem"
    cert.write_text(pki.client.pem, encoding="ascii")
    other.write_text(pki.server.key_pem, encoding="ascii")
    locked = tmp_path / "locked.pem"
    subprocess.run(
        [
            *("openssl", "pkey", "-in", good, "-aes128", "-passout", "pass:x"),
            *("-out", locked),
        ],
        check=True,
        timeout=60,
    )
    command = ("check", "127.0.0.1:1", "--pin", ABSENT)
    cases = [
        (("--cert", cert), "--key its key if that is in another file"),
        (("--cert", cert, "--key", other), f"{other}: not the key of the certificate"),
        (("--cert", cert, "--key", locked), f"openssl pkey -in {locked} -out KEY.pem"),
        (("--key", other), "add --cert"),
    ]
    for words, phrase in cases:
        assert_no_answer(run(*command, *words), phrase)


# ---- time --------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "3601", "soon"])
def test_a_time_that_is_none_is_refused(value: str) -> None:
    """In words that name the option."""
    done = run("check", "127.0.0.1:1", "--pin", ABSENT, "--timeout", value)
    assert_no_answer(done, "--timeout")


def test_a_timeout_may_be_a_part_of_a_second(pki: Pki, serve: Serve) -> None:
    """As in Python."""
    server = serve(server_context(pki.server), silent=True)
    command = ("check", address(server), "--pin", ABSENT, "--timeout", "0.25")
    done = run(*command)
    assert_no_answer(done, "in 0.25 seconds; try --timeout")
    done = run(*command, "--starttls", "smtp")
    assert_no_answer(done, "or leave --starttls out if TLS begins at once there")


# ---- next steps --------------------------------------------------------------

WAYS = {"plain": Way(), "starttls": Way(starttls="smtp"), "cert": Way(cert="my.pem")}
STEPS = [
    ("TLSV1_ALERT_PROTOCOL_VERSION", "plain", "no TLS version that is allowed"),
    ("UNSUPPORTED_PROTOCOL", "plain", "no TLS version that is allowed"),
    ("TLSV1_UNRECOGNIZED_NAME", "plain", "try --servername"),
    ("SSLV3_ALERT_HANDSHAKE_FAILURE", "plain", "add --cert"),
    ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "plain", "add --cert"),
    ("TLSV1_ALERT_UNKNOWN_CA", "cert", "accept the certificate in my.pem?"),
    ("WRONG_VERSION_NUMBER", "plain", "is this the right port? If TLS begins later"),
    ("WRONG_VERSION_NUMBER", "starttls", "really begin TLS as smtp does?"),
    ("UNEXPECTED_EOF_WHILE_READING", "plain", "certificate of a client, --cert"),
    ("INTERNAL_ERROR", "plain", "; is this the right port?"),
]


@pytest.mark.parametrize(("reason", "way", "step"), STEPS)
def test_the_next_step_fits_the_reason(reason: str, way: str, step: str) -> None:
    """The names are those that OpenSSL gives."""
    error = ssl.SSLError(1, "…")
    error.reason = reason
    server = Server("a.org", 8443, ("a.org", 8443))
    data_base = Server("a.org", 5432, ("a.org", 5432))
    if way == "plain" and "EOF" in reason:
        known = connection_problem(data_base, error, WAYS[way])
        assert known.endswith("; TLS begins later there: add --starttls postgres")
    text = connection_problem(server, error, WAYS[way])
    assert text.startswith(
        f"no TLS with a.org:8443: {reason.lower().replace('_', ' ')}"
    )
    assert step in text


def test_an_old_server_is_told_from_a_wrong_port(pki: Pki) -> None:
    """A server that refuses our version of TLS is to be updated."""
    alert = b"\x15\x03\x01\x00\x02\x02\x46"  # fatal, protocol_version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)

        def refuse() -> None:
            with listener.accept()[0] as sock:
                sock.settimeout(LIMIT)
                sock.recv(65536)
                sock.sendall(alert)
                sock.recv(65536)

        refusing = threading.Thread(target=refuse)
        refusing.start()
        port = listener.getsockname()[1]
        done = run("check", f"127.0.0.1:{port}", "--pin", pki.server.pin)
        refusing.join(LIMIT)
    assert_no_answer(done, "no TLS version that is allowed today; update it")


def test_a_connection_that_ends_at_once_is_running(pki: Pki) -> None:
    """Nobody is asked whether the server is running: it answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)

        def reset() -> None:
            sock, _ = listener.accept()
            # Closing with unread bytes resets the connection.
            sock.settimeout(LIMIT)
            sock.recv(1)
            sock.close()

        resetting = threading.Thread(target=reset)
        resetting.start()
        port = listener.getsockname()[1]
        done = run("check", f"127.0.0.1:{port}", "--pin", pki.server.pin)
        resetting.join(LIMIT)
    assert_no_answer(done, "is this the right port? If TLS begins later there")
    assert "is it running" not in done.err


def test_a_self_signed_server_is_trusted_by_what_pin_prints(
    serve: Serve, tmp_path: Path
) -> None:
    """The next step of the error is one that works."""
    device = self_signed("127.0.0.1")
    server = serve(server_context(device))
    done = run("check", address(server), "--pin", device.pin)
    assert_no_answer(done, "trust it with --cafile; `pinverify pin --pem` prints it")
    printed = run("pin", "--pem", address(server))
    assert (printed.code, printed.out) == (0, device.pem)
    assert "trust on first use" in printed.err
    file = tmp_path / "device.pem"
    file.write_text(printed.out, encoding="ascii")
    done = run("check", address(server), "--pin", device.pin, "--cafile", file)
    assert done.code == 0


def test_a_server_is_named_once(pki: Pki) -> None:
    """`pin` begins a line with a source, and an error names it as well."""
    del pki
    done = run("pin", "127.0.0.1:1")
    assert done.err.count("127.0.0.1:1") == 1
