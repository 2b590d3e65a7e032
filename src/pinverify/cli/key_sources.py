"""Sources of `pinverify pin`, which are servers and files, and the keys in them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify import core
from pinverify.cli.key_files import Item, Kind, contents, read_items
from pinverify.cli.shared_options import WAY, refuse_ignored
from pinverify.cli.spellings import SPELLINGS
from pinverify.cli.x509 import Details, details, key_text, reencoded
from pinverify.errors import DERError, PinverifyError
from pinverify.review._certificates import Facts, facts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pinverify.cli.output import Output
    from pinverify.cli.servers import Shown
    from pinverify.cli.shared_options import Way

__all__ = ["Answer", "Entry", "answers_of", "is_server", "tell_warnings"]


class Entry(NamedTuple):
    """One certificate or public key, with its digests and warnings.

    Attributes:
        der: the certificate or the key.
        role: its place in the chain; without a chain, what it claims to be.
        proven: False if a server merely sent it.
        details: facts for people about the key, and what the certificate claims.
        digests: the digest of the key; for a certificate, also the digest of the whole
            certificate.
    """

    kind: Kind
    der: bytes
    role: str
    subject: str
    proven: bool
    details: Details
    digests: dict[Kind, bytes]
    warnings: tuple[str, ...]

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint in every spelling that applies."""
        return {
            name: spelling.write(self.digests[spelling.kind])
            for name, spelling in SPELLINGS.items()
            if spelling.kind in self.digests
        }


class Answer(NamedTuple):
    """The entries and errors of one source.

    Attributes:
        source: the source, as the user wrote it.
        entries: for a server, first the verified chain, leaf first, then the rest of
            what it sent.
        errors: one line for each part that could not be read.
        host: the name of a server; None for files.
        shown: the chains of a server that answered.
    """

    source: str
    entries: list[Entry]
    errors: list[str]
    host: str | None = None
    shown: Shown | None = None

    @property
    def pinnable(self) -> list[Entry]:
        """The entries that a script gets: for a server, only the leaf, if readable."""
        if self.host is None:
            return self.entries
        chain = () if self.shown is None else self.shown.verified or self.shown.sent
        return [entry for entry in self.entries[:1] if entry.der == next(iter(chain))]

    @property
    def warnings(self) -> list[str]:
        """Warnings about the whole chain."""
        if self.shown is None or not self.shown.problem:
            return []
        return [f"{self.shown.unverified}; {_FIRST_USE}"]


# ---- sources -----------------------------------------------------------------

_FILE_NAMES = re.compile(r".*[/\\].*|-|.*\.(pem|der|crt|cer|key)", re.IGNORECASE)
_SERVERS = re.compile(r"https://.*|.*:\d+")


def answers_of(out: Output, sources: Sequence[str], way: Way) -> list[Answer]:
    """Ask servers and read files; errors go to stderr and into the exit code."""
    servers = [is_server(source) for source in sources]
    context: ssl.SSLContext | None = None
    if any(servers):
        from pinverify.cli.servers import context_for  # TLS, which files do not need

        context = context_for(way)
    else:
        refuse_ignored("on files", *WAY)
    answers = []
    doing = f"reading {sources[0]}" if len(sources) == 1 else "reading"
    with out.progress(doing, len(sources)) as done:
        for source, server in zip(sources, servers, strict=True):
            answers.append(_answer_of(source, context if server else None, way))
            done()
    for answer in answers:
        for problem in answer.errors:
            out.fail(problem)
    return answers


def _answer_of(source: str, context: ssl.SSLContext | None, way: Way) -> Answer:
    """Return the answer of a server or, without a context, of a file."""
    try:
        return _read(source) if context is None else _ask(source, context, way)
    except PinverifyError as error:
        return Answer(source, [], [f"{source}: {error}"])


def is_server(source: str) -> bool:
    """Return True for a server, False for a file.

    ``https://…`` and ``…:port`` are servers; ``-``, a path with a slash, and a
    name with the suffix of a certificate are files. Any other name is a file if
    such a file exists.
    """
    if _SERVERS.fullmatch(source):
        return True
    return not (_FILE_NAMES.fullmatch(source) or os.path.exists(source))  # noqa: PTH110 - as in key_files


def _read(source: str) -> Answer:
    answer = Answer(source, [], [])
    try:
        data = contents(source)
    except OSError as error:
        msg = f"{source}: {error.strerror}; give a file or a server"
        answer.errors.append(msg)
        return answer
    for number, item in enumerate(read_items(data), 1):
        if isinstance(item, DERError):
            answer.errors.append(f"{source}: number {number}: {item}")
        else:
            answer.entries.append(_entry(item))
    return answer


def _ask(source: str, context: ssl.SSLContext, way: Way) -> Answer:
    from pinverify.cli.servers import Server, connection_problem, look_at

    server = Server.parse(source, way)
    try:
        shown = look_at(server, context, way)
    except OSError as error:
        return Answer(source, [], [connection_problem(server, error, way)], server.host)
    answer = Answer(str(server), [], [], server.host, shown)
    extras = [cert for cert in dict.fromkeys(shown.sent) if cert not in shown.verified]
    for depth, cert in enumerate(shown.verified):
        role = "leaf" if depth == 0 else facts(cert).role or ""
        _add(answer, cert, role, proven=True)
    for depth, cert in enumerate(extras):
        leaf = depth == 0 and not shown.verified  # the handshake proved its key
        _add(answer, cert, "leaf" if leaf else "only sent", proven=leaf)
    return answer


def _add(answer: Answer, cert: bytes, role: str, *, proven: bool) -> None:
    try:
        entry = _entry(Item("certificate", cert), role, proven=proven)
    except DERError as error:
        number = len(answer.entries)
        msg = f"{answer.source}: certificate {number} of its chain: {error}"
        answer.errors.append(msg)
    else:
        answer.entries.append(entry)


# ---- answers -----------------------------------------------------------------


def _entry(item: Item, role: str = "", *, proven: bool = True) -> Entry:
    if item.kind == "certificate":
        spki, said = core.spki(item.der), facts(item.der)
        more = details(item.der, spki)
        digests: dict[Kind, bytes] = {"certificate": core.sha256(item.der)}
    else:
        spki, said = item.der, Facts(item.subject or "", None)
        more, digests = Details(key_text(spki)), {}
        role = "public key" if item.subject is None else "request"
    digests["public key"] = core.sha256(spki)
    return Entry(
        item.kind,
        item.der,
        role or said.role or item.kind,
        said.subject,
        proven,
        more,
        digests,
        (() if proven else (_UNPROVEN,)) + _other_recipe(spki),
    )


def _other_recipe(spki: bytes) -> tuple[str, ...]:
    other = reencoded(spki)
    if other is None or other == spki:
        return ()
    other_pin = SPELLINGS["sha256"].write(core.sha256(other))
    warning = (
        "cryptography's public_key().public_bytes(…) encodes this key differently; the "
        f"pin by that recipe, {other_pin}, does not match"
    )
    return (warning,)


_UNPROVEN = (
    "any server can send this certificate, which proves nothing; do not pin it for "
    "that reason"
)

_FIRST_USE = (
    "pinning it now is trust on first use, so compare the pin with one that you got "
    "another way, or trust its authority (--cafile)"
)


def tell_warnings(out: Output, answer: Answer, entries: Sequence[Entry]) -> None:
    """Warn on stderr when stdout is for programs."""
    for warning in answer.warnings:
        out.warn(f"{answer.source}: {warning}")
    for entry in entries:
        for warning in entry.warnings:
            out.warn(f"{answer.source}: {warning}")
