"""Mistakes that only certificates show: those of servers, or of authorities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pinverify.files._lint_at_load import CLIENTS
from pinverify.policy._certs_and_pins import Pin, pins_of
from pinverify.policy._pinning_error import mistaken_pins, subject_line
from pinverify.policy._policy import Policy
from pinverify.policy._report import Reason
from pinverify.policy._rules import LISTS, PinSet, Rules
from pinverify.review._certificates import issuer_and_subject, validity_of
from pinverify.review._lint import operators

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from pinverify.policy._pinning_error import Mistaken
    from pinverify.policy._report import Report
    from pinverify.policy._rules import Unpinned

__all__ = ["Authorities", "Served", "found_at_server", "served"]

_MATCHING = LISTS[:3]


class Served(NamedTuple):
    """A host, its verified chain, and the rule that decides about it.

    Attributes:
        host: its canonical name.
        chain: DER certificates, leaf first.
        now: the time at which the chain was shown.
        pattern: the pattern of the rule; None if there is no rule.
        value: the PinSet or `UNPINNED` of the rule; None if there is no rule.
        blocked: pins that no peer may show.
        report: the decision.
        accepts_others: True if the chain would also pass if every pin were another.
    """

    host: str
    chain: tuple[bytes, ...]
    now: dt.datetime
    pattern: str | None
    value: PinSet | Unpinned | None
    blocked: frozenset[Pin]
    report: Report
    accepts_others: bool


def served(rules: Rules, host: str, chain: Sequence[bytes], now: dt.datetime) -> Served:
    """Return what the rules say about a host that showed a chain.

    Raises:
        PolicyError: *host* is not a host.
    """
    decided = rules.deciding(host)
    if decided is None and not rules.hosts and rules.clients is not None:
        decided = CLIENTS, rules.clients  # then these decide about every peer
    pattern, value = (None, None) if decided is None else decided
    hosts: dict[str, PinSet | Unpinned] = {} if value is None else {host: value}
    report = _decision(rules, host, hosts, chain, now)
    blocked = {*rules.blocked}
    if isinstance(value, PinSet):
        hosts = {host: _with_other_pins(value)}
        blocked.update(value.blocked)
    changed = _decision(rules, host, hosts, chain, now)
    seen = tuple(chain), now
    found = report, changed.accepted
    return Served(host, *seen, pattern, value, frozenset(blocked), *found)


def _decision(
    rules: Rules,
    host: str,
    hosts: Mapping[str, PinSet | Unpinned],
    chain: Sequence[bytes],
    now: dt.datetime,
) -> Report:
    policy = Policy(Rules(hosts, unpinned=rules.unpinned, blocked=rules.blocked))
    return policy.evaluate(host, chain, now=now)


def _with_other_pins(value: PinSet) -> PinSet:
    """Return a PinSet that no certificate of the chain can match."""
    lists = {
        name: [
            Pin(pin.kind, bytes(0xFF ^ byte for byte in pin.digest))
            for pin in getattr(value, name)
        ]
        for name in _MATCHING
    }
    return PinSet(
        **lists,
        mode=value.mode,
        expires=value.expires,
        after_expiry=value.after_expiry,
    )


# ---- servers -----------------------------------------------------------------------


def found_at_server(
    one: Served, authorities: Sequence[bytes]
) -> Iterator[tuple[str, str]]:
    """Yield the code and the text of each mistake that a server's chain shows."""
    if one.accepts_others:
        yield "PV601", _why_open(one)
    value = one.value
    if not isinstance(value, PinSet) or not one.chain:
        return
    explained = [
        *_wrong_recipes(value, one.chain),
        *_wrong_lists(value, one.chain),
        *_roots_above(value, one.chain, authorities),
    ]
    yield from explained
    if one.report.reason is Reason.MATCH:
        yield from _rotating(value, one.chain)
        ending = dict(_ending(one, value))
        yield from (("PV608", text) for text in ending.values())
        yield from _without_backup(value, one.chain, ending)
        yield from _short_lived(value, one.chain)
    elif one.report.reason is not Reason.MISMATCH or not explained:
        yield from _why_rejected(one)


def _why_rejected(one: Served) -> Iterator[tuple[str, str]]:
    report = one.report
    texts = {
        Reason.MISMATCH: (
            f"no pin matches the chain that {one.host} shows today; compare them with "
            "those that `pinverify pin` prints for this server"
        ),
        Reason.BLOCKED: (
            f"{one.host} shows {report.matched}, which is blocked; replace its key, or "
            "remove the pin from `blocked`"
        ),
        Reason.MALFORMED: (
            f"certificate {report.depth} of {one.host} is {report.detail}; have it "
            "issued again as strict DER"
        ),
    }
    if report.reason in texts:
        yield "PV605", texts[report.reason]


