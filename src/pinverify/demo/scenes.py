"""The story: the right key, a man in the middle, rotation, forgery, report mode."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.demo.cost import cost
from pinverify.demo.network import HOST, Authority, Identity, Network
from pinverify.demo.stage import Stage
from pinverify.policy import Pin, PinningError, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["run"]


class Cast(NamedTuple):
    """The authorities and servers of the story.

    Attributes:
        ca: the authority of the real server.
        server: the real server.
        renewed: the real server after a change of its key.
        proxy: another authority that the client trusts. Computers trust many
            authorities, and companies add their own.
        impostor: a server with a certificate for the same name from *proxy*.
        moved: the real server, with a certificate from *proxy*.
    """

    ca: Authority
    server: Identity
    renewed: Identity
    proxy: Authority
    impostor: Identity
    moved: Identity

    @classmethod
    def new(cls) -> Cast:
        """Create fresh keys for all of them."""
        ca = Authority.new("Example CA")
        proxy = Authority.new("Proxy CA")
        servers = ca.issue(HOST), ca.issue(HOST)
        return cls(ca, *servers, proxy, proxy.issue(HOST), proxy.issue(HOST))


def run(console: Console) -> dict[str, object]:
    """Play all scenes on *console*.

    Returns:
        The scenes and the measured costs, as values for JSON.

    Raises:
        NotShownError: something did not happen as described.
    """
    cast = Cast.new()
    with (
        Network() as network,
        _log_is_printed(),
        tempfile.TemporaryDirectory() as folder,
    ):
        stage = Stage(
            console,
            {
                "network": network.address,
                "trusted": cast.ca.pem + cast.proxy.pem,
                "IN_USE": cast.server.pin,
                "BACKUP": cast.renewed.pin,
                "CA": cast.ca.pin,
                "MOVED": cast.moved.pin,
                "folder": folder,
                "chain_as_sent": lambda context: _chain_as_sent(context, network),
            },
        )
        stage.say(
            """This is real Python code, talking to servers on 127.0.0.1. The keys and
            certificates are created now and are gone at the end."""
        )
        for number, (title, scene) in enumerate(_SCENES.items(), 1):
            stage.heading(f"{number}. {title}")
            scene(stage, network, cast)
        stage.heading(f"{len(_SCENES) + 1}. {_COST_TITLE}")
        costs = _cost(stage, network, cast)
        stage.heading("For your own code")
        _last_words(stage)
    return {"scenes": [*_SCENES, _COST_TITLE], "cost": costs}


# ---- scenes ------------------------------------------------------------------


def _right_key(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.server)
    stage.say(
        """A client pins two keys of api.example.com: IN_USE, and BACKUP, which is kept
        offline. The computer trusts two authorities: the server's, and the one of a
        company proxy. The name leads to the address called network."""
    )
    stage.run(r"""
        import socket, ssl, pinverify
        policy = pinverify.Policy({"api.example.com": [IN_USE, BACKUP]})
        context = ssl.create_default_context(cadata=trusted)
        context = pinverify.pin_context(context, policy)
        def get(context):  # plain ssl, as in any client
            sock = socket.create_connection(network, timeout=5)
            with context.wrap_socket(sock, server_hostname="api.example.com") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
                print(tls.recv(4096).decode().splitlines()[0])
                return tls
        report = get(context).pin_report
        print(report.reason.name, report.matched)
    """)
    report = stage.names["report"]
    stage.must(report.matched == Pin.parse(cast.server.pin), "the key in use is pinned")
    stage.must(network.request() != b"", "the server got the request")


def _man_in_the_middle(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.impostor)
    stage.say(
        """Now the name leads to a man in the middle. He has a certificate for
        api.example.com from an authority that the computer trusts, so a client
        without pins accepts him."""
    )
    stage.run("""
        unpinned = ssl.create_default_context(cadata=trusted)
        tls = get(unpinned)
    """)
    stage.must(network.request() != b"", "the man in the middle got the request")
    stage.say("With pins:")
    _refused(stage, network)


def _refused(stage: Stage, network: Network) -> None:
    report = stage.fail("get(context)", PinningError).report
    refused = report.reason is Reason.MISMATCH
    stage.must(refused, "the connection is refused")
    stage.must(network.request() == b"", "he got no byte of the request")


def _rotation(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.renewed)
    stage.say(
        """The server changes to the backup key. Clients have pinned it all the time,
        so they need no new policy."""
    )
    stage.run("""
        report = get(context).pin_report
        print(report.reason.name, str(report.matched) == BACKUP)
    """)
    report = stage.names["report"]
    stage.must(report.matched == Pin.parse(cast.renewed.pin), "the backup is pinned")
    stage.must(network.request() != b"", "the server got the request")


def _forged_chain(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.server)
    stage.say(
        """You can also pin an authority. The policy of a context can be replaced at
        any time."""
    )
    stage.run("""
        policy = pinverify.Policy({"api.example.com": pinverify.PinSet(ca=[CA])})
        context = pinverify.pin_context(context, policy)
        report = get(context).pin_report
        print(report.reason.name, "at depth", report.depth)
    """)
    stage.must(stage.names["report"].depth == 1, "the authority is pinned")
    network.request()
    network.lead_to(cast.impostor.sending(cast.ca))
    stage.say(
        """The man in the middle sends his own chain and appends the certificate of the
        pinned authority, which is public (CVE-2016-2402). A client that looks for
        pins in the chain as it was sent finds one:"""
    )
    stage.run("""
        sent = chain_as_sent(unpinned)
        print([str(pinverify.Pin.from_certificate(cert)) == CA for cert in sent])
    """)
    network.request()
    pins = [str(Pin.from_certificate(cert)) for cert in stage.names["sent"]]
    stage.must(pins[1:] == [cast.ca.pin], "a check of the chain as sent would accept")
    stage.say("pinverify uses the chain that OpenSSL verified:")
    _refused(stage, network)


def _report_only(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.impostor)
    stage.say(
        """Before you enforce pins, you can try them out: in report mode nothing is
        refused, and every peer that would have been refused is logged. Here the man
        in the middle gets through, and the log says so."""
    )
    stage.run("""
        watched = pinverify.PinSet([IN_USE, BACKUP], mode="report")
        policy = pinverify.Policy({"api.example.com": watched})
        context = pinverify.pin_context(context, policy)
        report = get(context).pin_report
        print(report.accepted, report.reason.name)
    """)
    report = stage.names["report"]
    kept = report.accepted and report.reason is Reason.MISMATCH
    stage.must(kept, "accepted, and the reason is kept")
    stage.must(network.request() != b"", "the request was sent")


def _drill(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.server)
    stage.say(
        """Pinning fails in operation: a key changes, and everybody is locked out. So
        here is a drill: fifty clients connect all the time, and each follows the
        policy in one file."""
    )
    stage.run(r"""
        import pathlib, threading
        from pinverify.live import PolicyFile
        file = pathlib.Path(folder, "pins.toml")
        def publish(*pins):
            new = file.with_suffix(".new")
            rule = f'[hosts."api.example.com"]\npins = {list(pins)}\n'
            new.write_text(f"version = 1\n{rule}")
            new.replace(file)
        publish(IN_USE, BACKUP)
        followed = PolicyFile(file, every=None)
        lost, turns, over = [], [0] * 50, threading.Event()
        def client(number):
            context = followed.follow(ssl.create_default_context(cadata=trusted))
            while not over.is_set():
                try:
                    sock = socket.create_connection(network, timeout=60)
                    name = "api.example.com"
                    with context.wrap_socket(sock, server_hostname=name) as tls:
                        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
                        tls.recv(4096)
                except OSError as error:
                    lost.append(error)
                turns[number] += 1
        def all_again():  # until each has begun and ended another connection
            before = [*turns]
            while any(now < then + 2 for then, now in zip(before, turns)):
                over.wait(0.01)
            print(len(lost), "lost")
        fleet = [threading.Thread(target=client, args=[n]) for n in range(50)]
        for thread in fleet:
            thread.start()
        all_again()
    """)
    try:
        _drilled(stage, network, cast)
    finally:
        stage.names["over"].set()
        for thread in stage.names["fleet"]:
            thread.join()
        stage.names["followed"].close()
        network.forget()


def _drilled(stage: Stage, network: Network, cast: Cast) -> None:
    network.lead_to(cast.renewed)
    stage.say("The server changes to the backup key, which all have pinned.")
    stage.run("all_again()")
    stage.say("Somebody publishes half of a file. The old policy stays:")
    stage.run("""
        text = file.read_text()
        size = file.write_text(text[:-30])
        print(followed.reload())
        all_again()
    """)
    stage.must(stage.names["followed"].failures == 1, "the broken file is counted")
    stage.say("Another authority takes over. The pin of its key is published first:")
    stage.run("""
        publish(BACKUP, MOVED)
        print(followed.reload())
        all_again()
    """)
    network.lead_to(cast.moved)
    stage.run("all_again()")
    stage.must(not stage.names["lost"], "no client was ever refused")


def _cost(stage: Stage, network: Network, cast: Cast) -> dict[str, object]:
    network.lead_to(cast.server)
    context = ssl.create_default_context(cadata=cast.ca.pem)
    return cost(
        stage,
        cast.server.der,
        cast.impostor.der,
        [cast.server.pin, cast.renewed.pin],
        handshake=lambda: _chain_as_sent(context, network),
    )


_SCENES = {
    "The right key": _right_key,
    "A man in the middle whom the computer trusts": _man_in_the_middle,
    "A change of keys": _rotation,
    "A forged chain": _forged_chain,
    "Report mode": _report_only,
    "A drill": _drill,
}
_COST_TITLE = "What it costs"


def _last_words(stage: Stage) -> None:
    stage.say("`pinverify pin HOST` prints pins, and this code enforces them:")
    stage.show("""
        import ssl
        import pinverify

        policy = pinverify.Policy({"api.example.com": ["sha256/…", "sha256/…"]})
        context = pinverify.pin_context(ssl.create_default_context(), policy)
    """)


# ---- behind the scenes -------------------------------------------------------


def _chain_as_sent(context: ssl.SSLContext, network: Network) -> list[bytes]:
    """Connect and return the chain as sent; the method is private before 3.13."""
    plain = socket.create_connection(network.address, timeout=5)
    with context.wrap_socket(plain, server_hostname=HOST) as tls:
        inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
        return [
            ssl.PEM_cert_to_DER_cert(cert.public_bytes())
            for cert in inner.get_unverified_chain()
        ]


class _Printer(logging.Handler):
    """Log handler that prints to stdout, which the stage captures."""

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname}:{record.name}:{record.getMessage()}"
        sys.stdout.write(line + "\n")


@contextlib.contextmanager
def _log_is_printed() -> Iterator[None]:
    logger = logging.getLogger("pinverify")
    handler = _Printer()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
