"""The C functions of policies that Python does not call, for the tests of policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinverify import PinSet, Policy, Report, Rules
from pinverify._core import ffi, lib
from policy_samples import NOW, SHAPES

__all__ = ["in_c", "one_in_c", "opened_in_c", "rules_and_clients"]


def one_in_c(
    policy: Policy, host: str | bytes | None, chain: list[bytes]
) -> tuple[object, ...]:
    """Ask pv_evaluate, which is what C programs call for each peer."""
    compiled = policy.compile()
    opened = ffi.new("pv_policy *")
    assert lib.pv_policy_open(opened, compiled, len(compiled)) == lib.PV_OK
    buffers = [ffi.from_buffer(der) for der in chain]
    spans = ffi.new("pv_span[]", [(b, len(b)) for b in buffers])
    name = host.encode("utf-8") if isinstance(host, str) else host or b""
    report = ffi.new("pv_report *", {"accepted": 1})
    spkis = ffi.new("uint8_t[]", b"\xff" * (32 * len(chain)))
    status = lib.pv_evaluate(
        report, spkis, opened, name, len(name), spans, len(chain), NOW
    )
    assert status == lib.PV_OK
    seen = bytes(ffi.buffer(spkis))[: 32 * len(chain)]
    assert not any(seen[32 * report.num_seen :])
    rule = ffi.new("pv_rule *")
    pattern = None
    if report.rule != lib.PV_NO_RULE:
        assert lib.pv_policy_rule(rule, opened, report.rule) == lib.PV_OK
        text = bytes(ffi.buffer(rule.name, rule.name_len)).decode("ascii")
        pattern = SHAPES[rule.shape] + text
    return (
        report.accepted,
        report.reason,
        report.mode,
        pattern,
        None if report.depth == lib.PV_NO_DEPTH else report.depth,
        (report.matched_kind, bytes(ffi.buffer(report.matched))),
        seen[: 32 * report.num_seen],
    )


def in_c(report: Report) -> tuple[object, ...]:
    """Return what pv_evaluate must say where Python gave *report*."""
    matched = (0, bytes(32))
    if report.matched is not None:
        matched = (int(report.matched.kind), report.matched.digest)
    return (
        int(report.accepted),
        int(report.reason),
        int(report.mode == "report"),
        report.rule,
        report.depth,
        matched,
        b"".join(pin.digest for pin in report.chain),
    )


def opened_in_c(policy: Policy) -> tuple[Any, bytes]:
    """Return a pv_policy and the bytes that it points into."""
    compiled = policy.compile()
    opened = ffi.new("pv_policy *")
    assert lib.pv_policy_open(opened, ffi.from_buffer(compiled), len(compiled)) == 0
    return opened, compiled


def rules_and_clients(
    clients: PinSet, rules: Mapping[str, PinSet]
) -> tuple[Any, bytes]:
    """Return a pv_policy with rules and pins of clients, and its bytes."""
    return opened_in_c(Policy(Rules(rules, clients=clients)))
