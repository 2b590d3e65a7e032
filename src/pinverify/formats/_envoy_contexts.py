"""The TLS contexts and secrets of an Envoy configuration, in YAML or JSON.

A file that begins with ``{`` is JSON. Fields may be in camelCase, too, as in Envoy.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.errors import shown
from pinverify.formats import _json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._policy_reading import Given, Reading, Where
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

# The side of the peer, by words in a context or around it.
_SIDES = {
    "UpstreamTlsContext": "server",
    "DownstreamTlsContext": "client",
    "sni": "server",
    "upstream_tls_context": "server",
    "require_client_certificate": "client",
    "downstream_tls_context": "client",
}
# The entries of YAML to keep, and those to keep only beside a kept one.
_KEPT = {COMMON, CONTEXT, COMBINED, SECRET, *LISTS}
_BESIDE = {"@type", "name", "sni", "require_client_certificate"}


def documents(text: str, given: Given) -> list[Any]:
    """Return the documents of a file: one of JSON, any number of YAML."""
    if text.lstrip().startswith("{"):
        return [_json.parsed(text, given.name)]
    try:
        yaml: Any = importlib.import_module("pinverify.formats._yaml")
    except ModuleNotFoundError:
        given.refuse(
            "YAML needs PyYAML: pip install '.[yaml]' in the checkout; or give the "
            "configuration as JSON"
        )

    def keep(key: str) -> Keep:
        name = _snake(key)
        return "always" if name in _KEPT else "beside" if name in _BESIDE else ""

    found: list[Any] = yaml.documents(text, given, keep)
    return found


def _snake(key: str) -> str:
    """Return the name of a field in snake_case; camelCase is another spelling of it."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: "_" + match[0].lower(), key)


# ---- places ------------------------------------------------------------------------


class Place(NamedTuple):
    """A value of a document, and where it is.

    Attributes:
        value: the value in JSON or YAML.
        path: the fields and indices that lead to it.
    """

    value: Any
    path: str = ""

    @property
    def where(self) -> Where:
        """The line in YAML, the path in JSON."""
        line: int = getattr(self.value, "line", 0)
        return line or self.path[-100:]

    def fields(self) -> Fields:
        """Return the values in a mapping, by their names in snake_case."""
        found = {}
        for key, value in self.value.items():
            name = _snake(key)
            path = f"{self.path}.{name[:40]}".removeprefix(".")
            found[name] = Place(value, path[-200:])
        return found

    def items(self) -> Iterator[Place]:
        """Yield the values in a list."""
        for number, value in enumerate(self.value):
            yield Place(value, f"{self.path}[{number}]"[-200:])


Fields: TypeAlias = dict[str, Place]


def fields(place: Place, reading: Reading) -> Fields:
    """Return the fields of a mapping, by their names in snake_case."""
    if not isinstance(place.value, dict):
        reading.mistake(place.where, "expected a mapping")
        return {}
    return place.fields()


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
        side: "server" or "client", the side of the peer; None if the file does not say.
        name: the name of the server; None if the context does not have it.
        where: the place of the context.
        said: its fields, one of which is a validation context or leads to one.
    """

    side: str | None
    name: str | None
    where: Where
    said: Fields


class Contexts:
    """The contexts and the secrets of a file.

    A file may have very many contexts, so they are not kept: each method walks through
    the file.

    Attributes:
        secrets: the validation contexts of secrets, by name.
        read: the `id` of each mapping whose meaning is known.
    """

    def __init__(self, documents: list[Any], reading: Reading) -> None:
        self._documents = documents
        self._reading = reading
        self.secrets: dict[str, Place] = {}
        self.read: set[int] = set()
        for place, said in self._mappings():
            self._note(place, said)

    def _mappings(self) -> Iterator[tuple[Place, Fields]]:
        """Yield all mappings, each before those in it, and their fields."""
        waiting: list[Iterator[Place]] = [map(Place, self._documents)]
        while waiting:
            place = next(waiting[-1], None)
            if place is None:
                waiting.pop()
                continue
            if isinstance(place.value, list):
                waiting.append(place.items())
            elif isinstance(place.value, dict):
                said = place.fields()
                waiting.append(iter(said.values()))
                yield place, said

    def _note(self, place: Place, said: Fields) -> None:
        """Note a secret; or note that the mapping in a context has been read."""
        if len(said) < len(place.value):
            spelt = {_snake(key): key for key in place.value}
            twice = next(key for key in place.value if spelt[_snake(key)] != key)
            msg = f"the field {shown(twice)} is there twice; keep one spelling"
            self._reading.mistake(place.where, msg, "twice")
        if COMMON in said:
            self.read.add(id(said[COMMON].value))
        elif _is_secret(said) and id(place.value) not in self.read:
            name = text_in(said["name"], self._reading) or ""
            if name in self.secrets:
                msg = f"the secret {shown(name)} is there already; keep one"
                self._reading.mistake(place.where, msg, "twice")
            self.secrets[name] = said[CONTEXT]

    def each(self) -> Iterator[Context]:
        """Yield the contexts, and then the secrets that none of them names."""
        for place, said in self._mappings():
            if id(place.value) not in self.read and not _is_secret(said):
                yield from self._context(place, said)
        for secret in self.secrets.values():
            if id(secret.value) not in self.read:
                yield Context(None, None, secret.where, {CONTEXT: secret})

    def _context(self, place: Place, said: Fields) -> Iterator[Context]:
        """Yield a mapping as a context, if it is one."""
        if COMMON in said:
            sni = text_in(said.get("sni"), self._reading)
            common = fields(said[COMMON], self._reading)
            yield Context(_side(place, said), sni, place.where, common)
        elif said.keys() & {CONTEXT, COMBINED}:
            yield Context(None, None, place.where, said)
        elif said.keys() & LISTS and not place.path:  # the document itself is one
            yield Context(None, None, place.where, {CONTEXT: place})
        elif "tls" in said and isinstance(tls := said["tls"].value, dict):
            # A server in a Gateway of Istio, which has other fields beside the pins.
            pins = {key: value for key, value in tls.items() if _snake(key) in LISTS}
            if pins:
                self.read.add(id(tls))
                context = {CONTEXT: Place(pins, said["tls"].path)}
                yield Context("client", None, said["tls"].where, context)

    def check_places(self) -> None:
        """Refuse pins where Envoy does not look for them."""
        for place, said in self._mappings():
            if said.keys() & LISTS and id(place.value) not in self.read:
                msg = f"pins belong in a {CONTEXT}; move them there"
                self._reading.mistake(place.where, msg)


def _is_secret(said: Fields) -> bool:
    return "name" in said and CONTEXT in said and COMMON not in said


def _side(place: Place, said: Fields) -> str | None:
    """Return the side of the peer, if a context says it."""
    kind = said.get("@type")
    words = [str(kind.value).rpartition(".")[2]] if kind is not None else []
    words += [*said, place.path.rpartition(".")[2]]
    return next((_SIDES[word] for word in words if word in _SIDES), None)
