"""Rejections: cheap until somebody reads them, and short to read whatever comes."""

from __future__ import annotations

import ast
import contextlib
import copy
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import pinverify
from pinverify import (
    Pin,
    PinKind,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    core,
    find_pinning_error,
)
from pinverify.core._handle import OpenPolicy
from pinverify.policy._message import LINES_MAX, _x509, printable, shortened
from pki import Authority, Pki
from policy_samples import ABSENT, HOST, NOON

__all__: list[str] = []

PACKAGE = Path(pinverify.__file__).parent


def many_pins(num: int, kind: PinKind = PinKind.SPKI) -> list[Pin]:
    """Return pins of nobody."""
    return [Pin(kind, core.sha256(b"%d" % i)) for i in range(num)]


def rejected(policy: Policy, chain: list[bytes]) -> PinningError:
    """Return the error of a policy that rejects a chain."""
    with pytest.raises(PinningError) as caught:
        policy.verify(HOST, chain)
    return caught.value


# ---- what it costs -----------------------------------------------------------


def num_calls(call: Callable[[], object]) -> int:
    """Count the functions, of Python and of C, that a call enters."""
    entered = 0

    def count(_frame: object, event: str, _: object) -> None:
        nonlocal entered
        entered += event in {"call", "c_call"}

    call()  # what is made once is made now
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered


def test_a_rejection_does_not_grow_with_the_pins(pki: Pki) -> None:
    """A server with 10,000 pinned clients meets strangers all day.

    Whoever is refused must not be able to keep it busy: the text is made when
    somebody reads it. `bench/bench_rejection.py` has the times.
    """
    chain = pki.client.chain_der
    counts = set()
    for num in (1, 10_000):
        policy = Policy.for_clients(PinSet(leaf=many_pins(num)))

        def refuse(policy: Policy = policy) -> None:
            with contextlib.suppress(PinningError):
                policy.verify(None, chain)

        counts.add(num_calls(refuse))
    assert len(counts) == 1
    assert counts.pop() < 100


