"""HAProxy: a list of hashes of certificates for an ACL, one a line; only written.

    bind :443 ssl crt server.pem ca-file clients.pem verify required
    acl pinned ssl_c_der,sha2(256),hex -f pins.lst
    http-request deny unless pinned

HAProxy hashes the whole certificate of a client (ssl_c_der), or of a server behind
HAProxy (ssl_s_der). It cannot hash only the key, so pins of keys are left out. A list
does not say whose pins it has. The pins of `clients` are written if the rules have no
hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import pins_to_write
from pinverify.policy import PinKind

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Rules

__all__ = ["dumps"]

_CAN = Abilities(
    shapes=frozenset({""}),
    lists=frozenset({"leaf"}),
    kinds=frozenset({PinKind.CERTIFICATE}),
)


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the list of one host, or that of clients."""
    what = "a whole certificate of a leaf (`pinverify pin --format cert` prints them)"
    host, value, losses = pins_to_write(rules, given, _CAN, what, or_clients=True)
    fetch = "ssl_c_der" if host is None else "ssl_s_der"
    lines = [f"# acl pinned {fetch},sha2(256),hex -f FILE"]
    lines += [pin.digest.hex().upper() for pin in value.leaf]
    return Dumped("\n".join(lines) + "\n", losses.found())
