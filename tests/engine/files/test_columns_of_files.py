"""Policy files that are read as columns: the same policy, errors and warnings."""

from __future__ import annotations

import hashlib
import json
import warnings
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinverify import (
    Pin,
    Policy,
    PolicyError,
    PolicyWarning,
    Rules,
    dump_rules,
    load_policy,
    load_rules,
)
from pinverify.files._toml_and_json_tables import Columns, columns_of
from pinverify.formats._load import policy_in

__all__: list[str] = []

PINS = [str(Pin.spki(hashlib.sha256(bytes([i])).digest())) for i in range(1, 9)]
ZERO = "sha256/" + "A" * 43 + "="
ODD_PINS: list[Any] = [
    PINS[0].replace("sha256/", "sha256//"),
    PINS[0][:-2] + "F=",  # bits beyond the end
    PINS[0].rstrip("="),
    "cert-sha256:" + "ab" * 32,
    ZERO,
    "",
    7,
]
HOSTS = ["a.example", "b.example", "x.b.example", "*.b.example", "**.c.example"]
ODD_HOSTS = [
    "A.example",
    "a.example.",
    "bücher.example",
    "xn--bcher-kva.example",
    "a..b",
]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the tables of a policy file; often plain ones, now and then wrong."""

    def pins() -> list[Any]:
        found = draw(st.lists(st.sampled_from(PINS), min_size=1, max_size=4))
        if draw(st.integers(0, 14)) == 14:
            found.append(draw(st.sampled_from(ODD_PINS)))
        return found

    def table() -> Any:  # noqa: ANN401 - any JSON
        kind = draw(st.integers(0, 19))
        if kind == 19:
            return pins()
        if kind == 18:
            return {"unpinned": True}
        name = "leaf" if kind == 17 else "pins"
        more = {"mode": "report"} if kind == 16 else {}
        return {name: pins(), **more}

    names = HOSTS if draw(st.integers(0, 4)) else [*HOSTS, *ODD_HOSTS]
    hosts = draw(st.lists(st.sampled_from(names), max_size=6, unique=True))
    document: dict[str, Any] = {"version": 1, "hosts": {h: table() for h in hosts}}
    others: tuple[tuple[str, Any], ...] = (
        ("unpinned", "reject"),
        ("unpinned", "maybe"),
        ("unpinned", ["allow"]),
        ("blocked", [PINS[0]]),
        ("clients", {"leaf": PINS[:2]}),
        ("version", 2),
        ("version", True),
    )
    rare = st.integers(0, 19).map(lambda number: number == 19)
    return document | {key: value for key, value in others if draw(rare)}


def outcome(read: Any, *arguments: Any, **how: Any) -> tuple[Any, list[str]]:  # noqa: ANN401
    """Return a policy or an error, and the warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = read(*arguments, **how)
        except PolicyError as error:
            return str(error), []
    texts = [str(one.message) for one in told if one.category is PolicyWarning]
    return (Policy(found) if isinstance(found, Rules) else found), texts


@settings(deadline=None)
@given(documents())
def test_columns_and_rules_are_the_same_policy(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    """Or the same error, with the same warnings."""
    path = tmp_path_factory.mktemp("files") / "pins.json"
    path.write_text(json.dumps(document), "utf-8")
    expected, told = outcome(load_rules, path, format="json")
    assert outcome(load_policy, path, format="json") == (expected, told)
    data = path.read_bytes()
    found, _ = outcome(lambda: policy_in(data, str(path), "json")[0])
    assert found == expected


@pytest.mark.parametrize("pin", [pin for pin in ODD_PINS if pin != ZERO], ids=repr)
def test_a_pin_in_another_spelling_is_no_column(pin: object) -> None:
    """Its reader knows the spelling, or says what is wrong with it."""
    table = {"pins": [*PINS[:2], pin]}
    assert columns_of({"version": 1, "hosts": {"a.example": table}}) is None


@pytest.mark.parametrize("wrong", [["allow"], {"allow": True}, 1])
def test_an_unpinned_of_another_type_is_a_mistake(
    tmp_path: Path, wrong: object
) -> None:
    """It has no hash, perhaps, and is none of the texts."""
    document = {"version": 1, "unpinned": wrong, "hosts": {"a.test1": {"pins": PINS}}}
    path = tmp_path / "pins.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(PolicyError, match='unpinned: expected "allow" or "reject"'):
        load_policy(path, format="json")


def test_a_plain_file_makes_no_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both of our formats; so reading it costs little more than the parser."""
    rules = Rules({f"h{i}.shop.test1": PINS[:2] for i in range(50)})
    paths = {}
    for name in ("toml", "json"):
        paths[name] = tmp_path / f"pins.{name}"
        text = dump_rules(rules, format=name).text
        assert isinstance(text, str)
        paths[name].write_text(text, "utf-8")
    expected = Policy(rules)

    def no_rules(*_: object) -> None:
        raise AssertionError

    for owner in ("files.toml", "formats._toml", "formats._json"):
        monkeypatch.setattr(f"pinverify.{owner}.rules_of", no_rules)
    for name, path in paths.items():
        assert load_policy(path, format=name) == expected
        assert policy_in(path.read_bytes(), str(path), name) == (expected, ())


@pytest.mark.parametrize(
    ("place", "again"),
    [
        ('"version":1', '"version":1,"version":1'),
        ('"a.example"', '"a.example":{"pins":[]},"a.example"'),
        ('"pins"', '"pins":[],"pins"'),
        ('{"a.example"', '{},"hosts":{"a.example"'),
    ],
)
def test_a_key_of_json_that_is_there_twice_is_no_column(
    tmp_path: Path, place: str, again: str
) -> None:
    """The parser alone would keep the last one; an address has colons of its own."""
    tables = {"a.example": {"pins": PINS[:2]}, "::1": {"pins": PINS[2:4]}}
    text = json.dumps({"version": 1, "hosts": tables}, separators=(",", ":"))
    data = text.encode()
    policy, _ = policy_in(data, "pins", "json")
    assert policy == Policy(Rules({host: one["pins"] for host, one in tables.items()}))
    path = tmp_path / "pins.json"
    path.write_text(text.replace(place, again, 1), "utf-8")
    for read in (
        lambda: policy_in(path.read_bytes(), str(path), "json"),
        lambda: load_policy(path, format="json"),
    ):
        with pytest.raises(PolicyError, match="twice"):
            read()


def test_what_a_loader_warns_of_is_not_ordinary() -> None:
    """A placeholder among the pins; but no name, which `lint` alone looks at."""
    plain = {"pins": PINS[:2]}
    zero = {"pins": [PINS[0], ZERO]}
    for host, table, ordinary in (
        ("a.bakery.test1", plain, True),
        ("*.bakery.test1", plain, True),
        ("shop.github.io", plain, True),
        ("a.bakery.test1", zero, False),
    ):
        found = columns_of({"version": 1, "hosts": {host: table}})
        assert found is not None
        assert found.is_ordinary() is ordinary, host
    lone = {"version": 1, "hosts": {"a.test1": {"pins": PINS[:1]}}}
    assert columns_of(lone) is None
    ends = array("Q", [0, 2])
    wrong = Columns(["a..b"], bytes(64), ends, "allow")
    assert wrong.policy() is None
