"""Envoy: the validation contexts of a configuration; also those of Istio.

    sni: api.example.com
    common_tls_context:
      validation_context:
        verify_certificate_spki: [<base64>]
        verify_certificate_hash: [<hex>]

Envoy compares the peer's own certificate: its key with the first list, the whole with
the second; one match is enough. In an UpstreamTlsContext the peer is the server that
``sni`` names, in a DownstreamTlsContext a client: such pins are those of `clients`. So
are the lists of a server in a Gateway of Istio. With ACCEPT_UNTRUSTED nobody is
refused, which is report mode here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError, shown
from pinverify.formats._envoy_contexts import (
    CERTIFICATES,
    COMBINED,
    COMMON,
    CONTEXT,
    DEFAULT,
    KEYS,
    LISTS,
    SECRET,
    Contexts,
    Place,
    documents,
    fields,
    text_in,
)
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host, rule_to_write
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import Pin, PinKind, PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._envoy_contexts import Context
    from pinverify.formats._policy_reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(
    shapes=frozenset({""}), lists=frozenset({"leaf"}), kinds=frozenset(PinKind)
)
_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_MODE = "trust_chain_verification"
_MODES = {"0": "VERIFY_TRUST_CHAIN", "1": "ACCEPT_UNTRUSTED"}
_CUSTOM = "custom_validator_config"
_NAMES = (
    *("match_typed_subject_alt_names", "match_subject_alt_names"),
    "verify_subject_alt_name",
)
# The fields of a validation context. Another one may be a slip of the pen, which pins
# nothing.
_KNOWN = {
    *(*LISTS, _MODE, _CUSTOM, *_NAMES, "trusted_ca", "crl", "watched_directory"),
    *("ca_certificate_provider_instance", "system_root_certs"),
    *("require_signed_certificate_timestamp", "allow_expired_certificate"),
    *("only_verify_leaf_cert_crl", "max_verify_depth"),
}
_HASH = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31}", re.ASCII)


def loads(data: bytes, given: Given) -> Loaded:
    """Read the validation contexts of a configuration.

    Raises:
        PolicyError: the file has mistakes, or is YAML and PyYAML is not installed.
    """
    reading = Reading(given)
    contexts = Contexts(reading)
    for document in documents(text_of(data, given, "configuration"), given):
        contexts.walk(document)
    _Reader(contexts, given, reading).read()
    return reading.loaded(
        f"nobody is pinned; name a file with {KEYS} or {CERTIFICATES} in a {CONTEXT}"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the context of one host, or that of clients, in YAML.

    Raises:
        PolicyError: no host is given, or it has no pins that Envoy can express.
    """
    losses = Losses(given.position)
    if rules.clients is not None and not rules.hosts:
        host, one = "clients", Rules({"clients": rules.clients}, blocked=rules.blocked)
        head = [f'"@type": {_TYPE}DownstreamTlsContext']
        head.append("require_client_certificate: true")
    else:
        host, one = rule_to_write(rules, given, losses, below=False)
        head = [f'"@type": {_TYPE}UpstreamTlsContext', f'sni: "{host}"']
    value = fit(one, _CAN, losses).hosts.get(host)
    if not isinstance(value, PinSet):
        msg = f"{given.name}: there is no rule to write: no pin of a leaf for {host!r}"
        raise PolicyError(msg)
    lines = [*head, f"{COMMON}:", f"  {CONTEXT}:"]
    lines.append(
        "    # Add trusted_ca: without it Envoy checks these pins and no chain."
    )
    for key, kind in ((KEYS, PinKind.SPKI), (CERTIFICATES, PinKind.CERTIFICATE)):
        digests = [_digest(pin) for pin in value.leaf if pin.kind is kind]
        if digests:
            lines += [f"    {key}:", *(f'    - "{digest}"' for digest in digests)]
    return Dumped("\n".join(lines) + "\n", losses.found())


def _digest(pin: Pin) -> str:
    """Return a digest as Envoy spells it."""
    return str(pin).removeprefix("sha256/").removeprefix("cert-sha256:")


# ---- reading -----------------------------------------------------------------------


