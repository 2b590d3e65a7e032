"""The recipes of docs/clients.md against the real client libraries.

Each recipe is run with the right key, with a wrong one, and without pins: then the
same impostor is accepted. The servers report what they read: before the verdict, not
one application byte. At the end the module prints a table of what it saw. Libraries
that are not installed are skipped; the dependency group "clients" has all.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest

from client_recipes import (
    BY_HEADING,
    CLIENTS,
    MARKS,
    PAGE,
    UPGRADED,
    Client,
    Stage,
    any_client,
    any_proxied,
    assert_documented,
    assert_refused,
    assert_said_nothing,
    heading_of,
    names_given,
    recipe,
    run,
    sections,
    where,
)
from client_table import row, short
from pinverify import PinningError
from server_recipes import SERVERS

pytestmark = MARKS


@any_client
def test_a_client_with_the_right_pin_is_served(client: Client, stage: Stage) -> None:
    """Pins break no client: the recipe of the page does what it is for."""
    client.require()
    served = stage.put(client, server=stage.pki.server)
    assert stage.ask(client, served, stage.policy()) == client.answer
    row(client).allowed.add(short(stage.version))


@any_client
def test_without_pins_an_impostor_is_served(client: Client, stage: Stage) -> None:
    """The control: what refuses the impostor below are the pins alone.

    Its certificate is valid for every client here.
    """
    client.require()
    impostor = stage.pki.impostor
    served = stage.put(client, server=impostor, proxy=impostor)
    assert stage.ask(client, served, None) == client.answer
    for record in served.origin.finished():
        assert record.application


@any_client
def test_pitfall_19_a_refusal_is_found_in_what_the_client_raises(
    client: Client, stage: Stage
) -> None:
    """The impostor reads nothing, and the user finds out why.

    Without `find_pinning_error` a program would have to know where each library
    keeps what went wrong; a `PinningError` that is no `ssl.SSLError` would be
    swallowed by some, and would crash the event loop in others.
    """
    client.require()
    served = stage.put(client, server=stage.pki.impostor)
    error = stage.refused(client, served, stage.policy())
    assert_said_nothing(client, served.origin.finished())
    assert_documented(error, recipe(client.heading).refused)
    assert_refused(client, error, "localhost")
    row(client).refused.add(short(stage.version))
    row(client).found.add(where(error))


@any_client
def test_pitfall_56_the_page_tells_which_name_a_client_gives(
    client: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is that of this name: who gives none has none.

    An update of a library that gives another name than before is noticed here.
    """
    client.require()
    served = stage.put(client, server=stage.pki.server)
    with names_given(monkeypatch) as names:
        stage.ask(client, served, stage.policy())
    told = _names_of_the_page()[client.heading]
    assert names == _NAMES[told.partition(";")[0]]


_NAMES: dict[str, list[str | None]] = {
    "the host": ["localhost"],
    "the proxy, then the host": ["127.0.0.1", "localhost"],
    "none": [None],
}


def _names_of_the_page() -> dict[str, str]:
    """Return the names that the page tells for each client."""
    rows = re.findall(r"(?m)^\| (.*) \| (.*) \|$", sections()["Names"])
    assert rows[0] == ("clients", "name")
    return {
        heading: name for clients, name in rows[1:] for heading in clients.split(", ")
    }


def test_the_page_tells_the_name_of_each_client() -> None:
    """And of no other."""
    assert set(_names_of_the_page()) == set(BY_HEADING)


@any_proxied
def test_an_impostor_in_place_of_the_proxy_is_refused(
    client: Client, stage: Stage
) -> None:
    """TLS to the proxy is checked too, before the proxy hears of a host."""
    client.require()
    served = stage.put(client, server=stage.pki.server, proxy=stage.pki.impostor)
    assert served.proxy is not None
    error = stage.refused(client, served, stage.policy())
    assert_said_nothing(client, served.proxy.finished())
    assert served.origin.records == []
    assert_documented(error, recipe(client.heading).refused_by_proxy)
    assert_refused(client, error, "127.0.0.1")


@pytest.mark.parametrize(
    "client",
    [client for client in UPGRADED if client.sends != b"STARTTLS\n"],
    ids=heading_of,
)
def test_a_peer_that_offers_no_tls_is_refused(client: Client, stage: Stage) -> None:
    """Pins are worth nothing if a client goes on in clear when TLS is stripped."""
    client.require()
    served = stage.put(client, server=stage.pki.server, offers_tls=False)
    stage.refused(client, served, stage.policy())
    with contextlib.suppress(KeyError):
        stage.names["pop"].close()  # poplib leaves that to the user
    for record in served.origin.finished():
        said = bytes(record.clear)
        # Not the command after TLS, nor who the user is.
        for secret in (b"noop", b"user", b"login", b"me\x00", b"mine"):
            assert secret not in said.lower()


def test_the_page_has_a_recipe_for_each_client_and_no_other() -> None:
    """A recipe that no test runs would rot."""
    others = {"truststore", "gevent"} | {side.heading for side in SERVERS}
    found = re.findall(r"(?m)^### (.*)$", PAGE.read_text(encoding="utf-8"))
    assert len(found) == len(set(found))
    assert set(found) == {client.heading for client in CLIENTS} | others


def test_the_context_of_the_page_is_pinned(stage: Stage) -> None:
    """The block before the recipes makes what they call `context`."""
    client = BY_HEADING["http.client"]
    served = stage.put(client, server=stage.pki.impostor)
    pins = [stage.pki.server.pin]
    names = {"host": "localhost", "pins": pins, "cafile": str(stage.cafile)}
    run(recipe("Recipes").code, names)
    context: Any = names["context"]
    error = stage.refused(client, served, names["policy"], context=context)  # type: ignore[arg-type]
    assert isinstance(error, PinningError)
    assert_said_nothing(client, served.origin.finished())
