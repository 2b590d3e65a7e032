"""Policies that reject, chains that they reject, and the resulting errors."""

from __future__ import annotations

import pytest

from pinverify import Pin, PinKind, PinningError, PinSet, Policy, core
from pki import Authority
from policy_samples import ABSENT, HOST

__all__ = ["hostile_chain", "many_pins", "refusal", "rejected"]


def many_pins(num: int, kind: PinKind = PinKind.SPKI) -> list[Pin]:
    """Return pins of nobody."""
    return [Pin(kind, core.sha256(b"%d" % i)) for i in range(num)]


def hostile_chain() -> list[bytes]:
    """Return fifty certificates whose subjects try all that a terminal obeys."""
    controls = "".join(map(chr, [*range(1, 32), 0x7F, 0x85, 0x9B, 0x2028, 0x202E]))
    authority = Authority.root("\n".join(["next:"] * 8))
    names = [f"{i}\n" + controls for i in range(50)]
    return [authority.leaf(common_name=name).der for name in names]


def rejected(policy: Policy, chain: list[bytes]) -> PinningError:
    """Return the error of a policy that rejects a chain."""
    with pytest.raises(PinningError) as caught:
        policy.verify(HOST, chain)
    return caught.value


def refusal(
    chain: list[bytes], pins: PinSet | list[str] | None = None, pattern: str = HOST
) -> PinningError:
    """Return the error for *chain* under a policy that asks for another key."""
    policy = Policy({pattern: [ABSENT] if pins is None else pins}, unpinned="reject")
    with pytest.raises(PinningError) as caught:
        policy.verify(HOST, chain)
    return caught.value
