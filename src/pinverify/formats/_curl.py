"""curl: the argument of --pinnedpubkey, or the file of a key that it may name.

    sha256//<base64>;sha256//<base64>

It is read alone, from a configuration file (.curlrc) and from a command.

curl compares the key of the server's own certificate, whether the chain is verified or
not, and nothing above it. A command line has one host, which the argument does not
name. A file has one public key, PEM or DER; of a certificate curl reads nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import DERError, PolicyError, shown
from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import given_host, pins_to_write
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import Pin, PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({""}), lists=frozenset({"leaf"}))
_PREFIX = "sha256//"
_DER_SEQUENCE = b"\x30"


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pins of one host.

    Raises:
        PolicyError: it is neither a list of pins nor a public key.
    """
    reading = Reading(given)
    pattern = given_host(given)
    if data.startswith((_DER_SEQUENCE, b"-----BEGIN ")):
        pins = [_key(data, given)]
    else:
        pins = _listed(text_of(data, given, "list of pins"), reading)
    reading.check()
    reading.rule("", pattern, PinSet(leaf=pins))
    return reading.loaded("")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the argument for one host.

    Raises:
        PolicyError: no host is given, or it has no pins that curl can say.
    """
    value, losses = pins_to_write(rules, given, _CAN, "a leaf")
    texts = [str(pin).replace("/", "//", 1) for pin in value.leaf]
    return Dumped(";".join(texts) + "\n", losses.found())


_OPTION = re.compile(
    r"""(?m)^[^\n\#]*?(?<![\w-])(?:--)?pinnedpubkey\b["']?[ \t]*[=:]?[ \t]*(?:\\\n\s*)?
    (?P<quote>["']?)(?P<value>[^\s"']*)(?P=quote)""",
    re.VERBOSE,
)


def _listed(text: str, reading: Reading) -> list[Pin]:
    """Return the pins of an argument, a configuration file or a command."""
    values = [(1, text.strip())]
    if found := list(_OPTION.finditer(text)):
        lines = [1 + text.count("\n", 0, one.start("value")) for one in found]
        values = list(zip(lines, [one["value"] for one in found], strict=True))
    read: list[list[Pin]] = []
    for line, value in values:
        where = f"line {line}" if found else ""
        read.append(_pins(where, value, reading))
        if set(read[-1]) != set(read[0]):
            msg = "a second pinnedpubkey with other pins; give a file with one of both"
            reading.mistake(where, msg)
    return read[0]


def _pins(where: str, value: str, reading: Reading) -> list[Pin]:
    pins = []
    for number, part in enumerate(value.split(";"), start=1):
        place = ", ".join(filter(None, (where, f"pin {number}")))
        if not part.startswith(_PREFIX):
            told = "pinnedpubkey: " if where else ""
            msg = f"{told}{shown(part)}: write {_PREFIX} and base64"
            reading.mistake(place, msg, "pin")
        elif pin := reading.key_pin(place, part.removeprefix(_PREFIX)):
            pins.append(pin)
    return pins


def _key(data: bytes, given: Given) -> Pin:
    """Return the pin of a public key in a file."""
    try:
        return Pin.from_public_key(data)
    except DERError as error:
        advice = "curl reads a PUBLIC KEY, PEM or DER, and no certificate"
        msg = f"{given.name}: {error}; {advice}"
        raise PolicyError(msg) from None
