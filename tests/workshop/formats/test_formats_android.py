"""Android: the network security configuration, read, written and compared."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    FAST,
    HOSTS,
    LONG,
    MOMENTS,
    NAMES,
    SOME_CHAINS,
    Cert,
    dump,
    losses_are_true,
    pool,
    small_rules,
)
from pinverify import UNPINNED, PinSet, Policy, PolicyError, Rules
from pinverify.formats import _android
from pinverify.formats._policy_reading import Given, Loaded
from policy_samples import ABSENT, NOON, OTHER

__all__: list[str] = []


def load(text: str) -> Loaded:
    """Read a configuration."""
    return _android.loads(text.encode(), Given("nsc.xml"))


def rules_of(inside: str) -> Rules:
    """Read what stands in the root."""
    return load(f"<network-security-config>{inside}</network-security-config>").rules


# ---- the model ---------------------------------------------------------------------


@dataclass
class Config:
    """A domain-config: domains (True with those below), pins, and those inside."""

    domains: list[tuple[str, bool]]
    pins: list[str] | None = None  # base64; None where there is no pin-set
    expires: dt.date | None = None
    inner: list[Config] = field(default_factory=list)

    def text(self) -> str:
        """Return the element."""
        lines = [
            f'<domain includeSubdomains="{str(below).lower()}"> {name}\n</domain>'
            for name, below in self.domains
        ]
        lines += [config.text() for config in self.inner]
        if self.pins is not None:
            date = f' expiration="{self.expires}"' if self.expires else ""
            pins = "".join(f'<pin digest="SHA-256">{pin}</pin>' for pin in self.pins)
            lines.append(f"<pin-set{date}>{pins}</pin-set>")
        return f"<domain-config>{''.join(lines)}</domain-config>"


class Android:
    """The decision of Android in a time zone, from its documentation."""

    def __init__(self, configs: Sequence[Config], offset_hours: int = 0) -> None:
        """Flatten the configurations: an inner one takes the pins of the outer one."""
        self.zone = dt.timezone(dt.timedelta(hours=offset_hours))
        self.domains: dict[str, tuple[bool, Config]] = {}
        for config in configs:
            self._add(config, Config([]))

    def _add(self, config: Config, outer: Config) -> None:
        if config.pins is None:
            config = Config(config.domains, outer.pins, outer.expires, config.inner)
        for name, below in config.domains:
            self.domains[name] = (below, config)
        for inner in config.inner:
            self._add(inner, config)

    def __call__(self, host: str, chain: Sequence[Cert], now: dt.datetime) -> bool:
        """Look for the exact domain, then for the longest one above it."""
        config = self.domains[host][1] if host in self.domains else None
        above = host
        while config is None and "." in above:
            above = above.partition(".")[2]
            if above in self.domains and self.domains[above][0]:
                config = self.domains[above][1]
        if config is None or not config.pins:
            return True
        if config.expires is not None:
            midnight = dt.datetime.combine(config.expires, dt.time(), self.zone)
            if now >= midnight:
                return True
        return any(cert.spki in config.pins for cert in chain)

    @classmethod
    def of_text(cls, text: str, offset_hours: int = 0) -> Android:
        """Read what was written: no nested configurations."""
        configs = []
        for element in ET.fromstring(text):  # noqa: S314 - ours
            config = Config(
                [
                    (domain.text or "", domain.get("includeSubdomains") == "true")
                    for domain in element.iter("domain")
                ]
            )
            for pin_set in element.iter("pin-set"):
                config.pins = [pin.text or "" for pin in pin_set.iter("pin")]
                if date := pin_set.get("expiration"):
                    config.expires = dt.date.fromisoformat(date)
            configs.append(config)
        return cls(configs, offset_hours)


DATES = st.sampled_from([None, NOON.date(), NOON.date() + dt.timedelta(days=2)])


@st.composite
def documents(draw: st.DrawFn) -> list[Config]:
    """Draw configurations, each domain in one of them."""
    names = draw(st.permutations(NAMES))

    def config(depth: int) -> Config:
        count = draw(st.integers(1, 2))
        domains = [(names.pop(), draw(st.booleans())) for _ in range(count) if names]
        numbers = draw(st.none() | st.lists(st.integers(0, 4), max_size=2))
        made = Config(domains or [(f"z{len(names)}{depth}.org", True)])
        if numbers is not None:
            made.pins = [pool()[number].spki for number in numbers]
            made.expires = draw(DATES)
        if depth and draw(st.booleans()):
            made.inner = [config(depth - 1)]
        return made

    found = [config(2) for _ in range(draw(st.integers(1, 2)))]
    taken = [name for one in _all(found) for name, _ in one.domains]
    if len(set(taken)) < len(taken):
        return [Config([("x.org", True)], [pool()[0].spki])]
    return found


def _all(configs: list[Config]) -> list[Config]:
    return [inner for one in configs for inner in (one, *_all(one.inner))]


def _read_policies_agree(configs: list[Config], chains: list[list[Cert]]) -> None:
    """Compare in the zones that are first and last, and in between."""
    text = "".join(config.text() for config in configs)
    if not any(config.pins for config in _all(configs)):
        with pytest.raises(PolicyError, match="no domain has pins"):
            rules_of(text)
        return
    policy = Policy(rules_of(text))
    for offset in (-12, 0, 14):
        android = Android(configs, offset)
        for host in HOSTS:
            for chain in chains:
                for now in MOMENTS:
                    ours = policy.evaluate(host, [c.der for c in chain], now=now)
                    theirs = android(host, chain, now)
                    assert theirs or not ours.accepted, (host, now, offset)
                    # NOON is the last of all midnights, and the others are days off.
                    if now != NOON or offset == -12:
                        assert theirs == ours.accepted, (host, now, offset)


def _written_rules_agree(
    rules: Rules, chains: list[list[Cert]], offset_hours: int
) -> None:
    dumped = dump(rules, "android")
    if dumped is None:
        return
    text = str(dumped.text)
    losses_are_true(rules, dumped, Android.of_text(text, offset_hours), chains)


OFFSETS = st.sampled_from([-12, 0, 14])


@FAST
@given(documents(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_android(
    configs: list[Config], chains: list[list[Cert]]
) -> None:
    """For every host; where dates are local, until the last midnight on earth."""
    _read_policies_agree(configs, chains)


@FAST
@given(small_rules(), SOME_CHAINS, OFFSETS)
def test_what_android_cannot_say_is_told(
    rules: Rules, chains: list[list[Cert]], offset_hours: int
) -> None:
    """Nothing is accepted or refused that no loss tells of, in no zone."""
    _written_rules_agree(rules, chains, offset_hours)


@pytest.mark.slow
@LONG
@given(documents(), SOME_CHAINS)
def test_many_policies_decide_like_android(
    configs: list[Config], chains: list[list[Cert]]
) -> None:
    """The long form of the test above."""
    _read_policies_agree(configs, chains)


@pytest.mark.slow
@LONG
@given(small_rules(), SOME_CHAINS, OFFSETS)
def test_many_rules_are_written_truly(
    rules: Rules, chains: list[list[Cert]], offset_hours: int
) -> None:
    """The long form of the test above."""
    _written_rules_agree(rules, chains, offset_hours)


# ---- reading -----------------------------------------------------------------------

SPKI = ABSENT.removeprefix("sha256/")
BACKUP = OTHER.removeprefix("sha256/")
PIN = f'<pin digest="SHA-256">{SPKI}</pin>'
PINS = f"<pin-set>{PIN}</pin-set>"


def config_of(inside: str) -> str:
    """Return a domain-config for x.org."""
    return f"<domain-config><domain>x.org</domain>{inside}</domain-config>"


def test_domains_without_pins_are_exempt() -> None:
    """Their own configuration replaces that of the domain above."""
    rules = rules_of(
        f'<domain-config><domain includeSubdomains="true">x.org</domain>{PINS}'
        "</domain-config><domain-config><domain>a.x.org</domain></domain-config>"
    )
    assert rules == Rules({"**.x.org": [ABSENT], "a.x.org": UNPINNED})
    assert rules.origins["**.x.org"] == "nsc.xml: line 1"


def test_an_expiration_ends_at_the_last_midnight() -> None:
    """It is told, because the zone of the phone is not known here."""
    loaded = load(
        "<network-security-config>\n"
        + config_of(f'<pin-set expiration="2030-01-31">{PIN}</pin-set>')
        + "</network-security-config>"
    )
    moment = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)
    assert loaded.rules == Rules(
        {"x.org": PinSet([ABSENT], expires=moment, after_expiry="allow")}
    )
    assert (len(loaded.notices), len(loaded.remarks)) == (0, 1)
    assert "line 2: the pins end on 2030-01-31" in loaded.remarks[0]


def test_attributes_for_tools_are_passed_over() -> None:
    """They are not in the app; Android passes over others, with a notice here."""
    text = (
        '<network-security-config xmlns:tools="http://schemas.android.com/tools">'
        + config_of(
            PINS.replace("<pin-set>", '<pin-set tools:ignore="MissingBackupPin">')
        )
        + "</network-security-config>"
    )
    assert load(text).rules == Rules({"x.org": [ABSENT]})
    loaded = load(text.replace("tools:ignore", "enforcePinning"))
    assert loaded.rules == Rules({"x.org": [ABSENT]})
    (notice,) = loaded.notices
    assert "<pin-set> has no attribute 'enforcePinning', and Android passes over i" in (
        notice
    )


def test_what_is_about_something_else_is_passed_over_or_told() -> None:
    """Authorities, clear text and transparency change no pin."""
    loaded = load(
        '<?xml version="1.0" encoding="utf-8"?><network-security-config>'
        '<base-config cleartextTrafficPermitted="false"><trust-anchors>'
        '<certificates src="system" overridePins="true"/></trust-anchors></base-config>'
        + config_of(
            f'{PINS}<trust-anchors><certificates src="user"/></trust-anchors>'
            '<certificateTransparency enabled="true"/>'
            '<trustkit-config enforcePinning="true"/>'
        )
        + "<debug-overrides/></network-security-config>"
    )
    assert loaded.rules == Rules({"x.org": [ABSENT]})
    (notice,) = loaded.notices
    assert "overridePins" in notice
    told = " ".join(loaded.remarks)  # nobody has to change these
    assert "trustkit-config" in told
    assert "debug-overrides" in told


MISTAKES = {
    config_of(""): "no domain has pins",
    config_of("<pin-set/>"): "no domain has pins",
    f"<domain-config>{PINS}</domain-config>": "without a <domain>",
    config_of(PINS) + config_of(PINS): "the domain 'x.org' is there twice",
    config_of(PINS)
    + config_of("").replace(
        "<domain>", '<domain includeSubdomains="true">'
    ): "the domain 'x.org' is there twice",
    config_of(PINS + PINS): "a second <pin-set>",
    config_of(f"<pins>{PIN}</pins>"): "<pins> is unknown in <domain-config>",
    config_of("<pin-set><pin/></pin-set>"): 'write digest="SHA-256"',
    config_of('<pin-set><pin digest="SHA-1">x</pin></pin-set>'): "digest='SHA-1'",
    config_of('<pin-set><pin digest="SHA-256"/></pin-set>'): "it is empty",
    config_of(PINS.replace(SPKI, ABSENT)): "remove what stands before the base64",
    config_of(PINS.replace(SPKI, SPKI[:20] + "\n" + SPKI[20:])): "not the base64",
    config_of(PINS.replace(SPKI, SPKI + BACKUP)): "these are several pins",
    config_of(f'<pin-set expiration="2030/1/31">{PIN}</pin-set>'): "write a date",
    config_of(f'<pin-set expiration="2030-02-30">{PIN}</pin-set>'): "write a date",
    config_of(f'<pin-set expiration="20300131">{PIN}</pin-set>'): "write a date",
    config_of(PINS).replace("x.org", "*.x.org"): "a domain has no '*'",
    config_of(PINS).replace("x.org", "https://x.org"): "without scheme and path",
    config_of(PINS).replace("x.org", ""): "is not a pattern",
    config_of(PINS).replace("<domain>", '<domain includeSubdomains="yes">'): (
        'write "true" or "false"'
    ),
    "<base-config><domain>x.org</domain></base-config>": "<domain> does not belong in",
    f"<base-config>{PINS}</base-config>": "<pin-set> does not belong in <base-config>",
    "<domain-config": "line 1: not XML",
}


@pytest.mark.parametrize("inside", MISTAKES)
def test_mistakes_are_explained(inside: str) -> None:
    """Also those that Android passes over, and leaves a host without pins."""
    with pytest.raises(PolicyError, match=re.escape(MISTAKES[inside])) as caught:
        rules_of(inside)
    assert str(caught.value).startswith("nsc.xml: ")


def test_another_root_is_an_error() -> None:
    """A manifest has no pins."""
    with pytest.raises(PolicyError, match="the root is <manifest>; expected <network"):
        load("<manifest/>")


# ---- hostile input -----------------------------------------------------------------

BOMB = "".join(
    f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 10)
)
HOSTILE = {
    "entities": f'<!DOCTYPE x [<!ENTITY a0 "x">{BOMB}]><x>&a9;</x>',
    "external": '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    "deep": "<domain-config>" * 100_000,
    "wide": "<a/>" * 100_000,
    "entity": "<network-security-config>&unknown;</network-security-config>",
    "latin": '<?xml version="1.0" encoding="latin-1"?><x/>',
    "nul": "<x>\0</x>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(name: str) -> None:
    """By its own error, and without expanding anything."""
    text = HOSTILE[name]
    if name == "wide":
        text = f"<network-security-config>{text}</network-security-config>"
    with pytest.raises(PolicyError, match=r"\Ansc\.xml: line 1: "):
        load(text)


def test_a_document_type_is_refused_wherever_it_is() -> None:
    """By its own error, and not for what follows."""
    root = "network-security-config"
    with pytest.raises(PolicyError, match=r"line 1: a document type"):
        load(f"<!DOCTYPE {root}><{root}></{root}>")
