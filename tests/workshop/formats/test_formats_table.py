"""The table of formats, and its use by every function and command."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from cli_runs import answer, run
from other_systems import readable_formats
from pinverify import (
    UNPINNED,
    PinSet,
    Policy,
    PolicyError,
    PolicyWarning,
    Rules,
    dump_rules,
    load_policy,
    load_rules,
)
from pinverify.formats import _okhttp
from pinverify.formats._format_table import FORMATS
from pinverify.formats._losses import KINDS, Loss
from pinverify.formats._policy_reading import Given, Loaded, Reading
from places import ROOT
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []

CERT = "cert-sha256:" + "00" * 32
KOTLIN = f'CertificatePinner.Builder().add("x.org", "{ABSENT}")'


@pytest.mark.parametrize("name", FORMATS)
def test_every_row_leads_to_its_functions(name: str) -> None:
    """A format that can be read has a reader, and one that can be written a writer."""
    row = FORMATS[name]
    assert row.reads or row.writes
    assert not row.reads or callable(row.reader)
    assert not row.writes or callable(row.writer)


def test_every_format_has_a_row_on_the_page() -> None:
    """The table of docs/formats.md is that of the code."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]* \| (yes|no) \| (yes|no) \|", page)
    said = {name: (read == "yes", written == "yes") for name, read, written in rows}
    assert said == {name: (row.reads, row.writes) for name, row in FORMATS.items()}
    kinds = re.findall(r"(?m)^\| `([a-z-]+)` \| (wider|narrower|dropped) \|", page)
    assert dict(kinds) == KINDS


# ---- losses ------------------------------------------------------------------------

# For each kind of loss: a format, rules that it cannot say, and what is given.
LOSSES: dict[str, tuple[str, Rules, dict[str, Any]]] = {
    "unlisted-hosts": ("okhttp", Rules({"x.org": [ABSENT]}, unpinned="reject"), {}),
    "blocked": ("okhttp", Rules({"x.org": [ABSENT]}, blocked=[OTHER]), {}),
    "clients": ("okhttp", Rules({"x.org": [ABSENT]}, clients=PinSet([OTHER])), {}),
    "left-out": ("okhttp", Rules({"x.org": [ABSENT], "y.org": [CERT]}), {}),
    "position": ("okhttp", Rules({"x.org": PinSet(leaf=[ABSENT])}), {}),
    "validation": ("tlsa", Rules({"x.org": PinSet(leaf=[ABSENT])}), {}),
    "union": ("okhttp", Rules({"**.x.org": [ABSENT], "x.org": [OTHER]}), {}),
    "exempt": ("okhttp", Rules({"**.x.org": [ABSENT], "a.x.org": UNPINNED}), {}),
    "expiry-rejects": (
        "okhttp",
        Rules({"x.org": PinSet([ABSENT], expires=NOON, after_expiry="reject")}),
        {},
    ),
    "expiry": (
        "okhttp",
        Rules({"x.org": PinSet([ABSENT], expires=NOON, after_expiry="allow")}),
        {},
    ),
    "certificate-pins": ("okhttp", Rules({"x.org": [ABSENT, CERT]}), {}),
    "key-pins": ("haproxy", Rules(clients=PinSet(leaf=[ABSENT, CERT])), {}),
    "one-label": ("android", Rules({"x.org": [ABSENT], "*.y.org": [ABSENT]}), {}),
    "many-labels": ("apple", Rules({"**.x.org": PinSet(ca=[ABSENT])}), {}),
    "exact-and-below": (
        "android",
        Rules({"x.org": [ABSENT], "**.x.org": [OTHER]}),
        {},
    ),
    "expiry-date": (
        "android",
        Rules({"x.org": PinSet([ABSENT], expires=NOON, after_expiry="allow")}),
        {},
    ),
    "backup": ("hpkp", Rules({"x.org": [ABSENT]}), {}),
    "expiry-needed": ("hpkp", Rules({"x.org": [ABSENT, OTHER]}), {}),
    "other-hosts": (
        "hpkp",
        Rules({"**.x.org": [ABSENT, OTHER], "a.x.org": [ABSENT]}),
        {"host": "**.x.org"},
    ),
    "any-position": ("curl", Rules({"x.org": [ABSENT]}), {"position": "leaf"}),
    "report-mode": (
        "okhttp",
        Rules({"x.org": [ABSENT], "y.org": PinSet([ABSENT], mode="report")}),
        {},
    ),
}


