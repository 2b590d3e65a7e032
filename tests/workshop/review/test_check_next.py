"""`check_next` and `pinverify check --chain`: decisions before a deployment."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

import policy_model as model
from cli_runs import answer, environment, run
from pinverify import (
    UNPINNED,
    DERError,
    Pin,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Rules,
    check_next,
    core,
)
from pinverify.formats import toml
from pinverify.review._check_next import certificate_around
from pki import Authority, Identity, Pki, example_pki
from places import ROOT
from policy_model import Cert, ModelPin, ModelPinSet, ModelPolicy
from policy_samples import NOW, SHAPES

__all__: list[str] = []

HOST = "api.example.com"
MOMENT = dt.datetime.fromtimestamp(NOW, dt.UTC)
PEM = serialization.Encoding.PEM
KEYS: dict[str, Any] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


class Next(NamedTuple):
    """A key, its certificate, its request, its public half, in every form."""

    leaf: Identity
    ca: Authority
    root: Authority
    request: bytes
    public: bytes

    @property
    def chain(self) -> list[bytes]:
        """The whole chain, with its root."""
        return [self.leaf.der, self.ca.der, self.root.der]


@functools.cache
def next_of(kind: str) -> Next:
    """Return what is to be deployed, with a key of one kind."""
    root = Authority.root("Next Root")
    ca = root.intermediate("Next CA")
    key = KEYS[kind]()
    leaf = ca.leaf(HOST, "*.wild.example.com", key=key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    algorithm = None if kind.startswith("ed") else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return Next(
        leaf,
        ca,
        root,
        request.sign(key, algorithm).public_bytes(PEM),
        key.public_key().public_bytes(PEM, form),
    )


def cert(der: bytes) -> Cert:
    """Return a certificate as the model has it."""
    loaded = x509.load_der_x509_certificate(der).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    spki = loaded.public_bytes(serialization.Encoding.DER, form)
    return Cert(der, hashlib.sha256(spki).digest())


# ---- against the model -------------------------------------------------------


@st.composite
def judged(draw: st.DrawFn) -> tuple[str, ModelPolicy, str]:
    """Draw a kind of key, a policy that may be about it, and a host."""
    kind = draw(st.sampled_from([*KEYS]))
    certs = [cert(der) for der in next_of(kind).chain]
    known = sorted({pin for each in certs for pin in each.pins()})
    absent = [ModelPin("spki", bytes([i]) * 32) for i in range(2)]
    pins = st.lists(st.sampled_from([*known, *absent]), max_size=3).map(tuple)

    def pin_set() -> ModelPinSet:
        lists = [draw(pins) for _ in range(3)]
        if not any(lists):
            lists[draw(st.integers(0, 2))] = (absent[0],)
        expires = draw(st.sampled_from([None, None, NOW - 1, NOW + 1]))
        after: Any = None
        if expires is not None:
            after = draw(st.sampled_from(["allow", "reject"]))
        blocked = draw(pins) if draw(st.integers(0, 3)) == 3 else ()
        mode: Any = draw(st.sampled_from(["enforce", "enforce", "report"]))
        first, second, third = lists
        return ModelPinSet(first, second, third, blocked, mode, expires, after)

    names = ("com", "example.com", HOST, "other.example")
    rules = {
        draw(st.sampled_from(SHAPES)) + draw(st.sampled_from(names)): (
            None if draw(st.integers(0, 5)) == 5 else pin_set()
        )
        for _ in range(draw(st.integers(0, 4)))
    }
    unpinned: Any = draw(st.sampled_from(["allow", "reject"]))
    blocked = draw(pins) if draw(st.integers(0, 3)) == 3 else ()
    clients = pin_set() if draw(st.integers(0, 4)) == 4 or not rules else None
    return kind, ModelPolicy(rules, unpinned, blocked, clients), HOST


@settings(deadline=None)
@given(judged())
def test_chains_and_keys_are_judged_as_the_model_does(
    case: tuple[str, ModelPolicy, str],
) -> None:
    """A chain by all its certificates; a key as a leaf with no other property."""
    kind, drawn, host = case
    policy, given_next = model.policy(drawn), next_of(kind)
    for chain in (given_next.chain, given_next.chain[:2], given_next.chain[:1]):
        (found,) = check_next(policy, chain, host=host, now=MOMENT)
        verdict = model.decide(drawn, host, [cert(der) for der in chain], NOW)
        model.assert_same(found.report, verdict)
    key = given_next.leaf.spki
    (found,) = check_next(policy, key=key, host=host, now=MOMENT)
    alone = Cert(b"pinned by nobody", hashlib.sha256(key).digest())
    model.assert_same(found.report, model.decide(drawn, host, [alone], NOW))
    assert_said(drawn, host, found.unsaid, accepted=found.report.accepted)


def assert_said(
    drawn: ModelPolicy, host: str, unsaid: tuple[str, ...], *, accepted: bool
) -> None:
    """Fail unless what a key alone cannot be judged by is said."""
    if model.by_clients(drawn, host):
        pinset = drawn.clients
    else:
        pattern = model.find(drawn.rules, host)
        pinset = None if pattern is None else drawn.rules[pattern]
    said = " ".join(unsaid)
    blocked = [*drawn.blocked, *(pinset.blocked if pinset else ())]
    assert ("blocked key" in said) == bool(blocked)
    if pinset is None:
        return
    assert ("ca pins" in said) == bool(pinset.ca)
    if pinset.pins and not accepted and not pinset.ca:
        assert "a pin could be of a certificate above" in said
    whole = any(
        pin.kind == "certificate" for pin in (*pinset.pins, *pinset.leaf, *blocked)
    )
    assert ("pins of whole certificates" in said) == whole


@pytest.mark.parametrize("kind", KEYS)
def test_a_certificate_around_a_key_has_its_pin(kind: str) -> None:
    """For keys of every length, whose lengths are encoded in other ways."""
    made = certificate_around(next_of(kind).leaf.spki)
    assert core.spki(made) == next_of(kind).leaf.spki
    assert len(x509.load_der_x509_certificate(made).subject.rdns) == 0
    with pytest.raises(DERError):
        certificate_around(next_of(kind).leaf.spki[:-1])


# ---- hosts -------------------------------------------------------------------


def test_without_a_host_it_is_each_that_the_certificate_names_and_the_policy_pins(
    pki: Pki,
) -> None:
    """Of a wildcard each host that has a rule, and all others together."""
    pin, other = pki.server.pin, pki.impostor.pin
    leaf = pki.ca.leaf("a.example", "*.b.example", "127.0.0.1", key=pki.server.key)
    rules: dict[str, Any] = {
        "a.example": [pin],
        "x.b.example": [other],
        "**.y.b.example": [pin],
        "deep.z.b.example": [pin],
        "*.b.example": [other],
        "c.example": [pin],
        "unpinned.b.example": UNPINNED,
    }
    found = check_next(Policy(rules), [leaf.der])
    assert {one.host: one.report.accepted for one in found} == {
        "a.example": True,
        "x.b.example": False,
        "y.b.example": True,
        "*.b.example": False,
    }
    alone = check_next(Policy({"c.example": [pin]}), [leaf.der])
    assert {one.host: one.report.reason for one in alone} == dict.fromkeys(
        ("a.example", "*.b.example", "127.0.0.1"), Reason.NOT_PINNED
    )
    clients = check_next(Policy.for_clients(PinSet(leaf=[pin])), [leaf.der])
    assert [(one.host, one.report.accepted) for one in clients] == [(None, True)]


def test_what_cannot_be_judged_is_refused(pki: Pki) -> None:
    """Neither or both; a key without a host; a certificate without names."""
    policy = Policy({HOST: [pki.server.pin]})
    wrong: Any = "policy"
    for policy_given, chain, key in (
        (policy, [], None),
        (policy, [pki.server.der], pki.server.spki),
        (wrong, [pki.server.der], None),
    ):
        with pytest.raises(TypeError):
            check_next(policy_given, chain, key=key)
    for chain, key in (([], pki.server.spki), ([pki.ca.der], None)):
        with pytest.raises(PolicyError, match="say which one it is for") as caught:
            check_next(policy, chain, key=key)
        assert caught.value.kind == "host"
    with pytest.raises(PolicyError):
        check_next(policy, [pki.server.der], host="a b")


def test_what_a_file_cannot_prove_is_said(pki: Pki) -> None:
    """Pins above the leaf count in any chain; a root may be missing."""
    chain = [pki.server.der, pki.ca.der]
    for pin, accepted, said in (
        (pki.ca.pin, True, "nobody has verified this chain"),
        (pki.root.pin, False, "the root is not in the chain"),
    ):
        policy = Policy({"localhost": [pin]})
        (found,) = check_next(policy, chain, host="localhost")
        assert found.report.accepted is accepted
        assert any(said in text for text in found.unsaid)
        whole = [*chain, pki.root.der]
        (found,) = check_next(policy, whole, host="localhost", is_verified=True)
        assert found.report.accepted
        assert found.unsaid == ()


# ---- the command -------------------------------------------------------------


class Files(NamedTuple):
    """Policies and what is to be deployed, as files."""

    chain: Path
    request: Path
    public: Path
    good: Path
    compiled: Path
    bad: Path
    report: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write a chain, a request and a key, and policies that differ about them."""
    given_next, pki = next_of("p256"), example_pki()
    chain = tmp_path / "fullchain.pem"
    chain.write_text(given_next.leaf.pem + given_next.ca.pem, encoding="ascii")
    (tmp_path / "next.csr").write_bytes(given_next.request)
    (tmp_path / "next.pub").write_bytes(given_next.public)
    good = Policy({HOST: [given_next.leaf.pin, pki.server.pin]})
    for name, pins in (
        ("good", PinSet([given_next.leaf.pin, pki.server.pin])),
        ("bad", PinSet([pki.server.pin, pki.client.pin])),
        ("report", PinSet([pki.server.pin, pki.client.pin], mode="report")),
    ):
        text = toml.dumps(Rules({HOST: pins}))
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    (tmp_path / "good.pvpol").write_bytes(good.compile())
    names = "next.csr", "next.pub", "good.toml", "good.pvpol", "bad.toml", "report.toml"
    return Files(chain, *(tmp_path / name for name in names))


