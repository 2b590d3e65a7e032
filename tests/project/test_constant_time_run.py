"""`make ct` examines all promises of pinverify.h, with each kernel that runs here.

The check itself takes minutes. These tests show at once if it would leave something
out, or if a planted leak has lost its place.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import anchors
from constant_time import run, single_step
from constant_time.calls import DECISIONS
from constant_time.run import Finding, Leak

__all__: list[str] = []

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(
        not single_step.can_trace(), reason="make ct needs Linux on x86-64"
    ),
]


def complete() -> list[Finding]:
    """Return findings of a run that finds nothing wrong."""
    found = [
        Finding(kernel, function, method, "a binary", leaks=False)
        for method in run.METHODS
        for kernel in run.kernels()
        if run.can_run(method, kernel)
        for function in run.promised(run.header())
    ]
    planted = [
        Finding(
            leak.kernel, leak.run, method, "a binary", leaks=True, planted=leak.what
        )
        for leak in run.leaks()
        for method in leak.seen_by
        if run.can_run(method, leak.kernel)
    ]
    return found + planted


def test_promises_are_read_from_the_header() -> None:
    """Each function that compares pins, one by one; no other that has them."""
    assert run.promised(run.header()) == [
        *("pv_pins_contain", "pv_packed_contain", "pv_packed_contain_many"),
        *("pv_cert_is_pinned", "pv_certs_are_pinned"),
        *("pv_evaluate", "pv_decide", "pv_leaf_suffices", "pv_evaluate_many"),
    ]
    assert set(DECISIONS) < set(run.promised(run.header()))


def test_a_new_promise_is_read() -> None:
    """In words of its own, or those of another function."""
    new = """\
// pv_new does it. Time: linear in the pins, independent of the bytes of
// the pins.
PV_API PV_CHECK pv_status pv_new(const uint8_t *pins,
                                 size_t num_pins);

// pv_more does it, too. Time: like
// pv_new.
PV_API void pv_more(void);
PV_API void pv_still_more(void);

// pv_public is pv_new of public bytes. Time: linear in the bytes.
PV_API void pv_public(void);
"""
    assert run.promised(new) == ["pv_new", "pv_more", "pv_still_more"]


def test_a_run_of_everything_has_no_faults() -> None:
    """Otherwise the tests below show nothing."""
    assert run.faults(complete()) == []


def test_a_function_that_nobody_ran_fails() -> None:
    """By each method; and one of which nothing is promised is a mistake as well."""
    for function in run.promised(run.header()):
        for method in run.METHODS:
            left = [
                f for f in complete() if (f.method, f.function) != (method, function)
            ]
            found = run.faults(left)
            assert any(function in text and method in text for text in found), method
    extra = Finding("portable", "pv_new", "trace", "a binary", leaks=False)
    (fault,) = run.faults([*complete(), extra])
    assert fault.startswith("pv_new is examined")


@pytest.mark.parametrize("method", run.METHODS)
def test_a_kernel_that_nobody_ran_fails(method: str) -> None:
    """If this machine could have run it; a checker has it over models."""
    for kernel in run.kernels():
        left = [
            f
            for f in complete()
            if f.planted or (f.method, f.kernel) != (method, kernel)
        ]
        found = run.faults(left)
        assert bool(found) == run.can_run(method, kernel)
        assert all(text.startswith(f"{kernel} ") for text in found)


def test_a_kernel_that_cannot_run_here_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason: NEON on x86-64, and AVX-512 where the processor lacks it."""
    run.print_not_run()
    neon = "neon: not run by trace, memcheck, MSan: this machine is x86_64, not aarch64"
    assert neon in capsys.readouterr().out.splitlines()
    monkeypatch.setattr(run, "cpu_flags", lambda: {"avx2", "bmi1", "bmi2"})
    run.print_not_run()
    told = capsys.readouterr().out
    assert "avx512: not run by trace: this machine lacks avx512bw avx512f" in told
    assert "avx2:" not in told


def test_what_a_kernel_needs_is_known() -> None:
    """Of each that there is; the tables of csrc say the same."""
    assert set(run.kernels()) == set(run.KERNEL_NEEDS)
    scan = (run.CSRC / "scan.c").read_text(encoding="ascii")
    assert set(re.findall(r"&pv__scan_(\w+)", scan)) == set(run.kernels())


def test_a_leak_fails() -> None:
    """One of ours, and a planted one that a method does not see."""
    first, *rest = complete()
    (found,) = run.faults([replace(first, leaks=True, detail="there"), *rest])
    assert found.endswith(": there")
    for missed in (f for f in complete() if f.planted):
        others = [f for f in complete() if f != missed]
        (found,) = run.faults([*others, replace(missed, leaks=False)])
        assert found == f"{missed.planted}: {missed.method} did not see it"


@pytest.mark.parametrize("leak", run.leaks(), ids=lambda leak: leak.what)
def test_a_planted_leak_is_where_the_table_says(leak: Leak) -> None:
    """In a file that is compiled, in a function that is run, with a kernel there is."""
    csrc = anchors.read(run.CSRC)
    file, text = anchors.made(leak.change, csrc)
    assert text != csrc[file]
    assert file.endswith(".c")
    assert leak.kernel in run.kernels()
    assert leak.run in run.promised(run.header())
    assert set(leak.seen_by) <= set(run.METHODS)
    assert leak.seen_by


def test_leaks_are_planted_in_each_scan_and_in_the_decision() -> None:
    """Every scan of x86-64 and of plain C has a row, and so have the decisions."""
    planted = {(leak.change.scope, leak.kernel) for leak in run.leaks()}
    for kernel in set(run.kernels()) - {"neon"}:
        scopes = {scope for scope, of in planted if of == kernel}
        assert any("rows" in scope for scope in scopes)
        assert any("group" in scope or "block" in scope for scope in scopes)
    assert {leak.run for leak in run.leaks()} & set(DECISIONS)
