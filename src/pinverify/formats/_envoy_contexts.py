"""Envoy's configurations: the TLS contexts and the secrets of one, in YAML or JSON.

A file that begins with ``{`` is JSON. Fields may be in camelCase, as Envoy takes them.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.errors import PolicyError, shown
from pinverify.formats import _json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._policy_reading import Given, Reading
    from pinverify.formats._yaml import Keep

__all__ = [
    "CERTIFICATES",
    "COMBINED",
    "COMMON",
    "CONTEXT",
    "DEFAULT",
    "KEYS",
    "LISTS",
    "SECRET",
    "Context",
    "Contexts",
    "Fields",
    "Place",
    "documents",
    "fields",
    "text_in",
]

KEYS = "verify_certificate_spki"
CERTIFICATES = "verify_certificate_hash"
LISTS = {KEYS, CERTIFICATES}
COMMON = "common_tls_context"
CONTEXT = "validation_context"
COMBINED = "combined_validation_context"
DEFAULT = "default_validation_context"
SECRET = "validation_context_sds_secret_config"  # noqa: S105 - a field

# The side of the peer, by words of a context or around it.
_SIDES = {
    "UpstreamTlsContext": "server",
    "DownstreamTlsContext": "client",
    "sni": "server",
    "upstream_tls_context": "server",
    "require_client_certificate": "client",
    "downstream_tls_context": "client",
}
# Of YAML, the entries to keep, and those to keep beside them.
_KEPT = {COMMON, CONTEXT, COMBINED, SECRET, *LISTS}
_BESIDE = {"@type", "name", "sni", "require_client_certificate"}


def documents(text: str, given: Given) -> list[Any]:
    """Return the documents of a file: one of JSON, any number of YAML.

    Raises:
        PolicyError: it is neither, or PyYAML is not installed.
    """
    if text.lstrip().startswith("{"):
        return [_json.parsed(text, given.name)]
    try:
        yaml: Any = importlib.import_module("pinverify.formats._yaml")
    except ModuleNotFoundError:
        msg = (
            f"{given.name}: YAML needs PyYAML: pip install '.[yaml]' in the checkout; "
            "or give the configuration as JSON"
        )
        raise PolicyError(msg) from None

    def keep(key: str) -> Keep:
        name = _snake(key)
        kept: Keep = yaml.Keep.BESIDE if name in _BESIDE else yaml.Keep.NO
        return yaml.Keep.ALWAYS if name in _KEPT else kept

    found: list[Any] = yaml.documents(text, given, keep)
    return found


def _snake(key: str) -> str:
    """Return the name of a field, of which camelCase is another spelling."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: "_" + match[0].lower(), key)


# ---- places ------------------------------------------------------------------------


