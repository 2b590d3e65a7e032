"""pinverify's own format in TOML: `dumps` writes it, `files.toml` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.files._toml_and_json_tables import VERSION, quoted
from pinverify.files.toml import loads
from pinverify.policy import PinSet, Rules

if TYPE_CHECKING:
    from pinverify.policy import Pin

__all__ = ["dumps", "loads"]


def dumps(rules: Rules) -> str:
    """Write rules as the text of a policy file: ``loads(dumps(rules)) == rules``.

    Raises:
        PolicyError: there are no rules.
        TypeError: *rules* are not `Rules`.
    """
    if not isinstance(rules, Rules):
        msg = f"expected Rules, got {type(rules).__name__}; of a Policy write its rules"
        raise TypeError(msg)
    if not (rules.hosts or rules.blocked or rules.clients):
        msg = "there are no rules to write; add a host"
        raise PolicyError(msg)
    lines = [f"version = {VERSION}"]
    if rules.unpinned != "allow":
        lines.append(f'unpinned = "{rules.unpinned}"')
    if rules.blocked:
        lines.append(f"blocked = {_pins_as_toml(rules.blocked)}")
    if rules.clients is not None:
        lines += ["", "[clients]", *_pinset_as_toml(rules.clients)]
    for pattern, value in sorted(rules.hosts.items()):
        lines += ["", f"[hosts.{quoted(pattern)}]"]
        if isinstance(value, PinSet):
            lines += _pinset_as_toml(value)
        else:
            lines.append("unpinned = true")
    return "\n".join(lines) + "\n"


# ---- writing -----------------------------------------------------------------


def _pinset_as_toml(pinset: PinSet) -> list[str]:
    lists = [
        name for name in ("pins", "leaf", "ca", "blocked") if getattr(pinset, name)
    ]
    lines = [f"{name} = {_pins_as_toml(getattr(pinset, name))}" for name in lists]
    if pinset.mode != "enforce":
        lines.append(f'mode = "{pinset.mode}"')
    if pinset.expires is not None:
        expires = pinset.expires.isoformat().replace("+00:00", "Z")
        lines += [f"expires = {expires}", f'after_expiry = "{pinset.after_expiry}"']
    return lines


def _pins_as_toml(pins: tuple[Pin, ...]) -> str:
    written = [f'"{pin}"' for pin in pins]
    if len(written) == 1:
        return f"[{written[0]}]"
    return "\n".join(["[", *(f"    {pin}," for pin in written), "]"])
