"""curl: the argument of --pinnedpubkey, or the key file that it may name.

    sha256//<base64>;sha256//<base64>

The argument is read by itself, from a configuration file (.curlrc), or from a command.

curl compares only the key of the server's own certificate, whether or not the chain is
verified. A command line is for one host, which the argument does not name. A key file
has one public key, in PEM or DER; curl does not read certificates there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import DERError, shown
from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import given_host, pins_to_write
from pinverify.formats._policy_reading import Reading, line_at, text_of
from pinverify.policy import Pin, PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({""}), lists=frozenset({"leaf"}))
_PREFIX = "sha256//"
_DER_SEQUENCE = b"\x30"


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pins of one host."""
    reading = Reading(given)
    pattern = given_host(given)
    if data.startswith((_DER_SEQUENCE, b"-----BEGIN ")):
        try:
            pins = [Pin.from_public_key(data)]
        except DERError as error:
            why = "curl reads a PUBLIC KEY, PEM or DER, and no certificate"
            given.refuse(f"{error}; {why}")
    else:
        pins = _listed(text_of(data, given, "list of pins"), reading)
    reading.check()
    reading.rule("", pattern, PinSet(leaf=pins))
    return reading.loaded("")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the argument for one host."""
    _, value, losses = pins_to_write(rules, given, _CAN, "a leaf")
    texts = [str(pin).replace("/", "//", 1) for pin in value.leaf]
    return Dumped(";".join(texts) + "\n", losses.found())


_OPTION = re.compile(
    r"""(?m)^[^\n\#]*?(?<![\w-])(?:--)?pinnedpubkey\b["']?[ \t]*[=:]?[ \t]*(?:\\\n\s*)?
    (?P<quote>["']?)(?P<value>[^\s"']*)(?P=quote)""",
    re.VERBOSE,
)


def _listed(text: str, reading: Reading) -> list[Pin]:
    """Return the pins of an argument, a configuration file or a command."""
    found = [
        (line_at(text, m.start("value")), m["value"]) for m in _OPTION.finditer(text)
    ]
    read: list[list[Pin]] = []
    for line, value in found or [(0, text.strip())]:
        read.append(_pins(line, value, reading))
        if set(read[-1]) != set(read[0]):
            msg = "a second pinnedpubkey with other pins; give a file with one of both"
            reading.mistake(line, msg)
    return read[0]


def _pins(line: int, value: str, reading: Reading) -> list[Pin]:
    pins = []
    for number, part in enumerate(value.split(";"), start=1):
        where = f"line {line}, pin {number}" if line else f"pin {number}"
        if not part.startswith(_PREFIX):
            told = "pinnedpubkey: " if line else ""
            msg = f"{told}{shown(part)}: write {_PREFIX} and base64"
            reading.mistake(where, msg, "pin")
        elif pin := reading.key_pin(where, part.removeprefix(_PREFIX)):
            pins.append(pin)
    return pins
