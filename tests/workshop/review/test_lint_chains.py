"""Lint with certificates: wrong recipes, wrong lists, short chains, no backups."""

from __future__ import annotations

import datetime as dt
import re
import ssl
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import pinverify
import pki as pki_module
from cli_runs import address, answer, assert_no_answer, run
from pinverify import Finding, Pin, PinKind, PinSet, Rules, core, lint
from pinverify.policy._certs_and_pins import pins_of
from pinverify.policy._pinning_error import mistaken_pins
from pinverify.review._certificates import issuer_and_subject, validity_of
from pki import Authority, Identity, Pki
from policy_samples import ABSENT
from test_lint import SECTIONS, Section, loaded
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Serve = Callable[..., TLSServer]

__all__: list[str] = []

HOST = "api.example.com"
BACKUP = Pin.spki(core.sha256(b"a key that is not here"))
BESIDE = [one for one in SECTIONS if one.code.startswith("PV6")]


class Cast(NamedTuple):
    """The certificates of the page."""

    root: Authority
    ca: Authority
    server: Identity
    short_lived: Identity

    @property
    def chain(self) -> list[bytes]:
        """The chain that OpenSSL verifies, if it trusts the root alone."""
        return [self.server.der, self.ca.der, self.root.der]


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Make the certificates from the keys 1, 2 and 3, which everybody knows."""
    numbers = iter(range(1, 9))
    monkeypatch.setattr(
        pki_module,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    root = Authority.root("Example Root")
    ca = root.intermediate("Example CA 1")
    server = ca.leaf(HOST, days=365)
    return Cast(root, ca, server, ca.leaf(HOST, key=server.key, days=90))


def found(
    rules: Rules, chain: Sequence[bytes], authorities: Sequence[bytes] = ()
) -> list[Finding]:
    """Return the findings that a chain shows, without the others."""
    told = lint(rules, chains={HOST: chain}, authorities=authorities)
    return [one for one in told if one.code.startswith("PV6")]


def codes(
    rules: Rules, chain: Sequence[bytes], authorities: Sequence[bytes] = ()
) -> list[str]:
    """Return their codes."""
    return [one.code for one in found(rules, chain, authorities)]


# ---- the page --------------------------------------------------------------------


def shown(cast: Cast, code: str) -> list[bytes]:
    """Return the chain of the example of a code."""
    leaf = cast.short_lived if code == "PV607" else cast.server
    chain = [leaf.der, cast.ca.der, cast.root.der]
    return chain[:2] if code == "PV604" else chain


def seen_at(cast: Cast, code: str) -> dt.datetime | None:
    """Return the time of the example of a code; None for now."""
    end = cast.server.certificate.not_valid_after_utc
    return end - dt.timedelta(days=10) if code == "PV608" else None


@pytest.mark.parametrize("section", BESIDE, ids=lambda one: one.code)
def test_the_first_example_has_this_mistake_and_no_other(
    section: Section, cast: Cast, tmp_path: Path
) -> None:
    """It says where, and names the next step after a semicolon."""
    rules = loaded(section.blocks[0], tmp_path)
    chain = shown(cast, section.code)
    now = seen_at(cast, section.code)
    told = lint(rules, now=now, chains={HOST: chain}, authorities=[cast.root.der])
    assert {(one.code, one.level) for one in told} == {(section.code, section.level)}
    assert all("; " in one.text for one in told)


@pytest.mark.parametrize("section", BESIDE, ids=lambda one: one.code)
def test_the_second_example_is_sound(
    section: Section, cast: Cast, tmp_path: Path
) -> None:
    """With the same chain there is nothing to find."""
    rules = loaded(section.blocks[1], tmp_path)
    chain = shown(cast, section.code)
    now = seen_at(cast, section.code)
    told = lint(rules, now=now, chains={HOST: chain}, authorities=[cast.root.der])
    assert told == []
    assert len(BESIDE) == 8


# ---- wrong recipes ---------------------------------------------------------------

PUBKEY = "openssl x509 -in cert.pem -pubkey -noout"
SHA256 = "openssl dgst -sha256 -binary | openssl base64 -A"
RECIPES = {
    "the whole certificate": f"openssl x509 -in cert.pem -outform der | {SHA256}",
    "the PEM text of the key": f"{PUBKEY} | {SHA256}",
    "the PEM text of the certificate": f"openssl x509 -in cert.pem | {SHA256}",
    "the base64 text of the key": f"{PUBKEY} | openssl pkey -pubin -outform der"
    f" | openssl base64 -A | {SHA256}",
    "the hex text of the key": f"{PUBKEY} | openssl pkey -pubin -outform der"
    f" | od -An -v -tx1 | tr -d ' \\n' | {SHA256}",
    "the hex text of its hash": f"{PUBKEY} | openssl pkey -pubin -outform der"
    " | openssl dgst -sha256 -r | cut -c1-64 | tr -d '\\n'"
    f" | {SHA256}",
    "the base64 text of its hash": f"{PUBKEY} | openssl pkey -pubin -outform der"
    f" | {SHA256} | {SHA256}",
    # The last 65 bytes of a key on P-256 are its point.
    "the key without its algorithm": f"{PUBKEY} | openssl pkey -pubin -outform der"
    f" | tail -c 65 | {SHA256}",
}


def output_of(pipe: str, folder: Path) -> str:
    """Run a pipe of commands in a folder; return what it prints."""
    done = subprocess.run(
        ["sh", "-c", pipe],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("hashed", RECIPES)
def test_a_wrong_recipe_is_told_with_the_right_pin(
    hashed: str, cast: Cast, tmp_path: Path
) -> None:
    """The commands that people run, by OpenSSL itself."""
    (tmp_path / "cert.pem").write_text(cast.server.pem, encoding="ascii")
    wrong = Pin.spki(output_of(RECIPES[hashed], tmp_path))
    (one,) = found(Rules({HOST: [wrong, BACKUP]}), cast.chain)
    assert one.code == "PV602"
    right = cast.server.pin
    if hashed == "the whole certificate":
        right = cast.server.certificate_pin
    assert f"is the hash of {hashed} of certificate 0, CN={HOST}" in one.text
    assert one.text.endswith(f"; write {right}")


def test_the_right_recipe_is_none_of_them(cast: Cast, tmp_path: Path) -> None:
    """The pipe of the documentations gives the pin that is meant."""
    (tmp_path / "cert.pem").write_text(cast.server.pem, encoding="ascii")
    pipe = f"{PUBKEY} | openssl pkey -pubin -outform der | {SHA256}"
    assert f"sha256/{output_of(pipe, tmp_path)}" == cast.server.pin
    assert not set(pins_of(cast.server.der)) & set(mistaken_pins(cast.server.der))


def test_a_hash_of_a_key_in_the_place_of_a_certificate_is_told(cast: Cast) -> None:
    """A pin of a certificate that is the hash of its key."""
    wrong = Pin.certificate(Pin.parse(cast.ca.pin).digest)
    (one,) = found(Rules({HOST: [wrong, BACKUP]}), cast.chain)
    assert "is the hash of the public key of certificate 1, CN=Example CA 1" in one.text
    assert one.text.endswith(f"; write {cast.ca.pin}")


def roots() -> list[bytes]:
    """Return the authorities that browsers trust."""
    pem = Path(certifi.where()).read_text(encoding="utf-8")
    block = "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
    blocks = re.findall(block, pem, re.DOTALL)
    return [ssl.PEM_cert_to_DER_cert(text) for text in blocks]


def test_no_wrong_pin_of_an_authority_is_a_right_one() -> None:
    """Over a hundred authorities: each digest has one meaning, so no alarm is false."""
    certs = roots()
    right = {pin for cert in certs for pin in pins_of(cert)}
    wrong = [pin for cert in certs for pin in mistaken_pins(cert)]
    assert len(certs) > 100
    assert right.isdisjoint(wrong)
    meanings: dict[Pin, set[tuple[str, str]]] = {}
    for cert in certs:
        for pin, mistaken in mistaken_pins(cert).items():
            told = meanings.setdefault(pin, set())
            told.add((mistaken.hashed, str(mistaken.right)))
    assert all(len(told) == 1 for told in meanings.values())


def test_what_is_no_certificate_has_no_pins() -> None:
    """A chain may have anything in it."""
    assert pins_of(b"\x30\x00") == ()
    assert mistaken_pins(b"") == {}
    rules = Rules({HOST: [ABSENT, BACKUP]})
    (finding,) = found(rules, [b"no certificate"])
    assert finding.code == "PV605"
    assert finding.text.startswith("certificate 0 of")
    assert codes(rules, []) == []


def test_a_server_with_a_blocked_key_is_told(cast: Cast) -> None:
    """Of the rule, and for all hosts; also where the rule has another mistake."""
    good = PinSet([cast.server.pin, BACKUP])
    for rules in (
        Rules({HOST: good}, blocked=[cast.ca.pin]),
        Rules({HOST: PinSet([cast.server.pin, BACKUP], blocked=[cast.ca.pin])}),
    ):
        (finding,) = found(rules, cast.chain)
        assert finding.code == "PV605"
        assert f"shows {cast.ca.pin}, which is blocked; replace" in finding.text


# ---- chains ----------------------------------------------------------------------


def test_a_pin_in_both_lists_is_in_one_wrong_place(cast: Cast) -> None:
    """The leaf's key is no authority's, although the rule may match."""
    rules = Rules({HOST: PinSet(leaf=[cast.server.pin, BACKUP], ca=[cast.server.pin])})
    told = found(rules, cast.chain)
    assert [one.code for one in told] == ["PV603"]
    assert told[0].text.endswith("move it to leaf")


def test_a_pin_of_a_certificate_may_be_in_the_wrong_list(cast: Cast) -> None:
    """Both kinds of pins have places."""
    pin = Pin.from_certificate(cast.ca.der, kind=PinKind.CERTIFICATE)
    (one,) = found(Rules({HOST: PinSet(leaf=[pin, BACKUP])}), cast.chain)
    assert (one.code, one.text.endswith("move it to ca")) == ("PV603", True)


def test_a_root_above_the_end_needs_to_be_known(cast: Cast) -> None:
    """And pinned, and the issuer; else nothing explains the mismatch."""
    pinned = Rules({HOST: PinSet(ca=[cast.root.pin, BACKUP])})
    short = cast.chain[:2]
    assert codes(pinned, short, [cast.root.der]) == ["PV604"]
    assert codes(pinned, short) == ["PV605"]
    other = Authority.root("Other Root")
    assert codes(pinned, short, [other.der]) == ["PV605"]
    elsewhere = Rules({HOST: PinSet(ca=[other.pin, BACKUP])})
    assert codes(elsewhere, short, [other.der]) == ["PV605"]
    assert codes(Rules({HOST: [BACKUP]}), short, [cast.root.der]) == ["PV605"]
    whole = Rules({HOST: PinSet(ca=[BACKUP, cast.ca.pin])})
    assert codes(whole, cast.chain, [cast.root.der]) == []


@pytest.mark.parametrize(
    "rules",
    [
        Rules({}, blocked=[ABSENT]),
        Rules({"*.example.com": PinSet([ABSENT, BACKUP], mode="report")}),
        Rules({"**.example.com": [BACKUP], HOST: pinverify.UNPINNED}),
        Rules(
            {
                HOST: PinSet(
                    [ABSENT],
                    expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
                    after_expiry="allow",
                )
            }
        ),
    ],
)
def test_a_host_that_accepts_any_key_is_told(rules: Rules, cast: Cast) -> None:
    """No rule, an exemption, report mode, or an expiry."""
    assert "PV601" in codes(rules, cast.chain)


def test_a_host_that_is_always_rejected_accepts_no_other_key(cast: Cast) -> None:
    """Hosts without pins may be rejected, and expired ones."""
    assert codes(Rules({}, unpinned="reject"), cast.chain) == []
    ended = PinSet(
        [cast.server.pin],
        expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        after_expiry="reject",
    )
    assert codes(Rules({HOST: ended}), cast.chain) == []


def test_clients_alone_decide_about_servers_too(cast: Cast) -> None:
    """Without a rule for hosts they are for every peer; beside one they are not."""
    clients = PinSet([Pin.spki(cast.server.pin.removeprefix("sha256/")), BACKUP])
    assert codes(Rules(clients=clients), cast.chain) == []
    (one,) = found(Rules(clients=PinSet([BACKUP, ABSENT])), cast.chain)
    assert (one.code, one.pattern) == ("PV605", "clients")
    beside = Rules({"other.example": [BACKUP]}, clients=clients)
    assert codes(beside, cast.chain) == ["PV601"]


def test_a_backup_may_be_in_another_list(cast: Cast) -> None:
    """Each list needs one of its own: all of them must match."""
    rules = Rules(
        {
            HOST: PinSet(
                [cast.server.pin, cast.ca.pin], ca=[cast.ca.pin, cast.root.pin, BACKUP]
            )
        }
    )
    told = found(rules, cast.chain)
    assert [(one.code, one.text[:5]) for one in told] == [("PV606", "pins:")]


def test_a_short_life_matters_for_the_leaf_alone(cast: Cast) -> None:
    """A pin of an authority in the same list goes on to match."""
    chain = [cast.short_lived.der, *cast.chain[1:]]
    leaf, ca = cast.server.pin, cast.ca.pin
    assert codes(Rules({HOST: [leaf, BACKUP]}), chain) == ["PV607"]
    assert codes(Rules({HOST: [leaf, ca, BACKUP]}), chain) == []
    misplaced = Rules({HOST: PinSet(leaf=[leaf, ca, BACKUP])})
    assert codes(misplaced, chain) == ["PV603", "PV607"]
    both = PinSet(leaf=[leaf, BACKUP], ca=[ca, BACKUP])
    assert codes(Rules({HOST: both}), chain) == ["PV607"]
    assert codes(Rules({HOST: both}), cast.chain) == []


def ending(
    rules: Rules, identity: Identity, cast: Cast, before: dt.timedelta
) -> list[tuple[str, str]]:
    """Return the codes and lists that are found some time before a leaf ends."""
    now = identity.certificate.not_valid_after_utc - before
    chain = [identity.der, *cast.chain[1:]]
    told = lint(rules, now=now, chains={HOST: chain})
    return [(one.code, one.text.partition(":")[0]) for one in told]


@pytest.mark.parametrize(
    ("life", "days", "is_told"),
    [
        (365, 30, False),
        (365, 29, True),
        (365, -1, True),
        (90, 29, True),
        (45, 16, False),
        (45, 14, True),
        (6, 3, False),
        (6, 1, True),
    ],
)
def test_an_end_is_near_in_the_last_third(
    life: int,
    days: int,
    is_told: bool,  # noqa: FBT001 - a row of a table
    cast: Cast,
) -> None:
    """And in the last 30 days; an end that has passed is told too."""
    leaf = cast.ca.leaf(HOST, key=cast.server.key, days=life)
    rules = Rules({HOST: PinSet(leaf=[leaf.pin])})
    told = ending(rules, leaf, cast, dt.timedelta(days=days))
    assert (("PV608", "leaf") in told) == is_told
    assert (("PV204", "leaf") in told) == (not is_told)  # one of both


def test_another_pin_may_follow_a_certificate_that_ends(cast: Cast) -> None:
    """One of a key that is not in use, but none that is blocked."""
    leaf, near = cast.server, dt.timedelta(days=9)
    assert ending(Rules({HOST: [leaf.pin, BACKUP]}), leaf, cast, near) == []
    in_rule = Rules({HOST: PinSet([leaf.pin, BACKUP], blocked=[BACKUP])})
    for_all = Rules({HOST: [leaf.pin, BACKUP]}, blocked=[BACKUP])
    for rules in (in_rule, for_all):
        assert ("PV608", "pins") in ending(rules, leaf, cast, near)


def test_an_authority_that_lasts_follows_a_leaf_that_ends(cast: Cast) -> None:
    """Each list needs a pin of its own; a leaf that ends before does not matter."""
    near = cast.ca.certificate.not_valid_after_utc - dt.timedelta(days=1, hours=4)
    leaf = cast.ca.leaf(HOST, key=cast.server.key, days=1)
    chain = [leaf.der, *cast.chain[1:]]
    both = PinSet(leaf=[leaf.pin], ca=[cast.ca.pin, BACKUP])
    told = lint(Rules({HOST: both}), now=near, chains={HOST: chain})
    assert [one.text[:5] for one in told if one.code == "PV608"] == ["leaf:"]
    one_list = Rules({HOST: [leaf.pin, cast.ca.pin]})
    found = lint(one_list, now=near, chains={HOST: chain})
    assert [one.code for one in found] == ["PV606"]


def test_authorities_are_compared_with_every_rule(cast: Cast) -> None:
    """Without a server: a pin of an authority under leaf, and wrong recipes."""
    whole = Pin.spki(Pin.parse(cast.root.certificate_pin).digest)
    rules = Rules(
        {
            "a.example": PinSet(leaf=[cast.ca.pin, BACKUP]),
            "b.example": PinSet(ca=[whole, BACKUP]),
            "c.example": PinSet(ca=[cast.ca.pin, BACKUP]),
        },
        clients=PinSet(leaf=[cast.root.pin, BACKUP]),
    )
    told = lint(rules, authorities=[cast.ca.der, cast.root.der])
    assert {(one.code, one.pattern) for one in told} == {
        ("PV603", "a.example"),
        ("PV602", "b.example"),
        ("PV603", "clients"),
    }


def test_a_mistake_is_told_once(cast: Cast) -> None:
    """By a server and by its authority: with the place in the chain."""
    rules = Rules({HOST: PinSet(leaf=[cast.ca.pin, BACKUP])})
    (one,) = found(rules, cast.chain, [cast.ca.der])
    assert "of certificate 1, CN=Example CA 1" in one.text


# ---- what certificates say ---------------------------------------------------------


def test_names_and_times_are_those_that_cryptography_reads() -> None:
    """Of every authority that browsers trust, some valid beyond 2049."""
    for der in roots():
        with warnings.catch_warnings(action="ignore"):  # of serial numbers
            cert = x509.load_der_x509_certificate(der)
        issuer, subject = issuer_and_subject(der)
        assert cert.issuer.public_bytes().endswith(issuer)
        assert cert.subject.public_bytes().endswith(subject)
        times = (cert.not_valid_before_utc, cert.not_valid_after_utc)
        assert validity_of(der) == times


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x03\x30\x01\x02"])
def test_names_and_times_of_other_bytes_are_none(der: bytes) -> None:
    """They are for messages, which must come in any case."""
    assert issuer_and_subject(der) == (b"", b"")
    assert validity_of(der) is None


def test_a_wrong_time_is_none(cast: Cast) -> None:
    """A certificate may have any text there."""
    der = cast.server.der
    year = str(dt.datetime.now(dt.UTC).year + 1)[2:].encode()
    assert validity_of(der) is not None
    at = der.index(b"\x17\x0d" + year)
    assert validity_of(der[: at + 2] + b"xx" + der[at + 4 :]) is None


# ---- the command -----------------------------------------------------------------


def policy_for(folder: Path, rule: str) -> Path:
    """Write a policy with one rule for 127.0.0.1."""
    file = folder / "pins.toml"
    file.write_text(f'version = 1\n[hosts]\n"127.0.0.1" = {rule}', encoding="utf-8")
    return file


def test_the_command_asks_servers(pki: Pki, serve: Serve, tmp_path: Path) -> None:
    """It trusts the bundle, and names each mistake that the chain shows."""
    server = serve(server_context(pki.server))
    bundle = pki.trust_file(tmp_path)
    certificate = Pin.spki(Pin.parse(pki.server.certificate_pin).digest)
    file = policy_for(tmp_path, f'["{certificate}", "{BACKUP}"]')
    command = ("lint", file, "--server", address(server), "--cafile", bundle)
    done = run(*command)
    assert done.code == 1
    assert "error PV602: pins: " in done.out
    assert f"write {pki.server.certificate_pin}" in done.out
    good = policy_for(tmp_path, f'["{pki.ca.pin}", "{BACKUP}"]')
    assert answer(*command)["findings"] == []
    assert run("lint", good).out == "no findings\n"


def test_a_chain_may_end_before_its_root(
    pki: Pki, serve: Serve, tmp_path: Path
) -> None:
    """With the intermediate in the bundle, Python 3.13 ends there, and 3.11 goes on."""
    server = serve(server_context(pki.server))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    file = policy_for(tmp_path, f'{{ ca = ["{pki.root.pin}", "{BACKUP}"] }}')
    told = answer("lint", file, "--server", address(server), "--cafile", bundle)
    flags = ssl.create_default_context().verify_flags
    is_partial = bool(flags & ssl.VERIFY_X509_PARTIAL_CHAIN)
    assert [one["code"] for one in told["findings"]] == ["PV604"] * is_partial


def test_a_bundle_alone_needs_no_server(pki: Pki, tmp_path: Path) -> None:
    """It shows an authority under leaf."""
    file = policy_for(tmp_path, f'{{ leaf = ["{pki.root.pin}", "{BACKUP}"] }}')
    told = answer("lint", file, "--cafile", pki.trust_file(tmp_path))
    assert [one["code"] for one in told["findings"]] == ["PV603"]


def test_a_server_without_an_answer_is_no_finding(
    pki: Pki, serve: Serve, tmp_path: Path
) -> None:
    """Neither is one whose certificate is not valid: the exit code is 2."""
    server = serve(server_context(pki.server))
    file = policy_for(tmp_path, f'["{pki.ca.pin}", "{BACKUP}"]')
    done = run("lint", file, "--server", address(server))
    assert_no_answer(done, "is not valid")
    assert "trust its authority: --cafile" in done.err
    server.close()
    done = run("lint", file, "--server", address(server))
    assert_no_answer(done, "no connection to")
    done = run("lint", file, "--cafile", file)
    assert_no_answer(done, "--cafile takes PEM certificates")
