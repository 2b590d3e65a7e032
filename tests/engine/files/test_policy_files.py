"""Policy files: their meaning, and the message about each mistake in one."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinverify import (
    UNPINNED,
    Pin,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Rules,
    load_policy,
    load_rules,
)
from pinverify.core._hosts import canonical
from pinverify.files import toml
from pinverify.policy._compiled import compile_rules
from places import ROOT
from policy_samples import ABSENT

if TYPE_CHECKING:
    from pki import Pki

PAGE = ROOT / "docs" / "policy-toml.md"

# The pins of the page.
IN_USE = "sha256/K5hbrfG6yCk/a5LowKzBE5vFpey7+Xpicdzw1PbGivY="
BACKUP = "sha256/Pqs/ulAmth0AfL9BG5DzyI/4nPCoCIy7/D6qyoZ91mM="
CA = "sha256/XNJS+wzokyQ2+vjM0QQJgbie5K1rn+niorfnGqyyfNM="
STOLEN = "sha256/3AzmM9vMkT2vr6S4msRNjOaD/fw/YMi98hITufK1NLo="
OTHER_CA = "sha256/2vxBjrCC6Dx2pI8MUm/kXpyk1Oz6gjZt4/zNNwmfygE="

PIN = f'"{IN_USE}"'
HOST = '[hosts."a.example"]'
HERE = 'hosts."a.example"'
NEW_YEAR_2030 = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def examples() -> list[str]:
    """Return the TOML blocks of the page, in order."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", page, re.DOTALL)


def loads(text: str) -> Policy:
    """Load a policy that calls itself version 1."""
    return Policy(toml.loads("version = 1\n" + text, "pins.toml"))


# ---- what a file means -------------------------------------------------------


@pytest.fixture
def documented(pki: Pki) -> Policy:
    """The first example of the page, with pins whose keys are at hand."""
    text = examples()[0]
    for pin, real in (
        (IN_USE, pki.server.pin),
        (CA, pki.ca.pin),
        (STOLEN, pki.impostor.pin),
    ):
        assert pin in text
        text = text.replace(pin, real)
    return Policy(toml.loads(text))


@pytest.mark.parametrize(
    ("host", "seconds", "decision"),
    [
        ("api.example.com", -1, (True, Reason.MATCH)),
        ("a.b.example.org", -1, (True, Reason.MATCH)),
        ("example.org", -1, (True, Reason.MATCH)),
        ("example.org", 0, (False, Reason.EXPIRED)),
        ("www.example.net", -1, (True, Reason.MISMATCH)),  # report mode
        ("a.www.example.net", -1, (True, Reason.NOT_PINNED)),  # "*." is one label
        ("status.example.org", 0, (True, Reason.NOT_PINNED)),  # carved out
        ("www.example.com", -1, (True, Reason.NOT_PINNED)),
    ],
)
def test_the_documented_example_decides_as_it_says(
    documented: Policy, pki: Pki, host: str, seconds: int, decision: tuple[bool, Reason]
) -> None:
    """Each rule of the example means what the page says about it."""
    now = NEW_YEAR_2030 + seconds * SECOND
    report = documented.evaluate(host, pki.server.chain_der, now=now)
    assert (report.accepted, report.reason) == decision


def test_the_documented_example_refuses_other_keys(
    documented: Policy, pki: Pki
) -> None:
    """Chains without the pinned keys are refused, and the stolen key everywhere."""
    now = NEW_YEAR_2030 - SECOND
    leaf_alone = [pki.server.der]
    for host, chain, reason in (
        ("api.example.com", pki.ca.chain_der, Reason.MISMATCH),
        ("www.example.org", leaf_alone, Reason.MISMATCH),
        ("api.example.com", pki.impostor.chain_der, Reason.BLOCKED),
        ("status.example.org", pki.impostor.chain_der, Reason.BLOCKED),
        ("www.example.com", pki.impostor.chain_der, Reason.BLOCKED),
    ):
        report = documented.evaluate(host, chain, now=now)
        assert (report.accepted, report.reason) == (False, reason)


def test_the_documented_example_is_this_policy() -> None:
    """The same policy, made in Python, compiles to the same bytes."""
    policy = Policy(
        {
            "api.example.com": [IN_USE, BACKUP],
            "**.example.org": PinSet(
                ca=[CA, OTHER_CA], expires=NEW_YEAR_2030, after_expiry="reject"
            ),
            "*.example.net": PinSet([BACKUP], mode="report"),
            "status.example.org": UNPINNED,
        },
        blocked=[STOLEN],
    )
    assert Policy(toml.loads(examples()[0])).compile() == policy.compile()


