"""HAProxy: a list of certificates for an ACL, one hash a line; for writing.

    bind :443 ssl crt server.pem ca-file clients.pem verify required
    acl pinned ssl_c_der,sha2(256),hex -f pins.lst
    http-request deny unless pinned

HAProxy hashes the whole certificate of a client (ssl_c_der) or, of a server behind it,
ssl_s_der. It has no word for the key of one, so pins of keys are left out. A list does
not say whose it is: that of `clients` is written where the rules have no hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.formats._losses import Abilities, Dumped, Losses
from pinverify.formats._one_host import fitted, rule_to_write
from pinverify.policy import PinKind, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given

__all__ = ["dumps"]

_CAN = Abilities(
    shapes=frozenset({""}),
    lists=frozenset({"leaf"}),
    kinds=frozenset({PinKind.CERTIFICATE}),
)


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the list of one host, or that of clients.

    Raises:
        PolicyError: no host is given, or it has no pins of certificates.
    """
    losses = Losses(given.position)
    if rules.clients is not None and not rules.hosts:
        fetch = "ssl_c_der"
        one = Rules({"clients": rules.clients}, blocked=rules.blocked)
    else:
        _, one = rule_to_write(rules, given, losses, below=False)
        fetch = "ssl_s_der"
    what = "a whole certificate of a leaf (`pinverify pin --format cert` prints them)"
    value = fitted(one, given, _CAN, what, losses)
    lines = [f"# acl pinned {fetch},sha2(256),hex -f FILE"]
    lines += [pin.digest.hex().upper() for pin in value.leaf]
    return Dumped("\n".join(lines) + "\n", losses.found())
