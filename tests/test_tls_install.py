"""Pins for every context of the process: `install` and `uninstall`."""

from __future__ import annotations

import ssl

import pytest

from pinverify import PinSet, create_connection, pin_context, uninstall
from pki import Pki
from tls_clients import Serve, assert_refused, connect, echo, pinning, trusting
from tls_servers import server_context


@pytest.mark.usefixtures("installed")
def test_pitfall_17_install_reaches_a_context_that_nobody_pinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A library that makes its own context is reached, and no server is."""
    with connect(
        trusting(pki), serve(server_context(pki.server, version=version))
    ) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(trusting(pki), impostor)
    uninstall()
    with connect(trusting(pki), impostor) as tls:
        echo(tls)


@pytest.mark.usefixtures("installed")
def test_a_context_with_pins_of_its_own_keeps_them_beside_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """pin_context() works on a process with install(), and its policy rules."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, PinSet(pins=[pki.impostor.pin]))
    with connect(context, server) as tls:
        echo(tls)
    address = ("localhost", server.port)
    pins = PinSet(ca=[pki.rogue_ca.pin])
    with create_connection(address, pins, context=trusting(pki)) as tls:
        echo(tls)
    assert_refused(trusting(pki), server, record=2)
    uninstall()
    pin_context(context, pinning(pki))
    assert_refused(context, server, record=3)


@pytest.mark.usefixtures("installed")
def test_pins_for_one_connection_do_not_lift_those_of_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """create_connection() leaves a context as it found it, here pinned by install."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    address = ("localhost", server.port)
    create_connection(address, PinSet(pins=[pki.impostor.pin]), context=context).close()
    assert_refused(context, server, record=1)