@pytest.mark.parametrize("text", examples())
def test_every_example_of_the_page_is_a_policy(text: str) -> None:
    """Each example that can be copied from the page can be loaded."""
    rules = toml.loads(text)
    assert rules.hosts or rules.clients


@pytest.mark.parametrize(
    "text",
    [
        f'hosts."a.example" = [{PIN}]\n',
        f'hosts."a.example".pins = [{PIN}]\n',
        f"hosts.'A.Example.'.pins = [\n{PIN},\n]\n",
        f'hosts = {{"a.example" = [{PIN}]}}\n',
        f'[hosts]\n"a.example" = [{PIN}]\n',
        f'[hosts]\n"a.example" = {{pins = [{PIN}], mode = "enforce"}}\n',
        f'[hosts."a.example"]\npins = [{PIN}]\nleaf = []\n',
        f'unpinned = "allow"\nblocked = []\n[hosts."a.example"]\r\npins = [{PIN}]\r\n',
    ],
)
def test_toml_has_many_spellings_of_one_policy(text: str) -> None:
    """Whatever TOML reads as the same is the same policy."""
    assert loads(text) == Policy({"a.example": [IN_USE]})


def test_each_list_is_the_list_of_that_name() -> None:
    """pins, leaf, ca and blocked are not mixed up, at the top and in a table."""
    text = f"blocked = [{PIN}]\n{HOST}\n"
    text += f'pins = ["{BACKUP}"]\nleaf = ["{CA}"]\nca = [{PIN}]\n'
    pinset = PinSet(pins=[BACKUP], leaf=[CA], ca=[IN_USE], blocked=[STOLEN])
    policy = loads(f'{text}blocked = ["{STOLEN}"]\n')
    assert policy == Policy({"a.example": pinset}, blocked=[IN_USE])


def test_a_policy_may_only_block() -> None:
    """A list of stolen keys, and no host, is a policy."""
    assert loads(f"blocked = [{PIN}]\n") == Policy({}, blocked=[IN_USE])


def test_a_host_of_one_label_may_have_ca_pins_alone() -> None:
    """The way out that the error about `hosts.shop.ca` names is one."""
    policy = loads(f'[hosts.shop]\nca = [{PIN}]\nmode = "enforce"\n')
    assert policy == Policy({"shop": PinSet(ca=[IN_USE])})
    for pattern in ("*.shop", "::1", "shop.ca"):
        policy = loads(f'[hosts."{pattern}"]\nca = [{PIN}]\n')
        assert policy == Policy({pattern: PinSet(ca=[IN_USE])})


def test_ten_thousand_hosts_are_as_many_rules() -> None:
    """No host is lost in a large file."""
    pins = [Pin.spki(number.to_bytes(32, "big")) for number in range(10_000)]
    rules = {f"h{number}.example": [pin] for number, pin in enumerate(pins)}
    text = "".join(f'hosts."{host}" = ["{pin}"]\n' for host, [pin] in rules.items())
    assert loads(text) == Policy(rules)


# ---- files -------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_a_file_is_read(tmp_path: Path) -> None:
    """A path may be a string or a Path, and the file is UTF-8."""
    path = tmp_path / "pins.toml"
    path.write_bytes(f'version = 1 # é\nhosts."bücher.example" = [{PIN}]\n'.encode())
    policy = Policy({"xn--bcher-kva.example": [IN_USE]})
    assert load_policy(path) == load_policy(str(path), format="toml") == policy


@pytest.mark.parametrize(
    ("name", "text"), [("toml", b"version = 1\n"), ("json", b'{"version": 1}')]
)
def test_errors_begin_with_the_path(tmp_path: Path, name: str, text: bytes) -> None:
    """The message names the file as it was given."""
    path = tmp_path / f"pins.{name}"
    path.write_bytes(text)
    with pytest.raises(PolicyError, match=rf"\A{re.escape(str(path))}: "):
        load_policy(path, format=name)


def test_a_compiled_policy_is_not_read_as_toml(tmp_path: Path) -> None:
    """The message says how to open it."""
    path = tmp_path / "pins.pvpol"
    path.write_bytes(b"pinvpol2\xff")
    with pytest.raises(PolicyError, match=r"not UTF-8 at byte 8.* is `compiled`"):
        load_policy(path)


