"""urllib3 and requests in one thread, while another thread turns verification off.

At every connection, both set the verify mode of the context that they are given, so a
context shared by threads changes while it is used. `mode_races` explains what an
impostor gains from that.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mode_races import CONNECTIONS, Outcomes, Peers, meanwhile, outcome, outcomes
from optional import client_library
from pinverify import PinSet, pin_context
from pki import Pki
from tls_clients import SECRET
from tls_servers import LIMIT, client_context

__all__: list[str] = []

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
TOKEN = {"Authorization": f"Bearer {SECRET.hex()}"}
Ask = Callable[["str | bool", Peers, str], None]
"""Sends a secret to a server, with ``verify`` as in requests; or raises."""


def _url(peers: Peers, name: str) -> str:
    return f"https://localhost:{peers.addresses[name][1]}/"


def _pinned(pki: Pki) -> ssl.SSLContext:
    """Return a context that all connections share. Names are not checked."""
    context = client_context(pki.root)
    context.check_hostname = False
    return pin_context(context, PinSet(pins=[pki.ca.pin]))


def _urllib3(pki: Pki) -> Ask:
    library: Any = client_library("urllib3")
    context = _pinned(pki)

    def ask(verify: str | bool, peers: Peers, name: str) -> None:  # noqa: FBT001
        pool = library.HTTPSConnectionPool(
            "localhost",
            peers.addresses[name][1],
            ssl_context=context,
            cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE",
            assert_hostname=False,
            timeout=LIMIT,
        )
        with closing(pool):
            answer = pool.request("GET", "/", headers=TOKEN, retries=False)
            assert answer.data == b"hello"

    return ask


def _asking(session: Any) -> Ask:  # noqa: ANN401 - a session of requests
    session.trust_env = False

    def ask(verify: str | bool, peers: Peers, name: str) -> None:  # noqa: FBT001
        url = _url(peers, name)
        answer = session.get(url, verify=verify, headers=TOKEN, timeout=LIMIT)
        assert answer.text == "hello"

    return ask


def _requests_with_one_context(pki: Pki) -> Ask:
    """Return a session whose adapter has one pinned context for all requests."""
    library: Any = client_library("requests.adapters")
    context = _pinned(pki)

    class OneContext(library.HTTPAdapter):  # type: ignore[misc]
        def build_connection_pool_key_attributes(
            self,
            *given: Any,  # noqa: ANN401
        ) -> tuple[dict[str, Any], dict[str, Any]]:
            host, settings = super().build_connection_pool_key_attributes(*given)
            return host, settings | {"ssl_context": context, "assert_hostname": False}

    session = client_library("requests").Session()
    session.mount("https://", OneContext())
    return _asking(session)


def _requests_with_pinned_adapter(pki: Pki) -> Ask:
    library: Any = client_library("pinverify.tls.requests")
    session = client_library("requests").Session()
    session.mount("https://", library.PinnedAdapter(PinSet(pins=[pki.ca.pin])))
    return _asking(session)


FORMS: dict[str, Callable[[Pki], Ask]] = {
    "urllib3": _urllib3,
    "requests": _requests_with_one_context,
    "PinnedAdapter": _requests_with_pinned_adapter,
}


# Two libraries, two versions of TLS: together as many connections as another form has.
SLOW = CONNECTIONS // 4


@pytest.mark.parametrize(
    ("form", "connections"),
    [
        ("urllib3", 50),
        ("requests", 50),
        ("PinnedAdapter", 50),
        pytest.param("urllib3", SLOW, marks=pytest.mark.slow),
        pytest.param("requests", SLOW, marks=pytest.mark.slow),
    ],
)
def test_pitfall_31_nobody_gets_the_mode_of_another_thread(
    pki: Pki, tmp_path: Path, version: ssl.TLSVersion, form: str, connections: int
) -> None:
    """One thread turns verification off for itself, request after request.

    The requests of the other one are verified or refused. Each pair of settings of a
    PinnedAdapter has its own context, so there nobody is refused for another's sake.
    """
    ask = FORMS[form](pki)
    careless, careful = Outcomes(), partial(ask, str(pki.trust_file(tmp_path)))
    with Peers(pki, version, ANSWER) as peers:

        def ask_carelessly() -> None:
            careless[outcome(partial(ask, False), peers, "genuine")] += 1  # noqa: FBT003

        with meanwhile(ask_carelessly):
            counted = outcomes(careful, peers, connections)
    print(form, counted, "careless:", careless)  # noqa: T201 - figures of a long run
    assert peers.received["forged"] == 0
    if form == "PinnedAdapter":
        assert set(careless) == {"by pins"}
        assert counted["forged"] == {"by OpenSSL": connections}
        assert counted["genuine"] == {"accepted": connections // 2}
    else:
        assert set(careless) <= {"by pins", "accepted"}
        assert careless["by pins"] > 0
        assert set(counted["forged"]) <= {"by OpenSSL", "by pins"}
        assert set(counted["genuine"]) <= {"accepted", "by pins"}
        assert counted["genuine"]["accepted"] > 0
