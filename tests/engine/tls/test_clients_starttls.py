"""Lines that a man in the middle sends in cleartext, just before TLS begins.

A client that keeps them would take them for what the server, whose key it has checked,
said over TLS: pins protect only TLS, and nothing before it. Here the server itself is
the right one. A client must fail, or never show what came in cleartext.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import client_recipes
import client_servers
from client_recipes import (
    BY_HEADING,
    MARKS,
    UPGRADED,
    Client,
    Stage,
    heading_of,
    recipe,
)

pytestmark = MARKS

# What the client has said, at the end, when it waits for the word to begin with TLS;
# and what comes together with that word.
INJECTED: dict[str, tuple[bytes, bytes]] = {
    "asyncio with start_tls": (b"STARTTLS\n", b"evil\n"),
    "uvloop with start_tls": (b"STARTTLS\n", b"evil\n"),
    "smtplib": (b"STARTTLS\r\n", b"250 evil\r\n"),
    "aiosmtplib": (b"STARTTLS\r\n", b"250 evil\r\n"),
    "imaplib with starttls": (b"STARTTLS\r\n", b"* SEARCH 666\r\n"),
    "poplib with stls": (b"STLS\r\n", b"+OK evil\r\n"),
    "ftplib": (b"AUTH TLS\r\n", b"230 evil\r\n200 evil\r\n"),
    "asyncpg": (b"\x04\xd2\x16\x2f", b"evil"),
    # The server speaks first, and TLS begins without an answer.
    "pymysql": (b"", b"\x07\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00"),
}
any_upgraded = pytest.mark.parametrize("client", UPGRADED, ids=heading_of)
EARLIER = pytest.mark.parametrize("earlier", [False, True], ids=["after", "before"])


def _inject(
    monkeypatch: pytest.MonkeyPatch, client: Client, *, earlier: bool = False
) -> list[bytes]:
    """Let the line go out with the word to begin, in one piece; return those sent."""
    said, evil = INJECTED[client.heading]
    write = client_servers.Line.write
    sent: list[bytes] = []

    def both(line: client_servers.Line, data: bytes) -> None:
        waiting = bytes(line.record.clear).endswith(said) and not line.tls
        if waiting and not sent:
            sent.append(evil)
            data = evil + data if earlier else data + evil
        write(line, data)

    monkeypatch.setattr(client_servers.Line, "write", both)
    return sent


def test_every_client_that_starts_in_clear_has_a_line() -> None:
    """A client that is new here must not be left out."""
    assert set(INJECTED) == {client.heading for client in UPGRADED}


@EARLIER
@any_upgraded
def test_pitfall_38_a_line_in_clear_is_no_answer_over_tls(
    client: Client,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    earlier: bool,  # noqa: FBT001
) -> None:
    """The user gets the server's answer, or an error, and never the line in clear."""
    client.require()
    sent = _inject(monkeypatch, client, earlier=earlier)
    served = stage.put(client, server=stage.pki.server)
    answer: object = None
    with contextlib.suppress(Exception):  # any error is a refusal
        answer = stage.ask(client, served, stage.policy())
    with contextlib.suppress(KeyError):
        stage.names["pop"].close()  # poplib leaves that to the user
    assert sent
    assert answer in (client.answer, None)
    assert b"666" not in _kept_by_imaplib(stage)
    served.origin.finished()


def _kept_by_imaplib(stage: Stage) -> list[bytes]:
    """Return the answer to a search, which the next search would take for its own."""
    imap: Any = stage.names.get("imap")
    return [] if imap is None else imap.untagged_responses.get("SEARCH", [])


@pytest.mark.parametrize(
    ("heading", "remedy"),
    [
        ("asyncio with start_tls", "reader._buffer"),
        ("uvloop with start_tls", "reader._buffer"),
        ("imaplib with starttls", "imap.untagged_responses.clear()"),
    ],
)
def test_pitfall_38_without_the_line_of_the_recipe_it_is_believed(
    heading: str, remedy: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams and imaplib keep what they read in clear; pins do not change that."""
    client = BY_HEADING[heading]
    client.require()
    # What comes before the word to begin is dealt with by imaplib alone.
    _inject(monkeypatch, client, earlier="imaplib" in heading)
    page = recipe(heading)
    assert remedy in page.code
    code = page.code.replace(remedy, "False")
    # The server's own answer is still to be read then, and asyncio complains of it.
    code = code.replace("    await writer.wait_closed()\n", "")
    monkeypatch.setattr(client_recipes, "recipe", lambda _: page._replace(code=code))
    served = stage.put(client, server=stage.pki.server)
    answer = stage.ask(client, served, stage.policy())
    assert answer == b"evil\n" or b"666" in _kept_by_imaplib(stage)
    served.origin.finished()
