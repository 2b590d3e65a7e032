"""`pinverify check` without a server: every host that a policy pins by its name."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_runs import address, answer, assert_no_answer, on_terminal, run
from pinverify import UNPINNED, Pin, PinSet, Rules, core, dump_rules
from pki import Pki
from tls_servers import LIMIT, TLSServer, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]

__all__: list[str] = []

OTHER, BACKUP = (Pin.spki(core.sha256(text)) for text in (b"other", b"backup"))


def policy_file(folder: Path, hosts: Any, **others: Any) -> Path:  # noqa: ANN401
    """Write a policy file."""
    file = folder / "pins.toml"
    text = dump_rules(Rules(hosts, **others)).text
    file.write_text(str(text), encoding="utf-8")
    return file


def results(out: str) -> dict[str, str]:
    """Return the result of each server in a table, by its host."""
    rows = re.findall(r"(?m)^(\S+):\d+ +(\w+(?: \w+)*)", out)
    return dict(rows)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead every name to this machine, so that any host can be in a policy."""
    real = socket.getaddrinfo

    def here(_: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", here)


def test_every_host_that_is_named_is_checked(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """A wildcard for a name and all below it names that one; `*.` names none."""
    server = serve(server_context(pki.server))
    good = PinSet([pki.ca.pin, BACKUP])
    file = policy_file(
        tmp_path,
        {
            "**.localhost": good,
            "127.0.0.1": PinSet([OTHER, BACKUP]),
            "*.x.org": good,
            "**.y.org": good,
            "y.org": UNPINNED,
            "z.org": UNPINNED,
        },
    )
    command = ("check", "--policy", file, "--port", server.port, *trust)
    done = run(*command)
    assert done.code == 1
    assert done.err == ""
    assert results(done.out) == {"127.0.0.1": "rejected", "localhost": "accepted"}
    assert "no pin of '127.0.0.1' is in the chain" in done.out
    assert done.out.endswith("not checked, because they name no host: *.x.org\n")
    said = answer(*command)
    assert said["left_out"] == ["*.x.org"]
    assert said["checked"] == 2
    # Of a fleet, only what is wrong; the code is that of all.
    brief = run(*command, "--problems-only")
    assert (brief.code, results(brief.out)) == (1, {"127.0.0.1": "rejected"})
    shown = answer(*command, "--problems-only")
    assert [one["accepted"] for one in shown["servers"]] == [False]
    assert shown["checked"] == 2
    right = policy_file(tmp_path, {"localhost": good})
    done = run("check", "--policy", right, *command[3:], "--problems-only")
    assert (done.code, done.out) == (0, "a pin matches at all of the servers: 1\n")
    rejected, accepted = said["servers"]
    assert rejected["server"] == address(server)
    assert (rejected["accepted"], rejected["reason"]) == (False, "MISMATCH")
    assert rejected["message"].startswith("no pin of '127.0.0.1'")
    assert (accepted["accepted"], accepted["matched"]) == (True, pki.ca.pin)
    assert (accepted["rule"], accepted["depth"]) == ("**.localhost", 1)
    alone = answer("check", accepted["server"], "--policy", file, *trust)
    assert alone.keys() == accepted.keys()


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({}, 0),
        ({"127.0.0.1": "report"}, 3),
        ({"127.0.0.1": "report", "a.test": "good"}, 2),
        ({"127.0.0.1": "wrong", "a.test": "good"}, 1),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_the_exit_code_is_that_of_the_worst_server(  # noqa: PLR0913, PLR0917
    others: dict[str, str],
    code: int,
    pki: Pki,
    serve: Serve,
    trust: tuple[str, Path],
    tmp_path: Path,
) -> None:
    """Rejected, then no answer, then accepted without a match."""
    server = serve(server_context(pki.server))
    values = {
        "good": PinSet([pki.ca.pin, BACKUP]),
        "wrong": PinSet([OTHER, BACKUP]),
        "report": PinSet([OTHER, BACKUP], mode="report"),
    }
    hosts = {"localhost": values["good"]}
    hosts |= {name: values[kind] for name, kind in others.items()}
    file = policy_file(tmp_path, hosts)
    command = ("check", "--policy", file, "--port", server.port, *trust)
    done = run(*command)
    assert done.code == code
    assert results(done.out).keys() == hosts.keys()
    if "a.test" in others:  # its name is not in the certificate
        assert results(done.out)["a.test"] == "no answer"
        assert "the certificate of a.test" in done.out
        said = {one["server"]: one for one in answer(*command)["servers"]}
        assert set(said[f"a.test:{server.port}"]) == {"server", "error"}


@pytest.mark.usefixtures("elsewhere")
def test_servers_are_asked_at_the_same_time(
    pki: Pki, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Eight that answer when all of them have been asked."""
    names = [f"h{number}.test" for number in range(8)]
    context = server_context(pki.ca.leaf(*names))
    everybody = threading.Barrier(len(names), timeout=LIMIT)

    def greet(connection: socket.socket) -> None:
        everybody.wait()
        with context.wrap_socket(connection, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        port = listening.getsockname()[1]

        def accept() -> None:
            threads = []
            for _ in names:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=greet, args=(connection,)))
                threads[-1].start()
            for thread in threads:
                thread.join()

        accepting = threading.Thread(target=accept)
        accepting.start()
        file = policy_file(tmp_path, dict.fromkeys(names, PinSet([pki.ca.pin, BACKUP])))
        done = run("check", "--policy", file, "--port", port, *trust)
        accepting.join()
    assert done.code == 0
    assert results(done.out) == dict.fromkeys(names, "accepted")


def test_a_compiled_policy_is_checked_too(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """Its rules are read back."""
    server = serve(server_context(pki.server))
    file = policy_file(tmp_path, {"localhost": [pki.ca.pin, BACKUP]})
    compiled = tmp_path / "pins.pvpol"
    assert run("compile", file, "-o", compiled).code == 0
    command = ("check", "--policy", compiled, "--port", server.port, *trust)
    assert run(*command, "--format", "compiled").code == 0


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("--pin", OTHER), "only --policy names servers"),
        (("localhost", "--pin", OTHER, "--port", "443"), "write SERVER as host:port"),
        ((), "give either --pin"),
    ],
)
def test_a_use_that_makes_no_sense_is_refused(words: Any, phrase: str) -> None:  # noqa: ANN401
    """With the next step."""
    assert_no_answer(run("check", *words), phrase)


def test_a_policy_without_a_name_is_no_success(tmp_path: Path) -> None:
    """Nothing has been checked."""
    file = policy_file(tmp_path, {"*.x.org": [OTHER, BACKUP]})
    assert_no_answer(run("check", "--policy", file), "name a SERVER to check")


def test_a_terminal_shows_a_box(
    pki: Pki, serve: Serve, trust: tuple[str, Path], tmp_path: Path
) -> None:
    """At 80 columns each server has one line."""
    server = serve(server_context(pki.server))
    file = policy_file(
        tmp_path,
        {"localhost": [pki.ca.pin, BACKUP], "127.0.0.1": PinSet([OTHER, BACKUP])},
    )
    command = ("check", "--policy", file, "--port", server.port, *trust)
    code, shown = on_terminal(*command, columns=80, NO_COLOR="1")
    lines = [re.sub(r"\x1b\[[0-9;?]*\w", "", line) for line in shown.splitlines()]
    assert code == 1
    boxed = [line for line in lines if line.startswith("│")]
    assert len(boxed) == 3
    assert all(len(line) <= 80 for line in lines if "next" not in line)
