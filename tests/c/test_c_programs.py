"""The C core without Python: three programs, compiled here with csrc alone.

``verify_chain.c`` is what a gateway author reads first. ``replay.c`` gives whole
corpora to the core, and runs under sanitizers in the longer checks. ``tbs_spki.c``
looks inside the DER walk.
"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

import corpora
from c_objects import FLAGS, compiler, core_objects
from compiled import compiled_object, ended
from pinverify import UNPINNED, Pin, PinSet, Policy, core
from pinverify._core import lib
from pinverify.core._keys import status_text
from pinverify.policy._policy import as_policy
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__: list[str] = []

HOST = "api.example.com"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


class Program(Protocol):
    """A compiled program that can be run."""

    def __call__(self, *arguments: str | Path) -> Ended:
        """Run it to its end."""


def run(command: Sequence[str | Path]) -> Ended:
    """Run a program to its end, for two minutes at most."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=120, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def compile_program(name: str, folder: Path) -> Program:
    """Compile tests/c/<name>.c with the core, as a C project would."""
    source = ROOT / "tests" / "c" / f"{name}.c"
    program = folder / name
    command = (*compiler(), *FLAGS)
    main = compiled_object([*command, f"-I{ROOT / 'csrc'}"], source)
    link: list[str | Path] = [*compiler(), "-o", program, main]
    link += core_objects(command).values()
    assert ended(link) == (0, "", "")
    return lambda *arguments: run([program, *arguments])


