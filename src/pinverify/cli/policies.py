"""Policy files as the commands read them: what is odd about them goes to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.cli.output import NoAnswerError, Output
from pinverify.errors import MAX_TOLD, PolicyError, told
from pinverify.formats._files import load_file

if TYPE_CHECKING:
    from pathlib import Path

    from pinverify.formats._policy_reading import Loaded
    from pinverify.live import Followed, PolicyFile
    from pinverify.policy import Rules

__all__ = ["followed_file", "is_compiled", "loaded_from", "rules_from", "tell_findings"]

_COMPILED = b"pinvpol"  # first bytes of a compiled policy; only for the hint below


def rules_from(
    out: Output,
    path: Path,
    policy_format: str,
    *,
    host: str | None = None,
    to_convert: bool = False,
) -> Rules:
    """Read a policy file, and warn of what the reader and `lint` tell.

    Args:
        out: gets the warnings.
        path: the file.
        policy_format: its format.
        host: for formats that do not name it.
        to_convert: the rules are for another system; the format is an argument of
            the command, and no option.

    Raises:
        PolicyError: the file has mistakes.
        NoAnswerError: it is a compiled policy, and the format is another.
    """
    advice = {"if_compiled": "FROM is compiled"} if to_convert else {}
    loaded = loaded_from(out, path, policy_format, host, **advice)
    for text in loaded.notices:
        out.warn(text)
    if not to_convert:
        tell_findings(out, loaded.rules, str(path))
    return loaded.rules


def followed_file(out: Output, path: Path, policy_format: str) -> PolicyFile:
    """Read a policy file that is to be followed; tell of each policy that comes.

    Args:
        out: gets the policies, and warnings, also of those that are not taken.
        path: the file.
        policy_format: its format.

    Raises:
        PolicyError: the file has mistakes.
        NoAnswerError: it is a compiled policy, and the format is another.
    """
    from pinverify.live import PolicyFile

    def tell(event: Followed) -> None:
        if event.error is not None:
            return  # the log has it
        digest = event.new.digest.hex()
        if out.as_json:
            out.json({"reloaded": str(path), "digest": digest})
        else:
            out.line(f"policy read again: {path}, digest {digest}")
        tell_findings(out, event.new.rules, str(path))

    with out.progress(f"reading {path.name}"):
        try:
            file = PolicyFile(path, format=policy_format, on_event=tell)
        except PolicyError as error:
            _refuse_compiled(path, policy_format, error)
            raise
    tell_findings(out, file.policy.rules, str(path))
    return file


def tell_findings(out: Output, rules: Rules, name: str) -> None:
    """Warn of errors and warnings of `lint`; *name* is that of the policy."""
    from pinverify.review._lint import serious

    found, num = serious(rules, name, MAX_TOLD)
    texts = [f"{one.where}: {one.code}: {one.text}" for one in found]
    for text in told(texts, name, num):
        out.warn(text)


def loaded_from(
    out: Output,
    path: Path,
    policy_format: str,
    host: str | None,
    *,
    if_compiled: str = "add --format compiled",
) -> Loaded:
    """Read a policy file; the errors and the other arguments are those of `rules_from`.

    Args:
        out: shows the progress.
        path: the file.
        policy_format: its format.
        host: for formats that do not name it.
        if_compiled: the next step for a compiled policy in place of a file.
    """
    with out.progress(f"reading {path.name}"):
        try:
            return load_file(path, policy_format, host=host, pins=out.pins)
        except PolicyError as error:
            _refuse_compiled(path, policy_format, error, if_compiled)
            raise


def _refuse_compiled(
    path: Path,
    policy_format: str,
    error: PolicyError,
    advice: str = "add --format compiled",
) -> None:
    """Raise NoAnswerError if that is what is wrong with a policy file."""
    if policy_format != "compiled" and is_compiled(path):
        msg = f"{path}: this is a compiled policy; {advice}"
        raise NoAnswerError(msg) from error


def is_compiled(path: Path) -> bool:
    """Return True for a file that begins as a compiled policy; a pipe has been read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_COMPILED)) == _COMPILED
