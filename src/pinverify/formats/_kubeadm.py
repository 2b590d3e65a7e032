"""kubeadm: hashes of --discovery-token-ca-cert-hash, as ``sha256:<64 hex digits>``.

Each is of the public key (SPKI) of an authority of the cluster: kubeadm joins a cluster
if one of its authorities has one of the hashes, and believes servers of that authority.
A file has one hash a line; it does not name the host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import given_host, pins_to_write
from pinverify.formats._reading import Reading, lines_of, text_of
from pinverify.policy import Pin, PinSet, Rules
from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from pinverify.formats._reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({""}), lists=frozenset({"ca"}))
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)


def loads(data: bytes, given: Given) -> Loaded:
    """Read hashes, one a line.

    Raises:
        PolicyError: a line is something else.
    """
    reading = Reading(given)
    pattern = given_host(given)
    pins = []
    for number, line in lines_of(text_of(data, given, "list")):
        text = line.strip()
        if match := _HASH.fullmatch(text):
            pins.append(Pin.spki(match[1]))
        elif text:
            msg = f"{shown(text)} is not sha256: and 64 hex digits"
            if text.startswith("SHA256:"):
                msg += "; SHA256: and base64 is the hash of an SSH key"
            reading.mistake(f"line {number}", msg, "pin")
    reading.check()
    if not pins:
        msg = f"{given.name}: there is no hash; write sha256: and 64 hex digits"
        raise PolicyError(msg)
    reading.rule("", pattern, PinSet(ca=pins))
    return reading.loaded("")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the hashes for one host.

    Raises:
        PolicyError: no host is given, or it has no pins of authorities.
    """
    value, losses = pins_to_write(rules, given, _CAN, "a CA")
    lines = [f"sha256:{pin.digest.hex()}\n" for pin in value.ca]
    return Dumped("".join(lines), losses.found())
