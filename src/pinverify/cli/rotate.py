"""`pinverify rotate`: where a host is in the rotation of its key, and what is safe."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.chain_files import Evidence, decisions, read_evidence
from pinverify.cli.exit_codes import NOT_SAFE
from pinverify.cli.key_sources import is_server
from pinverify.cli.output import Cell, NoAnswerError
from pinverify.cli.policy_files import is_compiled, policy_from
from pinverify.errors import printable
from pinverify.policy import Pin, PinSet, Policy, Reason, Rules
from pinverify.policy._certs_and_pins import pins_of
from pinverify.policy._rules import seconds_of
from pinverify.review import lint
from pinverify.review._check_next import certificate_around
from pinverify.review._rotate import Facts, Out, Step, advise, is_rolling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pinverify.cli.output import Output
    from pinverify.review._rotate import Advice

__all__ = ["Files", "rotate_key"]

# Findings that the advice itself reports, and one that a next key remedies.
_TOLD_HERE = {"PV204", "PV401", "PV402", "PV605", "PV606", "PV608"}
_SHORT_LIVED = "PV607"
_ALSO = {_SHORT_LIVED: "; or make the next key, and name it with --next"}
_FOR_GOOD = {Reason.MATCH, Reason.NOT_PINNED, Reason.EXPIRED}


class Files(NamedTuple):
    """Files and options that the advice follows from.

    Attributes:
        policy: the policy that is, or will be, published.
        policy_format: the format of *policy* and of *others*.
        host: the host whose key is replaced; None if the policy pins only one host.
        servers: all servers in use, or files with their chains.
        made: files or folders with the next keys.
        others: other policies that may be in force somewhere, such as earlier ones.
        scrapes: files with the metrics that processes export for Prometheus.
        cafile: authorities to trust; None for those of the system.
        timeout: seconds for each step of a server.
    """

    policy: str
    policy_format: str
    host: str | None
    servers: Sequence[str]
    made: Sequence[str]
    others: Sequence[str]
    scrapes: Sequence[str]
    cafile: str | None
    timeout: float


def rotate_key(out: Output, files: Files, days: int, *, to_check: bool) -> None:
    """Print the advice.

    Args:
        out: gets the advice. With *to_check*, the exit code is 1 if there is a mistake,
            or if a next key must not be deployed yet.
        files: what the advice follows from.
        days: how long every rule must still hold.
        to_check: True for `check`, False for `plan`.
    """
    policy = _policy(out, files.policy, files)
    host = files.host or _only_host(policy.rules, files.policy)
    facts = _facts(out, files, policy, host, days)
    advice = advise(facts)
    if to_check and (advice.mistakes or advice.unsafe):
        out.exit_code = NOT_SAFE
    if out.as_json:
        out.json(
            {
                "host": host,
                "step": advice.step.name,
                "why": advice.why,
                "todo": advice.todo,
                "may_deploy": bool(facts.made) and not advice.unsafe,
                "mistakes": advice.mistakes,
                "in_use": sorted(facts.in_use),
                "next": [
                    {"pin": key, "unsafe": advice.unsafe.get(key)} for key in facts.made
                ],
            }
        )
    else:
        _print(out, host, facts, advice)


def _policy(out: Output, file: str, files: Files) -> Policy:
    name = "compiled" if is_compiled(Path(file)) else files.policy_format
    return policy_from(out, file, name, None)


def _only_host(rules: Rules, name: str) -> str:
    pinned = [h for h, value in rules.hosts.items() if isinstance(value, PinSet)]
    if len(pinned) != 1 or pinned[0].startswith("*"):
        msg = f"{name} pins {len(pinned)} hosts: name one with --host"
        raise NoAnswerError(msg)
    return pinned[0]


# ---- facts -------------------------------------------------------------------------


def _facts(out: Output, files: Files, policy: Policy, host: str, days: int) -> Facts:
    """Return the facts, with the mistakes that `lint` and the scrapes show."""
    found = policy.rules.deciding(host)
    pinset = found[1] if found is not None else None
    if found is None or not isinstance(pinset, PinSet):
        msg = f"{files.policy}: no rule pins {host}; pin it, or name another --host"
        raise NoAnswerError(msg)
    in_use = _by_key(_in_use(files, host))
    if not in_use:
        msg = "what is in use? name servers or files with --server"
        raise NoAnswerError(msg)
    made = _by_key(_made(files.made))
    used = [one for each in in_use.values() for one in each]
    chains = _with_chains(in_use, made)
    others = [(file, _policy(out, file, files)) for file in dict.fromkeys(files.others)]
    now = int(time.time())
    facts = Facts(
        in_use=frozenset(in_use),
        made=tuple(made),
        hits={key: [*map(_hits, each)] for key, each in chains.items()},
        lists={
            name: frozenset(map(str, getattr(pinset, name)))
            for name in ("pins", "leaf", "ca")
            if getattr(pinset, name)
        },
        policy=_out(files.policy, policy, chains, host),
        others=[_out(file, each, chains, host) for file, each in others],
        now=now,
        until=now + 86400 * days,
        servers={key: [one.source for one in each] for key, each in in_use.items()},
    )
    alone = Rules({found[0]: pinset}, blocked=policy.rules.blocked)
    has_next = is_rolling(facts) or not facts.in_use.issuperset(facts.made)
    mistakes = _linted(alone, host, used, has_next=has_next)
    digests = {each.digest.hex() for each in (policy, *(each for _, each in others))}
    mistakes += [
        f"a policy with the digest {digest} is in force and is none of these: name its "
        "file with --other"
        for digest in sorted(_digests(files.scrapes) - digests)
    ]
    return facts._replace(found=tuple(mistakes))


def _linted(
    rules: Rules, host: str, used: list[Evidence], *, has_next: bool
) -> list[str]:
    """Return what `lint` finds about the rule and each chain in use."""
    ignored = _TOLD_HERE | ({_SHORT_LIVED} if has_next else set())
    chains = [{host: one.chain} for one in used if one.chain] or [{}]
    findings = [finding for each in chains for finding in lint(rules, chains=each)]
    texts = [
        f"{finding.code}: {finding.text}{_ALSO.get(finding.code, '')}"
        for finding in findings
        if finding.level != "hint" and finding.code not in ignored
    ]
    return [*dict.fromkeys(texts)]


def _out(
    name: str, policy: Policy, chains: dict[str, list[Evidence]], host: str
) -> Out:
    """Return which keys a policy accepts, and when its rule expires."""
    accepts = frozenset(
        key
        for key, each in chains.items()
        if all(_accepts(policy, one, host) for one in each)
    )
    rule = policy.rules.deciding(host)
    pinset = rule[1] if rule is not None else None
    expires = pinset.expires if isinstance(pinset, PinSet) else None
    return Out(name, accepts, None if expires is None else seconds_of(expires))


def _accepts(policy: Policy, evidence: Evidence, host: str) -> bool:
    """Return True if a policy accepts a chain; not in report mode, which will end."""
    (found,) = decisions(evidence, policy, host)
    return found.report.accepted and found.report.reason in _FOR_GOOD


def _with_chains(
    in_use: dict[str, list[Evidence]], made: dict[str, list[Evidence]]
) -> dict[str, list[Evidence]]:
    """Return the chains of each key that is in use or next.

    A key without a certificate may be deployed on any of the servers. So it gets one
    chain for each server, with the authorities of that server.
    """
    used = [one.chain[1:] for each in in_use.values() for one in each if one.chain]
    chains = {}
    for key in in_use | made:
        known = [*in_use.get(key, ()), *made.get(key, ())]
        found = [one for one in known if one.chain]
        above = [one.chain[1:] for one in found]
        for one in known:
            if one.key is not None:
                leaf = certificate_around(one.key)
                for rest in used or [[]]:
                    if rest not in above:
                        above.append(rest)
                        found.append(Evidence(one.source, [leaf, *rest]))
        chains[key] = found
    return chains


def _by_key(found: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    """Group what was found by the pin of its key, which may be in several chains."""
    keys: dict[str, list[Evidence]] = {}
    for one in found:
        key = str(
            Pin.from_certificate(one.chain[0])
            if one.key is None
            else Pin.from_public_key(one.key)
        )
        keys.setdefault(key, []).append(one)
    return keys


def _hits(evidence: Evidence) -> frozenset[str]:
    """Return the pins that match the certificates of a chain."""
    return frozenset(str(pin) for cert in evidence.chain for pin in pins_of(cert))


def _in_use(files: Files, host: str) -> Iterator[Evidence]:
    for source in files.servers:
        if not is_server(source):
            yield read_evidence(source)
            continue
        from pinverify.cli.servers import Server, chain_of, trusting
        from pinverify.cli.shared_options import Way

        way = Way(cafile=files.cafile, timeout=files.timeout, servername=host)
        chain = chain_of(Server.parse(source, way), trusting(files.cafile), way)
        yield Evidence(source, chain, is_verified=True)


def _made(paths: Sequence[str]) -> Iterator[Evidence]:
    """Yield the next keys; skip other files in a folder, such as private keys."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield read_evidence(str(path))
            continue
        problems = []
        found = 0
        for file in sorted(each for each in path.iterdir() if each.is_file()):
            try:
                yield read_evidence(str(file))
                found += 1
            except NoAnswerError as error:
                problems.append(str(error))
        if not found:
            hint = f"; {problems[0]}" if problems else ""
            msg = f"{path}: no chain, request or public key{hint}"
            raise NoAnswerError(msg)