EITHER = {  # formats that know positions, and the words that the README's pins get
    "apple": ({"leaf": "NSPinnedLeafIdentities", "ca": "NSPinnedCAIdentities"}),
    "curl": {"leaf": "sha256//"},
    "envoy": {"leaf": "verify_certificate_spki"},
    "postfix": {"leaf": "x.org fingerprint match="},
    "kubeadm": {"ca": "sha256:"},
}


@pytest.mark.parametrize("name", EITHER)
def test_pins_for_any_position_are_not_guessed_to_be_of_a_leaf_or_a_ca(
    name: str, tmp_path: Path
) -> None:
    """Taken for the other, they lock everybody out."""
    rules = Rules({"x.org": [ABSENT, OTHER]})
    with pytest.raises(PolicyError, match=f"nothing is written: {name} has to know"):
        dump_rules(rules, format=name, allow=KINDS)
    for position in ("leaf", "ca"):
        words = EITHER[name].get(position)
        if words is None:
            with pytest.raises(PolicyError, match="there is no rule to write"):
                dump_rules(rules, format=name, allow=KINDS, position=position)
            continue
        dumped = dump_rules(rules, format=name, position=position)
        assert [loss.kind for loss in dumped.losses] == ["any-position"]
        assert words in str(dumped.text)
    file = tmp_path / "pins.toml"
    file.write_text(str(dump_rules(rules).text), encoding="utf-8")
    asked = run("convert", "toml", name, file)
    assert (asked.code, asked.out) == (2, "")
    assert "--as leaf" in asked.err
    assert (
        run("convert", "toml", name, file, "--as", next(iter(EITHER[name]))).code == 0
    )
    with pytest.raises(PolicyError, match="position: "):
        dump_rules(rules, format=name, position="root")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_loss_is_told(kind: str) -> None:
    """A kind without an example would be a kind that nothing reports."""
    name, rules, given = LOSSES[kind]
    if kind == "backup":  # nothing is left to write
        with pytest.raises(PolicyError, match="a header needs two pins"):
            dump_rules(rules, format=name, allow=[kind])
        return
    direction = KINDS[kind]
    if direction == "wider":
        with pytest.raises(PolicyError, match=f"would accept more.* allow .*{kind}"):
            dump_rules(rules, format=name, **given)
    dumped = dump_rules(rules, format=name, allow=KINDS, **given)
    (loss,) = (loss for loss in dumped.losses if loss.kind == kind)
    assert loss.direction == direction
    assert f"({kind}, {direction})" in str(loss)


def test_only_the_losses_that_are_named_are_allowed() -> None:
    """Each wider loss needs its own permission."""
    rules = Rules({"x.org": PinSet(leaf=[ABSENT])}, blocked=[OTHER])
    for allow in ((), ("position",), ("blocked",), ("expiry", "clients", "blocked")):
        with pytest.raises(PolicyError, match="would accept more"):
            dump_rules(rules, format="okhttp", allow=allow)
    dumped = dump_rules(rules, format="okhttp", allow=("position", "blocked"))
    assert [loss.kind for loss in dumped.losses] == ["blocked", "position"]
    with pytest.raises(PolicyError, match="allow: no kind of loss 'all'; there is"):
        dump_rules(rules, format="okhttp", allow=["all"])


def test_dangerous_losses_come_first() -> None:
    """A person may stop reading after some lines."""
    rules = Rules(
        {
            "a.org": PinSet([ABSENT], mode="report"),
            "b.org": PinSet([ABSENT], expires=NOON, after_expiry="allow"),
            "c.org": PinSet(leaf=[ABSENT]),
        }
    )
    dumped = dump_rules(rules, format="okhttp", allow=["position"])
    assert dumped.losses == (
        Loss("position", "c.org", "leaf", "any position"),
        Loss("expiry", "b.org", f"no pins from {NOON}", "the pins go on"),
        Loss("report-mode", "a.org", "report mode", "no pins"),
    )


# ---- functions ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_formats_are_chosen_by_name_alone(tmp_path: Path) -> None:
    """The same file is read as what it is said to be."""
    path = tmp_path / "pins.toml"
    path.write_text(KOTLIN, encoding="utf-8")
    assert load_rules(path, format="okhttp") == Rules({"x.org": [ABSENT]})
    for name in ("toml", "json", "compiled"):
        with pytest.raises(PolicyError, match=rf"\A{re.escape(str(path))}: "):
            load_rules(path, format=name)
    with pytest.raises(PolicyError, match="no policy format 'kotlin'; there is toml"):
        load_rules(path, format="kotlin")
    with pytest.raises(PolicyError, match="no policy format 'kotlin'; there is toml"):
        dump_rules(Rules({"x.org": [ABSENT]}), format="kotlin")
    with pytest.raises(PolicyError, match="'chromium' can only be read; what can: "):
        dump_rules(Rules({"x.org": [ABSENT]}), format="chromium")
    with pytest.raises(PolicyError, match="'haproxy' can only be written; what can: t"):
        load_rules(path, format="haproxy")


