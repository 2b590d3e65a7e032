"""Counts and policies of this process for Prometheus, read when it scrapes.

The number of metrics is bounded: their labels are sides, reasons, modes and rules,
never hosts.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pinverify.live._policy_file import policy_files
from pinverify.tls._events import counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.live._policy_file import PolicyFile

__all__ = ["collector"]

_DECISION = ("side", "reason", "mode", "accepted")


def collector() -> Collector:
    """Return a collector of this process, to be registered once.

        prometheus_client.REGISTRY.register(pinverify.live.collector())

    Each forked worker has its own counts, and its own files that it follows: let
    Prometheus scrape every worker.
    """
    return _Collector()


class _Collector(Collector):
    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from _decisions()
        yield from _policies()


def _decisions() -> Iterator[Metric]:
    by_rule = CounterMetricFamily(
        "pinverify_rule_decisions",
        "Connections decided by a rule: the first 10,000 that decided, and (others).",
        labels=("rule", *_DECISION),
    )
    totals: Counter[tuple[str, ...]] = Counter()
    for (side, rule, reason, mode, accepted), number in counts().items():
        labels = side, reason, mode, str(accepted).lower()
        totals[labels] += number
        if rule:
            by_rule.add_metric((rule, *labels), number)
    decisions = CounterMetricFamily(
        "pinverify_decisions", "Connections decided by pins.", labels=_DECISION
    )
    for decision, number in sorted(totals.items()):
        decisions.add_metric(decision, number)
    yield decisions
    yield by_rule


def _policies() -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "pinverify_policy_info",
        "The policy in force that a file has; the value is 1.",
        labels=("path", "digest"),
    )
    loaded = GaugeMetricFamily(
        "pinverify_policy_loaded_timestamp_seconds",
        "When it was put in force.",
        labels=("path",),
    )
    expiry = GaugeMetricFamily(
        "pinverify_policy_earliest_expiry_timestamp_seconds",
        "When the first of its rules expires that has not yet; absent if none does.",
        labels=("path",),
    )
    failures = CounterMetricFamily(
        "pinverify_policy_reload_failures",
        "How often its file was read and the old policy stayed.",
        labels=("path",),
    )
    by_path: dict[str, list[PolicyFile]] = {}
    for file in [*policy_files]:
        by_path.setdefault(file.path, []).append(file)
    for path, files in sorted(by_path.items()):
        for digest in sorted({file.policy.digest.hex() for file in files}):
            info.add_metric((path, digest), 1)
        loaded.add_metric((path,), min(file.loaded_at for file in files))
        moments = [moment for file in files if (moment := file.earliest_expiry())]
        if moments:
            expiry.add_metric((path,), min(moments))
        failures.add_metric((path,), sum(file.failures for file in files))
    yield from (info, loaded, expiry, failures)