def policies_of(*paths: Path) -> list[str]:
    """Return the options for some policies."""
    return [word for path in paths for word in ("--policy", str(path))]


DECIDED = {
    *("accepted", "reason", "host", "rule", "mode", "matched", "depth"),
    *("chain", "digest", "detail"),
}


def test_the_worst_verdict_of_all_policies_is_the_exit_code(files: Files) -> None:
    """0 if a pin matches in each, 1 if one rejects, 3 if one accepts without."""
    good, report = (files.good, files.compiled), files.report
    for chosen, code in (
        (good, 0),
        ((*good, report), 3),
        ((report, files.bad, *good), 1),
    ):
        for source, how in (
            (files.chain, ()),
            (files.chain, ("--host", HOST)),
            (files.request, ("--host", HOST)),
            (files.public, ("--host", HOST)),
        ):
            done = run("check", "--chain", source, *policies_of(*chosen), *how)
            assert done.code == code, done.out + done.err
            found = answer("check", "--chain", source, *policies_of(*chosen), *how)
            assert [one["accepted"] for one in found["results"]] == [
                path != files.bad for path in chosen
            ]
            assert found["pin"] == next_of("p256").leaf.pin
            # A decision has the same fields as those that `check` prints of servers.
            for one in found["results"]:
                assert one.keys() > DECIDED
    done = run("check", "--chain", files.chain, *policies_of(files.bad))
    assert f"add {next_of('p256').leaf.pin}" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("rsa", "PKCS8"),
        ("rsa", "TraditionalOpenSSL"),
        ("p256", "PKCS8"),
        ("p256", "TraditionalOpenSSL"),
        ("ed25519", "PKCS8"),
    ],
)
@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_private_key_is_refused_with_the_line_that_prints_its_public_half(
    files: Files, tmp_path: Path, kind: str, form: str, encoding: str
) -> None:
    """The line is run: it prints the key whose pin is asked for."""
    key = next_of(kind).leaf.key
    path = tmp_path / "next.key"
    path.write_bytes(
        key.private_bytes(
            getattr(serialization.Encoding, encoding),
            getattr(serialization.PrivateFormat, form),
            serialization.NoEncryption(),
        )
    )
    done = run("check", "--chain", path, *policies_of(files.good), "--host", HOST)
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "a private key" in said
    _, _, line = said.partition("public half: ")
    assert line.startswith("openssl pkey -pubout -in ")
    public = subprocess.run(shlex.split(line), capture_output=True, check=True).stdout
    assert str(Pin.from_public_key(public)) == next_of(kind).leaf.pin


