"""Rules of a policy: the patterns that are allowed, and the pattern that decides."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import policy_model as model
from examples import examples
from pinverify import UNPINNED, PinSet, Policy, PolicyError, Reason
from pinverify.core._hosts import covering
from pinverify.core._kernels import scan_kernels, use_scan_kernel
from pinverify.core._policies import OpenPolicy
from pki import Pki
from policy_samples import ABSENT, OTHER, SHAPES

__all__: list[str] = []


def pattern_for(host: str, *patterns: str) -> str | None:
    """Return the pattern that decides about *host* among these, by a report."""
    policy = Policy({pattern: [ABSENT] for pattern in patterns})
    return policy.evaluate(host, []).rule


# ---- rules: patterns ---------------------------------------------------------


def test_an_exact_pattern_stands_for_that_host_alone() -> None:
    """No label more, none less, no other name that ends or begins alike."""
    assert pattern_for("example.org", "example.org") == "example.org"
    for host in ("a.example.org", "org", "aexample.org", "example.orga", "b.org"):
        assert pattern_for(host, "example.org") is None


def test_one_star_stands_for_exactly_one_label_more() -> None:
    """OkHttp's ``*.host``."""
    assert pattern_for("a.example.org", "*.example.org") == "*.example.org"
    for host in ("example.org", "b.a.example.org", "aexample.org", "a.example.com"):
        assert pattern_for(host, "*.example.org") is None


def test_two_stars_stand_for_any_number_of_labels_more_or_none() -> None:
    """OkHttp's ``**.host``."""
    for host in ("example.org", "a.example.org", "d.c.b.a.example.org"):
        assert pattern_for(host, "**.example.org") == "**.example.org"
    for host in ("org", "aexample.org", "a.example.com"):
        assert pattern_for(host, "**.example.org") is None


def test_an_address_stands_alone() -> None:
    """An address has no labels: no wildcard stands for one, or for a part of one."""
    for host in ("10.0.0.1", "2001:db8::1"):
        assert pattern_for(host, host, "**.example.org") == host
        for prefix in ("*.", "**."):
            with pytest.raises(PolicyError, match="takes no wildcard"):
                Policy({prefix + host: [ABSENT]})
    for pattern in ("*.0.0.1", "**.0.1", "*.1"):
        with pytest.raises(PolicyError, match="ends in a number"):
            Policy({pattern: [ABSENT]})


def test_there_are_no_ports() -> None:
    """A TLS connection does not know its port: a rule with one is refused.

    The message says so, and so do the docs of Policy.
    """
    with pytest.raises(PolicyError, match="without a port"):
        Policy({"example.org:443": [ABSENT]})
    assert Policy.__doc__ is not None
    assert "no ports" in Policy.__doc__


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("", "empty"),
        ("*", "wildcard"),
        ("**", "wildcard"),
        ("*.", "empty"),
        ("**.", "empty"),
        ("***.example.org", "wildcard"),
        ("*.*.example.org", "wildcard"),
        ("**.*.example.org", "wildcard"),
        ("a.*.example.org", "wildcard"),
        ("a*.example.org", "wildcard"),
        ("*a.example.org", "wildcard"),
        ("*example.org", "wildcard"),
        ("example.*", "wildcard"),
        ("https://example.org", "without scheme"),
        ("https://example.org/a", "without scheme"),
        ("example.org/a", "without scheme"),
        ("example.org:443", "without a port"),
        ("[::1]", "brackets"),
        ("example..org", "empty label"),
        ("exa mple.org", "character"),
        ("example.org\n", "character"),
        (".example.org", "empty label"),
        ("^example\\.org$", "character"),
        ("1.2.3", "number"),
        ("01.2.3.4", "leading zeros"),
        ("a" * 64 + ".org", "63"),
        ("faß.de", "IDNA 2003"),
    ],
)
def test_any_other_pattern_is_refused(pattern: str, advice: str) -> None:
    """The message quotes the pattern and says what to write instead."""
    with pytest.raises(PolicyError, match="not a pattern") as caught:
        Policy({pattern: [ABSENT]})
    assert advice in str(caught.value)
    assert repr(model.shape(pattern)[1]) in str(caught.value)


def test_a_pattern_that_is_no_text_is_refused() -> None:
    """Bytes and None are no patterns."""
    for pattern in (b"example.org", None, 1):
        with pytest.raises(PolicyError, match="a pattern is text"):
            Policy({pattern: [ABSENT]})  # type: ignore[dict-item]


def test_patterns_and_hosts_have_one_canonical_form() -> None:
    """However rule and look-up are spelled, they meet."""
    spellings = {
        "bücher.Example.ORG": ["xn--bcher-kva.example.org.", "bücher.example.org"],
        "*.Example.ORG.": ["A.eXample.org"],
        "2001:DB8:0:0:0:0:0:1": ["2001:db8::1", "2001:0db8::0001"],
        "10.0.0.1.": ["10.0.0.1"],
    }
    for pattern, hosts in spellings.items():
        for host in hosts:
            report = Policy({pattern: [ABSENT]}).evaluate(host, [])
            assert report.rule is not None
            assert report.host == host.rstrip(".").lower().replace(
                "bücher", "xn--bcher-kva"
            ).replace("0db8::0001", "db8::1")