def test_line_ends_are_those_of_the_file(tmp_path: Path) -> None:
    """A carriage return alone ends no line in TOML, and nothing hides behind one."""
    path = tmp_path / "pins.toml"
    path.write_bytes(f"version = 1\r\nblocked = [{PIN}] # a\rhosts = 1\r\n".encode())
    with pytest.raises(PolicyError, match=r"line 2: not TOML"):
        load_policy(path)


def test_formats_are_not_guessed(tmp_path: Path) -> None:
    """An unknown format is an error, whatever the file; a missing file is another."""
    path = tmp_path / "pins.toml"
    with pytest.raises(PolicyError, match="'yaml'; there is toml"):
        load_policy(path, format="yaml")
    with pytest.raises(FileNotFoundError):
        load_policy(path)


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_a_file_is_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling is most of the work of a large file."""
    compiled: list[Rules] = []

    def counting(rules: Rules) -> bytearray:
        compiled.append(rules)
        return compile_rules(rules)

    monkeypatch.setattr("pinverify.policy._policy.compile_rules", counting)
    path = tmp_path / "pins.toml"
    path.write_text(
        f'version = 1\n[hosts]\n"api.example.com" = ["{ABSENT}"]\n', "utf-8"
    )
    policy = load_policy(path)
    assert compiled == [policy.rules]
    path.write_text('version = 1\nblocked = ["x"]\n[hosts]\n"a..b" = ["y"]\n', "utf-8")
    with pytest.raises(
        PolicyError, match=r"pins\.toml: line 2: blocked: not a SHA-256 pin: 'x'"
    ):
        load_policy(path)


# ---- what is said about mistakes ---------------------------------------------

A_RULE = f"{HOST}\npins = [{PIN}]\n"
BARE_PIN = IN_USE.removeprefix("sha256/")
DEEP = 5000  # tables or arrays in each other

# What is not there has no line, and neither has a byte before the first one.
ABSENT_THINGS = ("version", "hosts", "byte order mark")

# In each row a text, and what the message holds; a table comes first in both.
AT_THE_TOP: dict[str, tuple[str, list[str]]] = {
    "an empty file": ("", ["version", "version = 1", "at the top"]),
    "no version": (A_RULE, ["version", "version = 1", "at the top"]),
    "a version below": (
        A_RULE + "version = 1",
        ["version", "version = 1", "above the first table"],
    ),
    "another version": (
        f"version = 2\nkeys = [{PIN}]",
        ["version", "version 1", "later pinverify"],
    ),
    "a version of 10,000 digits": (
        f"version = 0x{'f' * 10_000}",
        ["version", "version 1"],
    ),
    "a true version": (f"version = true\n{A_RULE}", ["version", "1", "a boolean"]),
    "a version in quotes": (f"version = '1'\n{A_RULE}", ["version", "1", "a string"]),
    "a version with a dot": (f"version = 1.0\n{A_RULE}", ["version", "1", "a float"]),
    "a misspelt version": (f"verison = 1\n{A_RULE}", ["'verison'", "'version'"]),
    "no host": ("version = 1", ["hosts", "nothing", 'hosts."api.example.com" = [']),
    "no host, hosts rejected": (
        'version = 1\nunpinned = "reject"\nhosts = {}\nblocked = []',
        ["hosts", "nothing is blocked"],
    ),
    "a byte order mark": ("\ufeffversion = 1", ["byte order mark", "UTF-8 without"]),
    "no TOML": ("version = 1\nhosts.", ["line 2: not TOML", "for a key part"]),
    "no TOML in a line": (
        f'version = 1\n{HERE} = [{PIN}"]\nhosts."b.example" = 1',
        ["not TOML", "line 2", "quotes"],
    ),
    "pins without quotes": (
        f"version = 1\n{HERE} = [{IN_USE}]",
        ["not TOML", "line 2: ", "at column 22", "quotes"],
    ),
    "a wildcard without quotes": (
        f"version = 1\n[hosts.*.example]\npins = [{PIN}]",
        ["not TOML", "line 2: ", "at column 8", "'*'", "quotes"],
    ),
    "one table twice": (
        f"version = 1\n{A_RULE}\n{A_RULE}",
        ["not TOML", "'a.example'", "twice", "line 5", "keep one"],
    ),
    "one host twice": (
        f"version = 1\n{HERE} = [{PIN}]\n{HERE} = [{PIN}]\n",
        ["not TOML", "line 3", "is there twice", "keep one"],
    ),
    "one key twice": (
        f"version = 1\n{A_RULE}mode = 'report'\nmode = 'enforce'\n",
        ["not TOML", "line 5", "is there twice", "keep one"],
    ),
    "arrays without end": (f"x = {'[' * DEEP}", ["not TOML", "nested too deeply"]),
    "tables without end": (f"x = {'{a=' * DEEP}", ["not TOML", "nested too deeply"]),
    "a number of 5,000 digits": (f"x = {'1' * 5000}", ["not TOML", "4300 digits"]),
    "a number too many for a date": ("x = 2027-02-30T00:00:00Z", ["not TOML", "date"]),
}

ROWS: dict[str, tuple[str, list[str]]] = {
    # keys
    "an unknown key": ("colour = 1", ["'colour'", "version, unpinned, blocked, hosts"]),
    "hosts, misspelt": (f"[host.'a.example']\npins = [{PIN}]", ["'host'", "'hosts'"]),
    "blocked, misspelt": (f"Block = [{PIN}]", ["'Block'", "'blocked'"]),
    "pins at the top": (f"pins = [{PIN}]", ["'pins'", "in the table of a host"]),
    "pins, misspelt": (f"{HOST}\npin = [{PIN}]", [HOST, "'pin'", "'pins'"]),
    "pins in capitals": (f"{HOST}\nPINS = [{PIN}]", [HOST, "'PINS'", "'pins'"]),
    "after_expiry, misspelt": (
        A_RULE + "after-expiry = 'allow'",
        [HOST, "'after-expiry'", "'after_expiry'"],
    ),
    "a key like no other": (
        A_RULE + "comment = 'x'",
        [HOST, "'comment'", "pins, leaf, ca, blocked, mode, expires"],
    ),
    "a port": (A_RULE + "port = 443", [HOST, "'port'", "the keys here are pins"]),
    "hosts below": (
        A_RULE + "hosts = 1",
        [HOST, "'hosts'", "at the top of the file"],
    ),
    "a key with a line feed": (A_RULE + '"a\\nb" = 1', [HOST, r"'a\nb'"]),
    # types
    "hosts as a list": ("hosts = ['a']", ["hosts", "a table for each", "an array"]),
    "hosts as many tables": ("[[hosts]]\nx = 1", ["hosts", "a table", "an array"]),
    "unpinned is true": ("unpinned = true", ["unpinned", '"allow"', "a boolean"]),
    "unpinned is odd": (
        f"unpinned = 'ignore'\nblocked = [{PIN}]",
        ["unpinned", "'allow' or 'reject'", "'ignore'"],
    ),
    "blocked is text": (f"blocked = {PIN}", ["blocked", '["sha256/…"]', "a string"]),
    "a host is text": (f"{HERE} = {PIN}", [HOST, '["sha256/…"]', "a string"]),
    "a host is false": (f"{HERE} = false", [HOST, "a table", "a boolean"]),
    "pins are text": (
        f"{HOST}\npins = {PIN}",
        [HOST, "pins", '["sha256/…"]', "a string"],
    ),
    "pins are a number": (f"{HOST}\nleaf = 7", [HOST, "leaf", "list", "an integer"]),
    "pins are a table": (
        f"{HOST}\npins = {{{PIN} = 1}}",
        [HOST, "'pins'", "a table does not belong here"],
    ),
    "a pin is a number": (f"{HOST}\npins = [7]", [HOST, "pins", "int", "sha256/"]),
    "a pin is a list": (f"{HERE} = [[{PIN}]]", [HOST, "pins", "list", "sha256/"]),
    "a pin is a table": (f"{HERE} = [{{x = 1}}]", [HOST, "pins", "dict", "sha256/"]),
    "mode is a list": (
        A_RULE + "mode = ['report']",
        [HOST, "mode", '"enforce" or "report"', "an array"],
    ),
    "mode is a time": (A_RULE + "mode = 07:30:00", [HOST, "mode", "a time"]),
    "expires is text": (
        A_RULE + "expires = '2030-01-01T00:00:00Z'",
        [HOST, "expires", "2027-01-31T00:00:00Z", "a string"],
    ),
    "expires is a time": (A_RULE + "expires = 07:30:00", [HOST, "expires", "a time"]),
    "after_expiry is false": (
        A_RULE + "after_expiry = false",
        [HOST, "after_expiry", '"allow" or "reject"', "a boolean"],
    ),
    # values
    "mode is odd": (
        A_RULE + "mode = 'log'",
        [HOST, "mode", "'enforce' or 'report'", "'log'"],
    ),
    "expires is a date": (
        A_RULE + "expires = 2030-01-01\nafter_expiry = 'allow'",
        [HOST, "expires", "add Z", "2030-01-01T00:00:00Z"],
    ),
    "expires is local": (
        A_RULE + "expires = 2030-01-01 07:30:00\nafter_expiry = 'allow'",
        [HOST, "expires", "add Z", "2030-01-01T07:30:00Z"],
    ),
    "expires alone": (
        A_RULE + "expires = 2030-01-01T00:00:00Z",
        [HOST, "expires", "after_expiry='allow'", "after_expiry='reject'"],
    ),
    "after_expiry alone": (
        A_RULE + "after_expiry = 'allow'",
        [HOST, "after_expiry", "expires is missing"],
    ),
    "after_expiry is odd": (
        A_RULE + "expires = 2030-01-01T00:00:00Z\nafter_expiry = 'warn'",
        [HOST, "after_expiry", "'allow' or 'reject'", "'warn'"],
    ),
    "no pin": (f"{HERE} = []", [HOST, "pins, leaf or ca", "unpinned = true"]),
    "an empty table": (HOST, [HOST, "pins, leaf or ca", "unpinned = true"]),
    "no pin but blocked": (
        f"{HOST}\nblocked = [{PIN}]",
        [HOST, "pins, leaf or ca", "unpinned = true"],
    ),
    "unpinned is false": (
        f"{HOST}\nunpinned = false",
        [HOST, "unpinned", "expected true", "leave the key out"],
    ),
    "unpinned and pins": (
        A_RULE + "unpinned = true",
        [HOST, "unpinned", "without pins", "remove pins"],
    ),
    "unpinned and a mode": (
        f"{HOST}\nunpinned = true\nmode = 'report'",
        [HOST, "unpinned", "remove mode"],
    ),
    "unpinned for all, below": (
        A_RULE + 'unpinned = "reject"',
        [HOST, "unpinned", "expected true", "belongs at the top", "a string"],
    ),
    # pins
    "a bad pin": (f"{HERE} = ['sha256/x']", [HOST, "pins", "'sha256/x'", "cut off"]),
    "a bad pin at the top": (
        "blocked = ['sha256/x']",
        ["blocked", "'sha256/x'", "it is cut off"],
    ),
    "a pin of unknown kind": (
        f"{HOST}\nca = ['{BARE_PIN}']\nleaf = [{PIN}]",
        [HOST, "ca", f"'{BARE_PIN}'", "of a certificate cert-sha256:2b985b"],
    ),
    "a pin of SHA-1": (
        f"{HOST}\nblocked = ['sha1/x']\npins = [{PIN}]",
        [HOST, "blocked", "'sha1/x'", "pin SHA-256"],
    ),
    # patterns
    "two spellings": (
        f'hosts."A.example" = [{PIN}]\nhosts."a.EXAMPLE." = [{PIN}]',
        ["[hosts]", "'A.example'", "'a.EXAMPLE.'", "keep one"],
    ),
    "two scripts": (
        f'[hosts]\n"**.bücher.a" = [{PIN}]\n"**.xn--bcher-kva.a" = [{PIN}]',
        ["[hosts]", "'**.bücher.a'", "'**.xn--bcher-kva.a'", "keep one"],
    ),
    "two spellings of an address": (
        f'hosts."::1" = [{PIN}]\nhosts."0:0:0:0:0:0:0:1" = [{PIN}]',
        ["[hosts]", "'::1'", "'0:0:0:0:0:0:0:1'", "keep one"],
    ),
    "a port in the pattern": (
        f'hosts."a.example:443" = [{PIN}]',
        ["[hosts]", "a.example:443", "without a port"],
    ),
    "a URL": (
        f'hosts."https://a.example/" = [{PIN}]',
        ["[hosts]", "https://a.example/", "only the host"],
    ),
    "a wildcard in the middle": (
        f'hosts."a.*.example" = [{PIN}]',
        ["[hosts]", "a.*.example", "'*.' or '**.' at the beginning"],
    ),
    "a wildcard in a label": (
        f'hosts."*a.example" = [{PIN}]',
        ["[hosts]", "*a.example", "'*.' or '**.' at the beginning"],
    ),
    "a wildcard alone": (
        f'hosts."*" = [{PIN}]',
        ["[hosts]", "'*'", "'*.' or '**.' at the beginning, then a name"],
    ),
    "a wildcard for addresses": (
        f'hosts."*.192.0.2.1" = [{PIN}]',
        ["[hosts]", "'*.192.0.2.1'", "takes no wildcard"],
    ),
    "half an address": (
        f'hosts."192.0.2" = [{PIN}]',
        ["[hosts]", "192.0.2", "four decimal numbers"],
    ),
    "an address in brackets": (
        f'hosts."[::1]" = [{PIN}]',
        ["[hosts]", "[::1]", "brackets"],
    ),
    "an empty name": (f'hosts."" = [{PIN}]', ["[hosts]", "''", "empty"]),
    "two names in one": (
        f'hosts."straße.example" = [{PIN}]',
        ["[hosts]", "'straße.example'", "write the A-label that you mean"],
    ),
    "a name with a line feed": (f'hosts."a\\nb" = [{PIN}]', ["[hosts]", r"a\nb"]),
    "a name that turns the line": (
        'hosts."a\u202eb" = 1',
        [r'[hosts."a\u202eb"]', "an integer"],
    ),
    "half a surrogate": ('hosts."\ud800" = 1', [r'[hosts."\ud800"]', "an integer"]),
    "half a surrogate with pins": (f'hosts."\ud800" = [{PIN}]', ["[hosts]", r"\ud800"]),
    # quotes
    "a table without quotes": (
        f"[hosts.api.example.com]\npins = [{PIN}]",
        ['[hosts."api"]', "'example'", 'quotes, as in [hosts."api.example.com"]'],
    ),
    "a line without quotes": (
        f"hosts.api.example.com = [{PIN}]",
        ['[hosts."api"]', "'example'", 'quotes, as in [hosts."api.example.com"]'],
    ),
    "two labels without quotes": (
        f"hosts.example.com = [{PIN}]",
        ['[hosts."example"]', "'com'", 'quotes, as in [hosts."example.com"]'],
    ),
    "a Canadian table without quotes": (
        f"[hosts.shop.ca]\npins = [{PIN}]",
        ['[hosts."shop"]', "'ca'", 'quotes, as in [hosts."shop.ca"]'],
    ),
    "a Canadian line without quotes": (
        f"hosts.shop.ca = [{PIN}]",
        ['[hosts."shop"]', "ca:", 'mode = "enforce"', 'hosts."shop.ca"'],
    ),
    "a host at the top": (
        f'["api.example.com"]\npins = [{PIN}]',
        ["'api.example.com'", 'quotes, as in [hosts."api.example.com"]'],
    ),
    "a host at the top without quotes": (
        f"[api.example.com]\npins = [{PIN}]",
        ["'api'", 'quotes, as in [hosts."api.example.com"]'],
    ),
    "a table of another program": (
        "[tool.other]\nx = 1",
        ["'tool'", 'as in [hosts."tool.other"]'],
    ),
    "an empty table at the top": ("[tool]", ["'tool'", 'as in [hosts."tool"]']),
}


@pytest.mark.parametrize(("text", "fragments"), AT_THE_TOP.values(), ids=AT_THE_TOP)
def test_mistakes_in_the_file_are_explained(text: str, fragments: list[str]) -> None:
    """The message names the file and the key or the line, and says what to do."""
    _assert_explained(text, fragments)


@pytest.mark.parametrize(("text", "fragments"), ROWS.values(), ids=ROWS)
def test_mistakes_in_a_table_are_explained(text: str, fragments: list[str]) -> None:
    """The message names file, table and key, and says what to do."""
    _assert_explained("version = 1\n" + text, fragments)


def _assert_explained(text: str, fragments: list[str]) -> None:
    with pytest.raises(PolicyError) as caught:
        toml.loads(text, "pins.toml")
    lines = str(caught.value).split("\n")
    place = "" if fragments[0] in ABSENT_THINGS else r"line \d+: "
    table = re.escape(fragments[0] + ": ") if fragments[0].startswith("[") else r"[^\[]"
    assert any(re.match(rf"pins\.toml: {place}{table}", line) for line in lines)
    for fragment in fragments:
        assert fragment in str(caught.value)
    for line in lines:
        assert line.startswith("pins.toml: ")
        assert line.isprintable()


# ---- clients -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_clients_stand_in_a_file_of_their_own_table(tmp_path: Path) -> None:
    """With the keys of a host, or as a list; without hosts, too."""
    path = tmp_path / "pins.toml"
    expected = Rules(clients=PinSet([ABSENT]))
    for text in (f'[clients]\npins = ["{ABSENT}"]', f'clients = ["{ABSENT}"]'):
        path.write_text(f"version = 1\n{text}\n", encoding="utf-8")
        assert load_rules(path) == expected
        assert load_policy(path) == Policy(expected)
    path.write_text(
        f'version = 1\n[clients]\nca = ["{ABSENT}"]\nmode = "report"\n', "utf-8"
    )
    assert load_rules(path).clients == PinSet(ca=[ABSENT], mode="report")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[clients]\n",
            "line 2: [clients]: pins: there is no pin in pins, leaf or ca; add one",
        ),
        (
            "[clients]\nunpinned = true",
            "line 3: [clients]: unpinned is for hosts; leave",
        ),
        (
            "[clients]\npin = []",
            "line 3: [clients]: unknown key 'pin'; did you mean 'pins'?",
        ),
        (
            "clients = 3",
            "line 2: clients: expected a table, as in [clients], got an integer",
        ),
        ("clients = ['x']", "line 2: [clients]: pins: not a SHA-256 pin: 'x'"),
        (
            "[client]\npins = []",
            "line 2: unknown key 'client'; did you mean 'clients'?",
        ),
        (
            "[clients]\npins = []\nexpires = 2030-01-01",
            "line 4: [clients]: expires: 2030-01-01 has no timezone; add Z",
        ),
    ],
)
def test_wrong_clients_are_an_error_that_says_where(text: str, words: str) -> None:
    """As for hosts."""
    with pytest.raises(PolicyError) as caught:
        toml.loads(f"version = 1\n{text}\n", "pins.toml")
    assert f"pins.toml: {words}" in str(caught.value)


# ---- any text ----------------------------------------------------------------

KEYS = (
    *("version", "unpinned", "blocked", "hosts", "pins", "leaf", "ca", "mode"),
    *("expires", "after_expiry", "a", "com", '"a.example"', "'*.example'", '"::1"'),
    *('"*."', '""', '"1.2"', "pin", '"é.example"', r'"\u202e"'),
)
VALUES = (
    *("1", "true", "false", "1.5", "nan", '""', '"allow"', '"report"', '"reject"'),
    *("2030-01-01T00:00:00Z", "2030-01-01T00:00:00", "2030-01-01", "07:30:00"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.9-23:59"),
    *("[]", "{}", "[[]]", "[1]", f"[{PIN}]", f'[{PIN}, "cert-sha256:{"0" * 64}"]'),
    *('["sha256/x"]', PIN, "{pins = []}", f"{{pins = [{PIN}]}}", "{unpinned = true}"),
)
PATHS = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3).map(".".join)
NEW_LINES = st.one_of(
    st.just(""),
    st.sampled_from(VALUES).map("= {}".format),  # with the old key
    st.tuples(PATHS, st.sampled_from(VALUES)).map(" = ".join),
    PATHS.map("[{}]".format),
)


@st.composite
def edited_examples(draw: st.DrawFn) -> str:
    """Draw the example of the page with a few other lines."""
    lines = examples()[0].splitlines()
    places = st.integers(0, len(lines) - 1)
    for place, line in draw(st.dictionaries(places, NEW_LINES, max_size=3)).items():
        old_key = lines[place].partition("=")[0] if line.startswith("=") else ""
        lines[place] = old_key + line
    return "\n".join(lines)


@given(st.text() | edited_examples())
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """No text makes an error of another kind, or one that names no file."""
    try:
        policy = Policy(toml.loads(text, "pins.toml"))
    except PolicyError as error:
        lines = str(error).split("\n")
    else:
        assert Policy.open(policy.compile()) == policy
        return
    for line in lines:
        assert line.startswith("pins.toml: ")
        assert line.isprintable()


# ---- any policy --------------------------------------------------------------


LABELS = st.text("abcxyz0189-_", min_size=1, max_size=6) | st.sampled_from(
    ["bücher", "XN--BCHER-KVA", "API", "ca", "пример", "pins"]
)
NAMES = st.builds(
    lambda prefix, labels, last: prefix + ".".join([*labels, last]),
    st.sampled_from(["", "*.", "**."]),
    st.lists(LABELS, max_size=3),
    st.sampled_from(["example", "ORG", "localhost", "com."]),
)
PATTERNS = NAMES | st.ip_addresses().map(str)
DIGESTS = st.binary(min_size=32, max_size=32)


def _openssl(pin: Pin) -> str:
    return "SHA256 Fingerprint=" + pin.digest.hex(":").upper()


# Each spelling with the pin that it is.
SPELT_PINS = st.one_of(
    DIGESTS.map(Pin.spki).map(lambda pin: (pin, str(pin))),
    DIGESTS.map(Pin.spki).map(lambda pin: (pin, str(pin).replace("/", "//", 1))),
    DIGESTS.map(Pin.spki).map(
        lambda pin: (pin, f'pin-sha256="{str(pin).removeprefix("sha256/")}"')
    ),
    DIGESTS.map(Pin.certificate).map(lambda pin: (pin, str(pin))),
    DIGESTS.map(Pin.certificate).map(lambda pin: (pin, _openssl(pin))),
)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)

Table = dict[str, Any]  # a host's table, its pins as pairs of pin and spelling


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Draw a table that says something."""
    names = st.sampled_from(["pins", "leaf", "ca"])
    lists = draw(st.sets(names, min_size=1)) | draw(st.sets(st.just("blocked")))
    table: Table = {
        name: draw(st.lists(SPELT_PINS, min_size=1, max_size=6))
        for name in sorted(lists)
    }
    if draw(st.booleans()) or lists == {"ca"}:  # alone, "ca" needs another key
        table["mode"] = draw(st.sampled_from(["enforce", "report"]))
    if draw(st.booleans()):
        table["expires"] = draw(st.datetimes(timezones=OFFSETS))
        table["after_expiry"] = draw(st.sampled_from(["allow", "reject"]))
    return table


