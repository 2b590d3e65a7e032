"""The demo does what it says, on this machine alone, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pinverify import PinningError, demo
from pinverify.cli.commands_and_options import commands
from pinverify.demo import cost, network, scenes
from pinverify.demo.stage import Stage
from pki import example_pki

__all__: list[str] = []

LIMIT = 60.0

HEADINGS = [
    "1. The right key",
    "2. A man in the middle whom the computer trusts",
    "3. A change of keys",
    "4. A forged chain",
    "5. Report mode",
    "6. A drill",
    "7. What it costs",
    "For your own code",
]


@pytest.fixture(scope="module")
def played() -> str:
    """The output of the demo into a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "pinverify", "demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def scene(text: str, number: int) -> str:
    """Return the text of one scene."""
    return text.partition(HEADINGS[number - 1])[2].partition(HEADINGS[number])[0]


def test_every_scene_is_played_in_order(played: str) -> None:
    """Each has its heading, and each of the first six shows what it shows."""
    places = [played.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    assert all("\u2713 " in scene(played, number) for number in range(1, 7))


def test_a_pipe_gets_plain_text(played: str) -> None:
    """No colour, no frame; and prose stays within 80 columns."""
    assert "\x1b" not in played
    assert not re.search(r"[\u2500-\u257f]", played)
    prose = [line for line in played.splitlines() if re.match(r"[A-Z][a-z ]", line)]
    assert max(map(len, prose)) <= 80


def test_the_man_in_the_middle_is_believed_and_then_refused(played: str) -> None:
    """Without pins the request goes out; with pins the whole message is shown."""
    before, _, after = scene(played, 2).partition("With pins:")
    assert "HTTP/1.1 200 OK" in before
    assert "HTTP/1.1 200 OK" not in after
    assert "PinningError: no pin of 'api.example.com' is in the chain" in after
    assert "  pinned:  sha256/" in after
    assert "  next:    " in after


def test_the_forged_chain_would_pass_a_naive_check(played: str) -> None:
    """The pin is in the chain as it was sent, and the connection is refused."""
    text = scene(played, 4)
    assert "MATCH at depth 1" in text
    assert "CVE-2016-2402" in text
    assert "[False, True]" in text
    assert "PinningError: no pin of 'api.example.com' is in the chain" in text


def test_report_mode_accepts_and_logs(played: str) -> None:
    """The reason is kept, and the warning is the one an application logs."""
    text = scene(played, 5)
    assert "True MISMATCH" in text
    assert "WARNING:pinverify:accepted without a match: server MISMATCH" in text


def test_the_drill_loses_nobody(played: str) -> None:
    """A key, a broken file and an authority: the old policy stays where it has to."""
    text = scene(played, 6)
    assert text.count("\n0 lost\n") == 5
    assert "the old policy stays: " in text
    assert "\nFalse\n" in text


def test_the_costs_are_ratios_with_a_caveat(played: str) -> None:
    """Ratios to cryptography and pure Python, and a caveat about the times."""
    text = scene(played, 7)
    for way in ("core.matcher", "Policy.verify", "pure Python", "cryptography"):
        assert re.search(rf"{way}.* \d+\.\d\d µs ", text), way
    assert text.count(" times\n") == 3
    assert "for this machine and this moment only" in " ".join(text.split())


def test_the_last_lines_can_be_pasted(played: str) -> None:
    """They are Python, import what they use, and use names that exist."""
    last = played.partition(HEADINGS[-1])[2]
    code = "\n".join(re.findall(r"^    (.*)$", last, re.MULTILINE))
    code = code.replace("…", "A" * 43 + "=")
    names: dict[str, Any] = {}
    exec(compile(code, "<pasted>", "exec"), names)  # noqa: S102 - what we print
    assert type(names["policy"]).__name__ == "Policy"
    assert names["context"].verify_mode


class Left(NamedTuple):
    """A run of the demo in this process, and what it left."""

    result: Result
    files: list[Path]
    threads: int  # more than before
    listeners: list[socket.socket]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The demo for a machine to keep."""
    folder = tmp_path_factory.mktemp("demo")
    threads = threading.active_count()
    listeners = []
    create_server = socket.create_server

    def remember(*arguments: Any, **options: Any) -> socket.socket:  # noqa: ANN401
        listeners.append(create_server(*arguments, **options))
        return listeners[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))
        patched.setattr(socket, "create_server", remember)
        result = CliRunner().invoke(commands, ["demo", "--json"])
    more = threading.active_count() - threads
    return Left(result, list(folder.iterdir()), more, listeners)


def test_json_has_the_scenes_and_the_costs(left: Left) -> None:
    """Nothing else is printed."""
    assert (left.result.exit_code, left.result.stderr) == (0, "")
    said = json.loads(left.result.stdout)
    assert said["scenes"] == [heading[3:] for heading in HEADINGS[:-1]]
    ways = said["cost"]["ways"]
    assert len(ways) == 4
    assert all(way["microseconds"] > 0 and way["ratio"] > 0 for way in ways.values())
    assert ways["pinverify: core.matcher"]["ratio"] == 1


def test_a_terminal_gets_colour() -> None:
    """Headings have a line, code has colours, and pins are whole at 80 columns."""
    ours, theirs = pty.openpty()
    ignored = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"}
    kept = {name: text for name, text in os.environ.items() if name not in ignored}
    child = subprocess.Popen(
        [sys.executable, "-m", "pinverify", "demo"],
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how Linux tells the end
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert child.wait(LIMIT) == 0
    text = shown.decode("utf-8")
    assert "\x1b[1m1. The right key\x1b[0m" in text
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "\u2500\u2500\u2500" in plain
    assert len(re.findall(r"sha256/[\w+/]{43}=", plain)) >= 10


# ---- what it leaves ----------------------------------------------------------


def test_nothing_is_left_behind(left: Left) -> None:
    """No file, no thread, no listener."""
    assert left.files == []
    assert left.threads == 0
    assert [listener.fileno() for listener in left.listeners] == [-1]


def test_the_listener_is_on_loopback_alone() -> None:
    """Nobody else can reach the demo."""
    with network.Network() as net:
        assert net.address[0] == "127.0.0.1"


def test_ctrl_c_ends_it_quietly_and_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 130, no traceback, no file."""
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "pinverify", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert child.stdout is not None
    for line in child.stdout:
        if HEADINGS[0] in line:
            child.send_signal(signal.SIGINT)
            break
    _, errors = child.communicate(timeout=LIMIT)
    assert (child.returncode, errors) == (130, "")
    assert list(tmp_path.iterdir()) == []


# ---- it does not lie ---------------------------------------------------------


def console() -> Console:
    """Return a console that writes nowhere."""
    return Console(file=io.StringIO(), width=80)


def test_a_scene_that_shows_something_else_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the man in the middle were not refused, the demo would end with 1."""
    monkeypatch.setattr(network.Network, "lead_to", _lead_to_the_first)
    result = CliRunner().invoke(commands, ["demo"])
    assert result.exit_code == 1
    assert result.stderr.startswith("pinverify: ")
    assert result.stderr.count("\n") == 1
    assert HEADINGS[1] in result.stdout
    assert HEADINGS[2] not in result.stdout


_lead_to = network.Network.lead_to


def _lead_to_the_first(self: network.Network, identity: network.Identity) -> None:
    """Let whoever answered first answer always."""
    if not hasattr(self, "first"):
        self.first = identity  # type: ignore[attr-defined]
        _lead_to(self, identity)


def test_a_request_that_reaches_the_man_in_the_middle_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not enough that an error is raised: he must have got nothing."""
    monkeypatch.setattr(network.Network, "request", lambda _: b"GET / HTTP/1.1")
    with pytest.raises(demo.NotShownError, match="he got no byte of the request"):
        demo.run(console())


def test_the_stage_sees_what_fails() -> None:
    """Code that fails, code that does not, and the wrong error."""
    stage = Stage(console(), {})
    with pytest.raises(demo.NotShownError, match="failed here: division by zero"):
        stage.run("1 / 0")
    with pytest.raises(demo.NotShownError, match="PinningError, and got None"):
        stage.fail("1 + 1", PinningError)
    with pytest.raises(demo.NotShownError, match="PinningError, and got ZeroDiv"):
        stage.fail("1 / 0", PinningError)
    assert isinstance(stage.fail("1 / 0", ZeroDivisionError), ZeroDivisionError)
    with pytest.raises(demo.NotShownError, match="pigs fly"):
        stage.must(False, "pigs fly")  # noqa: FBT003 - the sentence says what


def test_the_stage_shows_what_it_runs() -> None:
    """Prompts, continued lines, printed text, values, and errors."""
    out = io.StringIO()
    stage = Stage(Console(file=out, width=80), {"x": 20})
    stage.run("""
        def twice(n):
            return 2 * n
        twice(x) + 2
        print("printed")
    """)
    stage.fail("{}['key']", KeyError)
    assert out.getvalue() == (
        ">>> def twice(n):\n...     return 2 * n\n"
        ">>> twice(x) + 2\n42\n"
        '>>> print("printed")\nprinted\n'
        ">>> {}['key']\nbuiltins.KeyError: 'key'\n"
    )


def test_the_walk_in_pure_python_is_a_fair_opponent() -> None:
    """It finds the key; else its time would mean nothing."""
    pki = example_pki()
    for identity in (pki.server, pki.ca, pki.root):
        assert cost._spki(identity.der) == identity.spki  # noqa: SLF001


def test_a_way_that_answers_wrongly_is_seen() -> None:
    """A fast wrong answer is no comparison."""
    pki = example_pki()
    pins = [pki.server.pin, pki.client.pin]
    with pytest.raises(demo.NotShownError, match="wrong answer"):
        cost.cost(
            Stage(console(), {}),
            pki.server.der,
            pki.client.der,
            pins,
            handshake=lambda: None,
        )
    assert scenes.run is demo.run
