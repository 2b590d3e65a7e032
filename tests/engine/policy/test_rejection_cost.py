"""The cost of a rejection: nothing is read, imported or decoded before it is needed."""

from __future__ import annotations

import ast
import contextlib
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import pinverify
from pinverify import PinningError, PinSet, Policy, Reason
from pinverify.core._policies import OpenPolicy
from pki import Pki
from policy_samples import ABSENT, HOST
from rejections import many_pins, rejected

__all__: list[str] = []

PACKAGE = Path(pinverify.__file__).parent


# ---- calls and pins ----------------------------------------------------------


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
    assert counts.pop() < 25


def test_pins_are_read_for_the_lines_that_are_shown(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None until the text is asked for, then eight of 10,000."""
    read: list[int] = []
    real = OpenPolicy.pins

    def counting(
        self: OpenPolicy, pinset: int | None, one: int, kind: int, num: int
    ) -> list[bytes]:
        read.append(num)
        return real(self, pinset, one, kind, num)

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


def test_nothing_is_imported_late() -> None:
    """In these folders nothing is imported inside a function, but for what is named."""
    late: list[str] = []
    for folder in ("core", "policy", "files", "formats"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in ast.walk(tree):
                if isinstance(function, ast.FunctionDef):
                    kinds = (ast.Import, ast.ImportFrom)
                    if any(isinstance(node, kinds) for node in ast.walk(function)):
                        late.append(f"{path.stem}.{function.name}")
    # Of names that are not ASCII, which rules and callers give: ssl gives A-labels.
    of_names = "_hosts._a_label"
    of_tools = "_certs_and_pins.__get__"  # of dataclasses
    of_files = "__init__._warn"  # the checks of rules that were read
    of_child = "_parser_process.limit"  # the process that reads source code
    assert late == [of_names, of_tools, of_files, of_child]


# ---- reports -----------------------------------------------------------------


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
