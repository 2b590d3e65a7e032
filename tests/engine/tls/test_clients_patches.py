"""Pins in processes that truststore or gevent patch, and in contexts of libraries.

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


# The results of `_PROBE`: all contexts are reached.
_INSTALL = "pinverify.install(policy)\n"
_CONTEXT = "import ssl\ncontext = ssl.create_default_context()\n"


@pytest.mark.parametrize(
    ("library", "code"),
    [
        ("truststore", _TRUSTSTORE + _INSTALL + _CONTEXT),
        ("truststore", _INSTALL + _TRUSTSTORE + _CONTEXT),
        ("gevent", _GEVENT + _POLICY + _INSTALL + _CONTEXT),
        ("gevent", _INSTALL + _GEVENT + _CONTEXT),
    ],
    ids=["truststore, install", "install, truststore", "gevent, install", "reverse"],
)
def test_pitfall_33_install_reaches_patched_processes_in_any_order(
    library: str, code: str, stage: Stage
) -> None:
    """Truststore's contexts have one of ssl inside; gevent's are a subclass."""
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    code = (code if code.startswith(_GEVENT) else _POLICY + code) + _PROBE
    seen = in_a_process(library, code, stage, [good.port, bad.port])
    assert seen == [HELLO.decode(), "PinningError", "PinningError"]
    assert_said_nothing(client, bad.finished())


def test_pitfall_36_gevent_never_renegotiates_whatever_the_options_were(
    stage: Stage,
) -> None:
    """Its sockets are not created by a method that pinverify could replace."""
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    code = (
        _GEVENT
        + _POLICY
        + """
import ssl

class Notes(ssl.SSLContext):
    def _wrap_socket(self, *things, **how):
        noted.append(bool(self.options & ssl.OP_NO_RENEGOTIATION))
        return super()._wrap_socket(*things, **how)

noted = []
context = Notes(ssl.PROTOCOL_TLS_CLIENT)
context.load_default_certs()
pinverify.pin_context(context, policy)
context.options = ssl.OP_ALL
"""
        + _PROBE.replace("ask(unpinned, bad)", "noted[-1]")
    )
    seen = in_a_process("gevent", code, stage, [good.port, good.port])
    assert seen == [HELLO.decode(), HELLO.decode(), True]


def test_pitfall_33_urllib3_with_pyopenssl_is_refused_by_name(stage: Stage) -> None:
    """Injected before; the error says how to undo that, and it works."""
    pytest.importorskip("urllib3", reason="urllib3 is not installed")
    code = (
        _POLICY
        + """
import json, urllib3.contrib.pyopenssl as injected
injected.inject_into_urllib3()
try:
    pinverify.install(policy)
except TypeError as error:
    said = str(error)
injected.extract_from_urllib3()
pinverify.install(policy)
print(json.dumps("extract_from_urllib3()" in said))
"""
    )
    assert in_a_process("urllib3", code, stage, []) is True


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
