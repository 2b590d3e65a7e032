"""Code as people write it: how many texts could be read, and how many are.

Each text of `corpus` is marked by hand: with what the file pins; or with the reason why
the file alone does not say it, and words of the error. docs/formats.md has the numbers.
"""

from __future__ import annotations

import base64
import datetime as dt
import random
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_runs import answer, run
from optional import lacks_parsers
from other_systems import here
from pinverify import (
    UNPINNED,
    Pin,
    PinSet,
    PolicyError,
    PolicyWarning,
    Rules,
    load_rules,
)
from pinverify.formats import _okhttp, _trustkit
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given
from pinverify.policy import Unpinned
from places import ROOT, TESTS
from policy_samples import NOON

__all__: list[str] = []

PINS = [Pin.spki(random.Random(seed).randbytes(32)) for seed in range(6)]  # noqa: S311


def texts() -> list[tuple[str, dict[str, Any]]]:
    """Return all texts, each with its format."""
    found = []
    for file in sorted((TESTS / "corpus").glob("*.toml")):
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        found += [(document["format"], text) for text in document["text"]]
    return found


TEXTS = texts()
EACH = [pytest.param(name, text, id=f"{name}: {text['name']}") for name, text in TEXTS]


@pytest.fixture(autouse=True, scope="module")
def _in_this_process() -> Iterator[None]:
    """Read source code in this process: a child takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (_okhttp, _trustkit):
            patch.setattr(module, "read_source", here)
        yield


def source_of(text: dict[str, Any]) -> str:
    """Return a text with its pins."""
    source: str = text["text"].removeprefix("\n")
    for number, pin in enumerate(PINS):
        digits = pin.digest.hex()
        for mark, written in (
            (f"{{{number}}}", base64.b64encode(pin.digest).decode("ascii")),
            (f"{{hex{number}}}", digits),
            (f"{{HEX{number}_28}}", digits.upper()[:56]),
            (f"{{HEX{number}_4}}", digits.upper()[56:]),
            (f"{{COLON{number}}}", pin.digest.hex(":").upper()),
        ):
            source = source.replace(mark, written)
    return source


def value_of(said: Any) -> PinSet | Unpinned:  # noqa: ANN401 - of TOML
    """Return the value of a rule: a list of numbers of pins, or a table."""
    if said == "unpinned":
        return UNPINNED
    table: dict[str, Any] = {"pins": said} if isinstance(said, list) else dict(said)
    for name in {"pins", "leaf", "ca"} & table.keys():
        table[name] = [pin for one in table[name] for pin in pins_of(one)]
    if "max_age" in table:
        table["expires"] = NOON + dt.timedelta(seconds=table.pop("max_age"))
        table["after_expiry"] = "allow"
    return PinSet(**table)


def pins_of(said: int | str) -> list[Pin]:
    """Return the pins of a number: of the key, the certificate (cert), or both."""
    kind, _, number = f" {said}".rpartition(" ")
    pin = PINS[int(number)]
    whole = Pin.certificate(pin.digest)
    return {"": [pin], " cert": [whole], " both": [pin, whole]}[kind]


def rules_of(text: dict[str, Any]) -> Rules:
    """Return what a text says, by its mark."""
    hosts = text.get("policy", text.get("pins", {}))
    clients = value_of(text["clients"]) if "clients" in text else None
    assert clients is not UNPINNED
    return Rules(
        {pattern: value_of(said) for pattern, said in hosts.items()},
        clients=clients if isinstance(clients, PinSet) else None,
    )


def read(name: str, text: dict[str, Any]) -> Rules:
    """Read a text."""
    given = Given(text.get("file", "file"), text.get("host"), NOON)
    return FORMATS[name].reader(source_of(text).encode("utf-8"), given).rules


@pytest.mark.parametrize(("name", "text"), EACH)
def test_a_text_is_read_as_it_is_marked_or_refused(
    name: str, text: dict[str, Any]
) -> None:
    """Nothing is read wrongly, and an error says what the file does not."""
    assert ("why" in text) == ("says" in text)
    assert text["seen"]
    if "why" not in text:
        assert read(name, text) == rules_of(text)
        return
    with pytest.raises(PolicyError) as caught:
        read(name, text)
    for words in text["says"]:
        assert words in str(caught.value)


def test_the_page_has_the_numbers_of_the_corpus() -> None:
    """Of each format: the texts, those that say their pins, and those that are read."""
    rows: Counter[tuple[str, str]] = Counter()
    for name, text in TEXTS:
        is_said = "why" not in text
        rows[name, "texts"] += 1
        rows[name, "say"] += is_said
        rows[name, "read"] += is_said  # the test above reads each of them
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = page.partition("## Texts that people have")[2].partition("\n## ")[0]
    found = {
        row[0]: tuple(map(int, row[1:]))
        for row in re.findall(
            r"(?m)^\| `?(\w+)`? \| (\d+) \| (\d+) \| (\d+) \|$", table
        )
    }
    kinds = ("texts", "say", "read")
    names = sorted({name for name, _ in TEXTS})
    expected = {name: tuple(rows[name, kind] for kind in kinds) for name in names}
    expected["all"] = tuple(
        sum(column) for column in zip(*expected.values(), strict=True)
    )
    assert found == expected
    assert len(TEXTS) >= 150


# The findings that a text has under `lint`, but for hints, and why they are true.
FINDINGS = {
    "PV204": "a rule has one pin, and no backup",
    "PV401": "the pins ended in 2024",
    "PV102": "an attribute or a key that the system passes over; a pinner that the "
    "application may not use; a record where no client looks",
}


@pytest.mark.parametrize(("name", "text"), EACH)
def test_lint_finds_nothing_untrue(
    name: str, text: dict[str, Any], tmp_path: Path
) -> None:
    """A sound text passes with --strict; what is found in others is listed here."""
    if "why" in text or name == "hpkp":
        return  # a header of HPKP is of the time when it is seen
    file = tmp_path / text.get("file", "file")
    file.write_text(source_of(text), encoding="utf-8")
    beside = ("--host", text["host"]) if "host" in text else ()
    command = ("lint", file, "--format", name, *beside)
    found = [one for one in answer(*command)["findings"] if one["level"] != "hint"]
    assert sorted({one["code"] for one in found}) == text.get("lint", [])
    assert {one["code"] for one in found} <= FINDINGS.keys()
    values = [
        value_of(said) for said in text.get("policy", text.get("pins", {})).values()
    ]
    sets = [value for value in values if isinstance(value, PinSet)]
    for one in found:
        if one["code"] == "PV204":
            assert any(len({*v.pins, *v.leaf, *v.ca}) == 1 for v in sets) or (
                "clients" in text or name in {"postfix", "envoy", "tlsa"}
            )
        if one["code"] == "PV401":
            assert any(v.expires and v.expires < NOON for v in sets)
    assert run(*command, "--strict").code == (1 if found else 0)


def test_a_real_program_reads_source_code_in_another_process(tmp_path: Path) -> None:
    """The child has the limits, and nothing of it stays here."""
    if lacks_parsers():
        pytest.skip("tree_sitter is not installed")
    name, text = next((n, t) for n, t in TEXTS if n == "okhttp" and "why" not in t)
    file = tmp_path / text["file"]
    file.write_text(source_of(text), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        from pinverify.formats import _parser_process  # noqa: PLC0415 - the real function

        patch.setattr(_okhttp, "read_source", _parser_process.read_source)
        with pytest.warns(PolicyWarning):  # it has no backup
            assert load_rules(file, format=name) == rules_of(text)
