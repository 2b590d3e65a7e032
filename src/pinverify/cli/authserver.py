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

from pinverify.cli.output import NoAnswerError, Output
from pinverify.cli.policies import rules_from
from pinverify.errors import PolicyError
from pinverify.headers import Proxy
from pinverify.headers._auth_service import AuthService
from pinverify.headers._gate import Gate
from pinverify.headers._proxy import UNIX
from pinverify.policy import Policy
from pinverify.tls._connect import split_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.headers import Form

__all__ = ["Wanted", "serve"]

_PORT = 9180
_UNIX = "unix:"
_INTERRUPTED = 130
_BACKLOG = 1024


class Wanted(NamedTuple):
    """The options of the command.

    Attributes:
        policy: file of the policy.
        policy_format: its format.
        form: of the header with the certificate.
        peers: addresses of the proxy, or "unix".
        secret_file: file with the secret, or None.
        listen: ``address:port``, or ``unix:`` and a path.
    """

    policy: Path
    policy_format: str
    form: str
    peers: tuple[str, ...]
    secret_file: Path | None
    listen: str


def serve(out: Output, wanted: Wanted) -> None:
    """Answer until a signal ends the process.

    Args:
        out: gets the address, and warnings.
        wanted: the options.

    Raises:
        PolicyError: the policy has mistakes, or no pins for clients.
        NoAnswerError: the proxy is not declared, or the address cannot be had.
    """
    try:
        secret = None if wanted.secret_file is None else _secret(wanted.secret_file)
        form = cast("Form", wanted.form)
        proxy = Proxy(form, peers=wanted.peers, secret=secret)
    except ValueError as error:
        raise NoAnswerError(_as_options(str(error))) from None
    _check_that_somebody_can_pass(wanted)
    policy = _policy(out, wanted)
    try:
        gate = Gate(policy, proxy)
    except PolicyError as error:
        raise NoAnswerError(_of_policy(error, wanted)) from None
    logging.basicConfig(format="pinverify: %(message)s")  # on stderr
    with _listening(wanted.listen) as listener:
        asyncio.run(_until_a_signal(out, wanted, gate, listener))


async def _until_a_signal(
    out: Output, wanted: Wanted, gate: Gate, listener: socket.socket
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def interrupt() -> None:
        out.exit_code = _INTERRUPTED
        ended.set()

    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, _reload, out, wanted, gate)
    # Whoever reads this line may send a signal at once.
    place = _place(listener, wanted.listen)
    if out.as_json:
        out.json({"listening": place})
    else:
        out.line(f"listening on {place}")
    await AuthService(gate).serve(listener, ended)


def _reload(out: Output, wanted: Wanted, gate: Gate) -> None:
    """Read the policy again; one with mistakes changes nothing."""
    try:
        policy = _policy(out, wanted)
    except (PolicyError, NoAnswerError, OSError) as error:
        lines = getattr(error, "lines", (str(error),))
        for line in lines:
            out.warn(f"the old policy stays: {line}")
        return
    try:
        gate.use(policy)
    except PolicyError as error:
        out.warn(f"the old policy stays: {_of_policy(error, wanted)}")
        return
    digest = policy.digest.hex()
    if out.as_json:
        out.json({"reloaded": str(wanted.policy), "digest": digest})
    else:
        out.line(f"policy read again: {wanted.policy}, digest {digest}")


def _policy(out: Output, wanted: Wanted) -> Policy:
    return Policy(rules_from(out, wanted.policy, wanted.policy_format))


def _secret(file: Path) -> str:
    """Return the secret in a file, without the end of its line.

    Raises:
        ValueError: it is not ASCII.
    """
    try:
        return file.read_text(encoding="ascii").removesuffix("\n")
    except UnicodeDecodeError:
        msg = f"secret: {file} has bytes that are not ASCII"
        raise ValueError(msg) from None


def _as_options(text: str) -> str:
    """Return the text of an error with the names that the options have."""
    text = text.replace("its addresses (peers)", "its addresses (--from)")
    text = text.replace("a Unix socket (peers=['unix'])", "a Unix socket (--from unix)")
    text = text.replace(
        "a secret that it sends", "a secret that it sends (--secret-file)"
    )
    return text.replace("peers: ", "--from: ").replace("secret: ", "--secret-file: ")


def _of_policy(error: PolicyError, wanted: Wanted) -> str:
    """Return the text about a policy that can accept no client, for an operator."""
    text, _, _ = str(error).partition("; in Python")
    text, _, _ = text.partition("; or, if the proxy")  # no option says so
    return f"{wanted.policy}: {text}"


def _check_that_somebody_can_pass(wanted: Wanted) -> None:
    """Refuse a place to listen at which no declared address ever appears.

    Raises:
        NoAnswerError: it is one.
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
def _listening(text: str) -> Iterator[socket.socket]:
    """Yield a listening socket; a path of a Unix socket is removed afterwards.

    Raises:
        NoAnswerError: *text* is no address, or somebody else has it.
    """
    path = Path(text.removeprefix(_UNIX)) if text.startswith(_UNIX) else None
    try:
        listener = _bound(text) if path is None else _bound_to(path)
    except OSError as error:
        why: object = os.strerror(error.errno) if error.errno else error
        if path is not None and path.is_socket():
            why = f"{why}; if no other process uses it, remove it"
        msg = f"--listen {text}: {why}"
        raise NoAnswerError(msg) from error
    try:
        with listener:
            yield listener
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _bound(text: str) -> socket.socket:
    try:
        host, port = split_address(text, _PORT)
        address = ipaddress.ip_address(host)
    except ValueError:
        msg = f"--listen {text}: write an address and a port, as in 127.0.0.1:9180"
        msg += ", or unix:/PATH"
        raise NoAnswerError(msg) from None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _bound_to(path: Path) -> socket.socket:
    """Return a Unix socket that its owner and group can connect to."""
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
