"""The cost of a verification on this machine, compared with common alternatives.

Several ways to check whether the key of a certificate is pinned take turns, so that
other work on the machine disturbs all of them alike. Times are compared as ratios
within a turn; the median of the ratios is printed.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.text import Text

from pinverify import core
from pinverify.demo.network import HOST
from pinverify.demo.stage import NotShownError, Stage
from pinverify.policy import Pin, PinKind, PinningError, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["cost"]

_TURNS = 50
_CALLS = 100  # of each way, in each turn
_HANDSHAKES = 20


class Cost(NamedTuple):
    """The cost of one call: medians over all turns.

    Attributes:
        microseconds: its time on this machine, now.
        ratio: its time divided by the time of the first way in the same turn.
    """

    microseconds: float
    ratio: float


def cost(
    stage: Stage,
    cert: bytes,
    other: bytes,
    pins: Sequence[str],
    handshake: Callable[[], object],
) -> dict[str, object]:
    """Measure, print a table, and return its numbers.

    Args:
        stage: prints the table.
        cert: a DER certificate whose key is pinned.
        other: a DER certificate whose key is not pinned.
        pins: SPKI pins.
        handshake: a function that connects to a TLS server, for comparison.

    Raises:
        NotShownError: one of the ways gives a wrong answer.
    """
    ways = _ways([Pin.parse(pin).digest for pin in pins])
    for name, is_pinned in ways.items():
        if not is_pinned(cert) or is_pinned(other):
            msg = f"{name} gives a wrong answer"
            raise NotShownError(msg)
    costs = _measure(ways, cert)
    handshakes = [_microseconds(handshake, 1) for _ in range(_HANDSHAKES)]
    _print(stage, costs, statistics.median(handshakes))
    return {
        "kernel": core.kernel(),
        "turns": _TURNS,
        "calls_per_turn": _CALLS,
        "ways": {name: one._asdict() for name, one in costs.items()},
        "handshake_microseconds": statistics.median(handshakes),
    }


def _measure(ways: dict[str, Callable[[bytes], bool]], cert: bytes) -> dict[str, Cost]:
    calls = [functools.partial(is_pinned, cert) for is_pinned in ways.values()]
    turns = [[_microseconds(call, _CALLS) for call in calls] for _ in range(_TURNS)]
    return {
        name: Cost(
            statistics.median(turn[number] for turn in turns),
            statistics.median(turn[number] / turn[0] for turn in turns),
        )
        for number, name in enumerate(ways)
    }


def _microseconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times * 1e6


def _print(stage: Stage, costs: dict[str, Cost], handshake: float) -> None:
    stage.say(
        f"""Is the key of one certificate one of two pins? {_TURNS} turns of {_CALLS}
        calls each, SHA-256 by {core.kernel()}:"""
    )
    width = max(map(len, costs))
    for number, (name, one) in enumerate(costs.items()):
        time_text = f"{one.microseconds:8.2f} µs"
        ratio_text = f"{one.ratio:7.1f} times" if number else "      1"
        style = "bold" if not number else ""
        stage.print(Text(f"{name:<{width}}  {time_text}  {ratio_text}", style))
    stage.say(
        f"""The times are true for this machine and this moment only; the ratios hold
        more widely. A TLS handshake with the server above takes {handshake:.0f} µs.
        The first way checks one certificate; the second also finds the rule of the
        host and makes a report. The check in a handshake costs something between
        the two."""
    )


# ---- the ways ----------------------------------------------------------------


def _ways(pins: Sequence[bytes]) -> dict[str, Callable[[bytes], bool]]:
    """Return the ways to check, each a function of a DER certificate."""
    policy = Policy({HOST: [Pin(PinKind.SPKI, pin) for pin in pins]})

    def with_policy(cert: bytes) -> bool:
        try:
            return policy.verify(HOST, [cert]).accepted
        except PinningError:
            return False

    def is_one(spki: bytes) -> bool:
        digest = hashlib.sha256(spki).digest()
        return any([hmac.compare_digest(digest, pin) for pin in pins])  # noqa: C419 - compare all pins

    def with_cryptography(cert: bytes) -> bool:
        key = x509.load_der_x509_certificate(cert).public_key()
        return is_one(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    return {
        "pinverify: core.matcher": core.matcher(b"".join(pins)),
        "pinverify: Policy.verify": with_policy,
        "pure Python and hashlib": lambda cert: is_one(_spki(cert)),
        "cryptography and hashlib": with_cryptography,
    }


def _spki(cert: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a well-formed certificate.

    This is the walk that many people write. It is fast because it checks nothing.
    """
    at, _ = _content(cert, 0)  # Certificate
    at, _ = _content(cert, at)  # TBSCertificate
    if cert[at] == 0xA0:  # noqa: PLR2004 - version [0]
        _, at = _content(cert, at)
    for _ in range(5):  # serialNumber, signature, issuer, validity, subject
        _, at = _content(cert, at)
    _, end = _content(cert, at)
    return cert[at:end]


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return the start and end of the content of the DER element at *at*."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        num_bytes = length & 0x7F
        length = int.from_bytes(data[start : start + num_bytes])
        start += num_bytes
    return start, start + length
