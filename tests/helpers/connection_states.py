"""The live connections of `ssl`, and a process whose threads share some.

After each test of connections, `unjudged` returns those that are VERIFIED without a
report although their context has pins.

    connection_states.py SERVER.PEM TRUST.PEM PIN VERSION

makes ten connections, each with a thread that reads and one that writes from the start,
so that both begin with the handshake. It prints how many were served, how many were
refused, and how many failed after the handshake. A process that dies says what each
thread did.
"""
# ruff: noqa: T201 - a program, too

from __future__ import annotations

import faulthandler
import gc
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from pinverify import PinningError, Policy, pin_context, report_of
from pinverify.tls._policy_in_force import installed
from pinverify.tls._ssl_connections import GuardedObject

__all__ = ["has_passed", "sslconnections", "unjudged"]

CONNECTIONS = 10
SERVED = {b"a secret", 8}
LOST = "failed after the handshake"
"""Without pins, too, two threads that use a connection at once may harm it in OpenSSL:
one takes the end of the stream for an answer, or the process dies."""


def sslconnections() -> list[Any]:
    """Return the sockets and objects of ssl that live."""
    kinds: list[type] = [ssl.SSLSocket, ssl.SSLObject]
    for kind in kinds:  # grows
        found: list[type] = kind.__subclasses__()
        kinds += [below for below in found if below not in kinds]
    # Each instance refers to its class, so this looks at no other objects in Python.
    return [
        tls
        for tls in gc.get_referrers(*kinds)
        if issubclass(type(tls), ssl.SSLSocket | ssl.SSLObject)
    ]


def has_passed(connection: Any) -> bool:  # noqa: ANN401
    """Return True if a connection with pins is VERIFIED, so that data flows."""
    rule = getattr(type(connection), "_pinverify_rule", None)
    checked = rule is not None and (rule.in_force is not None or bool(installed))
    sslobj = vars(connection).get("_sslobj")
    return checked and sslobj is not None and type(sslobj) is not GuardedObject


def unjudged() -> list[Any]:
    """Return the connections that data may flow through, without a decision."""
    return [
        tls for tls in sslconnections() if has_passed(tls) and report_of(tls) is None
    ]


# ---- the process -----------------------------------------------------------------


def _serve(listener: Any, context: ssl.SSLContext) -> None:  # noqa: ANN401
    for _ in range(CONNECTIONS):
        plain, _ = listener.accept()
        threading.Thread(target=_answer, args=(plain, context), daemon=True).start()


def _answer(plain: Any, context: ssl.SSLContext) -> None:  # noqa: ANN401
    try:
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.sendall(tls.recv(100))
    except OSError:
        plain.close()


def _talk(context: ssl.SSLContext, port: int) -> list[object]:
    """Return what reader and writer have seen of one connection."""
    import socket  # noqa: PLC0415

    said: list[object] = []
    begin = threading.Barrier(2)
    faulthandler.enable()
    plain = socket.create_connection(("127.0.0.1", port), 30)
    with context.wrap_socket(
        plain, server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:

        def use(operation: Any) -> None:  # noqa: ANN401
            begin.wait()
            try:
                said.append(operation())
            except (OSError, ValueError) as error:
                said.append(error)

        threads = [
            threading.Thread(target=use, args=(operation,))
            for operation in (lambda: tls.recv(100), lambda: tls.send(b"a secret"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if has_passed(tls) and set(said) != SERVED:
            print(said, file=sys.stderr)
            return [LOST]
    return said


def main(server: str, trust: str, pin: str, version: str) -> None:
    """Make the connections, and print what became of them."""
    import socket  # noqa: PLC0415

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server)
    serving.minimum_version = serving.maximum_version = ssl.TLSVersion[version]
    serving.num_tickets = 0  # a ticket would be read while the other thread writes
    context = ssl.create_default_context(cadata=Path(trust).read_text(encoding="ascii"))
    pin_context(context, Policy({"localhost": [pin]}))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_serve, args=(listener, serving))
        accepting.start()
        port = listener.getsockname()[1]
        said = [_talk(context, port) for _ in range(CONNECTIONS)]
        accepting.join()
    served = sum(set(both) == SERVED for both in said)
    refused = sum(all(isinstance(one, PinningError) for one in both) for both in said)
    lost = said.count([LOST])
    print(f"served {served}, refused {refused}, lost {lost}")


if __name__ == "__main__":
    main(*sys.argv[1:])
