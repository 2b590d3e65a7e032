"""`pinverify authserver`: answer proxies that ask whether a client may pass."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from pinverify.cli.exit_codes import INTERRUPTED
from pinverify.cli.output import NoAnswerError, Output
from pinverify.cli.policy_files import followed_file
from pinverify.errors import PolicyError
from pinverify.headers import Proxy
from pinverify.headers._authserver import AuthService
from pinverify.headers._declared_proxy import UNIX
from pinverify.headers._request_decision import Gate
from pinverify.tls._connect import split_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.headers import Form
    from pinverify.live import PolicyFile

__all__ = ["Wanted", "serve"]

_PORT = 9180
_UNIX = "unix:"
_BACKLOG = 1024
_NO_SIGNALS = (
    "authserver is told by signals to end and to read its policy again, and this "
    "system has no SIGHUP; run it on Linux or macOS"
)


class Wanted(NamedTuple):
    """The options of the command.

    Attributes:
        policy: file of the policy.
        policy_format: its format.
        form: the form of the header with the certificate.
        peers: addresses of the proxy, or "unix".
        secret_file: file with the secret, or None.
        listen: ``address:port``, or ``unix:`` and a path.
        metrics: an address for probes and scrapes, written as *listen*; or None.
    """

    policy: Path
    policy_format: str
    form: str
    peers: tuple[str, ...]
    secret_file: Path | None
    listen: str
    metrics: str | None = None


def serve(out: Output, wanted: Wanted) -> None:
    """Answer until a signal ends the process.

    Args:
        out: gets the address, and warnings.
        wanted: the options.

    Raises:
        PolicyError: the policy has mistakes, or no pins for clients.
        NoAnswerError: the proxy is not declared, the address is not available, or the
            system is Windows.
    """
    if not hasattr(signal, "SIGHUP"):
        raise NoAnswerError(_NO_SIGNALS)
    try:
        secret = None if wanted.secret_file is None else _secret(wanted.secret_file)
        form = cast("Form", wanted.form)
        proxy = Proxy(form, peers=wanted.peers, secret=secret)
    except ValueError as error:
        raise NoAnswerError(_as_options(str(error))) from None
    _check_that_somebody_can_pass(wanted)
    file = followed_file(out, wanted.policy, wanted.policy_format)
    try:
        gate = Gate(file.policy, proxy)
    except PolicyError as error:
        raise NoAnswerError(_of_policy(error, wanted)) from None
    logging.basicConfig(format="pinverify: %(message)s")  # on stderr
    with file, contextlib.ExitStack() as stack:
        sockets = {
            name: (stack.enter_context(_listening(text, name)), text)
            for name, text in (("listen", wanted.listen), ("metrics", wanted.metrics))
            if text is not None
        }
        file.follow(gate)
        asyncio.run(_until_a_signal(out, AuthService(gate), file, sockets))


async def _until_a_signal(
    out: Output,
    service: AuthService,
    file: PolicyFile,
    sockets: dict[str, tuple[socket.socket, str]],
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def interrupt() -> None:
        out.exit_code = INTERRUPTED
        ended.set()

    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, file.wake)
    if "metrics" in sockets:
        await _serve_probes(sockets["metrics"][0])
    # Printed once signals are handled: a reader of these lines may send one at once.
    places = {
        "listening" if name == "listen" else name: _place(*each)
        for name, each in sockets.items()
    }
    if out.as_json:
        out.json(places)
    else:
        for name, place in places.items():
            out.line(f"{name} on {place}")
    await service.serve(sockets["listen"][0], ended)


async def _serve_probes(listener: socket.socket) -> None:
    try:
        from pinverify.live import serve_probes
    except ImportError:
        msg = "--metrics needs prometheus_client: pip install '.[prometheus]'"
        raise NoAnswerError(msg) from None
    await serve_probes(listener)


def _secret(file: Path) -> str:
    """Return the secret in a file, without the newline at its end.

    Raises:
        ValueError: the file is not ASCII.
    """
    try:
        return file.read_text(encoding="ascii").removesuffix("\n")
    except UnicodeDecodeError:
        msg = f"secret: {file} has bytes that are not ASCII"
        raise ValueError(msg) from None


def _as_options(text: str) -> str:
    """Return the text of an error with the names of options instead of parameters."""
    text = text.replace("its addresses (peers)", "its addresses (--from)")
    text = text.replace("a Unix socket (peers=['unix'])", "a Unix socket (--from unix)")
    text = text.replace(
        "a secret that it sends", "a secret that it sends (--secret-file)"
    )
    return text.replace("peers: ", "--from: ").replace("secret: ", "--secret-file: ")


def _of_policy(error: PolicyError, wanted: Wanted) -> str:
    """Return why a policy cannot accept any client, in words for an operator."""
    text, _, _ = str(error).partition("; in Python")
    text, _, _ = text.partition("; or, if the proxy")  # there is no option for that
    return f"{wanted.policy}: {text}"


def _check_that_somebody_can_pass(wanted: Wanted) -> None:
    """Refuse a place to listen where no declared peer can connect.

    Raises:
        NoAnswerError: no declared peer can connect there.
    """
    on_unix = wanted.listen.startswith(_UNIX)
    if not wanted.peers or any((peer == UNIX) == on_unix for peer in wanted.peers):
        return
    if on_unix:
        msg = f"--listen {wanted.listen}: nobody has an address there; add --from unix"
    else:
        msg = (
            f"--from unix: nobody comes through a Unix socket to {wanted.listen}; add "
            "--listen unix:/PATH, or name the address of the proxy"
        )
    raise NoAnswerError(msg)


# ---- sockets -----------------------------------------------------------------------


@contextlib.contextmanager
def _listening(text: str, option: str) -> Iterator[socket.socket]:
    """Yield a listening socket; the path of a Unix socket is removed afterwards.

    Raises:
        NoAnswerError: *text* is not an address, or the address is in use.
    """
    path = Path(text.removeprefix(_UNIX)) if text.startswith(_UNIX) else None
    try:
        listener = _bound(text, option) if path is None else _bound_to(path)
    except OSError as error:
        why: object = os.strerror(error.errno) if error.errno else error
        if path is not None and path.is_socket():
            why = f"{why}; if no other process uses it, remove it"
        msg = f"--{option} {text}: {why}"
        raise NoAnswerError(msg) from error
    try:
        with listener:
            yield listener
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _bound(text: str, option: str) -> socket.socket:
    try:
        host, port = split_address(text, _PORT)
        address = ipaddress.ip_address(host)
    except ValueError:
        msg = f"--{option} {text}: write an address and a port, as in 127.0.0.1:9180"
        msg += ", or unix:/PATH"
        raise NoAnswerError(msg) from None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _bound_to(path: Path) -> socket.socket:
    """Return a Unix socket that only its owner and group can connect to."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o660)  # nobody can connect before it listens
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _place(listener: socket.socket, text: str) -> str:
    if text.startswith(_UNIX):
        return text
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
