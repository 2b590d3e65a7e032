"""Every code block of the README and of docs/ runs, and prints what it says.

The hosts of the examples are served on the loopback interface, with keys that
are always the same, so that the pins and the messages in the text are real.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import c_coverage
import pinverify
import pki
from c_objects import FLAGS, compiler, core_objects
from compiled import compiled_object
from core_sources import MAP
from pages import blocks, run
from pinverify import PolicyWarning
from places import ROOT
from tls_servers import TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator

CSRC = ROOT / "csrc"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A program in C, of which a test below makes one; recipes for other packages, which
# test_clients_*.py and test_spark.py run where those are installed; tiles of a log,
# which test_ct.py makes; policies with mistakes, which test_lint.py finds; and the
# tutorial, whose commands and code test_cli_manual.py runs.
RUN_ELSEWHERE = {
    "arrow.md",
    "audit.md",
    "billion.md",
    "c.md",
    "clients.md",
    "ct.md",
    "lint.md",
    "spark.md",
    "tutorial.md",
}
# A policy on this page shows what `pinverify lint` finds.
WITH_MISTAKES = {"cli.md"}
HOSTS = ("api.example.com", "www.example.org")
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Cast(NamedTuple):
    """The identities of the examples."""

    ca: pki.Authority
    server: pki.Identity
    backup: pki.Identity
    proxy: pki.Authority
    impostor: pki.Identity


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Make the certificates from the keys 1, 2, 3, …, which everybody knows."""
    numbers = iter(range(1, 100))
    monkeypatch.setattr(
        pki,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    ca = pki.Authority.root("Example CA 1")
    proxy = pki.Authority.root("Corporate Proxy CA")
    return Cast(
        ca=ca,
        server=ca.leaf(*HOSTS),
        backup=ca.leaf(*HOSTS),
        proxy=proxy,
        impostor=proxy.leaf(*HOSTS),
    )


class Stage:
    """The network of the examples: every host name leads to one server here."""

    def __init__(self) -> None:
        """Begin without a server."""
        self._servers = contextlib.ExitStack()
        self._real = socket.getaddrinfo
        self.port = 0

    def put(self, identity: pki.Identity) -> None:
        """Let a server with this identity answer from now on."""
        server = TLSServer(server_context(identity), greeting=RESPONSE, echo=False)
        self.port = self._servers.enter_context(server).port

    def getaddrinfo(self, host: str, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        """Answer as `socket.getaddrinfo` does."""
        if host not in HOSTS:
            return list(self._real(host, *args, **kwargs))
        address = ("127.0.0.1", self.port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    def close(self) -> None:
        """End the servers."""
        self._servers.close()


@pytest.fixture
def stage(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Stage]:
    """Trust both authorities, as the computer of the examples does."""
    roots = tmp_path / "roots.pem"
    roots.write_text(cast.ca.pem + cast.proxy.pem, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    stage = Stage()
    monkeypatch.setattr(socket, "getaddrinfo", stage.getaddrinfo)
    stage.put(cast.server)
    try:
        yield stage
    finally:
        stage.close()


def test_the_readme_shows_what_happens(cast: Cast, stage: Stage) -> None:
    """The example of the README and its failing twin print what the page says."""
    python = [block.text for block in blocks(PAGES[0]) if block.language == "python"]
    expected = [block.text for block in blocks(PAGES[0]) if block.language == "text"]
    assert (len(python), len(expected)) == (2, 2)
    names: dict[str, Any] = {}
    assert run(python[0], names) == expected[0]
    stage.put(cast.impostor)
    # Without pins the impostor is believed: the twin does not fail by itself.
    names["urllib"].request.urlopen("https://api.example.com/").close()
    assert run(python[1], names) == expected[1]


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES[1:] if page.name not in RUN_ELSEWHERE],
    ids=lambda page: page.name,
)
def test_the_examples_print_what_the_page_says(
    page: Path, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python blocks run one after the other; a text block is what they print."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"leaf": cast.server.der, "ca": cast.ca.der}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            assert printed == "", "the page does not show what the block prints"
            printed = run(block.text, names)
        elif block.language == "text":
            assert printed == block.text
            printed = ""
        elif block.language == "toml":
            Path("pins.toml").write_text(block.text, encoding="utf-8")
            with warnings.catch_warnings():
                if page.name in WITH_MISTAKES:
                    warnings.simplefilter("ignore", PolicyWarning)
                rules = pinverify.load_rules("pins.toml")
            assert rules.hosts or rules.clients
    assert printed == "", "the page does not show what the block prints"


def c_compiler() -> list[str]:
    """Return a C compiler that takes a warning for an error, and finds the header."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    return [compiler, "-std=c11", *warnings, f"-I{CSRC}"]


@pytest.mark.parametrize(
    "page",
    [*(page for page in PAGES if page.name != "c.md"), CSRC / "README.md"],
    ids=lambda page: f"{page.parent.name}-{page.name}",
)
def test_c_blocks_compile(page: Path, tmp_path: Path) -> None:
    """C blocks compile against the header, without a warning."""
    for number, block in enumerate(blocks(page)):
        if block.language == "c":
            source = tmp_path / f"block{number}.c"
            source.write_text(block.text, encoding="utf-8")
            subprocess.run(
                [*c_compiler(), "-Wno-unused-function", "-fsyntax-only", str(source)],
                check=True,
                timeout=60,
            )


# What a gateway does with the functions of the page on C. The arguments are a policy
# that pins the right chain, the certificates of that chain and of a forged one, and a
# file that is no policy.
C_PROGRAM = """
enum { TIMES = 500 };

static const char *host = "api.example.com";

// Decides again and again; returns NULL if the answer is always yes.
static void *decide(void *right) {
  for (int i = 0; i < TIMES; i++) {
    if (!may_go_on(host, right, 2, 0)) {
      return right;
    }
  }
  return NULL;
}

// Swaps a policy for itself while two threads decide.
static bool swap_under_load(pv_span *right, const char *policy) {
  pthread_t threads[2];
  bool good = true;
  for (int i = 0; i < 2; i++) {
    if (pthread_create(&threads[i], NULL, decide, right) != 0) {
      exit(6);
    }
  }
  for (int i = 0; i < TIMES; i++) {
    good &= swap_pins(policy);
  }
  for (int i = 0; i < 2; i++) {
    void *wrong = NULL;
    good &= pthread_join(threads[i], &wrong) == 0 && wrong == NULL;
  }
  return good;
}

int main(int argc, char **argv) {
  static uint8_t bytes[4][4096];
  pv_span certs[4];
  for (int i = 0; i < 4; i++) {
    FILE *file = argc == 7 ? fopen(argv[2 + i], "rb") : NULL;
    if (file == NULL) {
      return 1;
    }
    certs[i] = (pv_span){bytes[i], fread(bytes[i], 1, sizeof bytes[i], file)};
    fclose(file);
  }
  pv_span *right = certs;
  const pv_span *forged = certs + 2;
  if (may_go_on(host, right, 2, 0) || swap_pins(argv[6]) ||
      !swap_pins(argv[1])) {
    return 2;
  }
  if (!may_go_on(host, right, 2, 0) || may_go_on(host, forged, 2, 0)) {
    return 3;
  }
  fflush(stdout);
  if (!may_resume(host, right, 2, right[0], 0) ||
      !may_resume(host, NULL, 0, right[0], 0) ||
      may_resume(host, right, 2, forged[0], 0) ||
      may_resume(host, NULL, 0, forged[0], 0)) {
    return 4;
  }
  if (swap_pins(argv[6]) || !may_go_on(host, right, 2, 0)) {
    return 5;
  }
  if (!swap_under_load(right, argv[1])) {
    return 7;
  }
  pv_policy_unmap(&current);
  return 0;
}
"""


def test_the_program_of_the_page_on_c_runs(cast: Cast, tmp_path: Path) -> None:
    """It accepts, prints a refusal as the page shows it, resumes, swaps under load."""
    page = blocks(ROOT / "docs" / "c.md")
    files = [tmp_path / name for name in ("policy", "1", "2", "3", "4", "broken")]
    pins = [pinverify.Pin.from_certificate(c.der) for c in (cast.server, cast.backup)]
    certs = (cast.server, cast.ca, cast.impostor, cast.proxy)
    policy = pinverify.Policy({"api.example.com": pins}).compile()
    contents = (policy, *(cert.der for cert in certs), policy[:-1])
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    source, program = tmp_path / "program.c", tmp_path / "program"
    text = "\n".join(block.text for block in page if block.language == "c")
    source.write_text(text + C_PROGRAM, encoding="ascii")
    command = (*compiler(), *FLAGS)
    made = core_objects(command)
    # A gateway reads policies, and needs no compiler of them.
    core = [made[file] for file in made if file.parent.name != "compile"]
    core.append(compiled_object([*command, f"-I{CSRC}"], MAP))
    line = [*c_compiler(), "-pthread", "-O1", "-o", program, source, *core]
    subprocess.run(list(map(str, line)), check=True, timeout=120)
    done = subprocess.run(
        [program, *files], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    shown = [block.text for block in page if block.language == "text"]
    assert [done.stdout] == shown
    why = "it is truncated, or bytes were appended"
    broken = f"{files[-1]}: {why}\n"
    assert done.stderr == 2 * broken


def test_no_block_is_left_out() -> None:
    """A block in a language that no test here knows would not be run."""
    known = {
        *("python", "text", "toml", "xml", "zone", "c", "console", "json", "log"),
        # Configurations of proxies, which test_clients_proxies.py runs.
        *("nginx", "haproxy", "apache", "caddyfile", "yaml"),
        # A deploy hook, which test_check_next.py runs.
        "sh",
    }
    for page in PAGES:
        assert {block.language for block in blocks(page)} <= known, page


def test_lines_of_the_log_have_the_parts_that_events_give() -> None:
    """A line of the log on a page has the name, side and reason of a real event."""
    lines = [
        line
        for page in PAGES
        for block in blocks(page)
        if block.language == "log"
        for line in block.text.splitlines()
    ]
    assert lines
    for line in lines:
        event = re.fullmatch(
            r"(?:rejected|accepted without a match): (client|server) ([A-Z_]+)"
            r"((?: [a-z]+=(?:'[^']*'|\S+))+)",
            line,
        )
        assert event is not None, line
        assert event[2] in pinverify.Reason.__members__
        assert re.search(r" policy=[0-9a-f]{16}", event[3]), line


def test_commands_are_real() -> None:
    """The commands of the README are targets of the Makefile, or install us."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [
        line.removeprefix("$ ")
        for block in blocks(PAGES[0])
        if block.language == "console"
        for line in block.text.splitlines()
    ]
    assert commands
    for command in commands:
        program, argument = command.split(maxsplit=1)
        if program == "make":
            assert re.search(rf"^{argument}:", makefile, re.MULTILINE), command
        else:
            assert command == "pip install '.[cli]'"


def test_nothing_is_installed_by_a_name_that_is_not_ours() -> None:
    """Somebody else may own the name on the index: pages and errors say `.[cli]`."""
    sources = (ROOT / "src").rglob("*.py")
    for file in (*PAGES, *ROOT.glob("*.md"), *ROOT.glob("*/*/*.md"), *sources):
        for line in file.read_text(encoding="utf-8").splitlines():
            found = re.search(r"pip install\b[^`]*\bpinverify\b", line)
            assert found is None, f"{file}: {line}"


def test_links_lead_somewhere() -> None:
    """Relative links of each page name a file that is there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_names_of_the_table_exist() -> None:
    """Each function that the README's table of doors names can be imported."""
    table = PAGES[0].read_text(encoding="utf-8").partition("## Which function")[2]
    for name in re.findall(r"`(?:policy\.)?(\w+)\(", table.partition("\n## ")[0]):
        owners = (pinverify, pinverify.Policy, pinverify.PinSet, ssl)
        assert any(hasattr(owner, name) for owner in owners), name


def test_the_page_of_benches_lists_them_all() -> None:
    """A bench that is missing there would not be found."""
    page = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"(?m)^\| `(bench_\w+\.py)` \|", page)
    assert sorted(named) == sorted(p.name for p in (ROOT / "bench").glob("bench_*.py"))


# Names and versions with digits: these are no counts.
NO_COUNTS = re.compile(
    r"`[^`\n]*`|\b(?:RFC|FIPS|version|TLS 1\.2 and) [\d.-]+|\b[a-zA-Z](?:\w|-\d)*"
)


def test_the_page_on_verification_has_no_number_that_goes_stale() -> None:
    """But for those of a dated record, of the bounds of a check, and in tables.

    Tables of proofs and of handshakes are compared with what they are about, by
    test_prove_models.py and test_tls_wire.py.
    """
    page = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
    page, _, record = page.partition("\n## Record\n")
    rows = re.findall(r"^\|.*\|$", record, re.MULTILINE)[2:]
    assert rows
    assert all(
        re.match(r"\| 20\d\d-\d\d-\d\d \| `[0-9a-f]{7}` \| ", row) for row in rows
    )
    text = "\n".join(line for line in page.splitlines() if not line.startswith("|"))
    numbers = re.findall(r"\d[\d,.]*(?: %)?", NO_COUNTS.sub("", text))
    bounds = [c_coverage.LEAST_LINES, c_coverage.LEAST_BRANCHES]
    assert numbers == [f"{100 * bound:.0f} %" for bound in bounds]


def test_soundness_and_security_count_nothing() -> None:
    """How many faults, proofs and forgeries there are is said by their tables."""
    for name in ("SECURITY.md", "SOUNDNESS.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        counts = r"\d[\d,]* (?:such )?(?:faults|mutants|proofs|proved|forgeries|tests)"
        assert not re.search(counts, text)