@pytest.mark.parametrize("name", ["toml", "json", "compiled"])
@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_our_own_formats_lose_nothing(name: str, tmp_path: Path) -> None:
    """Rules that are written are read again, as rules and as a policy."""
    rules = Rules(
        {"**.x.org": PinSet(ca=[ABSENT], mode="report"), "x.org": UNPINNED},
        blocked=[OTHER],
        unpinned="reject",
    )
    text, losses = dump_rules(rules, format=name)
    assert losses == ()
    path = tmp_path / "pins"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert load_rules(path, format=name) == rules
    assert load_policy(path, format=name) == Policy(rules)


def test_only_rules_are_written() -> None:
    """A policy has its rules in an attribute."""
    policy: Any = Policy({"x.org": [ABSENT]})
    with pytest.raises(TypeError, match="of a Policy give its rules"):
        dump_rules(policy, format="okhttp")


def test_a_host_is_given_where_it_is_missing(tmp_path: Path) -> None:
    """Elsewhere it would contradict the file."""
    path = tmp_path / "pins.kt"
    path.write_text(KOTLIN, encoding="utf-8")
    with pytest.raises(PolicyError, match="names its hosts; leave out `host`"):
        load_rules(path, format="okhttp", host="x.org")


def test_a_file_is_read_up_to_its_limit(
    tmp_path: Path,
) -> None:
    """A larger one is another file, and is not read into memory."""
    path = tmp_path / "pins.kt"
    path.write_text(KOTLIN, encoding="utf-8")
    with path.open("r+b") as file:
        file.truncate(100 * 2**20)  # a hole: it takes no space on the disk
    with pytest.raises(PolicyError, match="more than 4,194,304 bytes"):
        load_rules(path, format="okhttp")


def noticing(data: bytes, given: Given) -> Loaded:
    """Stand in for a reader that leaves something out."""
    reading = Reading(given)
    reading.notice("line 3", f"{len(data)} bytes are left out")
    reading.rule("line 1", "x.org", PinSet([ABSENT]))
    return reading.loaded("nothing")