_INFO = re.compile(
    r'^pinverify_policy_info\{[^}]*\bdigest="([0-9a-f]{64})"', re.MULTILINE
)


def _digests(scrapes: Sequence[str]) -> set[str]:
    """Return the digests of the policies that processes say they have."""
    texts = (Path(file).read_text(encoding="utf-8") for file in scrapes)
    return {digest for text in texts for digest in _INFO.findall(text)}


# ---- printing ----------------------------------------------------------------------

_STYLES = dict.fromkeys(Step, "bold cyan") | {
    Step.DEPLOY: "bold green",
    Step.WAIT: "bold yellow",
}


def _print(out: Output, host: str, facts: Facts, advice: Advice) -> None:
    rows = [("host", Cell(printable(host)))]
    rows += [("in use", Cell(key)) for key in sorted(facts.in_use)]
    for key in facts.made:
        why = advice.unsafe.get(key)
        rows.append(("next", Cell(key)))
        rows.append(
            ("", Cell("may be deployed", "bold green"))
            if why is None
            else ("", Cell(f"must not be deployed yet: {printable(why)}", "bold red"))
        )
    style = "bold red" if advice.mistakes else _STYLES[advice.step]
    rows += [
        ("step", Cell(advice.step.value, style)),
        ("because", Cell(printable(advice.why))),
        ("do now", Cell(printable(advice.todo))),
    ]
    out.fields(rows)
    for mistake in advice.mistakes:
        out.line()
        out.hanging(f"mistake: {printable(mistake)}", indent=2)
