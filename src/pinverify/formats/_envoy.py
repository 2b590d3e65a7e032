"""Envoy: the validation contexts in its configurations, and in those of Istio.

    sni: api.example.com
    common_tls_context:
      validation_context:
        verify_certificate_spki: [<base64>]
        verify_certificate_hash: [<hex>]

Envoy compares the peer's own certificate: its key with the first list, the whole
certificate with the second; one match is enough. In an UpstreamTlsContext, the peer is
the server that ``sni`` names. In a DownstreamTlsContext, the peer is a client, whose
pins are those of `clients`. The lists of a server in an Istio Gateway are pins of
`clients`, too. With ACCEPT_UNTRUSTED nobody is refused, which is report mode here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.errors import shown
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
from pinverify.formats._losses import Abilities, Dumped
from pinverify.formats._one_host import given_host, pins_to_write
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import Pin, PinKind, PinSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._envoy_contexts import Context
    from pinverify.formats._policy_reading import Given, Loaded, Where
    from pinverify.policy import Rules

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
# The fields of a validation context. Another one may be a misspelt list, which pins
# nothing.
_KNOWN = {
    *(*LISTS, _MODE, _CUSTOM, *_NAMES, "trusted_ca", "crl", "watched_directory"),
    *("ca_certificate_provider_instance", "system_root_certs"),
    *("require_signed_certificate_timestamp", "allow_expired_certificate"),
    *("only_verify_leaf_cert_crl", "max_verify_depth"),
}
_HASH = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31}", re.ASCII)


def loads(data: bytes, given: Given) -> Loaded:
    """Read the validation contexts of a configuration."""
    reading = Reading(given)
    text = text_of(data, given, "configuration")
    contexts = Contexts(documents(text, given), reading)
    _Reader(contexts, given, reading).read()
    return reading.loaded(
        f"nobody is pinned; name a file with {KEYS} or {CERTIFICATES} in a {CONTEXT}"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the context of one host, or that of clients, in YAML."""
    host, value, losses = pins_to_write(rules, given, _CAN, "a leaf", or_clients=True)
    head = [f'"@type": {_TYPE}UpstreamTlsContext', f'sni: "{host}"']
    if host is None:
        head = [f'"@type": {_TYPE}DownstreamTlsContext']
        head.append("require_client_certificate: true")
    lines = [*head, f"{COMMON}:", f"  {CONTEXT}:"]
    advice = "Add trusted_ca: without it Envoy checks these pins and no chain."
    lines.append(f"    # {advice}")
    texts = [str(pin) for pin in value.leaf]
    for key, prefix in ((KEYS, "sha256/"), (CERTIFICATES, "cert-sha256:")):
        digests = [
            text.removeprefix(prefix) for text in texts if text.startswith(prefix)
        ]
        if digests:
            lines += [f"    {key}:", *(f'    - "{digest}"' for digest in digests)]
    return Dumped("\n".join(lines) + "\n", losses.found())


# ---- reading -----------------------------------------------------------------------


class _Reader:
    """Reader that makes rules of contexts."""

    def __init__(self, contexts: Contexts, given: Given, reading: Reading) -> None:
        self._contexts = contexts
        self._given = given
        self._reading = reading

    def read(self) -> None:
        """Add the rules of all contexts."""
        pinned: list[tuple[Context, PinSet]] = []
        unpinned: dict[str, Where] = {}
        for context in self._contexts.each():
            value = self._pin_set(context)
            if value is not None:
                pinned.append((context, value))
            elif context.name is not None:
                unpinned[context.name.lower()] = context.where
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

    def _add(self, context: Context, value: PinSet) -> None:
        where, name = context.where, context.name
        if context.side == "client":
            self._reading.for_clients(where, value)
            return
        pattern: str | None = None
        if name is None and self._given.host is None:
            msg = (
                "the file does not say whose pins these are; give `host` (--host), or "
                "write sni for a server or the '@type' DownstreamTlsContext for clients"
            )
            self._reading.mistake(where, msg)
        elif name is None:
            pattern = given_host(self._given)
        else:
            msg = "sni is one name, and has no '*'"
            pattern = self._reading.pattern(where, name, msg)
        if pattern is not None and self._reading.rules_so_far.get(pattern) != value:
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
        """Return the fields of a validation context, and the name of a missing secret.

        Envoy merges a secret into a default: it joins lists, and replaces other fields.
        """
        said = context.said
        kinds = [name for name in (CONTEXT, COMBINED, SECRET) if name in said]
        if len(kinds) > 1:
            msg = f"{' and '.join(kinds)}: there can be one of them; keep one"
            self._reading.mistake(context.where, msg)
        merged: dict[str, list[Place]] = {}
        missing = ""
        for kind in kinds[:1]:
            parts = {kind: said[kind]}
            if kind == COMBINED:
                parts = fields(said[kind], self._reading)
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
        """Add the fields of a validation context to those merged before."""
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
        """Return Envoy's name of the mode of verification."""
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
        if not isinstance(place.value, list) or not place.value:
            msg = f"{key}: expected a list with a pin; without one, nobody is pinned"
            self._reading.mistake(place.where or key, msg)
            return
        for inner in place.items():
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