def _why_open(one: Served) -> str:
    """Return the text for a host that accepts every key."""
    if not isinstance(one.value, PinSet):
        why = "no rule pins it; see that the rule has the name that is connected to"
    elif one.value.mode == "report":
        why = 'its rule is in report mode; write mode = "enforce" if its pins match'
    else:
        why = "its pins have expired; deploy a policy with a later date"
    return f"{one.host} would be accepted with any key, because {why}"


def _pins_with_lists(value: PinSet) -> Iterator[tuple[str, Pin]]:
    for name in _MATCHING:
        for pin in getattr(value, name):
            yield name, pin


def _words(cert: bytes, depth: int | None = None) -> str:
    """Return words for a certificate, and for its place in the chain if it has one."""
    place = "" if depth is None else f"certificate {depth}, "
    return f"{place}{subject_line(cert) or 'a certificate without a subject'}"


def _wrong_recipe(name: str, pin: Pin, mistaken: Mistaken, whose: str) -> str:
    what = f"the hash of {mistaken.hashed} of {whose}"
    return f"{name}: {pin} is {what}; write {mistaken.right}"


def _wrong_list(name: str, pin: Pin, right: str, whose: str) -> str:
    why = f"the pin of {whose}, and {name} never matches it"
    return f"{name}: {pin} is {why}; move it to {right}"


