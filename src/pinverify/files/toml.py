"""pinverify's own policy format, in TOML; docs/policy-toml.md is its manual.

The tables that it holds are described in `_policy_tables`.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pinverify.errors import PolicyError
from pinverify.files._policy_tables import (
    VERSION,
    Columns,
    all_mistakes,
    columns_of,
    quoted,
    rules_of,
)
from pinverify.files._toml_mistakes import look_again
from pinverify.policy import PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Pin, Policy

__all__ = ["dumps", "loads", "policy_or_rules", "read", "text_of"]

_Read = TypeVar("_Read")


def loads(text: str, name: str = "<string>") -> Rules:
    """Read rules from the text of a policy file.

    Args:
        text: TOML 1.0.
        name: the name of the file, for errors.

    Raises:
        PolicyError: the text has a mistake; the message begins with *name*, says
            where and what it is, and names the next step.
    """
    return read(text, name, rules_of)


def read(text: str, name: str, use: Callable[[dict[str, Any], str], _Read]) -> _Read:
    """Return what a function makes of the tables of a policy file and of its name.

    Raises:
        PolicyError: as in `loads`, also for a mistake that the function finds.
    """
    if text.startswith("\ufeff"):
        msg = (
            f"{name}: the file begins with a byte order mark; save it as UTF-8 "
            "without one"
        )
        raise PolicyError(msg, kind="syntax")
    _check_keys_of_lines(text, name)
    document: dict[str, Any] | None = None
    try:
        document = tomllib.loads(text)
        _note_quoted(document, text)
        return use(document, name)
    except PolicyError as error:
        first = error
    except RecursionError:
        first = PolicyError("not TOML: nested too deeply", kind="syntax")
    except ValueError as error:  # int() raises one for thousands of digits
        first = PolicyError(f"not TOML: {error}", kind="syntax")
    raise all_mistakes(*look_again(text, document), name, first)


_MAX_DOTS = 16  # of a key: those of a policy have three
# A string that nothing closes ends with its line: each is looked at once.
_STRING_OR_COMMENT = re.compile(r"""\"(?:[^"\\\n]|\\.)*+\"?|'[^'\n]*+'?|\#.*""")
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_MAX_DOTS + 1}}}")


def _check_keys_of_lines(text: str, name: str) -> None:
    """Refuse keys of very many parts: tomllib takes gigabytes for one of 80 kB.

    Raises:
        PolicyError: a line has one. Dots in strings and comments do not count, unless
            a string may have several lines, which no policy needs.
    """
    has_long_strings = '"""' in text or "'''" in text
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") <= _MAX_DOTS:  # fast path
            continue
        keys = _STRING_OR_COMMENT.sub(lambda found: "#q"[found[0][0] != "#"], line)
        if has_long_strings or _LONG_KEY.search(keys):
            msg = (
                f"{name}: line {number}: a key has more than {_MAX_DOTS} dots; a host "
                'is named in quotes, as in [hosts."api.example.com"]'
            )
            raise PolicyError(msg, kind="syntax")


def _note_quoted(document: dict[str, Any], text: str) -> None:
    """Say of a host with the single key ca that the source has quotes around it.

    Without them, hosts.shop.ca would be a key of shop, and shop.ca have no pins.
    """
    hosts = document.get("hosts")
    for name, table in hosts.items() if isinstance(hosts, dict) else ():
        if isinstance(table, dict) and table.keys() == {"ca"}:
            bare = re.escape(name)
            start = r"(?m)^[ \t]*(?:\[?[ \t]*hosts[ \t]*\.[ \t]*)?"
            is_quoted = re.search(rf"{start}[\"']{bare}[\"'][ \t]*[].=]", text)
            if is_quoted and not re.search(rf"{start}{bare}[ \t]*\.", text):
                table["mode"] = "enforce"


def text_of(data: bytes, name: str) -> str:
    """Return the text of a policy file.

    Raises:
        PolicyError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")  # keep line ends
    except UnicodeDecodeError as error:
        msg = (
            f"{name}: not UTF-8 at byte {error.start}; save a toml file as "
            "UTF-8; the format of a compiled policy is `compiled`"
        )
        raise PolicyError(msg, kind="syntax") from None


def policy_or_rules(data: bytes, name: str) -> Policy | Rules:
    """Return the policy of a file about which there is nothing to tell, or its rules.

    Raises:
        PolicyError: it has mistakes.
    """
    text = text_of(data, name)
    found = read(text, name, lambda *each: columns_of(each[0]) or rules_of(*each))
    if not isinstance(found, Columns):
        return found
    policy = found.policy() if found.is_ordinary() else None
    return policy or loads(text, name)


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