RULES = st.lists(
    st.tuples(PATTERNS, st.just(UNPINNED) | tables()),
    min_size=1,
    max_size=5,
    unique_by=lambda rule: (
        re.sub(r"[^*]", "", rule[0]),
        canonical(rule[0].lstrip("*").removeprefix(".")),
    ),
).map(dict)


def _written(value: object) -> str:
    """Write a value as TOML."""
    match value:
        case dt.datetime():
            return value.isoformat()
        case list():
            return "[" + ", ".join(json.dumps(text) for _, text in value) + "]"
        case _:
            return json.dumps(value)


def _written_rule(pattern: str, rule: Any, form: str) -> str:  # noqa: ANN401
    """Write a rule as a table of its own, or as lines, or as one line."""
    name = json.dumps(pattern)
    table = {"unpinned": True} if rule is UNPINNED else rule
    pairs = [f"{key} = {_written(value)}" for key, value in table.items()]
    if form == "table":
        return "\n".join([f"[hosts.{name}]", *pairs]) + "\n"
    if form == "lines":
        return "".join(f"hosts.{name}.{pair}\n" for pair in pairs)
    if table.keys() == {"pins"}:
        return f"hosts.{name} = {_written(table['pins'])}\n"
    return f"hosts.{name} = {{{', '.join(pairs)}}}\n"


