"""Postfix: fingerprints in main.cf and in tables."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import client_servers
from other_systems import (
    FAST,
    LONG,
    NAMES,
    SOME_CHAINS,
    Cert,
    agree,
    dump,
    losses_are_true,
    pool,
    small_rules,
)
from pinverify import UNPINNED, Pin, PinSet, Policy, PolicyError, Rules, dump_rules
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from pinverify.policy import Unpinned
from pki import Pki
from policy_samples import ABSENT, OTHER
from tls_servers import server_context

__all__: list[str] = []

HEX, HEX_B = (Pin.parse(pin).digest.hex() for pin in (ABSENT, OTHER))
COLONS = bytes.fromhex(HEX_B).hex(":").upper()
MAIN = (
    "smtp_tls_security_level = fingerprint\n"
    "smtp_tls_fingerprint_digest = sha256\n"
    "smtp_tls_fingerprint_cert_match = "
)


def load(text: str, host: str | None = None) -> Loaded:
    """Read a main.cf or a table."""
    return FORMATS["postfix"].reader(text.encode(), Given("file", host))


def pins(*digests: str) -> PinSet:
    """Return the pins of digests: of keys and of certificates."""
    leaf = [make(digest) for digest in digests for make in (Pin.spki, Pin.certificate)]
    return PinSet(leaf=leaf)


# ---- the model ---------------------------------------------------------------------

Table = dict[str, list[str] | None]


class Postfix:
    """A client with a table: TLS_README, "per-destination policy".

    A host is looked up as it is, then by each parent domain with a dot before it.
    """

    def __init__(self, table: Table) -> None:
        """Take digests of destinations; None for a level without fingerprints."""
        self.table = table

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Compare the digest of the certificate, and that of its key."""
        keys = [host, f"[{host}]"]
        keys += [host[match.start() :] for match in re.finditer(r"\.", host)]
        found = next((self.table[key] for key in keys if key in self.table), None)
        key = base64.b64decode(chain[0].spki).hex()
        return found is None or key in found or chain[0].certificate in found


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, str]:
    """Draw a table, and its text."""
    numbers = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1)
    digests = numbers.map(
        lambda drawn: [
            pool()[number].certificate
            if whole
            else base64.b64decode(pool()[number].spki).hex()
            for number, whole in drawn
        ]
    )
    below = st.sampled_from([".x.org", ".a.x.org", ".org", ".y.org"])
    table: Table = draw(
        st.dictionaries(st.sampled_from(NAMES) | below, st.none() | digests, min_size=1)
    )
    table["z.org"] = ["00" * 32]  # so that something is pinned
    random = draw(st.randoms())
    lines = ["# a comment"]
    for key, found in table.items():
        name = key
        if not key.startswith("."):
            name = random.choice([key, key.upper(), f"[{key}]", f"[{key}]:587"])
            if is_pinned_below(key, table):
                name = key  # another form is a mistake
        if found is None:
            level = random.choice(["none", "may", "encrypt", "dane-only", "secure"])
            lines.append(f"{name}  {level}")
            continue
        spelt = [
            random.choice([digest, bytes.fromhex(digest).hex(":").upper()])
            for digest in found
        ]
        cut = random.randrange(len(spelt)) if len(spelt) > 1 else 0
        words = [
            f"match={'|'.join(part)}" for part in (spelt[:cut], spelt[cut:]) if part
        ]
        between = random.choice([" ", "\n    ", "\n# comment\n\n  "])
        lines.append(between.join([f"{name} fingerprint", *words, "ciphers=high"]))
    return table, "\n".join(lines) + "\n"


def is_pinned_below(name: str, table: Table) -> bool:
    """Return whether the nearest parent domain of a name has digests."""
    parents = [name[match.start() :] for match in re.finditer(r"\.", name)]
    return next((table[key] for key in parents if key in table), None) is not None


def _read_policies_agree(drawn: tuple[Table, str], chains: list[list[Cert]]) -> None:
    table, text = drawn
    agree(Policy(load(text).rules), Postfix(table), chains)


def _written_rules_agree(rules: Rules, chains: list[list[Cert]]) -> None:
    dumped = dump(rules, "postfix")
    if dumped is None:
        return
    first, *lines = str(dumped.text).splitlines()
    assert first == "# In main.cf: smtp_tls_fingerprint_digest = sha256"
    table: Table = {}
    for line in lines:
        name, level, *match = line.split()
        assert (level, len(match)) in {("fingerprint", 1), ("may", 0)}
        digests = "".join(match).removeprefix("match=").replace(":", "").lower()
        assert name not in table
        table[name] = digests.split("|") if match else None
    losses_are_true(rules, dumped, Postfix(table), chains)
    agree(Policy(load(str(dumped.text)).rules), Postfix(table), chains)