def _wrong_recipes(value: PinSet, chain: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    pins = list(_pins_with_lists(value))
    for depth, cert in enumerate(chain):
        mistaken = mistaken_pins(cert)
        for name, pin in pins:
            if pin in mistaken:
                whose = _words(cert, depth)
                yield "PV602", _wrong_recipe(name, pin, mistaken[pin], whose)


def _wrong_lists(value: PinSet, chain: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    for depth, cert in enumerate(chain):
        elsewhere, right = ("leaf", "ca") if depth else ("ca", "leaf")
        wrong = set(getattr(value, elsewhere)).intersection(pins_of(cert))
        for pin in sorted(wrong):
            yield "PV603", _wrong_list(elsewhere, pin, right, _words(cert, depth))


def _roots_above(
    value: PinSet, chain: Sequence[bytes], authorities: Sequence[bytes]
) -> Iterator[tuple[str, str]]:
    """Find a pinned authority that issued the last certificate of the chain."""
    issuer, subject = issuer_and_subject(chain[-1])
    if not issuer or issuer == subject:
        return
    shown = {pin for cert in chain for pin in pins_of(cert)}
    wanted = {pin for name, pin in _pins_with_lists(value) if name != "leaf"} - shown
    for cert in authorities:
        if issuer_and_subject(cert)[1] == issuer and wanted.intersection(pins_of(cert)):
            yield (
                "PV604",
                (
                    f"the chain ends at {subject_line(chain[-1])}, which the trust "
                    f"store holds, before the pinned {subject_line(cert)}; pin the "
                    "last certificate of the chain, or remove it from the trust store"
                ),
            )


def _rotating(value: PinSet, chain: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """Find a pinned intermediate that may be replaced, with no pin above it."""
    for depth, cert in enumerate(chain[1:], start=1):
        above = {pin for higher in chain[depth + 1 :] for pin in pins_of(higher)}
        for name in ("pins", "ca"):
            pins = set(getattr(value, name))
            if not pins & above:
                for pin in sorted(pins.intersection(pins_of(cert))):
                    yield from _intermediate(name, pin, pins, cert, depth)


def _intermediate(
    name: str, pin: Pin, pins: Iterable[Pin], cert: bytes, depth: int | None = None
) -> Iterator[tuple[str, str]]:
    """Yield a finding if the pin of a certificate will not stay."""
    operator = operators.rotating(cert)
    # A root may be signed by an older one; then its own pin is among *pins*.
    if operator and not operators.has_root(operator, pins):
        why = operators.why_no_intermediate(operator)
        yield "PV208", f"{name}: {pin} is the pin of {_words(cert, depth)}, {why}"


_SOON = dt.timedelta(days=30)


def _ending(one: Served, value: PinSet) -> Iterator[tuple[str, str]]:
    """Find lists that match only certificates that are about to expire.

    A pin that is not in the chain may be that of a successor, unless it is blocked.

    Yields:
        The name of the list, and the text.
    """
    ends: dict[Pin, str] = {}
    for depth, cert in enumerate(one.chain):
        end = _near_end(cert, one.now)
        for pin in pins_of(cert) if end else ():
            ends.setdefault(pin, f"{_words(cert, depth)}, which is valid until {end}")
    for name in _MATCHING:
        pins = [pin for pin in getattr(value, name) if pin not in one.blocked]
        if pins and ends.keys() >= {*pins}:
            text = (
                f"{name}: it matches by {ends[pins[0]]}, and no other pin can follow; "
                "add the pin of the next key, or renew the certificate with this key"
            )
            yield name, text


def _near_end(cert: bytes, now: dt.datetime) -> dt.date | None:
    """Return the last day of a certificate if it is near; None if it is not.

    It is near if it is less than 30 days and less than a third of the certificate's
    lifetime away, because programs renew certificates in the last third.
    """
    validity = validity_of(cert)
    if validity is None:
        return None
    start, end = validity
    return end.date() if end - now < min(_SOON, (end - start) / 3) else None


def _without_backup(
    value: PinSet, chain: Sequence[bytes], but: Container[str]
) -> Iterator[tuple[str, str]]:
    """Find lists whose pins are all in the chain, leaving out the lists in *but*."""
    shown = {pin for cert in chain for pin in pins_of(cert)}
    for name in _MATCHING:
        pins = getattr(value, name)
        if len(pins) > 1 and shown.issuperset(pins) and name not in but:
            yield (
                "PV606",
                (
                    f"{name}: all its pins are in the one chain that the server shows, "
                    "so none of them is a backup; add a pin of a key that is not in use"
                ),
            )


_SHORT = dt.timedelta(days=100)


def _short_lived(value: PinSet, chain: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    validity = validity_of(chain[0])
    of_leaf = set(pins_of(chain[0]))
    above = {pin for cert in chain[1:] for pin in pins_of(cert)}
    if validity is None or validity[1] - validity[0] >= _SHORT:
        return
    for name in ("pins", "leaf"):
        pins = set(getattr(value, name))
        if pins & of_leaf and (name == "leaf" or not pins & above):
            days = (validity[1] - validity[0]).days
            yield (
                "PV607",
                (
                    f"{name}: it matches by the leaf alone, whose certificate lasts "
                    f"{days} days; see that its key stays the same at each renewal (as "
                    "with certbot --reuse-key), or pin an authority"
                ),
            )


# ---- authorities -------------------------------------------------------------------


def _list_of(certs: object) -> list[bytes]:
    """Return the user's argument as a list.

    Raises:
        TypeError: the list has something that is not DER, so no pin could be compared.
    """
    if isinstance(certs, Iterable) and not isinstance(certs, bytes | str):
        given = [*certs]
        if all(isinstance(one, bytes) and one[:1] != b"-" for one in given):
            return given
    msg = (
        "authorities are a list of DER certificates; write [certificate], or "
        "context.get_ca_certs(binary_form=True)"
    )
    raise TypeError(msg)


class Authorities:
    """Certificates of authorities, by the pins that people make of them."""

    def __init__(self, certs: Sequence[bytes]) -> None:
        """Hash the certificates.

        Raises:
            TypeError: *certs* are not certificates in DER.
        """
        self.certs = _list_of(certs)
        self._right: dict[Pin, bytes] = {}
        self._mistaken: dict[Pin, tuple[Mistaken, bytes]] = {}
        for cert in self.certs:
            for pin in pins_of(cert):
                self._right.setdefault(pin, cert)
            for pin, mistaken in mistaken_pins(cert).items():
                self._mistaken.setdefault(pin, (mistaken, cert))

    def found(self, value: PinSet, *, is_in_force: bool) -> Iterator[tuple[str, str]]:
        """Yield the code and the text of each mistake in a PinSet.

        Args:
            value: the PinSet to compare with the certificates.
            is_in_force: True if a peer can be rejected for lack of a pin.
        """
        for name, pin in _pins_with_lists(value):
            if pin in self._mistaken:
                mistaken, cert = self._mistaken[pin]
                yield "PV602", _wrong_recipe(name, pin, mistaken, _words(cert))
            elif name == "leaf" and pin in self._right:
                cert = self._right[pin]
                yield "PV603", _wrong_list(name, pin, "ca", _words(cert))
            elif pin in self._right and is_in_force and not operators.key_of(pin):
                pins = getattr(value, name)
                yield from _intermediate(name, pin, pins, self._right[pin])