@pytest.fixture
def noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a format whose reader gives a notice."""
    monkeypatch.setattr(_okhttp, "loads", noticing)
    path = tmp_path / "pins.kt"
    path.write_bytes(b"12345")
    return path


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_a_notice_is_a_warning_in_python(noticed: Path) -> None:
    """It names the line of the caller, and can be made an error."""
    for load in (load_rules, load_policy):
        with pytest.warns(PolicyWarning, match=r"kt: line 3: 5 bytes") as caught:
            load(noticed, format="okhttp")
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(PolicyWarning):
                load(noticed, format="okhttp")


def test_a_notice_is_a_line_on_stderr_in_the_command(noticed: Path) -> None:
    """And no error."""
    done = run("convert", "okhttp", "toml", noticed)
    assert done.code == 0
    assert done.err == f"pinverify: warning: {noticed}: line 3: 5 bytes are left out\n"


def test_at_most_twenty_mistakes_are_told(tmp_path: Path) -> None:
    """The others are counted."""
    path = tmp_path / "pins.kt"
    code = "val b = CertificatePinner.Builder()\n" + 'b.add("x.org")\n' * 25
    code += "val pinner = b.build()\n"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_rules(path, format="okhttp")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"{path}: … and 5 more"


# ---- commands ----------------------------------------------------------------------


@pytest.fixture
def kotlin(tmp_path: Path) -> Path:
    """A file with one pin."""
    path = tmp_path / "Pins.kt"
    path.write_text(KOTLIN, encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_convert_prints_or_writes_the_new_file(kotlin: Path, tmp_path: Path) -> None:
    """A file is replaced as a whole; stdout has nothing else on it."""
    done = run("convert", "okhttp", "toml", kotlin)
    assert (done.code, done.err) == (0, "")
    target = tmp_path / "pins.toml"
    assert run("convert", "okhttp", "toml", kotlin, "-o", target) == (0, "", "")
    assert target.read_text("utf-8") == done.out
    assert load_rules(target) == Rules({"x.org": [ABSENT]})
    assert run("convert", "toml", "compiled", target, "-o", tmp_path / "c").code == 0
    assert Policy.open(tmp_path / "c") == load_policy(target)
    again = run("convert", "compiled", "okhttp", tmp_path / "c")
    assert (
        again.out
        == f'CertificatePinner.Builder()\n    .add("x.org", "{ABSENT}")\n    .build()\n'
    )
    assert answer("convert", "okhttp", "toml", kotlin) == {
        "policy": None,
        "text": done.out,
        "losses": [],
    }


def test_convert_refuses_to_widen(tmp_path: Path) -> None:
    """Nothing is written; with the permission it is, and the exit code says so."""
    source, target = tmp_path / "pins.toml", tmp_path / "Pins.kt"
    rules = Rules({"x.org": PinSet(leaf=[ABSENT], mode="enforce")})
    source.write_text(str(dump_rules(rules).text), encoding="utf-8")
    done = run("convert", "toml", "okhttp", source, "-o", target)
    assert done.code == 2
    assert done.err == (
        "pinverify: nothing is written, because okhttp would accept more; if it may, "
        "allow position (--allow)\n"
        "pinverify: okhttp: x.org: leaf became any position (position, wider)\n"
    )
    assert not target.exists()
    words = ("convert", "toml", "okhttp", source, "-o", target, "--allow", "position")
    done = run(*words)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "pinverify: warning: okhttp: x.org: leaf became any position "
        "(position, wider)\n"
    )
    assert target.exists()
    assert answer(*words)["losses"] == [
        {
            "kind": "position",
            "where": "x.org",
            "was": "leaf",
            "became": "any position",
            "direction": "wider",
        }
    ]


def test_the_command_tells_each_mistake_on_a_line(tmp_path: Path) -> None:
    """In JSON they are one text."""
    path = tmp_path / "Pins.kt"
    code = 'CertificatePinner.Builder()\n.add("x.org")\n.add(x)\n'
    path.write_text(code, encoding="utf-8")
    done = run("convert", "okhttp", "toml", path)
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["pinverify", "pinverify"]
    error = answer("convert", "okhttp", "toml", path)["error"]
    assert error.splitlines() == [line.removeprefix("pinverify: ") for line in lines]


def test_compile_reads_every_format(kotlin: Path, tmp_path: Path) -> None:
    """With the same options as convert."""
    target = tmp_path / "pins.pvpol"
    assert run("compile", kotlin, "--format", "okhttp", "-o", target).code == 0
    assert Policy.open(target) == Policy({"x.org": [ABSENT]})
    done = run("compile", target, "-o", tmp_path / "again")
    assert done.code == 2
    assert "this is a compiled policy; add --format compiled" in done.err


def test_diff_tells_the_formats_of_both_files(tmp_path: Path) -> None:
    """One of them may be a compiled policy."""
    text, compiled = tmp_path / "pins.toml", tmp_path / "pins.pvpol"
    policy = Policy({"x.org": [ABSENT]})
    text.write_text(str(dump_rules(policy.rules).text), encoding="utf-8")
    compiled.write_bytes(policy.compile())
    both = (compiled, text), (text, compiled)
    steps = ("--format", "compiled", "--to", "toml"), ("--to", "compiled")
    for files, step in zip(both, steps, strict=True):
        done = run("diff", *files)
        assert done.code == 2
        advice = f"this is a compiled policy; add {' '.join(step)}"
        assert advice in " ".join(done.err.split())
        assert run("diff", *files, *step).code == 0


def test_the_commands_offer_the_formats_of_the_table(kotlin: Path) -> None:
    """There is no second list of names."""
    names = ", ".join(f"'{name}'" for name in readable_formats())
    for words in (
        ("check", "x.org", "--policy", kotlin, "--format", "kotlin"),
        ("compile", kotlin, "--format", "kotlin", "-o", kotlin),
        ("convert", "kotlin", "toml", kotlin),
    ):
        done = run(*words)
        assert done.code == 2
        assert f"'kotlin' is not one of {names}" in done.err
    done = run("convert", "okhttp", "chromium", kotlin)
    assert "'chromium' can only be read; what can: toml, json" in done.err
    for done in (
        run("convert", "haproxy", "toml", kotlin),
        run("compile", kotlin, "--format", "haproxy", "-o", kotlin),
    ):
        assert done.code == 2
        assert "'haproxy' can only be written; what can: toml, json" in done.err
    done = run("convert", "okhttp", "toml", kotlin, "--allow", "expiry")
    assert "'expiry' is not one of 'unlisted-hosts', 'blocked'" in done.err