@FAST
@given(tables(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_postfix(
    drawn: tuple[Table, str], chains: list[list[Cert]]
) -> None:
    """For destinations, those below them, and others."""
    _read_policies_agree(drawn, chains)


@FAST
@given(small_rules(), SOME_CHAINS)
def test_what_postfix_cannot_say_is_told(
    rules: Rules, chains: list[list[Cert]]
) -> None:
    """About each destination of the table."""
    _written_rules_agree(rules, chains)


@pytest.mark.slow
def test_many_policies_decide_like_postfix() -> None:
    """The long form of the tests above."""
    LONG(given(tables(), SOME_CHAINS)(_read_policies_agree))()
    LONG(given(small_rules(), SOME_CHAINS)(_written_rules_agree))()


# ---- main.cf -----------------------------------------------------------------------


def test_main_cf_has_the_pins_of_one_host() -> None:
    """Of its certificate or its key: Postfix compares both."""
    text = f"# comment\nmyhostname = x\n{MAIN}\n    {HEX},\n# comment\n  {COLONS}\n"
    loaded = load(text, "MX.x.org")
    assert loaded.rules == Rules({"mx.x.org": pins(HEX, HEX_B)})
    assert loaded.notices == ()
    assert load(f"{MAIN}{HEX}|{HEX_B}", "mx.x.org").rules == loaded.rules
    with pytest.raises(PolicyError, match=r"line 3: main\.cf names no host; give `h"):
        load(f"{MAIN}{HEX}")


def test_the_digest_may_follow_from_the_compatibility_level() -> None:
    """Postfix 3.6 changed the default from MD5."""
    text = MAIN.replace("smtp_tls_fingerprint_digest = sha256\n", "") + HEX
    for level in ("", "2", "3.5", "3", "x"):
        with pytest.raises(PolicyError, match="digest is missing, and is md5 before"):
            load(f"compatibility_level = {level}\n{text}", "x.org")
    for level in ("3.6", "3.10", "4"):
        assert load(f"compatibility_level = {level}\n{text}", "x.org").rules.hosts


def test_a_table_that_main_cf_names_is_told() -> None:
    """It may say other things of a destination."""
    loaded = load(f"smtp_tls_policy_maps = hash:/etc/x\n{MAIN}{HEX}", "x.org")
    assert loaded.notices == (
        "file: line 1: smtp_tls_policy_maps is left out; read its table by itself",
    )


# ---- tables ------------------------------------------------------------------------


def test_a_parent_domain_is_not_for_itself() -> None:
    """And a narrower one without fingerprints exempts what is below it."""
    found = load(
        f".x.org fingerprint match={HEX}\n"
        ".a.x.org may\n"
        f"b.x.org encrypt\n[c.y.org]:587 fingerprint match={HEX_B}\nd.z.org may\n"
    )
    assert found.rules == Rules(
        {
            "**.x.org": pins(HEX),
            "x.org": UNPINNED,
            "**.a.x.org": UNPINNED,
            "a.x.org": pins(HEX),
            "b.x.org": UNPINNED,
            "c.y.org": pins(HEX_B),
        }
    )
    assert found.notices == ()
    (remark,) = found.remarks
    assert remark.startswith("file: digests are taken as SHA-256, as by smtp_tls_")


def test_addresses_are_destinations() -> None:
    """In brackets, and IPv6 with a word before it."""
    text = f"[127.0.0.1] fingerprint match={HEX}\n[ipv6:::1]:25 fingerprint match={HEX}"
    assert load(text).rules == Rules({"127.0.0.1": pins(HEX), "::1": pins(HEX)})


def test_one_host_has_one_set_of_pins() -> None:
    """In whatever way its destination is written."""
    same = f"x.org fingerprint match={HEX}\n[x.org]:25 fingerprint match={HEX}\n"
    assert load(same).rules == Rules({"x.org": pins(HEX)})
    other = f"x.org fingerprint match={HEX}\n[x.org]:25 fingerprint match={HEX_B}\n"
    with pytest.raises(PolicyError, match=r"line 2: other pins for 'x\.org' on line 1"):
        load(other)
    with pytest.raises(PolicyError, match=r"line 2: other pins for 'x\.org' on line 1"):
        load(f"x.org fingerprint match={HEX}\n[x.org] may\n")


OTHERWISE = f"fingerprint match={HEX_B}"


@pytest.mark.parametrize("level", ["may", "none", "encrypt", "dane-only", OTHERWISE])
@pytest.mark.parametrize(
    "key", ["a.x.org:587", "[a.x.org]:25", "[a.x.org]", "b.a.x.org:smtp", ".a.x.org:25"]
)
def test_one_port_changes_no_host_that_a_wider_line_pins(key: str, level: str) -> None:
    """A rule has no ports, so it would exempt the others, or pin them otherwise."""
    above = f".x.org fingerprint match={HEX}\n"
    advice = "line 2: .*; write the line without port and brackets, or leave it out"
    with pytest.raises(PolicyError, match=advice):
        load(f"{above}{key} {level}\n")
    plain = re.sub(r"[\[\]]|:\w+", "", key)
    expected = load(f"{above}{plain} {level}\n").rules
    assert {*expected.hosts.values()} - {pins(HEX)}
    assert load(f"{above}{plain} {level}\n{key} {level}\n").rules == expected
    assert load(f"{above}{key} {level}\n{plain} {level}\n").rules == expected


@pytest.mark.parametrize("key", ["[a.x.org]:25", ".a.x.org:25"])
def test_one_port_may_have_the_pins_of_the_wider_line(key: str) -> None:
    """Then all ports have them."""
    same = f"fingerprint match={HEX}\n"
    found = load(f".x.org {same}{key} {same}").rules
    plain = re.sub(r"[\[\]]|:\w+", "", key)
    assert found == load(f".x.org {same}{plain} {same}").rules


def test_one_port_may_be_exempt_where_nothing_wider_is_pinned() -> None:
    """Below another destination, and beside a line for the names below its own."""
    text = f".x.org fingerprint match={HEX}\n"
    found = load(f"{text}[a.y.org]:25 may\nx.org:25 may\n").rules
    assert found == Rules({"**.x.org": pins(HEX), "x.org": UNPINNED})
    exempt = load(f"{text}.a.x.org may\n[b.a.x.org]:25 none\n").rules
    assert exempt == load(f"{text}.a.x.org may\n").rules


MISTAKES = {
    "": "no destination has fingerprints",
    "x.org may": "no destination has fingerprints",
    "myhostname = x\n": "no destination has fingerprints",
    f"{MAIN}{HEX[2:]}": "is no digest; write a SHA-256",
    f"{MAIN}{HEX[:40]}": "is SHA-1; write a SHA-256",
    f"{MAIN}{HEX[:32]}": "is MD5; write a SHA-256",
    f"{MAIN}{HEX * 2}": "is SHA-512; write a SHA-256",
    f"{MAIN}{COLONS[:-1]}": "is no digest",
    f"{MAIN}{HEX[:63]}é": "is no digest",
    f"{MAIN}x.org={HEX}": "is no digest",
    f"{MAIN}$other": "has a '$', which Postfix replaces",
    f"{MAIN}{HEX}".replace("= fingerprint", "= encrypt"): "no fingerprint is used",
    f"{MAIN}{HEX}".replace("smtp_tls_security_level", "x"): "no fingerprint is used",
    f"{MAIN}{HEX}".replace("sha256", "sha1"): "smtp_tls_fingerprint_digest = 'sha1'; w",
    f"{MAIN}{HEX}\n{MAIN}": "line 4: smtp_tls_security_level is there already",
    f"{MAIN}{HEX}\nx.org may": "line 4: a line of a table in main.cf",
    f"x.org fingerprint match={HEX}\nX.ORG may": "line 2: other pins for 'x.org'",
    "x.org": "no level ''; there is dane",
    f"x.org fingerprints match={HEX}": "no level 'fingerprints'",
    "x.org fingerprint": "no match=, so those of smtp_tls_fingerprint_cert_match",
    "x.org fingerprint match=|": "no match=, so those of",
    f"{MAIN}{'0 ' * 2000}": "more than 1,024 words",
    f"{MAIN}{HEX}{chr(10)}{f' 0{chr(10)}' * 2000}": "goes on for ever",
    f"*.x.org fingerprint match={HEX}": "a destination has no '*'",
    f"x..org fingerprint match={HEX}": "line 1: 'x..org' is not",
    f"[x.org fingerprint match={HEX}": "line 1: '[x.org' is not",
    f"{'x' * 600} may": "is not a host: it is too long",
    "".join(f"h{i} may\n" for i in range(4000)): "very many very short lines",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[-30:])
def test_mistakes_are_explained(text: str) -> None:
    """Each at its line, with the next step."""
    host = "z.org" if " = " in text else None
    with pytest.raises(PolicyError, match=r"\Afile: .*" + re.escape(MISTAKES[text])):
        load(text, host)


def test_a_table_names_its_hosts() -> None:
    """Another host would contradict it."""
    with pytest.raises(PolicyError, match="file: host: a table names its hosts"):
        load(f"x.org fingerprint match={HEX}", "x.org")


# ---- writing -----------------------------------------------------------------------


def test_a_table_is_written() -> None:
    """A digest stands for a key or for a certificate; main.cf would pin everybody."""
    value = PinSet(leaf=[ABSENT, "cert-sha256:" + HEX_B])
    hosts: dict[str, PinSet | Unpinned] = {
        "**.x.org": value,
        "a.x.org": UNPINNED,
        "192.0.2.1": value,
        "::1": value,
    }
    dumped = dump(Rules(hosts), "postfix")
    assert dumped is not None
    assert dumped.losses == ()
    zeros = bytes.fromhex(HEX).hex(":").upper()
    assert dumped.text == (
        "# In main.cf: smtp_tls_fingerprint_digest = sha256\n"
        f".x.org fingerprint match={zeros}|{COLONS}\n"
        f"x.org fingerprint match={zeros}|{COLONS}\n"
        f"[192.0.2.1] fingerprint match={zeros}|{COLONS}\n"
        f"[ipv6:::1] fingerprint match={zeros}|{COLONS}\n"
        "a.x.org may\n"
    )
    both = pins(HEX, HEX_B)
    assert load(str(dumped.text)).rules == Rules(
        {
            "**.x.org": both,
            "x.org": both,
            "a.x.org": UNPINNED,
            "192.0.2.1": both,
            "::1": both,
        }
    )


@pytest.mark.parametrize("blank", ["\t", "\t\t", " \t ", "\n\t"])
def test_a_table_may_have_tabs(blank: str) -> None:
    """Most tables are aligned with them, and postmap takes any blank."""
    text = f"x.org{blank}fingerprint{blank}match={HEX}\n"
    assert load(text).rules == Rules({"x.org": pins(HEX)})


# ---- Postfix itself ----------------------------------------------------------------

# Postfix wants a user and a group of its own.
SETTINGS = "compatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\n"


@pytest.fixture
def postfix(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a program of Postfix on a main.cf with more lines."""

    def answer(more: str, program: str, *words: str) -> str:
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        if found is None:
            pytest.skip("postfix is not there")
        text = f"{SETTINGS}queue_directory = {tmp_path}\n{more}"
        (tmp_path / "main.cf").write_text(text, encoding="utf-8")
        os.utime(tmp_path / "main.cf", (1, 1))  # Postfix waits for a file to settle
        (tmp_path / "master.cf").touch()
        environment = {**os.environ, "MAIL_CONFIG": str(tmp_path)}
        done = subprocess.run(
            [found, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout

    return answer


@pytest.mark.parametrize("other", ["key", "certificate", "nothing", "authority"])
def test_postfix_reads_what_is_written_and_decides_alike(
    other: str, pki: Pki, postfix: Callable[..., str], tmp_path: Path
) -> None:
    """Its digests may be of the leaf's key or certificate, and of nothing above it."""
    leaf, ca = pki.server, pki.ca
    digest = {
        "key": hashlib.sha256(leaf.spki).digest(),
        "certificate": hashlib.sha256(leaf.der).digest(),
        "nothing": bytes(32),
        "authority": hashlib.sha256(ca.spki).digest(),
    }[other]
    rules = Rules({"localhost": PinSet(leaf=[Pin.spki(digest), OTHER])})
    text = str(dump_rules(rules, format="postfix").text)
    table = tmp_path / "table"
    table.write_text(text, encoding="utf-8")
    found = postfix("", "postmap", "-q", "localhost", f"texthash:{table}")
    level, match = found.split()
    hashed, digests = "sha256", match.removeprefix("match=").split("|")
    assert (level, len(digests)) == ("fingerprint", 2)
    server = client_servers.Server(
        client_servers.smtp, server_context(leaf), tls_first=False
    )
    try:
        destination = f"[127.0.0.1]:{server.port}"
        words = ("-c", "-l", level, "-d", hashed, destination, *digests)
        told = postfix("", "posttls-finger", *words)
    finally:
        server.close()
    read = load(text).rules
    report = Policy(read).evaluate("localhost", [leaf.der, ca.der])
    assert ("Verified TLS connection" in told) == report.accepted
    assert ("Untrusted TLS connection" in told) == (not report.accepted)
    assert report.accepted == (other in {"key", "certificate"})
