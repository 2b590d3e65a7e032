"""Source code from strangers, parsed by tree-sitter in a process of its own.

The parsers and their scanners are C. So a child process reads the source, with limits
on time and memory. Whatever the child does, the reader gets an answer in JSON or raises
an error. The child has the import path of this process, and ignores environment
variables for Python.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given

__all__ = ["language_of", "read_source"]

_LANGUAGES = {".kt": "kotlin", ".kts": "kotlin", ".java": "java", ".swift": "swift"}
_ONE_LINE = re.compile(
    r"""(\bobject\b[ \t]*\w*[ \t]*\{(?:[^{}"\n]|"[^{}"\n\\]*")+(?<![\s;]))[ \t]*\}"""
)
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pinverify.formats._parser_process import answer; answer()"
)
_SECONDS = 10
_BYTES = 2**20  # of source; three times the largest file that people write
_MEMORY = 2**30
_MAX_ERROR_BYTES = 2**16


def language_of(name: str) -> str:
    """Return the language of a file by its suffix; empty if it is unknown."""
    return next((_LANGUAGES[end] for end in _LANGUAGES if name.endswith(end)), "")


def read_source(text: str, languages: list[str], given: Given) -> Any:  # noqa: ANN401
    """Return what the child process finds in source code.

    Args:
        text: the source.
        languages: the languages that it may be in.
        given: has the name of the file.

    Raises:
        PolicyError: a parser is not installed, or the source is too large.
    """
    for name in ("", *(f"_{language}" for language in languages)):
        if importlib.util.find_spec(f"tree_sitter{name}") is None:
            msg = (
                f"{given.name}: source code needs tree-sitter: pip install "
                "'.[source]' in the checkout; or give the policy in another format"
            )
            raise PolicyError(msg)
    # In Java, CR alone ends a line, too, but in no grammar of tree-sitter.
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    question = json.dumps({"text": plain, "languages": languages}).encode("ascii")
    why = f"more than {_BYTES:,} bytes of source"
    if len(plain) <= _BYTES:
        command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path)]
        try:
            done = subprocess.run(  # noqa: S603 - ourselves
                command,
                input=question,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                return json.loads(done.stdout)
            why = f"the parser ended with {done.returncode}"
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            why = f"the parser did not answer ({type(error).__name__})"
    msg = f"{given.name}: {why}; move the code of the pins into a file of its own"
    raise PolicyError(msg, kind="syntax")


def limit() -> None:
    """Limit the time and the memory of this process."""
    with contextlib.suppress(ImportError):  # Windows
        import resource  # noqa: PLC0415 - in the child alone

        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer() -> None:
    """Run as the child process: read a question, print the answer."""
    limit()
    question = json.load(sys.stdin)
    found = look_into(question["text"], question["languages"])
    sys.stdout.write(json.dumps(found))


def look_into(text: str, languages: list[str]) -> Any:  # noqa: ANN401
    """Return what is found in source code, by the first language that parses it."""
    # The grammar of Kotlin takes $name in a string for text, so write ${name}. It needs
    # the end of a line, or a semicolon, after each member of an object.
    kotlin = re.sub(r"\$([^\W\d]\w*)", r"${\1}", text)
    cut = _ONE_LINE.sub(r"\1;}", kotlin)
    tree_sitter: Any = importlib.import_module("tree_sitter")
    roots = []
    for name in languages:
        grammar: Any = importlib.import_module(f"tree_sitter_{name}")
        parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
        texts = [kotlin, cut] if name == "kotlin" else [text]
        parsed = [parser.parse(one.encode("utf-8")).root_node for one in texts]
        roots.append((name, next((r for r in parsed if not r.has_error), parsed[0])))
    name, root = next((r for r in roots if not r[1].has_error), roots[0])
    kind = "_trustkit_swift" if name == "swift" else "_okhttp_calls"
    reader: Any = importlib.import_module(f"pinverify.formats.{kind}")
    return reader.found_in(root, name)
