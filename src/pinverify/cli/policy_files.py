"""Read policy files for the commands; warnings about them go to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pinverify import policy  # its parts are imported when they are used
from pinverify.cli.output import NoAnswerError, Output
from pinverify.errors import MAX_TOLD, PolicyError, told
from pinverify.formats._compiled import bytes_in
from pinverify.formats._format_table import FORMATS
from pinverify.formats._load import load_file

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Loaded
    from pinverify.live import Followed, PolicyFile
    from pinverify.policy import Policy, Rules

__all__ = [
    "followed_file",
    "host_of_pins",
    "is_compiled",
    "loaded_from",
    "policy_from",
    "rules_from",
    "tell_findings",
]

_COMPILED = b"pinvpol"  # first bytes of a compiled policy; only for the hint below


def policy_from(
    out: Output, file: str | Path, policy_format: str, host: str | None
) -> Policy:
    """Read or open a policy; the arguments and errors are those of `rules_from`."""
    path = Path(file)
    if policy_format == "compiled":
        with out.progress(f"opening {path.name}"):
            if not path.is_fifo():
                return policy.Policy.open(path)
            with path.open("rb") as pipe:  # <(…) in a shell
                return policy.Policy.open(bytes_in(pipe, str(path)))
    return policy.Policy(rules_from(out, path, policy_format, host=host))


def host_of_pins(policy_format: str, host: str | None) -> str | None:
    """Return *host*, or None if files of the format name their hosts."""
    return None if FORMATS[policy_format].host == "says" else host


def rules_from(
    out: Output,
    path: Path,
    policy_format: str,
    *,
    host: str | None = None,
    to_convert: bool = False,
) -> Rules:
    """Read a policy file, and warn of what the reader and `lint` find.

    Args:
        out: gets the warnings.
        path: the file.
        policy_format: its format.
        host: the host of the pins, for a format that does not name it.
        to_convert: True for `convert`, whose rules are for another system. Then `lint`
            is not asked, and advice names the argument FROM instead of the option
            --format.

    Raises:
        PolicyError: the file has mistakes.
        NoAnswerError: the file is a compiled policy, but *policy_format* is not.
    """
    advice = {"if_compiled": "FROM is compiled"} if to_convert else {}
    loaded = loaded_from(out, path, policy_format, host, **advice)
    for text in loaded.notices:
        out.warn(text)
    if not to_convert:
        tell_findings(out, loaded.rules, str(path))
    return loaded.rules


def followed_file(out: Output, path: Path, policy_format: str) -> PolicyFile:
    """Read a policy file and follow its changes; report each new policy.

    Args:
        out: gets a line for each new policy, and the warnings of `lint`.
        path: the file.
        policy_format: its format.

    Raises:
        PolicyError: the file has mistakes.
        NoAnswerError: the file is a compiled policy, but *policy_format* is not.
    """
    from pinverify.live import PolicyFile

    def tell(event: Followed) -> None:
        if event.error is not None:
            return  # it is logged
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
    """Print errors and warnings of `lint` as warnings; *name* is the policy's name."""
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
    """Read a policy file; the errors are those of `rules_from`.

    Args:
        out: shows the progress.
        path: the file.
        policy_format: its format.
        host: the host of the pins, for a format that does not name it.
        if_compiled: the advice if the file is a compiled policy.
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
    """Raise NoAnswerError if a policy file cannot be read because it is compiled."""
    if policy_format != "compiled" and is_compiled(path):
        msg = f"{path}: this is a compiled policy; {advice}"
        raise NoAnswerError(msg) from error


def is_compiled(path: Path) -> bool:
    """Return True for a file that begins as a compiled policy, False for a pipe."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_COMPILED)) == _COMPILED