def test_pins_are_read_for_the_lines_that_are_shown(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None until the text is asked for, then eight of 10,000."""
    read: list[int] = []
    real = OpenPolicy.pins

    def counting(  # noqa: PLR0913, PLR0917 - as there
        self: OpenPolicy, pinset: int | None, one: int, kind: int, start: int, stop: int
    ) -> list[bytes]:
        read.append(stop - start)
        return real(self, pinset, one, kind, start, stop)

    monkeypatch.setattr(OpenPolicy, "pins", counting)
    policy = Policy({HOST: many_pins(10_000)})
    error = rejected(policy, pki.server.chain_der)
    assert error.verify_message == f"no pin of '{HOST}' is in the chain"
    assert error.report.reason is Reason.MISMATCH
    assert read == []
    assert "… and 9,992 more" in str(error)
    assert sum(read) == 8
    again = str(error)
    assert again == str(error)
    assert sum(read) == 8


def test_nothing_is_imported_for_a_decision(tmp_path: Path, pki: Pki) -> None:
    """An import takes a lock and reads files, and a handshake must not wait for it."""
    (tmp_path / "cert.der").write_bytes(pki.server.der)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_IMPORTS)],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


NO_IMPORTS = """
    import builtins, sys
    from pathlib import Path
    from pinverify import PinningError, Policy
    cert = Path("cert.der").read_bytes()
    policy = Policy({"a.example": ["sha256/" + "A" * 43 + "="]}, unpinned="reject")
    real, before = builtins.__import__, set(sys.modules)
    def forbidden(name, *rest):
        raise AssertionError(name)
    builtins.__import__ = forbidden
    for host in ("a.example", "b.example", "a..b", None):
        for chain in ([cert], [], [b"0"]):
            try:
                policy.verify(host, chain)
            except PinningError as error:
                error.report, error.verify_message, error.args
            policy.evaluate(host, chain).accepted
    builtins.__import__ = real
    print(set(sys.modules) == before and "cryptography" not in sys.modules)
"""


def test_only_the_text_of_a_rejection_imports_late() -> None:
    """In core, policy and formats, nothing else is imported inside a function."""
    late: list[str] = []
    for folder in ("core", "policy", "formats"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in ast.walk(tree):
                if isinstance(function, ast.FunctionDef):
                    kinds = (ast.Import, ast.ImportFrom)
                    if any(isinstance(node, kinds) for node in ast.walk(function)):
                        late.append(f"{path.stem}.{function.name}")
    assert late == ["_message._x509"]


def test_a_failed_import_of_cryptography_is_remembered(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for a package that is not there reads every folder of the path."""
    _x509.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    error = rejected(Policy({HOST: [ABSENT]}), pki.server.chain_der)
    assert pki.server.pin in str(error)
    assert "CN=" not in str(error)
    monkeypatch.undo()
    again = rejected(Policy({HOST: [ABSENT]}), pki.server.chain_der)
    assert "CN=" not in str(again)
    _x509.cache_clear()
    assert "CN=" in str(rejected(Policy({HOST: [ABSENT]}), pki.server.chain_der))


# ---- how long it is ----------------------------------------------------------


@pytest.fixture(scope="module")
def hostile() -> list[bytes]:
    """Fifty certificates whose subjects try all that a terminal obeys."""
    controls = "".join(map(chr, [*range(1, 32), 0x7F, 0x85, 0x9B, 0x2028, 0x202E]))
    authority = Authority.root("\n".join(["next:"] * 8))
    names = [f"{i}\n" + controls for i in range(50)]
    return [authority.leaf(common_name=name).der for name in names]


CASES: dict[str, Callable[[list[bytes]], tuple[Policy, list[bytes]]]] = {
    "10,000 pins in each list": lambda chain: (
        Policy({HOST: PinSet(many_pins(10_000), many_pins(10_000), many_pins(10_000))}),
        chain,
    ),
    "certificate pins, too": lambda chain: (
        Policy(
            {
                "**.example.com": PinSet(
                    many_pins(20) + many_pins(20, PinKind.CERTIFICATE),
                    many_pins(20, PinKind.CERTIFICATE),
                    many_pins(20),
                )
            }
        ),
        chain,
    ),
    "blocked": lambda chain: (
        Policy({HOST: [ABSENT]}, blocked=[Pin.from_certificate(chain[-1])]),
        chain,
    ),
    "expired": lambda chain: (
        Policy({HOST: PinSet([ABSENT], expires=NOON, after_expiry="reject")}),
        chain,
    ),
    "malformed": lambda chain: (Policy({HOST: [ABSENT]}), [*chain, b"no certificate"]),
    "not pinned": lambda chain: (Policy({}, unpinned="reject"), chain),
    "no certificate": lambda _: (Policy({HOST: [ABSENT]}), []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_text_has_at_most_forty_lines(case: str, hostile: list[bytes]) -> None:
    """And none of them is the peer's; the certificate that decided is shown."""
    policy, chain = CASES[case](hostile)
    error = rejected(policy, chain)
    text = str(error)
    assert len(text.splitlines()) <= LINES_MAX
    assert all(line.isprintable() for line in text.split("\n"))
    assert sum(line.lstrip().startswith("next:") for line in text.splitlines()) == 1
    assert text.partition("\n")[0] == error.verify_message == error.args[1]
    if error.report.depth is not None:
        assert text.count("<- this one") == 1
    if len(chain) > 8 and error.report.reason is not Reason.NO_CERTIFICATE:
        assert "more" in text


def test_the_text_of_an_adapter_is_cut_as_well() -> None:
    """Every text is for a person, who reads no more."""
    report = Report.not_checked(None, bytes(32), "why")
    error = PinningError(report, "\n".join(map(str, range(100))))
    assert len(str(error).splitlines()) == LINES_MAX
    assert error.verify_message == "0"


def test_a_subject_is_cut_and_escaped() -> None:
    """By the same functions as on the command line."""
    assert printable("a\n\x1b\u202e\U000e0001ü") == "a\\n\\x1b\\u202e\\U000e0001ü"
    assert shortened("x" * 64, 64) == "x" * 64
    assert shortened("x" * 65, 64) == "x" * 63 + "…"
    assert shortened("\n" * 40, 64) == "\\n" * 31 + "\\…"
    assert shortened("", 3) == ""


# ---- the report --------------------------------------------------------------


def test_an_error_always_has_a_report() -> None:
    """`error.report.reason` needs no test for None, also where nothing was decided."""
    report = Report.not_checked("A.example.", bytes(range(32)), "no evidence")
    assert not report.accepted
    assert report.reason is Reason.NOT_CHECKED
    assert (report.host, report.rule, report.mode) == ("a.example", None, "enforce")
    assert (report.matched, report.depth, report.chain) == (None, None, ())
    assert (report.digest, report.detail) == (bytes(range(32)), "no evidence")
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301  (ours)
    with pytest.raises(TypeError, match=r"use report\.accepted"):
        bool(report)
    error = PinningError(report, lambda: "a text\nof two lines")
    assert error.report is report
    assert error.verify_message == "'a.example' was not checked: no evidence"
    assert find_pinning_error(error) is error


@pytest.mark.parametrize("read_first", [False, True])
def test_a_rejection_travels_with_its_text(
    pki: Pki,
    hostile: list[bytes],
    read_first: bool,  # noqa: FBT001
) -> None:
    """To another process, which has neither the chain nor the policy."""
    for policy, chain in (
        (Policy({HOST: many_pins(100)}), pki.server.chain_der),
        (
            Policy({HOST: PinSet([ABSENT], expires=NOON, after_expiry="reject")}),
            hostile,
        ),
    ):
        error = rejected(policy, chain)
        error.add_note("seen in the test")
        expected = str(error) if read_first else None
        for copied in (
            pickle.loads(pickle.dumps(error)),  # noqa: S301  (ours)
            copy.copy(error),
            copy.deepcopy(error),
        ):
            assert type(copied) is PinningError
            assert str(copied) == (expected or str(error))
            assert copied.args == error.args
            assert copied.report == error.report
            assert copied.verify_message == error.verify_message
            assert copied.__notes__ == ["seen in the test"]


def test_a_report_is_decoded_when_it_is_asked(pki: Pki) -> None:
    """It holds a few bytes; equal decisions are equal reports."""
    policy = Policy({"**.example.com": [ABSENT]})
    one = policy.evaluate("API.example.com.", pki.server.chain_der)
    same = policy.evaluate(b"api.example.com", pki.server.chain_der)
    assert one == same
    assert hash(one) == hash(same)
    assert one != policy.evaluate("b.example.com", pki.server.chain_der)
    assert one != 3
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (ours)
    with pytest.raises(AttributeError):
        one.accepted = True  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.pattern = "x"  # type: ignore[attr-defined]
