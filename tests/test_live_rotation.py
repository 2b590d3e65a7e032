"""`pinverify rotate`: whoever follows the advice refuses no honest client.

A model plays years of a rotation: policies are published, keys deployed, rules expire,
clients are offline and keep what they have. An operator asks before each step, and now
and then tries one of the classical mistakes.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from cli_runs import answer, run
from pinverify import PinSet, Policy, Rules
from pinverify.files import toml
from pinverify.live._rotation import Facts, Out, Step, advise
from pinverify.review._lint.operators import INTERMEDIATES
from pki import Authority, Identity, example_pki

__all__: list[str] = []

HISTORIES = int(os.environ.get("HISTORIES", "100000"))
DAY = 86400
OFFLINE = 9  # days for which a client may keep its policy
CLIENTS = 4


# ---- the model ---------------------------------------------------------------


class Published(NamedTuple):
    """A policy: its pins, and the day on which it ends; it rejects everybody then."""

    pins: frozenset[str]
    ends: int | None = None

    def accepts(self, key: str, day: int) -> bool:
        """Return True if a client with this policy accepts a key."""
        return key in self.pins and (self.ends is None or day < self.ends)


@dataclass
class Client:
    """A client, which connects every day, and may not get new policies for a while."""

    has: Published
    offline_until: int = 0


@dataclass
class World:
    """Servers, clients, policies, and an operator."""

    chance: random.Random
    day: int = 0
    in_use: str = "key 0"
    made: str | None = None
    keys: int = 1
    history: list[tuple[int, Published]] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Publish the first policy, with or without a backup."""
        backup = {"spare"} if self.chance.random() < 0.5 else set()
        self.history = [(0, Published(frozenset({self.in_use, *backup})))]
        self.clients = [Client(self.current) for _ in range(CLIENTS)]

    @property
    def current(self) -> Published:
        """The policy that was published last."""
        return self.history[-1][1]

    def out_there(self) -> list[Published]:
        """Return the policies that were current in the last days, but for this one."""
        return [
            policy
            for (_, policy), (until, _) in zip(
                self.history, self.history[1:], strict=False
            )
            if until >= self.day - OFFLINE
        ]

    def facts(
        self, policy: Published, made: str | None, others: list[Published]
    ) -> Facts:
        """Return what the operator knows before a step."""
        keys = {self.in_use} | ({made} if made else set())

        def out(each: Published, name: str) -> Out:
            accepts = frozenset(k for k in keys if each.accepts(k, self.day))
            ends = None if each.ends is None else each.ends * DAY
            return Out(name, accepts, ends)

        return Facts(
            in_use=frozenset({self.in_use}),
            made=(made,) if made else (),
            policy=out(policy, "new"),
            others=[out(each, f"old {n}") for n, each in enumerate(others)],
            backups=[policy.pins - {self.in_use}],
            idle=policy.pins - keys,
            now=self.day * DAY,
            until=(self.day + OFFLINE + 3) * DAY,
        )

    # ---- steps, each of which the tool is asked about ----

    def publish(self, policy: Published) -> bool:
        """Publish a policy, if the tool finds no mistake in it."""
        others = [*self.out_there(), self.current]
        advice = advise(self.facts(policy, self.made, others))
        own = [m for m in advice.mistakes if "old" not in m]
        if own:
            return False
        self.history.append((self.day, policy))
        return True

    def deploy(self, key: str) -> bool:
        """Deploy a key, if the tool says that it is safe."""
        others = self.out_there()
        advice = advise(self.facts(self.current, key, others))
        everywhere = all(
            policy.accepts(key, self.day) for policy in (self.current, *others)
        )
        if not advice.is_out:
            return False
        assert everywhere, "the advice would lock out a client"
        self.in_use, self.made = key, None
        return True

    # ---- the operator ----

    def follow(self) -> None:
        """Do what the advice says."""
        advice = advise(self.facts(self.current, self.made, self.out_there()))
        self.seen[advice.step.name] += 1
        ends = None
        if self.chance.random() < 0.4:
            ends = self.day + OFFLINE + 4 + self.chance.randrange(30)
        if any("expires in" in mistake for mistake in advice.mistakes):
            assert self.publish(Published(self.current.pins, ends))
            self.seen["renewed"] += 1
        elif advice.step is Step.MAKE:
            self.made = f"key {self.keys}"
            self.keys += 1
        elif advice.step is Step.PIN:
            assert self.made is not None
            pins = self.current.pins | {self.made}
            assert self.publish(Published(pins, ends))
        elif advice.step is Step.DROP:
            assert self.made is not None
            pins = frozenset({self.in_use, self.made})
            assert self.publish(Published(pins, ends))
        elif advice.step is Step.DEPLOY:
            assert self.made is not None
            assert self.deploy(self.made)
            self.seen["deployed"] += 1

    def err(self) -> None:
        """Try one of the classical mistakes; the tool must refuse it."""
        tried = self.chance.choice(MISTAKES)
        pins, key = self.current.pins, f"key {self.keys}"
        if tried == "no backup":
            refused = not self.publish(Published(frozenset({self.in_use})))
        elif tried == "backup is the same key":
            facts = self.facts(
                Published(frozenset({self.in_use})), self.in_use, self.out_there()
            )
            refused = "it is no backup" in " ".join(advise(facts).mistakes)
        elif tried == "next pin not out":
            refused = not self.deploy(key)
        elif tried == "old pin dropped too early":
            refused = not self.publish(Published((pins | {key}) - {self.in_use}))
        else:
            ends = self.day + self.chance.randrange(OFFLINE + 3)
            refused = not self.publish(Published(pins | {key}, ends))
        assert refused, tried
        self.seen[tried] += 1

    def live(self, days: int) -> None:
        """Let days pass; every client connects on each of them."""
        for _ in range(days):
            if self.chance.random() < 0.2:
                self.err()
            if self.chance.random() < 0.8 or self._is_urgent():
                self.follow()
            for client in self.clients:
                if client.offline_until <= self.day:
                    client.has = self.current
                    if self.chance.random() < 0.3:
                        gone = self.chance.randrange(OFFLINE)
                        client.offline_until = self.day + gone + 1
                assert client.has.accepts(self.in_use, self.day), "refused"
            self.day += 1

    def _is_urgent(self) -> bool:
        advice = advise(self.facts(self.current, self.made, self.out_there()))
        return any("expires in" in mistake for mistake in advice.mistakes)


