"""`pinverify convert`: write a policy in the format of another system."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pinverify.cli.compile import NO_TEXT
from pinverify.cli.exit_codes import ACCEPTS_MORE
from pinverify.cli.output import NoAnswerError, Output
from pinverify.cli.policy_files import host_of_pins, rules_from
from pinverify.cli.written_files import check_target, replace_file
from pinverify.formats import dump_rules
from pinverify.formats._format_table import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pinverify.formats import Loss
    from pinverify.formats._losses import Position

__all__ = ["convert_file", "tell_losses"]


def convert_file(  # noqa: PLR0913 - one per option
    out: Output,
    formats: tuple[str, str],
    source: Path,
    target: Path | None,
    *,
    host: str | None,
    position: Position | None,
    allow: tuple[str, ...],
) -> None:
    """Write *source* in another format to *target* or stdout; report what was lost.

    Args:
        out: gets what the new format cannot say.
        formats: the format of the source, and the format of the target.
        source: a policy file.
        target: a file, or None for stdout.
        host: the host of the pins, for a format that does not name it.
        position: "leaf" or "ca", to be written for pins of any position if the target
            must name a position.
        allow: kinds of losses that may make the target accept more.
    """
    if target is not None:
        check_target(target, source)
    source_format, target_format = formats
    given = host_of_pins(source_format, host)
    rules = rules_from(out, source, source_format, host=given, to_convert=True)
    to_write = host if FORMATS[target_format].host_to_write == "given" else None
    dumped = dump_rules(
        rules, format=target_format, allow=allow, host=to_write, position=position
    )
    written = dumped.text
    data = written.encode("utf-8") if isinstance(written, str) else written
    tell_losses(out, target_format, dumped.losses)
    if target is not None:
        replace_file(target, data)
    elif isinstance(written, bytes) and not out.as_json:
        if out.is_terminal:
            raise NoAnswerError(NO_TEXT)
        sys.stdout.buffer.write(written)
    if out.as_json:
        out.json(
            {
                "policy": None if target is None else str(target),
                "text": written
                if target is None and isinstance(written, str)
                else None,
                "losses": [
                    {**loss._asdict(), "direction": loss.direction}
                    for loss in dumped.losses
                ],
            }
        )
    elif target is None and isinstance(written, str):
        sys.stdout.write(written)


def tell_losses(out: Output, target_format: str, losses: Sequence[Loss]) -> None:
    """Warn of what a format cannot say; set the exit code if it then accepts more."""
    for loss in losses:
        out.warn(f"{target_format}: {loss}")
    if any(loss.direction == "wider" for loss in losses):
        out.exit_code = ACCEPTS_MORE
