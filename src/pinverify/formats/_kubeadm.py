"""kubeadm: values of --discovery-token-ca-cert-hash, ``sha256:<64 hex digits>``.

Each is the hash of the public key (SPKI) of an authority of the cluster. If one of the
cluster's authorities has one of the hashes, kubeadm joins the cluster and trusts its
servers. A file is a list of hashes, a command that kubeadm printed, or a
JoinConfiguration. The host of the rule is not read from the file: the caller gives it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import shown
from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import given_host, pins_to_write
from pinverify.formats._policy_reading import Reading, lines_of, text_of
from pinverify.policy import Pin, PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({""}), lists=frozenset({"ca"}))
_BEGINS = re.compile(r"kubeadm\s+join|caCertHashes")  # a command, a configuration
_NEAR = re.compile(r"(?i)\bsha256[:/][^\s\"',\]\\]*")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)


def loads(data: bytes, given: Given) -> Loaded:
    """Read the hashes of a list, a command, or a JoinConfiguration."""
    reading = Reading(given)
    pattern = given_host(given)
    commands: list[set[Pin]] = []
    for number, line in lines_of(text_of(data, given, "list")):
        if not commands or _BEGINS.search(line):
            commands.append(set())
        words = [] if line.lstrip().startswith("#") else _NEAR.findall(line)
        for word in words:
            if match := _HASH.fullmatch(word):
                commands[-1].add(Pin.spki(match[1]))
                continue
            msg = f"{shown(word)} is not sha256: and 64 hex digits"
            if word.startswith("SHA256:"):
                msg += "; SHA256: and base64 is the hash of an SSH key"
            reading.mistake(number, msg, "pin")
    found = [pins for pins in commands if pins]
    if any(pins != found[0] for pins in found):
        reading.mistake("", "commands with other hashes; give a file with one of them")
    reading.check()
    if not found:
        given.refuse("there is no hash; write sha256: and 64 hex digits")
    reading.rule("", pattern, PinSet(ca=sorted(found[0], key=str)))
    return reading.loaded("")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the hashes for one host."""
    _, value, losses = pins_to_write(rules, given, _CAN, "a CA")
    lines = [f"sha256:{pin.digest.hex()}\n" for pin in value.ca]
    return Dumped("".join(lines), losses.found())
