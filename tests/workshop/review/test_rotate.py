"""`pinverify rotate`: if its advice is followed, no client refuses an honest server.

A model plays years of rotation: policies are published, keys are deployed, rules
expire, and offline clients keep what they have. An operator asks for advice before each
step, and now and then tries one of the classical mistakes.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from cli_runs import answer, run
from pinverify import PinSet, Policy, Rules
from pinverify.formats import toml
from pinverify.review._lint.operators import INTERMEDIATES
from pinverify.review._rotate import Advice, Facts, Out, Step, advise
from pki import Authority, Identity, example_pki

__all__: list[str] = []

HISTORIES = int(os.environ.get("HISTORIES", "100000"))
DAY = 86400
OFFLINE = 9  # days for which a client may keep its policy
CLIENTS = 4


# ---- the model ---------------------------------------------------------------


class Published(NamedTuple):
    """A policy: its lists of pins, and the day on which it ends; then it rejects."""

    lists: tuple[frozenset[str], ...]
    ends: int | None = None

    def accepts(self, key: str, day: int) -> bool:
        """Return True if a client with this policy accepts a key."""
        if self.ends is not None and day >= self.ends:
            return False
        hit = hits(key)
        # Not `all`: most of the time of a history is spent here.
        for pins in self.lists:  # noqa: SIM110
            if pins.isdisjoint(hit):
                return False
        return True


@functools.cache
def hits(key: str) -> frozenset[str]:
    """Return the pins that match a key: its own, and that of its authority."""
    return frozenset({key, key.partition("@")[2]})


@dataclass
class Client:
    """A client, which connects every day, and may not get new policies for a while."""

    has: Published
    offline_until: int = 0


@dataclass
class World:
    """Servers of one host, clients, policies, and an operator.

    The rule has a list of keys, a list of keys and an authority, or a list of keys and
    one of authorities. Servers share a key, or each has one of its own.
    """

    chance: random.Random
    day: int = 0
    servers: list[str] = field(default_factory=list)
    made: tuple[str, ...] = ()
    keys: int = 0
    history: list[tuple[int, Published]] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Deploy the first keys, and publish the first policy."""
        number = self.chance.choice((1, 1, 2, 3))
        if self.chance.random() < 0.5:
            self.servers = [self.new_key("ca 0") for _ in range(number)]
        else:
            self.servers = [self.new_key("ca 0")] * number
        pins = set(self.servers)
        if self.chance.random() < 0.4:  # a backup that the operator has, and names
            self.made = (self.new_key(),)
            pins.add(self.made[0])
        if self.chance.random() < 0.3:  # one that is lost
            pins.add("nobody has this")
        shape = self.chance.choice(("keys", "mixed", "authorities"))
        if shape == "mixed":
            pins.add("ca 0")
        lists = [frozenset(pins)]
        if shape == "authorities":
            named = {"ca 0", "ca 1", *(key.partition("@")[2] for key in self.made)}
            lists.append(frozenset(named))
        self.history = [(0, Published(tuple(lists)))]
        self.clients = [Client(self.current) for _ in range(CLIENTS)]

    def new_key(self, authority: str | None = None) -> str:
        """Return a key that nobody has pinned, and its authority."""
        self.keys += 1
        chosen = self.chance.choice(("ca 0", "ca 0", "ca 0", "ca 1", "ca 2"))
        return f"key {self.keys}@{authority or chosen}"

    @property
    def current(self) -> Published:
        """The policy that was published last."""
        return self.history[-1][1]

    def is_half_way(self) -> bool:
        """Return True if some servers have a next key, and others have none yet."""
        return len({key in self.made for key in self.servers}) > 1

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
        self, policy: Published, made: tuple[str, ...], others: list[Published]
    ) -> Facts:
        """Return what the operator knows before a step."""
        in_use = frozenset(self.servers)
        keys = in_use.union(made)

        def out(each: Published, name: str) -> Out:
            accepts = frozenset(k for k in keys if each.accepts(k, self.day))
            ends = None if each.ends is None else each.ends * DAY
            return Out(name, accepts, ends)

        return Facts(
            in_use=in_use,
            made=made,
            hits={key: [hits(key)] for key in keys},
            lists=dict(zip(("leaf", "ca"), policy.lists, strict=False)),
            policy=out(policy, "new"),
            others=[out(each, f"old {n}") for n, each in enumerate(others)],
            now=self.day * DAY,
            until=(self.day + OFFLINE + 3) * DAY,
        )

    def advice(self) -> Advice:
        """Return the advice of today."""
        return advise(self.facts(self.current, self.made, self.out_there()))

    # ---- steps, each of which the tool is asked about ----

    def publish(self, policy: Published) -> bool:
        """Publish a policy, if the tool finds no mistake in it."""
        others = [*self.out_there(), self.current]
        advice = advise(self.facts(policy, self.made, others))
        if any("old" not in mistake for mistake in advice.mistakes):
            return False
        self.history.append((self.day, policy))
        return True

    def deploy(self, key: str, server: int, made: tuple[str, ...]) -> bool:
        """Deploy a key on a server, if the tool says that it is safe."""
        others = self.out_there()
        advice = advise(self.facts(self.current, made, others))
        everywhere = all(
            policy.accepts(key, self.day) for policy in (self.current, *others)
        )
        if key in advice.unsafe:
            return False
        assert everywhere, "the advice would lock out a client"
        assert all(pins - hits(key) for pins in self.current.lists), "no backup is left"
        self.servers[server] = key
        return True

    # ---- the operator ----

    def follow(self) -> None:
        """Do what the advice says."""
        advice = self.advice()
        self.seen[advice.step.name] += 1
        ends = None
        if self.chance.random() < 0.4:
            ends = self.day + OFFLINE + 4 + self.chance.randrange(30)
        if any("expires in" in mistake for mistake in advice.mistakes):
            assert self.publish(Published(self.current.lists, ends))
            self.seen["renewed"] += 1
        elif advice.step is Step.MAKE:
            assert not self.is_half_way(), "a part of the servers is forgotten"
            count = self.chance.choice((1, 1, 2, 3))
            self.made = tuple(self.new_key() for _ in range(count))
        elif advice.step is Step.PIN:
            self._pin(ends)
        elif advice.step is Step.DROP:
            self._drop(advice, ends)
        elif advice.step is Step.DEPLOY:
            self._deploy(advice)

    def _pin(self, ends: int | None) -> None:
        """Add the next keys to the policy: all of them, or one for now."""
        unpinned = [key for key in self.made if key not in self.current.lists[0]]
        if not unpinned:
            self.made = (*self.made, self.new_key())
            unpinned = [self.made[-1]]
        some = unpinned if self.chance.random() < 0.7 else unpinned[:1]
        keys, *authorities = self.current.lists
        lists = [keys.union(some)]
        lists += [pins.union(key.partition("@")[2] for key in some)
                  for pins in authorities]  # fmt: skip
        assert self.publish(Published(tuple(lists), ends))

    def _drop(self, advice: Advice, ends: int | None) -> None:
        """Remove the pins that the advice names; a backup must be left in each list."""
        gone = set(advice.why.partition(": ")[2].split(", "))
        lists = tuple(pins - gone for pins in self.current.lists)
        used = frozenset().union(*map(hits, self.servers))
        assert all(
            pins - used or pins == before
            for pins, before in zip(lists, self.current.lists, strict=True)
        ), "the only backup would be dropped"
        assert all(
            Published(lists).accepts(key, self.day)
            for key in (*self.made, *self.servers)
        ), "a key that is held would lose its pin"
        assert self.publish(Published(lists, ends))

    def _deploy(self, advice: Advice) -> None:
        """Deploy a next key on one more server, or make another one before."""
        old = [n for n, key in enumerate(self.servers) if key not in self.made]
        is_second = self.is_half_way()
        if not is_second and self.chance.random() < 0.2:
            self.made = (*self.made, self.new_key())
            return
        safe = [key for key in self.made if key not in advice.unsafe]
        assert safe, "the advice is to deploy, and nothing may be deployed"
        target = self.chance.choice(safe)
        assert self.deploy(target, self.chance.choice(old), self.made)
        self.seen["second server" if is_second else "deployed"] += 1
        if all(key in self.made for key in self.servers):
            self.made = tuple(key for key in self.made if key not in self.servers)
            self.seen["finished"] += 1

    def err(self) -> None:
        """Try one of the classical mistakes; the tool must refuse it."""
        tried = self.chance.choice(MISTAKES)
        lists, server = self.current.lists, self.chance.randrange(len(self.servers))
        fresh = self.new_key("ca 9")
        one = self.servers[server]
        with_fresh = tuple(pins | hits(fresh) for pins in lists)
        if tried == "backup is the same key" and len({*self.servers}) > 1:
            tried = "no backup"
        if tried == "no backup":
            policy = Published(tuple(pins & hits(one) for pins in lists))
            found = advise(self.facts(policy, self.made, []))
            refused = {*self.made} == {*found.unsafe} and not self.publish(policy)
        elif tried == "backup is the same key":
            policy = Published(tuple(pins & hits(one) for pins in lists))
            found = advise(self.facts(policy, (one,), self.out_there()))
            refused = "it is no backup" in " ".join(found.mistakes)
        elif tried == "next pin not out":
            refused = not self.deploy(fresh, server, (fresh,))
        elif tried == "one of several next pins not out":
            refused = not self.deploy(fresh, server, (*self.made, fresh))
        elif tried == "next pin not everywhere":
            facts = self.facts(
                Published(with_fresh), (fresh,), [*self.out_there(), self.current]
            )
            refused = fresh in advise(facts).unsafe
        elif tried == "authority not pinned":
            keys, *authorities = lists
            policy = Published((keys | {fresh}, *authorities))
            found = advise(self.facts(policy, (fresh,), []))
            refused = not authorities or fresh in found.unsafe
        elif tried == "old pin dropped too early":
            dropped = tuple(pins - hits(one) for pins in with_fresh)
            refused = not self.publish(Published(dropped))
        else:
            ends = self.day + self.chance.randrange(OFFLINE + 3)
            policy = Published(with_fresh, ends)
            found = advise(self.facts(policy, (fresh,), []))
            refused = fresh in found.unsafe and not self.publish(policy)
        assert refused, tried
        self.seen[tried] += 1

    def live(self, days: int) -> None:
        """Let days pass; every client connects to every server on each of them."""
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
                for key in set(self.servers):
                    assert client.has.accepts(key, self.day), "refused"
            self.day += 1

    def _is_urgent(self) -> bool:
        return any("expires in" in mistake for mistake in self.advice().mistakes)


