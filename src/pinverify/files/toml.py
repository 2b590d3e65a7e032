"""Reader of policy files in TOML; docs/policy-toml.md is the manual of the format.

`_toml_and_json_tables` describes the tables of a file. `formats.toml` writes files.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pinverify.errors import PolicyError
from pinverify.files._toml_and_json_tables import (
    Columns,
    all_mistakes,
    columns_of,
    rules_of,
)
from pinverify.files._toml_mistakes import look_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Policy, Rules

__all__ = ["loads", "policy_or_rules", "read", "text_of"]

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
    """Return what *use* makes of the tables of a policy file and of the file's name.

    Mistakes that *use* finds are told like those of `loads`.
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


_MAX_DOTS = 16  # in one key; keys of a policy have three
# A string that nothing closes ends with its line, so that a line is read only once.
_STRING_OR_COMMENT = re.compile(r"""\"(?:[^"\\\n]|\\.)*+\"?|'[^'\n]*+'?|\#.*""")
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_MAX_DOTS + 1}}}")


def _check_keys_of_lines(text: str, name: str) -> None:
    """Refuse keys of very many parts: tomllib takes gigabytes for one of 80 kB.

    Dots in strings and comments do not count. But if a file has quotes of strings of
    several lines, which no policy needs, all dots of a line count.
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
    """Set `mode` for a host whose only key is ca, if its name is in quotes.

    Without quotes, hosts.shop.ca is the key ca of the host shop, and the host shop.ca
    has no pins.
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
    """Return the text of a policy file; PolicyError if it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")  # keep line ends
    except UnicodeDecodeError as error:
        msg = (
            f"{name}: not UTF-8 at byte {error.start}; save a toml file as "
            "UTF-8; the format of a compiled policy is `compiled`"
        )
        raise PolicyError(msg, kind="syntax") from None


def policy_or_rules(data: bytes, name: str) -> Policy | Rules:
    """Return the policy of a file, or its rules if there may be a warning to give."""
    text = text_of(data, name)
    found = read(text, name, lambda *each: columns_of(each[0]) or rules_of(*each))
    if not isinstance(found, Columns):
        return found
    policy = found.policy() if found.is_ordinary() else None
    return policy or loads(text, name)