def test_cafile_verifies_the_chain_and_adds_its_root(
    files: Files, tmp_path: Path
) -> None:
    """A pin of a root matches then; a chain of another authority is refused."""
    given_next, pki = next_of("p256"), example_pki()
    roots = tmp_path / "root.pem"
    roots.write_text(given_next.root.pem, encoding="ascii")
    policy = tmp_path / "root.toml"
    pins = PinSet(ca=[given_next.root.pin, pki.ca.pin])
    policy.write_text(toml.dumps(Rules({HOST: pins})), encoding="utf-8")
    command = ["check", "--chain", files.chain, *policies_of(policy)]
    done = run(*command)
    assert done.code == 1
    assert "the root is not in the chain" in " ".join(done.out.split())
    done = run(*command, "--cafile", roots)
    assert (done.code, "not judged" in done.out) == (0, False), done.out + done.err
    roots.write_text(pki.root.pem, encoding="ascii")
    done = run(*command, "--cafile", roots)
    assert done.code == 2
    assert "not verified by" in done.err


def test_wrong_uses_name_the_next_step(files: Files, tmp_path: Path) -> None:
    """Options without effect, options that are missing, files of another kind."""
    (tmp_path / "empty").touch()
    both = tmp_path / "both.pem"
    both.write_bytes(files.public.read_bytes() * 2)
    policy = policies_of(files.good)
    for command, phrase in (
        (["--chain", files.chain], "by one --policy or more"),
        (["a.example", "--chain", files.chain, *policy], "without a SERVER"),
        (["--chain", files.chain, "--port", "1", *policy], "--port has no effect"),
        (["--chain", files.chain, "--connect", "a:1", *policy], "--connect has no"),
        (["a.example", *policies_of(files.good, files.bad)], "add --chain FILE"),
        (["a.example", "--problems-only", *policy], "--problems-only has no effect"),
        (["--chain", files.public, *policy], "which one it is for (--host)"),
        (["--chain", tmp_path / "empty", *policy], "empty"),
        (["--chain", tmp_path / "none", *policy], "No such file"),
        (["--chain", both, *policy], "give one chain, request or key"),
    ):
        done = run("check", *command)
        assert done.code == 2, command
        assert phrase in " ".join(done.err.split()), (command, done.err)