class _Reader:
    """Makes rules of contexts."""

    def __init__(self, contexts: Contexts, given: Given, reading: Reading) -> None:
        self._contexts = contexts
        self._given = given
        self._reading = reading

    def read(self) -> None:
        """Add the rules of all contexts."""
        pinned: list[tuple[Context, PinSet]] = []
        unpinned: dict[str, str] = {}
        self._read_each(pinned, unpinned)
        self._contexts.add_unnamed()
        self._read_each(pinned, unpinned)
        self._contexts.check_places()
        for context, value in pinned:
            self._add(context, value)
        hosts = self._reading.rules_so_far
        for name in unpinned.keys() & hosts.keys():
            msg = f"another context of {name!r} has no pins; here it has"
            self._reading.notice(unpinned[name], msg)
        if self._given.host is None or not pinned or self._reading.is_wrong:
            return
        host = given_host(self._given)
        if host not in hosts:
            msg = f"the file names its hosts, not {host!r}; leave out `host` (--host)"
            self._reading.mistake("host", msg)

    def _read_each(
        self, pinned: list[tuple[Context, PinSet]], unpinned: dict[str, str]
    ) -> None:
        """Read the contexts that were found so far."""
        for context in self._contexts.found:
            value = self._pin_set(context)
            if value is not None:
                pinned.append((context, value))
            elif context.name is not None:
                unpinned[context.name.lower()] = context.where
        self._contexts.found.clear()

    def _add(self, context: Context, value: PinSet) -> None:
        """Add the rule of a context."""
        where, name = context.where, context.name
        if context.side == "client":
            self._reading.for_clients(where, value)
            return
        if name is None and self._given.host is None:
            msg = (
                "the file does not say whose pins these are; give `host` (--host), or "
                "write sni for a server or the '@type' DownstreamTlsContext for clients"
            )
            self._reading.mistake(where, msg)
            return
        if name is not None and "*" in name:
            msg = f"{shown(name)}: sni is one name, and has no '*'"
            self._reading.mistake(where, msg, "host")
            return
        if name is None:
            pattern: str | None = given_host(self._given)
        else:
            pattern = self._reading.pattern(where, name)
        if pattern is None or self._reading.rules_so_far.get(pattern) == value:
            return
        self._reading.rule(where, pattern, value)

    def _pin_set(self, context: Context) -> PinSet | None:
        """Return the pins of a context; None if it has none."""
        said, elsewhere = self._validation(context)
        pins = [
            pin
            for key in (KEYS, CERTIFICATES)
            for place in said.get(key, ())
            for pin in self._pins(key, place)
        ]
        if elsewhere:
            msg = f"the secret {shown(elsewhere)} is not in the file"
            if pins:
                self._reading.notice(context.where, f"{msg}; its pins are left out")
            else:
                msg = f"{msg}, and may have pins; put its {CONTEXT} in this place"
                self._reading.mistake(context.where, msg)
        if not pins:
            return None
        if _CUSTOM in said:
            msg = f"{_CUSTOM} decides here, and may ignore the pins; remove one of both"
            self._reading.mistake(context.where, msg)
        for name in _NAMES:
            if name in said:
                msg = f"{name} is left out; names are for the TLS library to check"
                self._reading.remark(context.where, msg)
        is_open = self._mode(said) == "ACCEPT_UNTRUSTED"
        return PinSet(leaf=pins, mode="report" if is_open else "enforce")

    def _validation(self, context: Context) -> tuple[dict[str, list[Place]], str]:
        """Return the fields of a validation context, and a secret that is missing.

        Envoy merges a default with a secret: lists are joined, all else is replaced.
        """
        common = {CONTEXT: context.inner}
        if not context.is_validation:
            common = fields(context.inner, self._reading)
        kinds = [name for name in (CONTEXT, COMBINED, SECRET) if name in common]
        if len(kinds) > 1:
            msg = f"{' and '.join(kinds)}: there can be one of them; keep one"
            self._reading.mistake(context.where, msg)
        merged: dict[str, list[Place]] = {}
        missing = ""
        for kind in kinds[:1]:
            parts = {kind: common[kind]}
            if kind == COMBINED:
                parts = fields(common[kind], self._reading)
            for name in (CONTEXT, DEFAULT, SECRET):
                part = parts.get(name)
                if part is not None and name == SECRET:
                    part, missing = self._secret(part)
                if part is not None:
                    self._merge(part, merged)
        return merged, missing

    def _secret(self, place: Place) -> tuple[Place | None, str]:
        """Return a secret of the file, or the name of one that is elsewhere."""
        said = fields(place, self._reading)
        name = text_in(said.get("name"), self._reading) or ""
        if name in self._contexts.secrets and "sds_config" not in said:
            return self._contexts.secrets[name], ""
        return None, name or "without a name"

    def _merge(self, place: Place, merged: dict[str, list[Place]]) -> None:
        """Add the fields of a validation context to those before."""
        self._contexts.read.add(id(place.value))
        for name, inner in fields(place, self._reading).items():
            if name not in _KNOWN:
                known = f"{KEYS}, {CERTIFICATES}, …"
                msg = f"unknown field {shown(name)}; a {CONTEXT} has {known}"
                self._reading.mistake(inner.where or place.where, msg, "key")
            elif name in LISTS:
                merged.setdefault(name, []).append(inner)
            else:
                merged[name] = [inner]

    def _mode(self, said: dict[str, list[Place]]) -> str:
        """Return the mode of verification: its name in Envoy."""
        if _MODE not in said:
            return _MODES["0"]
        (place,) = said[_MODE]
        mode = _MODES.get(str(place.value), str(place.value))
        if mode not in _MODES.values():
            known = " or ".join(_MODES.values())
            msg = f"{_MODE}: {shown(mode)} is unknown; write {known}"
            self._reading.mistake(place.where, msg)
        return mode

    def _pins(self, key: str, place: Place) -> Iterator[Pin]:
        """Yield the pins of a list."""
        if not isinstance(place.value, list) or not place.value:
            msg = f"{key}: expected a list with a pin; without one, nobody is pinned"
            self._reading.mistake(place.where or key, msg)
            return
        for inner in place.inner():
            text = text_in(inner, self._reading) or ""
            if key == KEYS:
                pin = self._reading.key_pin(inner.where, text)
            elif _HASH.fullmatch(text):
                pin = Pin.certificate(text.replace(":", ""))
            else:
                pin = None
                msg = f"{shown(text)} is not 64 hex digits; a ':' may be between pairs"
                self._reading.mistake(inner.where, msg, "pin")
            if pin is not None:
                yield pin