class Place(NamedTuple):
    """A value of a document, and where it is.

    Attributes:
        value: of JSON or YAML.
        path: the fields and numbers that lead to it.
    """

    value: Any
    path: str = ""

    @property
    def where(self) -> str:
        """The line in YAML, the path in JSON."""
        line = getattr(self.value, "line", None)
        return f"line {line}" if line else self.path[-100:]

    def inner(self) -> Iterator[Place]:
        """Yield the values in it."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                path = f"{self.path}.{_snake(key)[:40]}".removeprefix(".")
                yield Place(value, path[-200:])
        elif isinstance(self.value, list):
            for number, value in enumerate(self.value):
                yield Place(value, f"{self.path}[{number}]"[-200:])


Fields: TypeAlias = dict[str, Place]


def fields(place: Place, reading: Reading) -> Fields:
    """Return the fields of a mapping, by their names in snake_case."""
    if not isinstance(place.value, dict):
        reading.mistake(place.where, "expected a mapping")
        return {}
    return dict(zip(map(_snake, place.value), place.inner(), strict=True))


def text_in(place: Place | None, reading: Reading) -> str | None:
    """Return a text that is not empty, or None."""
    if place is None or place.value is None:
        return None
    if not isinstance(place.value, str):
        reading.mistake(place.where, "expected a text")
        return None
    return str(place.value) or None


# ---- contexts ----------------------------------------------------------------------


class Context(NamedTuple):
    """A TLS context.

    Attributes:
        side: of the peer, "server" or "client"; None if the file does not say it.
        name: of a server, if it is there.
        where: its place.
        inner: the mapping that has a validation context, or is one.
        is_validation: whether it is one.
    """

    side: str | None
    name: str | None
    where: str
    inner: Place
    is_validation: bool = False


class Contexts:
    """Collects the contexts and the secrets of a file.

    Attributes:
        found: the contexts.
        secrets: the validation contexts of secrets, by name.
        read: the numbers (`id`) of mappings whose meaning is known.
    """

    def __init__(self, reading: Reading) -> None:
        self.found: list[Context] = []
        self.secrets: dict[str, Place] = {}
        self.read: set[int] = set()
        self._reading = reading
        self._with_pins: dict[int, Place] = {}

    def walk(self, document: object) -> None:
        """Find the contexts, the secrets and the gateways of a document."""
        waiting = [iter([Place(document)])]
        while waiting:
            place = next(waiting[-1], None)
            if place is None:
                waiting.pop()
                continue
            if isinstance(place.value, dict | list):
                waiting.append(place.inner())
            if isinstance(place.value, dict):
                self._sort(place)

    def add_unnamed(self) -> None:
        """Make contexts of the secrets that no context names."""
        for secret in self.secrets.values():
            if id(secret.value) not in self.read:
                self.found.append(
                    Context(None, None, secret.where, secret, is_validation=True)
                )

    def check_places(self) -> None:
        """Refuse pins where Envoy does not look for them."""
        for number, place in self._with_pins.items():
            if number not in self.read:
                msg = f"pins belong in a {CONTEXT}; move them there"
                self._reading.mistake(place.where, msg)

    def _sort(self, place: Place) -> None:
        """Note a mapping that is a context, a secret or a gateway, or has pins."""
        said = fields(place, self._reading)
        if len(said) < len(place.value):
            spelt = {_snake(key): key for key in place.value}
            twice = next(key for key in place.value if spelt[_snake(key)] != key)
            msg = f"the field {shown(twice)} is there twice; keep one spelling"
            self._reading.mistake(place.where, msg, "twice")
        if said.keys() & LISTS:
            self._with_pins[id(place.value)] = place
        if id(place.value) in self.read:
            return
        common, tls, name = said.get(COMMON), said.get("tls"), said.get("name")
        if common is not None:
            self.read.add(id(common.value))
            sni = text_in(said.get("sni"), self._reading)
            side = _side(place, said)
            self.found.append(Context(side, sni, place.where, common))
        elif name is not None and CONTEXT in said:
            self._secret(place, text_in(name, self._reading) or "", said[CONTEXT])
        elif said.keys() & {CONTEXT, COMBINED}:
            self.found.append(Context(None, None, place.where, place))
        elif said.keys() & LISTS and not place.path:  # the context is the document
            self.found.append(
                Context(None, None, place.where, place, is_validation=True)
            )
        elif tls is not None and isinstance(tls.value, dict):
            self._gateway(tls)

    def _secret(self, place: Place, name: str, context: Place) -> None:
        if name in self.secrets:
            msg = f"the secret {shown(name)} is there already; keep one"
            self._reading.mistake(place.where, msg, "twice")
        self.secrets[name] = context

    def _gateway(self, tls: Place) -> None:
        """Note the pins of a server in a Gateway of Istio, which has other fields."""
        pins = {key: value for key, value in tls.value.items() if _snake(key) in LISTS}
        if pins:
            self.read.add(id(tls.value))
            self.found.append(
                Context(
                    "client", None, tls.where, Place(pins, tls.path), is_validation=True
                )
            )


def _side(place: Place, said: Fields) -> str | None:
    """Return the side of the peer, if a context says it."""
    kind = said.get("@type")
    words = [str(kind.value).rpartition(".")[2]] if kind is not None else []
    words += [*said, place.path.rpartition(".")[2]]
    return next((_SIDES[word] for word in words if word in _SIDES), None)