def test_explain_and_lint_take_files(files: Files) -> None:
    """As `pin` does: a path is a file, and the certificate names the host."""
    done = run("explain", files.chain, "--policy", files.bad)
    assert done.code == 1
    assert "not in the chain" in done.out
    assert answer("explain", files.chain, "--policy", files.good)["accepted"]
    for policy, code in ((files.bad, 1), (files.good, 0)):
        done = run("lint", policy, "--server", files.chain)
        assert done.code == code
        assert ("PV605" in done.out) == (policy == files.bad)
    done = run("lint", files.good, "--server", files.chain, "--host", "b.example")
    assert "PV605" not in done.out + done.err
    done = run("lint", files.good, "--host", HOST)  # it would have no effect
    assert "leave out `host`" in done.out + done.err
    done = run("explain", files.public, "--policy", files.good)
    assert done.code == 2
    assert "`pinverify check --chain` judges it" in " ".join(done.err.split())


def test_diff_tells_if_the_key_in_use_stays_accepted(files: Files) -> None:
    """The harmless step of a rotation, and the one that locks everybody out."""
    for new, stays in ((files.compiled, True), (files.bad, False)):
        how = ["--to", "compiled"] if new == files.compiled else []
        command = ["diff", files.good, new, *how, "--in-use"]
        done = run(*command, files.chain)
        text = "stays accepted" if stays else "does not stay accepted"
        assert f"{HOST}: the key in use {text}" in done.out
        assert answer(*command, files.public, "--host", HOST)["in_use"] == {HOST: stays}
    assert "in_use" not in answer("diff", files.good, files.bad)


# ---- the hook ----------------------------------------------------------------

HOOK = ROOT / "docs" / "rotate.md"


def hook() -> str:
    """Return the deploy hook of certbot that the page shows."""
    _, _, rest = HOOK.read_text("utf-8").partition("```sh\n#!/bin/sh\n")
    text, end, _ = rest.partition("```")
    assert end
    return "#!/bin/sh\n" + text