MISTAKES = (
    "no backup",
    "backup is the same key",
    "next pin not out",
    "one of several next pins not out",
    "next pin not everywhere",
    "authority not pinned",
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
    assert seen["second server"] > histories / 4
    assert seen["finished"] > histories / 2
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
        ([good, *use, "--next", case.chain(2)], "must not be deployed yet"),
        (
            [lost, *use, "--next", case.chain(1)],
            f"refuses {first.pin}, which is in use",
        ),
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


def test_a_fleet_gets_the_next_key_on_one_server_after_the_other(case: Case) -> None:
    """Both keys are in use meanwhile, and no server has to wait."""
    first, second, third = case.keys
    policy = case.policy("pins.toml", pinned(first, second))
    use = ["--server", case.chain(0), "--server", case.chain(1)]
    found = answer("rotate", "plan", policy, *use, "--next", case.chain(1))
    assert (found["step"], found["mistakes"]) == ("DEPLOY", [])
    assert str(case.chain(0)) in found["why"]
    assert str(case.chain(1)) not in found["why"]
    assert run("rotate", "check", policy, *use, "--next", case.chain(1)).code == 0
    # The first server got it too early: the second one is not to follow.
    old = case.policy("old.toml", pinned(first, third))
    early = [policy, *use, "--other", old, "--next"]
    found = answer("rotate", "plan", *early, case.chain(1))
    assert (found["step"], found["may_deploy"]) == ("WAIT", False)
    found = answer("rotate", "plan", *early, case.chain(0))  # the way back
    assert (found["step"], found["may_deploy"]) == ("DEPLOY", True)
    assert str(case.chain(1)) in found["why"]
    # Keys of their own, of which each is replaced by itself.
    own = case.policy("own.toml", pinned(first, second, third))
    found = answer("rotate", "plan", own, *use, "--next", case.chain(2))
    assert (found["step"], found["may_deploy"]) == ("DEPLOY", True)
    # A policy without one of the keys is refused, whichever it is.
    for keys in ((first, third), (second, third)):
        lost = case.policy("lost.toml", pinned(*keys))
        done = run("rotate", "check", lost, *use, "--next", case.chain(2))
        assert done.code == 1
        assert "which is in use" in " ".join(done.out.split())


def test_one_key_with_chains_of_two_authorities_is_judged_with_each(case: Case) -> None:
    """The server whose chain the policy rejects is not hidden by the other one."""
    first, second, _ = case.keys
    other = Authority.root("Other Root").intermediate("Other CA")
    leaf = other.leaf("a.example", days=300, key=first.key)
    there = case.folder / "there.pem"
    there.write_text(leaf.pem + other.pem, "ascii")
    spare = Authority.root("Spare").pin
    request = case.folder / "next.pub"
    request.write_text(second.public_key_pem, "ascii")
    use = ["--server", case.chain(0), "--server", there, "--next", request]
    one = PinSet(leaf=[first.pin, second.pin], ca=[case.ca.pin, spare])
    done = run("rotate", "check", case.policy("one.toml", one), *use)
    assert done.code == 1
    assert f"refuses {first.pin}" in " ".join(done.out.split())
    both = PinSet(leaf=[first.pin, second.pin], ca=[case.ca.pin, other.pin])
    found = answer("rotate", "plan", case.policy("both.toml", both), *use)
    assert (found["step"], found["mistakes"]) == ("DEPLOY", [])


def test_each_of_several_next_keys_is_judged(case: Case) -> None:
    """The first one is pinned, and the second is not: only one may be deployed."""
    first, second, third = case.keys
    policy = case.policy("pins.toml", pinned(first, second))
    command = [policy, "--server", case.chain(0)]
    command += ["--next", case.chain(1), "--next", case.chain(2)]
    found = answer("rotate", "plan", *command)
    assert (found["step"], found["may_deploy"]) == ("PIN", False)
    assert third.pin in found["why"]
    assert found["next"][0] == {"pin": second.pin, "unsafe": None}
    assert (found["next"][1]["pin"], bool(found["next"][1]["unsafe"])) == (
        third.pin,
        True,
    )
    assert run("rotate", "check", *command).code == 1


def test_the_only_backup_is_not_to_be_dropped(case: Case) -> None:
    """A next key from a pinned authority needs no pin, and takes no backup away."""
    first, second, third = case.keys
    policy = case.policy("pins.toml", PinSet([case.ca.pin, first.pin, third.pin]))
    use = [policy, "--server", case.chain(0), "--next", case.chain(1)]
    assert answer("rotate", "plan", *use)["step"] == "DEPLOY"
    # With the next key pinned, too, the third one is idle, unless it is named.
    policy = case.policy("pins.toml", pinned(first, second, third))
    found = answer("rotate", "plan", *use)
    assert (found["step"], third.pin in found["why"]) == ("DROP", True)
    assert "if you still have the key" in found["todo"]
    assert answer("rotate", "plan", *use, "--next", case.chain(2))["step"] == "DEPLOY"
    # All pins would be of the chain of the next key, once that is in use.
    last = case.policy("last.toml", PinSet([case.ca.pin, second.pin]))
    found = answer("rotate", "plan", last, *use[1:])
    assert (found["step"], found["may_deploy"]) == ("PIN", False)
    assert "no backup would be left in `pins`" in found["why"]
    assert run("rotate", "check", last, *use[1:]).code == 1
    # Half-way through a fleet the third one is the only pin that is not in use.
    half = [*use, "--server", case.chain(1)]
    assert answer("rotate", "plan", *half)["step"] == "DEPLOY"


def test_what_old_clients_refuse_already_keeps_no_remedy_from_being_deployed(
    case: Case,
) -> None:
    """A key was deployed too early: the one before is safe, and the text says so."""
    first, second, third = case.keys
    old = case.policy("old.toml", pinned(first, third))
    new = case.policy("new.toml", pinned(first, second))
    done = run(
        *("rotate", "plan", new, "--server", case.chain(1), "--next", case.chain(0)),
        *("--other", old),
    )
    words = " ".join(done.out.split())
    assert f"clients that still have {old} refuse {second.pin}" in words
    assert "may be deployed" in words


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
        f"must not be deployed yet: not accepted by {old}",
        "because these do not accept it:",
        "do now publish",
    ):
        assert phrase in words, done.out
