"""Cost of hosts and names that an adversary chose, compared with others.

    PYTHONPATH=tests/helpers python bench/bench_hosts.py             the tables

An adversary who knows the code has as many names in a policy as anybody, of any shape:
nested wildcards, as deep as a pattern can be, and names that filled their buckets most.
The adversary knows the key of the policy, too, and searches for hosts whose labels are
looked up in full buckets. `Policy.evaluate` is called with these hosts, as a gateway
does with names from outside, in turns with hosts taken at random from the same policy.

The adversary's names are also compiled and opened, in turns with short ones. They are
as long as names can be, and end in an almost numeric label, so that all of it is read.
"""

from __future__ import annotations

import array
import functools
import ipaddress
import itertools
import random
import string
from typing import TYPE_CHECKING, Any, NamedTuple

import certificates
import measure
from compiled_model import SHAPES, Parts, bucket_of, taken_apart
from pinverify import Pin, Policy, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMPILE", "HOSTS", "OPEN", "figures", "figures_of_names"]

HOSTS = "Policy.evaluate, a chosen host"
OPEN = "Policy.open, long names"
COMPILE = "Policy.from_columns, long names"

NUM_RULES, QUICK_RULES = 100_000, 1000
NUM = 1024  # hosts that are timed together: too many to learn their look-ups by heart
DEEPEST = 125  # labels under "b", so that "*." still fits into 253 bytes
HOST_MAX = 253
LABEL_MAX = 63
ANY_LABELS_MAX = 16  # behind "**."
LABELS_TRIED = 12  # for each label of a host that is searched for,
RULES_SEARCHED = 5  # whose buckets have 0 to 4 rules
PINS_OF_A_NAME = 2


class Chosen(NamedTuple):
    """A policy, the hosts that were chosen, and hosts that were not."""

    policy: Policy
    cases: dict[str, list[str]]
    """As many hosts for each way to choose them as there are others."""
    others: list[str]


def _deep(num: int) -> str:
    return "a." * num + "b"


def _random_text(seed: int, alphabet: str, num: int) -> list[str]:
    return random.Random(seed).choices(alphabet, k=num)  # noqa: S311