def _pinset(table: Table) -> PinSet:
    arguments: dict[str, Any] = {
        key: [pin for pin, _ in value] if isinstance(value, list) else value
        for key, value in table.items()
    }
    return PinSet(**arguments)


ALLOW_OR_REJECT: list[Literal["allow", "reject"]] = ["allow", "reject"]


@given(
    rules=RULES,
    unpinned=st.sampled_from(ALLOW_OR_REJECT),
    blocked=st.lists(SPELT_PINS, max_size=6),
    form=st.sampled_from(["table", "lines", "line"]),
)
def test_a_written_policy_is_the_policy(
    rules: dict[str, Any],
    unpinned: Literal["allow", "reject"],
    blocked: list[tuple[Pin, str]],
    form: str,
) -> None:
    """A policy in TOML, and the same one made in Python, compile to the same bytes."""
    text = f'version = 1\nunpinned = "{unpinned}"\nblocked = {_written(blocked)}\n'
    for pattern, rule in rules.items():
        text += _written_rule(pattern, rule, form)
    policy = Policy(
        {
            pattern: rule if rule is UNPINNED else _pinset(rule)
            for pattern, rule in rules.items()
        },
        unpinned=unpinned,
        blocked=[pin for pin, _ in blocked],
    )
    assert Policy(toml.loads(text, "pins.toml")).compile() == policy.compile()