MISTAKES = (
    "no backup",
    "backup is the same key",
    "next pin not out",
    "old pin dropped too early",
    "expires too soon",
)


def play(histories: int, first: int) -> Counter[str]:
    """Play some histories; return what was done in them."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + histories):
        world = World(random.Random(seed))  # noqa: S311 - to be repeated
        world.begin()
        world.live(40 if seed % 50 else 400)
        seen += world.seen
    return seen


def check_seen(seen: Counter[str], histories: int) -> None:
    """Fail unless each step and each mistake was there, and keys were replaced."""
    assert {step.name for step in Step} <= seen.keys()
    assert set(MISTAKES) <= seen.keys()
    assert seen["deployed"] > histories / 2
    assert seen["renewed"] > 0


def test_whoever_follows_the_advice_refuses_no_honest_client() -> None:
    """A few hundred histories; `make slow` plays a hundred thousand (HISTORIES)."""
    check_seen(play(400, 1_000_000), 400)


@pytest.mark.slow
def test_whoever_follows_the_advice_for_long_refuses_no_honest_client() -> None:
    """Random histories, each with its number, so that it can be played again."""
    check_seen(play(HISTORIES, 0), HISTORIES)


# ---- the command, on files ---------------------------------------------------


class Case:
    """A folder with policies, certificates and requests."""

    def __init__(self, folder: Path) -> None:
        pki = example_pki()
        self.folder = folder
        self.ca: Authority = pki.ca
        self.keys = [pki.ca.leaf("a.example", days=300) for _ in range(3)]
        for number, key in enumerate(self.keys):
            chain = folder / f"chain{number}.pem"
            chain.write_text(key.pem + pki.ca.pem, "ascii")
        self.root = folder / "root.pem"
        self.root.write_text(pki.root.pem, "ascii")

    def policy(self, name: str, pins: PinSet, host: str = "a.example") -> Path:
        """Write a policy."""
        path = self.folder / name
        path.write_text(toml.dumps(Rules({host: pins})), "utf-8")
        return path

    def chain(self, number: int) -> Path:
        """Return the file of a chain."""
        return self.folder / f"chain{number}.pem"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Make three keys for one host."""
    return Case(tmp_path)


def pinned(*keys: Identity, **how: object) -> PinSet:
    """Return the PinSet of some keys."""
    return PinSet(leaf=[key.pin for key in keys], **how)  # type: ignore[arg-type]


def test_a_rotation_on_files_goes_through_the_five_steps(case: Case) -> None:
    """Each state follows from the files alone; the exit codes are those of a gate."""
    first, second, third = case.keys
    old = case.policy("old.toml", pinned(first, third))
    new = case.policy("new.toml", pinned(first, second))
    use = ["--server", case.chain(0)]
    for command, step, safe, code in (
        ([old, *use], "MAKE", False, 0),
        ([old, *use, "--next", case.chain(1)], "PIN", False, 1),
        ([new, *use, "--next", case.chain(1), "--other", old], "WAIT", False, 1),
        ([new, *use, "--next", case.chain(1)], "DEPLOY", True, 0),
    ):
        found = answer("rotate", "plan", *command)
        assert (found["step"], found["may_deploy"]) == (step, safe), found
        assert run("rotate", "plan", *command).code == 0
        assert run("rotate", "check", *command).code == code
    use = ["--server", case.chain(1)]
    both = case.policy("both.toml", pinned(first, second, third))
    found = answer("rotate", "plan", both, *use, "--next", case.chain(2))
    assert (found["step"], found["mistakes"]) == ("DROP", [])
    assert first.pin in found["why"]
    done = run("rotate", "check", new, *use, "--next", case.chain(1))
    assert done.code == 0, done.out  # it is deployed