def _almost_a_number(seed: int) -> str:
    """Return a name of many labels, the last one of hexadecimal digits.

    The last of these are decimal, too.
    """
    num_decimal = seed % (LABEL_MAX - 1)
    last = _random_text(seed, "abcdef", LABEL_MAX - num_decimal)
    last += _random_text(seed, string.digits, num_decimal)
    labels = _random_text(seed, string.ascii_lowercase, (HOST_MAX - LABEL_MAX) // 2)
    return ".".join([*labels, "".join(last)])


def _address(seed: int) -> str:
    """Return an IPv6 address with groups of any length, some of them zero."""
    rng = random.Random(seed)  # noqa: S311
    groups = [rng.getrandbits(rng.choice((0, 4, 8, 12, 16))) for _ in range(6)]
    text = ":".join(f"{group:x}" for group in [*groups, seed >> 8, seed & 0xFF])
    return str(ipaddress.IPv6Address(text))


def _any_labels(seed: int) -> str:
    """Return a name with labels of any length."""
    text = _random_text(seed, string.ascii_lowercase, HOST_MAX)
    place = seed % LABEL_MAX + 1
    while place < HOST_MAX - 1:
        text[place] = "."
        place += 2 + seed * place % (LABEL_MAX - 1)
    return "".join(text)


def _many_labels(seed: int) -> str:
    """Return a name of 127 labels, and none of them under "b"."""
    return ".".join([*_random_text(seed, string.ascii_lowercase, HOST_MAX // 2), "c"])


def _label(rng: random.Random, longest: int) -> str:
    letters = rng.choices(string.ascii_lowercase[2:], k=rng.randint(1, longest))
    return "".join(letters) + "."


def _below(end: str, seed: int, longest: int = 3) -> str:
    """Return a name of as many bytes as can be, its labels of a few letters each."""
    rng = random.Random(seed)  # noqa: S311
    while len(end) < HOST_MAX - longest:
        end = _label(rng, longest) + end
    return end


def _below_wildcard(seed: int) -> str:
    """Return a pattern of as many labels as "**." takes, the last almost a number."""
    num_words = ANY_LABELS_MAX - 1
    num_letters = (HOST_MAX - LABEL_MAX) // num_words - 1
    text = "".join(_random_text(seed, string.ascii_lowercase, num_words * num_letters))
    words = [text[i::num_words] for i in range(num_words)]
    return ".".join(["**", *words, _almost_a_number(seed).rpartition(".")[2]])


@functools.cache
def chosen(num_rules: int = NUM_RULES) -> Chosen:
    """Return the policy of an adversary who has *num_rules* names."""
    pins = [Pin.spki(bytes(32)), Pin.spki(bytes([1]) * 32)]
    deep = [f"*.{_deep(depth)}" for depth in range(DEEPEST + 1)]
    deep += [f"**.{_deep(depth)}" for depth in range(ANY_LABELS_MAX)]
    names = [f"h{i}.example" for i in range(num_rules - len(deep))]
    patterns = [pattern for pattern in deep if len(pattern) <= HOST_MAX]
    policy = Policy(dict.fromkeys(patterns + names, pins))
    num = min(NUM, num_rules // 4)
    below = [f"{i:x}.{_deep(DEEPEST - 2)}" for i in range(num)]
    return Chosen(
        policy,
        {
            "below wildcards at each depth": below,
            "the same, in capitals": [host.upper() for host in below],
            "127 labels, without a rule": [_many_labels(i) for i in range(num)],
            "almost a number, without a rule": [
                _almost_a_number(i) for i in range(num)
            ],
            "labels of 1 to 3 letters, without a rule": [
                _below("c", i) for i in range(num)
            ],
            "the same, and a rule for the last one": [
                _below("b", i) for i in range(num)
            ],
            "the same, searched for": _searched_for(policy, num),
            "the fullest buckets": _in_full_buckets(policy, num),
        },
        random.Random(1).sample(names, num),  # noqa: S311
    )


def _searched_for(policy: Policy, num: int) -> list[str]:
    """Return hosts whose look-ups compare with rules of any number, bucket by bucket.

    No processor can foresee how many: that costs more than buckets that are all full.
    """
    parts = taken_apart(policy.compile())
    hosts = []
    for seed in range(num):
        rng = random.Random(seed)  # noqa: S311
        host = "b"
        for _ in range(ANY_LABELS_MAX - 1):
            wanted = rng.randrange(RULES_SEARCHED)
            below = [_label(rng, 3) + host for _ in range(LABELS_TRIED)]
            far = functools.partial(_far_from, parts, wanted)
            host = min(below, key=far)
        hosts.append(_below(host, seed))
    return hosts


def _far_from(parts: Parts, wanted: int, name: str) -> int:
    """Return how far the number of the rules beside a name is from the wanted one."""
    return abs(_rules_beside(parts, name) - wanted)


def _rules_beside(parts: Parts, name: str) -> int:
    """Return how many rules a look-up of `**.name` compares it with."""
    num_buckets = len(parts.buckets) - 1
    shape = SHAPES.index("**.")
    bucket = bucket_of(parts.key, name.encode(), shape, num_buckets)
    return parts.buckets[bucket + 1] - parts.buckets[bucket]


def _in_full_buckets(policy: Policy, num: int) -> list[str]:
    """Return the last names of the fullest buckets: look-ups pass the others first."""
    parts = taken_apart(policy.compile())
    sizes = [(end - start, end) for start, end in itertools.pairwise(parts.buckets)]
    found = []
    for _, end in sorted(sizes, reverse=True)[:num]:
        rule = parts.rules[end - 1]
        name = parts.names[rule.name_at : rule.name_at + rule.name_len].decode()
        found.append(name if name.endswith(".example") else f"x.{name}")
    return found


def _asking(who: str, policy: Policy, hosts: list[str]) -> measure.Task:
    names: dict[str, Any] = {"evaluate": policy.evaluate, "hosts": hosts}
    names["chain"] = list(certificates.same_type("P-256")[:1])
    return measure.Task(who, "for host in hosts: evaluate(host, chain)", names)


def figures(
    rounds: int = measure.ROUNDS, num_rules: int = NUM_RULES
) -> list[measure.Figure]:
    """Compare each way to choose hosts with hosts at random."""
    policy, cases, others = chosen(num_rules)
    return [
        measure.compare(
            HOSTS,
            case,
            _asking(case, policy, hosts),
            _asking("hosts at random", policy, others),
            unit="host",
            units=len(hosts),
            rounds=rounds,
        )
        for case, hosts in cases.items()
    ]


NAMES: dict[str, Callable[[int], str]] = {
    "127 labels": _many_labels,
    "labels of any length": _any_labels,
    "almost a number": _almost_a_number,
    "almost a number, behind a wildcard": _below_wildcard,
    "IPv6 addresses": _address,
}


def _columns(name: Callable[[int], str], num_names: int) -> dict[str, Any]:
    hosts = sorted({name(seed) for seed in range(num_names)})
    assert len(hosts) == num_names
    offsets = array.array("q", itertools.accumulate(map(len, hosts), initial=0))
    pins = random.Random(1).randbytes(  # noqa: S311
        32 * PINS_OF_A_NAME * num_names
    )
    return {"hosts": "".join(hosts).encode(), "pins": pins, "offsets": offsets}


def _compiling(who: str, columns: dict[str, Any]) -> measure.Task:
    names = {"compile": Policy.from_columns, "columns": columns}
    return measure.Task(who, "compile(**columns)", names)


def _opening(who: str, columns: dict[str, Any]) -> measure.Task:
    names = {"open": Policy.open, "source": Policy.from_columns(**columns).compile()}
    return measure.Task(who, "open(source)", names)


def figures_of_names(
    bench: str, rounds: int = measure.ROUNDS, num_names: int = NUM_RULES
) -> list[measure.Figure]:
    """Compare names that were chosen with names of 14 bytes."""
    task = {OPEN: _opening, COMPILE: _compiling}[bench]
    others = _columns("h{:05}.example".format, num_names)
    return [
        measure.compare(
            bench,
            case,
            task(case, _columns(name, num_names)),
            task("names of 14 bytes", others),
            unit="name",
            units=num_names,
            rounds=rounds,
        )
        for case, name in NAMES.items()
    ]


def test_a_chosen_host_has_the_rule_that_is_its_own_or_none() -> None:
    """Whichever way it was chosen."""
    policy, cases, _ = chosen(QUICK_RULES)
    for case, hosts in cases.items():
        has_rule = not case.endswith("without a rule")
        wanted = Reason.NO_CERTIFICATE if has_rule else Reason.NOT_PINNED
        found = {host: policy.evaluate(host, []).reason for host in hosts}
        assert found == dict.fromkeys(hosts, wanted), case


def test_the_figures_are_ratios() -> None:
    """One round of each comparison."""
    found = figures(1, QUICK_RULES)
    for bench in (OPEN, COMPILE):
        found += figures_of_names(bench, 1, QUICK_RULES)
    assert all(one.ratio.median > 0 for one in found)


def main() -> None:
    """Print the tables."""
    for found in (figures(), figures_of_names(OPEN), figures_of_names(COMPILE)):
        print(f"\n| {found[0].bench} | time | {found[0].theirs} | ours by theirs |")  # noqa: T201
        print("|---|---|---|---|")  # noqa: T201
        for one in found:
            ratio = one.ratio.inverse()
            print(  # noqa: T201
                f"| {one.case} | {one.ours_ns:.0f} ns | {one.theirs_ns:.0f} ns "
                f"| {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |"
            )


if __name__ == "__main__":
    main()
