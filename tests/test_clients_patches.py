"""Pins in processes that truststore or gevent patch, and contexts nobody hands out.

Each runs in a process of its own, since a patch can't be undone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from client_recipes import BY_HEADING, MARKS, SOURCE, Stage, assert_said_nothing, recipe
from client_servers import HELLO
from optional import client_library

pytestmark = MARKS


# Run in a process of its own, since it can't be undone. It prints what came of the
# pinned context with the right server and with the impostor, and of a context
# without pins with the impostor.
_PROBE = """
import http.client, json, ssl, sys

def ask(context, port):
    connection = http.client.HTTPSConnection("localhost", port, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except Exception as error:
        found = pinverify.find_pinning_error(error)
        return type(found or error).__name__
    finally:
        connection.close()

good, bad = json.loads(sys.argv[1])
unpinned = ssl.create_default_context()
print(json.dumps([ask(context, good), ask(context, bad), ask(unpinned, bad)]))
"""
_POLICY = """
import json, sys
import pinverify
policy = pinverify.Policy({"localhost": [sys.argv[2]]}, unpinned="reject")
"""
_PINNED = """
import ssl
context = pinverify.pin_context(ssl.create_default_context(), policy)
"""
_TRUSTSTORE = "import truststore\ntruststore.inject_into_ssl()\n"
_GEVENT = """
import warnings
from gevent import monkey
warnings.simplefilter("ignore")
monkey.patch_all()
"""


class Patched(NamedTuple):
    """A library that patches the process, and when the context is pinned."""

    library: str
    code: str
    expected: tuple[str, str]
    """The results with the right server, and with the impostor."""


def _patched() -> dict[str, Patched]:
    right = (HELLO.decode(), "PinningError")
    return {
        "the recipe for truststore": Patched(
            "truststore", _POLICY + recipe("truststore").code, right
        ),
        "pinned, then truststore": Patched(
            "truststore", _POLICY + _PINNED + _TRUSTSTORE, right
        ),
        "a context of truststore": Patched(
            "truststore",
            _POLICY + "import ssl, truststore\n"
            "context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
            "pinverify.pin_context(context, policy)\n",
            right,
        ),
        # The recipe begins with the patch: the policy comes after it.
        "the recipe for gevent": Patched(
            "gevent",
            recipe("gevent").code.replace("context =", _POLICY + "context ="),
            right,
        ),
        # As a context without pins does, since gevent replaces what ssl.py calls.
        "pinned, then gevent": Patched(
            "gevent", _POLICY + _PINNED + _GEVENT, ("TypeError", "TypeError")
        ),
    }


@pytest.mark.parametrize("order", _patched())
def test_pitfall_16_pins_and_patches_of_the_process_in_any_order(
    order: str, stage: Stage
) -> None:
    """Truststore and gevent put other classes in the place of ssl's.

    A hook that names `ssl.SSLContext` or `ssl.SSLSocket` misses theirs, or is
    replaced by them: the context looks pinned, and nothing is checked.
    """
    patched = _patched()[order]
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    seen = in_a_process(
        patched.library, patched.code + _PROBE, stage, [good.port, bad.port]
    )
    assert seen == [*patched.expected, HELLO.decode()]
    *refused, believed = bad.finished()
    assert believed.application
    assert_said_nothing(client, refused)


def test_a_context_from_before_gevent_fails_without_pins_as_well(stage: Stage) -> None:
    """The control: that it makes no connection any more is not our doing."""
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    before = "import ssl\ncontext = ssl.create_default_context()\n"
    code = _POLICY + before + _GEVENT + _PROBE
    seen = in_a_process("gevent", code, stage, [good.port, good.port])
    assert seen == ["TypeError", "TypeError", HELLO.decode()]


def test_install_reaches_contexts_that_nobody_hands_out(stage: Stage) -> None:
    """Contexts that libraries made for themselves, before and after `install`."""
    client = BY_HEADING["http.client"]
    for library in ("requests", "httpx", "aiohttp"):
        client_library(library)
    bad = stage.put(client, server=stage.pki.impostor).origin
    code = """
import asyncio, json, ssl, sys, urllib.request
import aiohttp, httpx, requests
import pinverify

url = f"https://localhost:{json.loads(sys.argv[1])[0]}/"
shared = ssl.create_default_context()
policy = pinverify.Policy({"localhost": [sys.argv[2]]}, unpinned="reject")

async def with_aiohttp():
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()

ways = [
    lambda: urllib.request.urlopen(url, context=shared).read(),
    lambda: urllib.request.urlopen(url).read(),
    lambda: requests.get(url).content,
    lambda: httpx.get(url).content,
    lambda: asyncio.run(with_aiohttp()),
]
seen = []
for install in (True, False):
    if install:
        pinverify.install(policy)
    for way in ways:
        try:
            seen.append(way().decode())
        except Exception as error:
            seen.append(type(pinverify.find_pinning_error(error)).__name__)
    pinverify.uninstall()
print(json.dumps(seen))
"""
    seen = in_a_process("httpx", code, stage, [bad.port])
    assert seen == 5 * ["PinningError"] + 5 * [HELLO.decode()]
    assert_said_nothing(client, bad.finished()[:5])


def in_a_process(library: str, code: str, stage: Stage, ports: list[int]) -> object:
    """Run *code* in a new interpreter, which trusts both authorities."""
    client_library(library)
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(stage.cafile),
        "REQUESTS_CA_BUNDLE": str(stage.cafile),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(ports), stage.pki.server.pin],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