def test_each_classical_mistake_is_refused_before_it_is_deployed(case: Case) -> None:
    """The exit code is 1, and the text names what is wrong."""
    first, second, third = case.keys
    lone = case.policy("lone.toml", pinned(first))
    lost = case.policy("lost.toml", pinned(second, third))
    good = case.policy("good.toml", pinned(first, second))
    soon = case.policy("soon.toml", _ending(first, second))
    brief = example_pki().ca.leaf("a.example", days=40, key=first.key)
    (case.folder / "brief.pem").write_text(brief.pem + example_pki().ca.pem, "ascii")
    # Let's Encrypt replaces its intermediates; `lint` knows their keys.
    known = INTERMEDIATES["Let's Encrypt"]
    some, other = (f"sha256/{known[name]}" for name in ("R12", "R13"))
    rotating = case.policy("rotating.toml", PinSet([first.pin, some, other]))
    use = ["--server", case.chain(0)]
    for command, phrase in (
        ([rotating, *use], "PV208"),
        ([lone, *use], "no backup"),
        ([lone, *use, "--next", case.chain(0)], "it is no backup"),
        ([good, *use, "--next", case.chain(2)], "does not accept it"),
        ([lost, *use, "--next", case.chain(1)], "rejects the key in use"),
        ([soon, *use, "--next", case.chain(1)], "expires in"),
        ([good, "--server", case.folder / "brief.pem"], "PV607"),
    ):
        done = run("rotate", "check", *command)
        assert done.code == 1, (command, done.out)
        assert phrase in " ".join(done.out.split()), (phrase, done.out)
        assert not answer("rotate", "plan", *command)["may_deploy"], phrase


def _ending(*keys: Identity) -> PinSet:
    import datetime as dt  # noqa: PLC0415 - of this function alone

    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=5)
    return pinned(*keys, expires=soon, after_expiry="reject")


def test_report_mode_is_no_acceptance(case: Case) -> None:
    """It will reject the key when the mode ends, so its pin comes first."""
    first, _, third = case.keys
    old = case.policy("old.toml", pinned(first, third, mode="report"))
    command = [old, "--server", case.chain(0), "--next", case.chain(1)]
    assert answer("rotate", "plan", *command)["step"] == "PIN"


def test_a_scrape_names_policies_that_nobody_has_named(case: Case) -> None:
    """A process has a policy that is none of the files, and may reject the key."""
    first, second, third = case.keys
    new = case.policy("new.toml", pinned(first, second))
    rules = Rules({"a.example": pinned(first, third)})
    info = 'pinverify_policy_info{digest="%s",path="/etc/pins.toml"} 1.0\n'
    scrape = case.folder / "scrape"
    command = [new, "--server", case.chain(0), "--next", case.chain(1)]
    digest = Policy(rules).digest.hex()
    scrape.write_text(info % digest, "ascii")
    done = run("rotate", "check", *command, "--scrape", scrape)
    assert done.code == 1
    assert digest in "".join(done.out.split())
    ours = Policy(Rules({"a.example": pinned(first, second)}))
    scrape.write_text(info % ours.digest.hex(), "ascii")
    assert run("rotate", "check", *command, "--scrape", scrape).code == 0


def test_folders_servers_and_wrong_uses(case: Case) -> None:
    """Private keys in a folder are passed over; what is missing is named."""
    first, second, _ = case.keys
    new = case.policy("new.toml", pinned(first, second))
    folder = case.folder / "next"
    folder.mkdir()
    (folder / "next.key").write_text(second.key_pem, "ascii")
    use = ["--server", case.chain(0)]
    done = run("rotate", "plan", new, *use, "--next", folder)
    assert done.code == 2
    assert "openssl pkey -pubout" in " ".join(done.err.split())
    (folder / "next.pem").write_text(second.pem, "ascii")
    assert answer("rotate", "plan", new, *use, "--next", folder)["step"] == "DEPLOY"
    wide = case.policy("wide.toml", pinned(first, second), host="*.example")
    for command, phrase in (
        ([new], "what is in use?"),
        ([wide, *use], "name one with --host"),
        ([new, *use, "--host", "b.example"], "no rule pins b.example"),
    ):
        done = run("rotate", "plan", *command)
        assert done.code == 2
        assert phrase in " ".join(done.err.split())
    assert answer("rotate", "plan", wide, *use, "--host", "a.example")["step"] == "MAKE"


def test_the_advice_is_understood_when_it_is_read(case: Case) -> None:
    """Host, keys, the step and its reason, and whether the next key may be deployed."""
    first, second, third = case.keys
    old = case.policy("old.toml", pinned(first, third))
    new = case.policy("new.toml", pinned(first, second))
    done = run(
        *("rotate", "plan", new, "--server", case.chain(0)),
        *("--next", case.chain(1), "--other", old),
    )
    words = " ".join(done.out.split())
    for phrase in (
        "host a.example",
        f"in use {first.pin}",
        f"next {second.pin}",
        "step wait until that is in force everywhere",
        "because these do not accept it:",
        "deploy next not safe",
    ):
        assert phrase in words, done.out