def test_two_spellings_of_one_pattern_are_refused() -> None:
    """Two values could hold: the author has to say which."""
    for one, other in (
        ("example.org", "EXAMPLE.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("**.example.org", "**.Example.org"),
        ("::1", "0:0:0:0:0:0:0:1"),
    ):
        with pytest.raises(PolicyError, match="are one pattern") as caught:
            Policy({one: [ABSENT], other: [OTHER]})
        assert repr(one) in str(caught.value)
        assert repr(other) in str(caught.value)


# ---- rules: which one decides ------------------------------------------------


def test_the_most_specific_rule_wins() -> None:
    """Exact, else the longest name, else ``*.`` before ``**.``."""
    ranked = [
        "c.b.a.org",
        "*.b.a.org",
        "**.b.a.org",
        "**.a.org",
        "**.org",
    ]
    for order in itertools.permutations(ranked):
        assert pattern_for("c.b.a.org", *order) == ranked[0]
    for i, pattern in enumerate(ranked):
        assert pattern_for("c.b.a.org", *ranked[i:]) == pattern
    # A longer name wins whatever its stars are, also for the host itself.
    assert pattern_for("b.a.org", "**.b.a.org", "*.a.org") == "**.b.a.org"
    assert pattern_for("b.a.org", "b.a.org", "**.b.a.org") == "b.a.org"


def test_the_winning_rule_decides_alone(pki: Pki) -> None:
    """The pins of wider rules don't count, neither do what they block."""
    policy = Policy(
        {
            "a.example.org": [ABSENT],
            "*.example.org": [pki.server.pin],
            "**.example.org": PinSet([pki.server.pin], blocked=[pki.ca.pin]),
        }
    )
    reasons = [
        policy.evaluate(host, pki.server.chain_der).reason
        for host in ("a.example.org", "b.example.org", "example.org")
    ]
    assert reasons == [Reason.MISMATCH, Reason.MATCH, Reason.BLOCKED]


def test_unpinned_carves_a_host_out_of_a_wider_rule(pki: Pki) -> None:
    """Such a host is treated as one without a rule, and the report names the rule."""
    rules: dict[str, Any] = {
        "**.example.org": [ABSENT],
        "status.example.org": UNPINNED,
        "**.lab.example.org": UNPINNED,
        "db.lab.example.org": [pki.server.pin],
    }
    hosts = ["status.example.org", "a.b.lab.example.org", "db.lab.example.org"]
    for unpinned, accepts in (("allow", True), ("reject", False)):
        policy = Policy(rules, unpinned=unpinned)  # type: ignore[arg-type]
        reports = policy.evaluate_many(hosts, [pki.server.chain_der] * 3)
        assert [r.reason.name for r in reports] == ["NOT_PINNED"] * 2 + ["MATCH"]
        assert [r.accepted for r in reports] == [accepts, accepts, True]
        assert [r.rule for r in reports] == [
            "status.example.org",
            "**.lab.example.org",
            "db.lab.example.org",
        ]


def test_every_set_of_rules_over_three_names_finds_what_the_model_finds() -> None:
    """Exhaustive: each of 512 sets of nine patterns, each host of up to five labels."""
    patterns = [s + n for s in SHAPES for n in ("a", "a.a", "a.a.a")]
    hosts = [".".join("a" * num) for num in range(1, 6)]
    for bits in range(1 << len(patterns)):
        rules = [p for i, p in enumerate(patterns) if bits >> i & 1]
        found = _finder(rules)
        for host in hosts:
            assert found(host) == model.find(rules, host), (rules, host)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.builds(
            lambda s, labels: s + ".".join(labels),
            st.sampled_from(SHAPES),
            st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
        ),
        unique=True,
        max_size=40,
    )
)
def test_many_overlapping_rules_find_what_the_model_finds(patterns: list[str]) -> None:
    """Random sets out of ninety patterns, each host of up to five labels."""
    found = _finder(patterns)
    for num in range(1, 6):
        for labels in itertools.product("ab", repeat=num):
            host = ".".join(labels)
            assert found(host) == model.find(patterns, host)


HOST_MAX = 253
ANY_LABELS_MAX = 16  # behind "**."


@st.composite
def hosts_of_any_depth(draw: st.DrawFn) -> str:
    """Return a name of up to 253 bytes: of one long label, of 127, or between."""
    longest = draw(st.sampled_from([1, 2, 7, 8, 63]))
    label = st.text("abc", min_size=1, max_size=longest)
    labels = draw(st.lists(label, min_size=1, max_size=127))
    host = ".".join(labels)
    return host[len(host) - HOST_MAX :].lstrip(".") if len(host) > HOST_MAX else host


