"""Fixtures that most test files share."""

from __future__ import annotations

import contextlib
import signal
import ssl
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from pki import Pki, example_pki
from tls_servers import TLSServer

__all__: list[str] = []

# No test depends on how fast the machine is, or on what else it does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit
# that. Those of the tests are to meet what a person's do.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# For who asks whether a test fails, and not for how little it takes: `make mutants`.
_phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("unshrunk", deadline=None, phases=_phases)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """The authorities and identities of most tests, made once."""
    return example_pki()


@pytest.fixture(
    params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
    ids=["TLS1.2", "TLS1.3"],
)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Each TLS version in turn: their handshakes end in different ways."""
    value: ssl.TLSVersion = request.param
    return value


@pytest.fixture
def serve() -> Iterator[Callable[..., TLSServer]]:
    """Start TLS servers, and close them when the test is over."""
    with contextlib.ExitStack() as stack:

        def start(context: ssl.SSLContext, **options: object) -> TLSServer:
            server = TLSServer(context, **options)  # type: ignore[arg-type]
            return stack.enter_context(server)

        yield start