class Hook(NamedTuple):
    """The deploy hook of the page, with folders of its own in place of those in /etc.

    Attributes:
        script: the hook.
        policies: the folder of the policies that are out there.
        served: the folder of the copies that a server reads.
        reloaded: a file that is made in place of a reload.
        env: the environment that certbot gives it, but for the certificate.
    """

    script: Path
    policies: Path
    served: Path
    reloaded: Path
    env: dict[str, str]

    def passes(self, lineage: Path) -> bool:
        """Run it for one certificate; return True if it let that pass."""
        env = {**self.env, "RENEWED_LINEAGE": str(lineage)}
        self.reloaded.unlink(missing_ok=True)
        done = subprocess.run([self.script], env=env, capture_output=True, check=False)
        assert self.reloaded.exists() == (done.returncode == 0), done.stderr
        return done.returncode == 0


@pytest.fixture
def deploy(tmp_path: Path) -> Hook:
    """Install the hook, and a command for it."""
    text = hook()
    assert len(text.splitlines()) <= 6
    policies, served = tmp_path / "etc pins", tmp_path / "served"
    reloaded = tmp_path / "reloaded"
    for written, put in (
        ("/etc/pins/", f"'{policies}'/"),
        ("/etc/nginx/tls", f"{served}"),
        ("systemctl reload nginx", f"touch {reloaded}"),
    ):
        assert text.count(written) == 1
        text = text.replace(written, put)
    policies.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    for path, written in (
        (tmp_path / "hook", text),
        (
            programs / "pinverify",
            f'#!/bin/sh\nexec {sys.executable} -m pinverify "$@"\n',
        ),
    ):
        path.write_text(written, encoding="utf-8")
        path.chmod(0o755)
    env = environment(PATH=f"{programs}:/usr/bin:/bin")
    return Hook(tmp_path / "hook", policies, served, reloaded, env)


def lineage_of(folder: Path, identity: Identity, ca: Authority) -> Path:
    """Write what certbot keeps of a certificate: links to files of the archive."""
    archive = folder / "archive" / folder.name
    archive.mkdir(parents=True)
    for name, text in (
        ("fullchain", identity.pem + ca.pem),
        ("privkey", identity.key_pem),
    ):
        (archive / f"{name}1.pem").write_text(text, encoding="ascii")
        (folder / f"{name}.pem").symlink_to(archive / f"{name}1.pem")
    (folder / "README").write_text("what the files are", encoding="ascii")
    return folder


def test_the_hook_of_the_page_passes_the_right_certificate_and_refuses_the_wrong_one(
    files: Files, deploy: Hook, tmp_path: Path
) -> None:
    """It is six lines, and runs as certbot runs it: with RENEWED_LINEAGE."""
    given_next = next_of("p256")
    lineage = lineage_of(tmp_path / "live.example", given_next.leaf, given_next.ca)
    assert not deploy.passes(lineage)  # without a policy it knows nothing
    for name, accepted in (
        (files.bad, False),
        (files.good, True),
        (files.report, True),
    ):
        (deploy.policies / "pins.toml").write_bytes(name.read_bytes())
        assert deploy.passes(lineage) is accepted
        copy = deploy.served / "live.example"
        assert copy.exists() is accepted
        if accepted:
            assert {path.name for path in copy.iterdir()} == {
                "fullchain.pem",
                "privkey.pem",
            }
            assert stat.S_IMODE((copy / "privkey.pem").stat().st_mode) == 0o600
    # One policy of several that rejects is enough.
    (deploy.policies / "of an old release.toml").write_bytes(files.bad.read_bytes())
    assert not deploy.passes(lineage)


def test_the_hook_keeps_apart_what_certbot_renews_in_one_run(
    files: Files, deploy: Hook, tmp_path: Path
) -> None:
    """A certificate of a host without a rule passes; one that is refused stops none."""
    given_next = next_of("p256")
    ca = given_next.ca
    (deploy.policies / "pins.toml").write_bytes(files.good.read_bytes())
    wrong, other = ca.leaf(HOST), ca.leaf("other.example")
    for name, identity, accepted in (
        ("right", given_next.leaf, True),
        ("wrong", wrong, False),
        ("other", other, True),
    ):
        lineage = lineage_of(tmp_path / name, identity, ca)
        assert deploy.passes(lineage) is accepted, name
    served = {
        path.parent.name: path.read_text("ascii")
        for path in deploy.served.glob("*/fullchain.pem")
    }
    assert served == {
        "right": given_next.leaf.pem + ca.pem,
        "other": other.pem + ca.pem,
    }