@pytest.mark.parametrize("kernel", scan_kernels())
@settings(max_examples=40, deadline=None)
@example("a." * 126 + "a", 1)
@example("c" * 63, 2)
@given(hosts_of_any_depth(), st.integers(0, 1 << 32))
def test_each_kernel_finds_the_rule_of_the_longest_end(
    kernel: str, host: str, seed: int
) -> None:
    """Kernels hash the ends of a host side by side: all have their own hash."""
    choose = random.Random(seed)  # noqa: S311
    labels = host.split(".")
    ends = [".".join(labels[i:]) for i in range(len(labels))]
    some = choose.sample(ends, choose.randint(1, len(ends)))
    patterns = [s + n for n in some for s in choose.sample(SHAPES, 2)]
    patterns = [pattern for pattern in patterns if _is_allowed(pattern)]
    found = _finder(patterns)
    asked = {host, *(x + end for end in some[:12] for x in ("", "x.", "x.x."))}
    with use_scan_kernel(kernel):
        for one in asked:
            if len(one) <= HOST_MAX:
                assert found(one) == model.find(patterns, one)


def _is_allowed(pattern: str) -> bool:
    is_deep = pattern.startswith("**.") and pattern.count(".") > ANY_LABELS_MAX
    return len(pattern) <= HOST_MAX and not is_deep


@pytest.mark.parametrize("kernel", scan_kernels())
@pytest.mark.parametrize("num", [1, 2, 15, 16, 17, 18, 19, 20, 64, 126, 127])
def test_a_host_of_many_labels_has_the_rules_that_stand_for_it(
    kernel: str, num: int
) -> None:
    """Alone, and each beside all those that are less specific."""
    labels = [string.ascii_lowercase[i % 26] for i in range(num)]
    host = ".".join(labels)
    patterns = [p for p in covering(host) if _is_allowed(p)]
    assert len(patterns) == min(num, ANY_LABELS_MAX) + 1 + (num > 1)
    with use_scan_kernel(kernel):
        for i, pattern in enumerate(patterns):
            assert _finder([pattern])(host) == pattern
            assert _finder(patterns[i:])(host) == pattern
        inner = [".".join(labels[i:]) for i in range(1, num)]
        beside = [*inner, f"*.{host}", *(f"*.{end}" for end in inner[1:])]
        assert _finder([p for p in beside if len(p) <= HOST_MAX])(host) is None


def test_a_pattern_that_is_too_deep_is_refused() -> None:
    """However many labels a host has, few of its ends are looked for."""
    deepest = ".".join("a" * ANY_LABELS_MAX)
    assert pattern_for(f"x.{deepest}", f"**.{deepest}") == f"**.{deepest}"
    assert pattern_for(f"x.a.{deepest}", f"*.a.{deepest}") == f"*.a.{deepest}"
    for deep in (f"**.b.{deepest}", f"**.{'b.' * 80}{deepest}", f"**.B.{deepest}."):
        told = "before names of at most 16 labels, so that no look-up takes long; this"
        with pytest.raises(PolicyError, match=told) as raised:
            Policy({deep: [ABSENT]})
        assert repr(deep) in str(raised.value)
        with pytest.raises(PolicyError, match=f"hosts, row 1: .*{told}"):
            Policy.from_columns(hosts=["*.example", deep], pins=bytes(64))


@pytest.mark.parametrize("kernel", scan_kernels())
def test_the_look_up_of_c_takes_any_bytes(kernel: str) -> None:
    """A host of dots has an end behind each, and what begins at its end is empty."""
    found = _finder(["**.a", "*.a"])
    with use_scan_kernel(kernel):
        for num in range(2, HOST_MAX + 1):
            assert found("." * num) is None
            assert found("a." * (num // 2)) is None
            assert found("." * (num - 1) + "a") == ("*.a" if num == 2 else "**.a")


@pytest.mark.parametrize("length", [125, 126, 127, 128, 252, 253])
def test_a_long_host_has_its_own_rule(length: int) -> None:
    """It is found by its canonical spelling, a short one by the one that is given."""
    host = ".".join(["a" * 31] * 8)[:length].removesuffix(".").ljust(length, "b")
    policy = Policy({host: [ABSENT], "**." + host[-93:].lstrip("."): [OTHER]})
    for asked in (host, host.upper(), host.encode(), f"{host}."):
        assert policy.evaluate(asked, []).rule == host
    assert policy.evaluate("c" + host[1:], []).rule != host


def _finder(patterns: Sequence[str]) -> Callable[[str], str | None]:
    """Return the C core's look-up among these patterns."""
    opened = OpenPolicy(Policy({p: [ABSENT] for p in patterns}).compile())

    def found(host: str) -> str | None:
        rule = opened.find(host)
        return None if rule is None else opened.rule(rule)[0]

    return found