@pytest.fixture(scope="module")
def verify_chain(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The gateway's example."""
    return compile_program("verify_chain", tmp_path_factory.mktemp("verify_chain"))


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The player of corpora."""
    return compile_program("replay", tmp_path_factory.mktemp("replay"))


@pytest.fixture(scope="module")
def tbs_spki(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The look inside the walk."""
    return compile_program("tbs_spki", tmp_path_factory.mktemp("tbs_spki"))


# ---------------------------------------------------------------------------
# verify_chain
# ---------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """Three certificates in files. What they are does not matter to a pin."""
    paths = []
    for i, entry in enumerate(corpora.inputs()[:3]):
        paths.append(tmp_path / f"{i}.der")
        paths[-1].write_bytes(entry.der)
    return paths


def pin_of(path: Path) -> Pin:
    """Return the SPKI pin of a certificate in a file."""
    return Pin.from_certificate(path.read_bytes())


def rules_for(chain: list[Path]) -> Policy:
    """Return a policy with a rule for each outcome."""
    leaf, issuer, root = map(pin_of, chain)
    other = Pin.spki(bytes(32))
    past = NOW - dt.timedelta(seconds=1)
    return Policy(
        {
            HOST: [leaf],
            "*.example.com": [other],
            "**.example.org": PinSet(ca=[issuer]),
            "watched.example.org": PinSet(pins=[other], mode="report"),
            "old.example.org": PinSet(pins=[leaf], expires=NOW, after_expiry="reject"),
            "older.example.org": PinSet(
                pins=[other], expires=past, after_expiry="allow"
            ),
            "blocked.example.org": PinSet(pins=[leaf], blocked=[root]),
            "free.example.org": UNPINNED,
        }
    )


def write_policy(path: Path, policy: Policy | PinSet) -> Path:
    """Compile a policy to a file."""
    path.write_bytes(as_policy(policy).compile())
    return path


OUTCOMES = {
    HOST: (0, "accepted: MATCH rule api.example.com depth 0"),
    "API.example.com.": (0, "accepted: MATCH rule api.example.com depth 0"),
    "www.example.com": (1, "rejected: MISMATCH rule *.example.com"),
    "example.org": (0, "accepted: MATCH rule **.example.org depth 1"),
    "a.b.example.org": (0, "accepted: MATCH rule **.example.org depth 1"),
    "watched.example.org": (0, "accepted: MISMATCH rule watched.example.org"),
    "old.example.org": (1, "rejected: EXPIRED rule old.example.org"),
    "older.example.org": (0, "accepted: EXPIRED rule older.example.org"),
    "blocked.example.org": (1, "rejected: BLOCKED rule blocked.example.org depth 2"),
    "free.example.org": (0, "accepted: NOT_PINNED rule free.example.org"),
    "example.net": (0, "accepted: NOT_PINNED rule none"),
    "a..b": (1, "rejected: BAD_HOST rule none (it has an empty label)"),
}


@pytest.mark.parametrize(("host", "outcome"), OUTCOMES.items())
def test_the_program_decides_and_says_why_in_one_line(
    verify_chain: Program,
    tmp_path: Path,
    chain: list[Path],
    host: str,
    outcome: tuple[int, str],
) -> None:
    """The exit code is the decision; Python decides the same."""
    policy = rules_for(chain)
    path = write_policy(tmp_path / "policy", policy)
    now = str(int(NOW.timestamp()))
    code, line = outcome
    assert verify_chain(path, host, now, *chain) == (code, line + "\n", "")
    report = policy.evaluate(host, [c.read_bytes() for c in chain], now=NOW)
    assert report.accepted == (code == 0)
    assert report.reason.name == line.split()[1]


def test_one_pinset_for_every_peer_needs_no_host(
    verify_chain: Program, tmp_path: Path, chain: list[Path]
) -> None:
    """A gateway that asks for client certificates knows no name."""
    path = write_policy(tmp_path / "policy", PinSet(leaf=[pin_of(chain[0])]))
    good, bad = (
        verify_chain(path, "", "0", *chain),
        verify_chain(path, "", "0", chain[1]),
    )
    assert good == (0, "accepted: MATCH rule none depth 0\n", "")
    assert bad == (1, "rejected: MISMATCH rule none\n", "")


def test_no_certificate_is_rejected(
    verify_chain: Program, tmp_path: Path, chain: list[Path]
) -> None:
    """A peer that shows nothing has proved nothing."""
    path = write_policy(tmp_path / "policy", rules_for(chain))
    line = f"rejected: NO_CERTIFICATE rule {HOST}\n"
    assert verify_chain(path, HOST, "0") == (1, line, "")


def test_a_malformed_certificate_is_rejected(
    verify_chain: Program, tmp_path: Path, chain: list[Path]
) -> None:
    """The line says which and why. It does no harm above a pinned leaf alone."""
    path = write_policy(tmp_path / "policy", rules_for(chain))
    why = status_text(lib.PV_ERR_DER_CERTIFICATE)
    leaf, issuer, _ = chain
    for damaged in (issuer.read_bytes() + b"\0", b""):
        issuer.write_bytes(damaged)
        for host, rule in (
            ("www.example.com", "*.example.com"),
            ("blocked.example.org", "blocked.example.org"),
        ):
            line = f"rejected: MALFORMED rule {rule} depth 1 ({why})\n"
            assert verify_chain(path, host, "0", leaf, issuer) == (1, line, "")
        line = f"accepted: MATCH rule {HOST} depth 0\n"
        assert verify_chain(path, HOST, "0", leaf, issuer) == (0, line, "")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "extended", "empty"])
def test_a_damaged_policy_is_trouble(
    verify_chain: Program, tmp_path: Path, chain: list[Path], damage: str
) -> None:
    """It is not opened, so nothing is decided, and the exit code says so."""
    good = rules_for(chain).compile()
    bad = {
        "flipped": good[:-9] + bytes((good[-9] ^ 1,)) + good[-8:],
        "truncated": good[:-8],
        "extended": good + bytes(8),
        "empty": b"",
    }[damage]
    path = tmp_path / "policy"
    path.write_bytes(bad)
    ended = verify_chain(path, HOST, "0", *chain)
    assert ended.code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"verify_chain: {path}: it")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["policy", HOST],
        ["policy", HOST, "soon", "0.der"],
        ["policy", HOST, "", "0.der"],
        ["nowhere", HOST, "0", "0.der"],
        ["policy", HOST, "0", "0.der", "nowhere.der"],
        ["policy", HOST, "0", *17 * ["0.der"]],
    ],
)
def test_what_cannot_be_asked_is_trouble(
    verify_chain: Program, tmp_path: Path, chain: list[Path], arguments: list[str]
) -> None:
    """A mistake on the command line is never an acceptance."""
    write_policy(tmp_path / "policy", rules_for(chain))
    files = ("policy", "nowhere", "0.der", "nowhere.der")
    places = [str(tmp_path / a) if a in files else a for a in arguments]
    ended = verify_chain(*places)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr


# ---------------------------------------------------------------------------
# replay
# ---------------------------------------------------------------------------


def test_the_corpora_can_be_replayed(
    replay: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program finds the keys that Python finds, and nothing that is wrong."""
    corpora.export(tmp_path)
    ended = replay(tmp_path)
    assert ended.stderr == ""
    assert ended.code == 0
    certs = [path.read_bytes() for path in (tmp_path / "cert").iterdir()]
    _digests, malformed = core.spki_sha256_many(certs)
    num_keys = len(certs) - len(malformed)
    assert f"cert    {len(certs)} read, {num_keys} have a key\n" in ended.stdout
    assert re.search(r"host    \d+ read, [1-9]\d* are", ended.stdout)
    numbers = re.search(r"policy  (\d+) read, (\d+) opened, (\d+) d", ended.stdout)
    assert numbers is not None
    read, opened, decisions = map(int, numbers.groups())
    assert read == opened == len(list((tmp_path / "policy").iterdir()))
    assert decisions > 1000
    with capsys.disabled():
        print("\n  " + ended.stdout.replace("\n", "\n  ").rstrip())  # noqa: T201


def test_a_folder_without_inputs_is_no_success(replay: Program, tmp_path: Path) -> None:
    """A replay that has read nothing has shown nothing."""
    assert replay(tmp_path).code == 2
    assert replay(tmp_path / "nowhere").code == 2


def test_a_refused_policy_is_counted_and_does_no_harm(
    replay: Program, tmp_path: Path
) -> None:
    """The inputs that a fuzzer leaves behind are mostly refused."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "empty").write_bytes(b"")
    (tmp_path / "policy" / "short").write_bytes(b"pinvpol2")
    ended = replay(tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert "policy  2 read, 0 opened, 0 decisions" in ended.stdout


# ---------------------------------------------------------------------------
# tbs_spki
# ---------------------------------------------------------------------------

needs_shared = pytest.mark.skipif(
    not corpora.SHARED.is_dir(), reason="the vectors of other projects are not there"
)


@needs_shared
def test_the_walk_finds_the_twelve_keys_of_boringssl(
    tbs_spki: Program, tmp_path: Path
) -> None:
    """Byte for byte, toys included: the place does not depend on what is there."""
    files = corpora.boring_files("SPKI")
    assert len(files) == 12
    for file in files:
        path = tmp_path / "tbs.der"
        path.write_bytes(file.block("TBS CERTIFICATE"))
        assert tbs_spki(path) == (0, file.block("SPKI").hex() + "\n", ""), file.name


@needs_shared
@pytest.mark.parametrize(("name", "status"), corpora.TBS_FAULTS.items())
def test_the_walk_refuses_a_faulty_tbs_for_its_fault(
    tbs_spki: Program, tmp_path: Path, name: str, status: str
) -> None:
    """The toy key does not hide why a TBSCertificate is refused."""
    (file,) = [f for f in corpora.boring_files("TBS CERTIFICATE") if f.name == name]
    path = tmp_path / "tbs.der"
    path.write_bytes(file.block("TBS CERTIFICATE"))
    number = getattr(lib, status)
    assert tbs_spki(path) == (1, f"{number} {status_text(number)}\n", "")
