"""DANE: TLSA records, compared with a model of RFC 7671 and with OpenSSL's client."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dns.rdatatype
import dns.zone
import dns.zonefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_runs import answer
from other_systems import (
    FAST,
    HOSTS,
    LONG,
    NAMES,
    SOME_CHAINS,
    Cert,
    Decides,
    dump,
    losses_are_true,
    pool,
    small_rules,
)
from pinverify import (
    Pin,
    PinKind,
    PinSet,
    Policy,
    PolicyError,
    PolicyWarning,
    Rules,
    core,
    load_rules,
)
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded, Reading
from pinverify.formats._zone import records as records_in
from pki import example_pki
from policy_samples import ABSENT, NOON, OTHER
from tls_servers import LIMIT, TLSServer, server_context

__all__: list[str] = []

HEX, HEX_B = Pin.parse(ABSENT).digest.hex(), Pin.parse(OTHER).digest.hex()
LEAF = Rules({"x.org": PinSet(leaf=[ABSENT])})


def load(text: str) -> Loaded:
    """Read a zone file."""
    return FORMATS["tlsa"].reader(text.encode(), Given("file"))


# ---- the model ---------------------------------------------------------------------


class Tlsa(NamedTuple):
    """A record, as RFC 6698 has it."""

    usage: int
    selector: int
    matching: int
    data: str

    def __str__(self) -> str:
        """Return the words of a zone file."""
        return f"{self.usage} {self.selector} {self.matching} {self.data}"

    def matches(self, cert: Cert) -> bool:
        """Compare with one certificate (RFC 6698, 2.1.2 and 2.1.3)."""
        return self.data == association(cert, self.selector, self.matching)


def association(cert: Cert, selector: int, matching: int) -> str:
    """Return the data of a record for a certificate."""
    selected = core.spki(cert.der) if selector else cert.der
    if not matching:
        return selected.hex()
    return hashlib.new("sha256" if matching == 1 else "sha512", selected).hexdigest()


class Dane:
    """A client of DANE: RFC 7671, with the agility of section 9.

    Chains are taken as valid. Of usage 2 that means that they lead to the authority.
    """

    def __init__(self, records: dict[str, list[Tlsa]]) -> None:
        """Take the records of each host."""
        self.records = records

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Accept if a record that counts matches, or if none is usable."""
        usable = [
            record
            for record in self.records.get(host, [])
            if record.usage < 4 and record.selector < 2 and record.matching < 3
        ]
        strong = {(r.usage, r.selector) for r in usable if r.matching == 2}
        return not usable or any(
            record.matches(cert)
            for record in usable
            if record.matching != 1 or (record.usage, record.selector) not in strong
            for cert in (chain[:1] if record.usage % 2 else chain[1:])
        )


@st.composite
def tlsa(draw: st.DrawFn, usages: Sequence[int], matchings: Sequence[int]) -> Tlsa:
    """Draw a record about a certificate of the pool."""
    cert = draw(st.sampled_from(pool()))
    usage = draw(st.sampled_from(usages))
    selector, matching = draw(st.integers(0, 1)), draw(st.sampled_from(matchings))
    return Tlsa(usage, selector, matching, association(cert, selector, matching))


@st.composite
def zones(draw: st.DrawFn) -> tuple[dict[str, list[Tlsa]], str]:
    """Draw records, and a file that has them."""
    usages = draw(st.sampled_from([(1, 3), (0,), (0, 1, 3), (0, 1, 2, 3)]))
    matchings = draw(st.sampled_from([(0, 1), (0, 1), (0, 1, 2)]))
    one = tlsa(usages, matchings)
    found = draw(
        st.dictionaries(
            st.sampled_from(NAMES), st.lists(one, min_size=1, max_size=3), min_size=1
        )
    )
    random = draw(st.randoms())
    lines = ["$TTL 3600", "$ORIGIN org.", "org. IN SOA a b 1 2 3 4 5"]
    for host, records in found.items():
        owner = random.choice(["_443._tcp.", "*._tcp.", "_25._TCP."]) + host
        if random.random() < 0.3:
            lines.append(f"{owner}. CNAME _dane.{host}.")
            owner = f"_dane.{host}"
        owner = random.choice([owner + ".", owner.removesuffix(".org")])
        for number, record in enumerate(records):
            head = owner if not number or random.random() < 0.5 else "  "
            between = random.choice([" ", " IN ", " 5 IN ", " IN 5m ", "\tin\t"])
            data = str(record)
            if random.random() < 0.5:
                middle = len(data) - random.randrange(20) * 2 - 2
                data = f"( {data[:middle]} ; comment\n {data[middle:].upper()} )"
            lines.append(f"{head}{between}TLSA {data}")
    return found, "\n".join(lines) + "\n"


def _read_policies_agree(
    drawn: tuple[dict[str, list[Tlsa]], str], chains: list[list[Cert]]
) -> None:
    """Compare; what is left out is told, and makes the rule narrower."""
    records, text = drawn
    model = Dane(records)
    try:
        loaded = load(text)
    except PolicyError as error:
        assert re.search("usage 2|SHA-512", str(error))  # noqa: PT017 - no record is left
        assert any(
            r.usage == 2 or r.matching == 2 for rs in records.values() for r in rs
        )
        return
    policy = Policy(loaded.rules)
    for host in HOSTS:
        for chain in chains:
            ours = policy.evaluate(host, [c.der for c in chain], now=NOON).accepted
            theirs = model(host, chain, NOON)
            assert theirs or not ours, (host, text)
            assert ours or not theirs or loaded.notices, (host, text)


def _written_rules_agree(rules: Rules, chains: list[list[Cert]]) -> None:
    dumped = dump(rules, "tlsa")
    if dumped is not None:
        losses_are_true(rules, dumped, written(str(dumped.text)), chains)


def written(text: str) -> Decides:
    """Read records that were written, with dnspython's own reader."""
    found: dict[str, list[Tlsa]] = {}
    for rrset in dns.zonefile.read_rrsets(text, rdclass=None, default_ttl=1):
        assert rrset.rdtype == dns.rdatatype.TLSA
        host = str(rrset.name).removeprefix("*._tcp.").removesuffix(".")
        found[host] = [Tlsa(r.usage, r.selector, r.mtype, r.cert.hex()) for r in rrset]
    return Dane(found)


@FAST
@given(zones(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_a_client(
    drawn: tuple[dict[str, list[Tlsa]], str], chains: list[list[Cert]]
) -> None:
    """With all usages, and data of all types."""
    _read_policies_agree(drawn, chains)


@FAST
@given(small_rules(), SOME_CHAINS)
def test_what_a_record_cannot_say_is_told(
    rules: Rules, chains: list[list[Cert]]
) -> None:
    """With its direction."""
    _written_rules_agree(rules, chains)


@pytest.mark.slow
def test_many_policies_decide_like_a_client() -> None:
    """The long form of the tests above."""
    LONG(given(zones(), SOME_CHAINS)(_read_policies_agree))()
    LONG(given(small_rules(), SOME_CHAINS)(_written_rules_agree))()


@FAST
@given(zones())
def test_a_zone_is_cut_as_dnspython_cuts_it(
    drawn: tuple[dict[str, list[Tlsa]], str],
) -> None:
    """The library is an oracle here, and no part of the product."""
    _, text = drawn
    zone = dns.zone.from_text(text, "org.", relativize=False, check_origin=False)
    theirs = {
        str(owner).rstrip(".").lower(): {
            (r.usage, r.selector, r.mtype, r.cert.hex()) for r in rdataset
        }
        for owner, rdataset in zone.iterate_rdatasets("TLSA")
    }
    ours: dict[str, set[tuple[int, int, int, str]]] = {}
    for record in records_in(text, {"TLSA"}, None, Reading(Given("file"))):
        a, b, c, *data = record.data
        numbers = (int(a), int(b), int(c), "".join(data).lower())
        ours.setdefault(record.owner, set()).add(numbers)
    assert ours == theirs


# ---- records -----------------------------------------------------------------------


def test_each_usage_has_its_list() -> None:
    """A pin of usage 0 and of usage 3 stands for any position."""
    for usage in (1, 3):
        assert load(f"_443._tcp.x.org. TLSA {usage} 1 1 {HEX}").rules == LEAF
    assert load(f"_443._tcp.x.org. TLSA 0 1 1 {HEX}").rules == Rules(
        {"x.org": PinSet(ca=[ABSENT])}
    )
    both = "".join(f"_443._tcp.x.org. TLSA {usage} 1 1 {HEX}\n" for usage in (0, 3))
    assert load(both).rules == Rules({"x.org": PinSet([ABSENT])})
    assert load(f"_443._tcp.x.org. TLSA 3 0 1 {HEX}").rules == Rules(
        {"x.org": PinSet(leaf=[Pin.certificate(HEX)])}
    )


def test_whole_data_are_hashed() -> None:
    """A key, and a certificate, which must be one."""
    server = example_pki().server
    text = f"_443._tcp.x.org. TLSA 3 1 0 {server.spki.hex()}\n"
    text += f"_443._tcp.x.org. TLSA 3 0 0 {server.der.hex()}\n"
    assert load(text).rules == Rules(
        {
            "x.org": PinSet(
                leaf=[
                    Pin.from_certificate(server.der),
                    Pin.from_certificate(server.der, kind=PinKind.CERTIFICATE),
                ]
            )
        }
    )
    for selector, data in ((0, server.spki), (1, server.der), (0, server.der[:-1])):
        with pytest.raises(
            PolicyError, match=r"line 1: the data are .*write them whol"
        ):
            load(f"_443._tcp.x.org. TLSA 3 {selector} 0 {data.hex()}")


def test_records_of_the_generic_form_are_read() -> None:
    """RFC 3597, 5: other software writes types so that it does not know."""
    data = f"\\# 35 03 0101{HEX}"
    assert load(f"_443._tcp.x.org. TYPE52 {data}").rules == LEAF
    assert load(f"_443._tcp.x.org. IN TLSA {data}").rules == LEAF
    for bad in (data.replace("35", "34"), data[:-1], "\\# 2 0301", "\\#", HEX, ""):
        with pytest.raises(PolicyError, match="line 1: expected"):
            load(f"_443._tcp.x.org. TYPE52 {bad}")


def test_the_stronger_hash_takes_the_weaker_away() -> None:
    """OpenSSL refuses a peer that only SHA-256 matches beside SHA-512."""
    strong = f"_443._tcp.x.org. TLSA 3 1 2 {HEX}{HEX}\n"
    weak = f"_443._tcp.x.org. TLSA 3 1 1 {HEX}\n"
    with pytest.raises(PolicyError) as caught:
        load(strong + weak)
    first, second = str(caught.value).splitlines()
    assert first.startswith("file: line 1: SHA-512 is in no pin; write a record with")
    assert second.startswith("file: line 2: SHA-256 does not count beside SHA-512 of")
    loaded = load(strong + weak + f"_443._tcp.x.org. TLSA 3 0 1 {HEX}\n")
    assert loaded.rules == Rules({"x.org": PinSet(leaf=[Pin.certificate(HEX)])})
    assert [notice[:13] for notice in loaded.notices] == [
        "file: line 1:",
        "file: line 2:",
    ]
    assert load(strong.replace("3 1 2", "3 0 2") + weak).rules == LEAF
    assert load(strong.replace("3 1 2", "1 1 2") + weak).rules == LEAF


def test_what_no_pin_can_say_is_told_or_refused() -> None:
    """Told beside others, which then are narrower; refused alone."""
    for record, words in {
        f"2 1 1 {HEX}": "usage 2 builds a chain of its own",
        f"4 1 1 {HEX}": "usage 4 is unknown",
        f"3 2 1 {HEX}": "selector 2 is unknown",
        f"3 1 3 {HEX}": "matching type 3 is unknown",
        f"255 255 255 {HEX}": "usage 255 is unknown",
    }.items():
        text = f"_443._tcp.x.org. TLSA {record}\n"
        with pytest.raises(PolicyError, match=f"file: line 1: {words}"):
            load(text)
        loaded = load(text + f" TLSA 3 1 1 {HEX}")
        assert loaded.rules == LEAF
        assert len(loaded.notices) == 1
        assert loaded.notices[0].startswith(f"file: line 1: {words}")
    text = f"_443._tcp.x.org. TLSA 0 1 1 {HEX_B}\n TLSA 3 1 1 {HEX}"
    loaded = load(text)
    assert loaded.rules == LEAF
    (notice,) = loaded.notices
    assert notice.startswith("file: line 1: usage 0 is left out beside others; in DNS")


def test_a_rule_is_for_all_ports() -> None:
    """So the records of all ports must be the same."""
    same = f"_443._tcp.x.org. TLSA 3 1 1 {HEX}\n*._tcp.X.ORG. TLSA 1 1 1 {HEX}\n"
    assert load(same).rules == LEAF
    other = f"_443._tcp.x.org. TLSA 3 1 1 {HEX}\n_25._tcp.x.org. TLSA 3 1 1 {HEX_B}\n"
    with pytest.raises(
        PolicyError, match=r"line 2: 'x\.org' is there already, see lin"
    ):
        load(other)


def test_aliases_lead_to_records() -> None:
    """In the file, over some steps, and not in a circle."""
    text = (
        "$ORIGIN x.org.\n_443._tcp CNAME _dane\n_25._tcp CNAME _443._tcp.y\n"
        f"_443._tcp.y CNAME _dane\n_dane TLSA 3 1 1 {HEX}\n"
    )
    hosts = {"x.org": PinSet(leaf=[ABSENT]), "y.x.org": PinSet(leaf=[ABSENT])}
    assert load(text).rules == Rules(hosts)
    assert load(text + "www CNAME x.org.\n").rules == Rules(hosts)
    for bad in (
        "_1._tcp CNAME _1._tcp",
        "_1._tcp CNAME elsewhere.org.",
        f"_1._tcp CNAME _dane\n_1._tcp TLSA 3 1 1 {HEX}",
    ):
        with pytest.raises(
            PolicyError, match=r"line 6: the alias '_1\._tcp\.x\.org' do"
        ):
            load(text + bad)
    with pytest.raises(PolicyError, match="line 6: a CNAME has one name"):
        load(text + "_1._tcp CNAME a b")
    assert load(text + "_25._tcp CNAME _443._tcp.y\n").rules == Rules(hosts)
    with pytest.raises(PolicyError, match="line 6: a second CNAME, see line 3; keep"):
        load(text + "_25._tcp CNAME _dane\n")


@pytest.mark.parametrize("owner", ["x.org.", "old.y.org.", "_tcp.x.org."])
def test_aliases_of_all_names_below_one_are_refused(owner: str) -> None:
    """Names below it have pins in DNS, and would have none here."""
    text = f"_443._tcp.new.org. TLSA 3 1 1 {HEX}\n{owner} DNAME new.org.\n"
    with pytest.raises(PolicyError, match="line 2: a DNAME is not followed, and"):
        load(text)


def test_a_dname_of_another_branch_changes_nothing() -> None:
    """Most zones with one have it for names without records."""
    text = f"_443._tcp.new.org. TLSA 3 1 1 {HEX}\nold.org. DNAME other.org.\n"
    assert load(text).rules == Rules({"new.org": PinSet(leaf=[ABSENT])})


def test_very_many_aliases_of_all_names_below_one_are_compared_at_once() -> None:
    """Each with each, they would take a minute."""
    text = "".join(
        f"_443._tcp.a{at}.org. TLSA 3 1 1 {HEX}\n"
        f"b{at}.example.org. DNAME c{at}.example.org.\n"
        for at in range(10_000)
    )
    assert len(load(text).rules.hosts) == 10_000


def test_records_of_a_name_without_a_port_are_told() -> None:
    """No client looks there."""
    text = f"_443._tcp.x.org. TLSA 3 1 1 {HEX}\nx.org. TLSA 3 1 1 {HEX}\n"
    loaded = load(text)
    assert loaded.rules == Rules({"x.org": PinSet(leaf=[ABSENT])})
    assert loaded.notices == (
        "file: line 2: 'x.org' has no port and protocol, so no client looks there",
    )


def test_the_zone_may_be_given(tmp_path: Path) -> None:
    """A server's configuration has its name, and the file begins with relative ones."""
    file = tmp_path / "db.x"
    text = f"$TTL 1d\n@ SOA a b 1 2 3 4 5\n_25._tcp.mx TLSA 3 1 1 {HEX}\n"
    file.write_text(text, encoding="ascii")
    expected = Rules({"mx.x.org": PinSet(leaf=[ABSENT])})
    with pytest.warns(PolicyWarning):  # of lint: no backup
        assert load_rules(file, format="tlsa", host="x.org") == expected
    shown = answer("show", file, "--format", "tlsa", "--origin", "x.org")
    assert list(shown["rules"]["hosts"]) == ["mx.x.org"]
    with pytest.raises(PolicyError, match=r"line 3: .* give the zone \(--origin\)"):
        load_rules(file, format="tlsa")


def test_a_service_that_an_alias_leads_to_keeps_its_rule() -> None:
    """Beside the one that the alias gives, and however many steps it takes."""
    pinned = PinSet(leaf=[ABSENT])
    text = f"_443._tcp.www.a.com. IN TLSA 3 1 1 {HEX}\n"
    text += "_443._tcp.y.a.com. IN CNAME _443._tcp.www.a.com.\n"
    assert load(text).rules == Rules({"www.a.com": pinned, "y.a.com": pinned})
    text += "_25._tcp.z.a.com. IN CNAME _443._tcp.y.a.com.\n"
    hosts = {f"{name}.a.com": pinned for name in ("www", "y", "z")}
    assert load(text).rules == Rules(hosts)


def test_an_owner_that_is_left_out_is_the_last_complete_one() -> None:
    """RFC 1035, 5.1: a new origin does not change it."""
    text = "$ORIGIN x.org.\n_443._tcp A 127.0.0.1\n$ORIGIN y.org.\n"
    assert load(f"{text}  TLSA 3 1 1 {HEX}").rules == LEAF
    with pytest.raises(PolicyError, match=r"line 3: '_443\._tcp' is relative"):
        load(f"_443._tcp A 127.0.0.1\n$ORIGIN x.org.\n TLSA 3 1 1 {HEX}")


def test_classes_and_times_stand_before_the_type() -> None:
    """In both forms of the class, and in any order."""
    for head in ("CLASS1", "class1 5", "1h30m IN", "IN", "5M", "60 CLASS1", ""):
        assert load(f"_443._tcp.x.org. {head} TLSA 3 1 1 {HEX}").rules == LEAF


def test_types_that_are_no_pins_are_passed_over() -> None:
    """Each that the registry knows, and unknown ones of hosts."""
    records = [f"_443._tcp.x.org. {kind} a b" for kind in ("RRSIG", "NSEC", "TYPE46")]
    records += ["www.x.org. ALIAS y.org.", "x.org. TYPE65400 \\# 0"]
    text = "\n".join([*records, f"_443._tcp.x.org. TLSA 3 1 1 {HEX}"])
    assert load(text).rules == LEAF
    reading = Reading(Given("file"))
    kinds = [
        kind.name.replace("_", "-")
        for kind in dns.rdatatype.RdataType
        if 0 < kind < 128 or kind > 255  # the others are questions
    ]
    lines = "\n".join(f"_443._tcp.x.org. {kind} 0" for kind in kinds)
    assert list(records_in(lines, set(), None, reading)) == []
    reading.check()


MISTAKES = {
    "": "there is no TLSA record",
    "x.org. A 127.0.0.1\n": "there is no TLSA record",
    f"_443.x.org. TLSA 3 1 1 {HEX}": "has no port and protocol",
    f"_443._tcp.*.x.org. TLSA 3 1 1 {HEX}": "write the name of one host",
    f"_443._tcp.x..org. TLSA 3 1 1 {HEX}": "line 1: 'x..org' is not",
    f"_443._tcp.\\046. TLSA 3 1 1 {HEX}": "is not",
    f"_443._tcp.x.org TLSA 3 1 1 {HEX}": "'_443._tcp.x.org' is relative; give",
    f"\n  TLSA 3 1 1 {HEX}": "line 2: the first record has no owner",
    f"_443._tcp.x.org. CH TLSA 3 1 1 {HEX}": "the class CH has no pins",
    f"_443._tcp.x.org. CLASS3 TLSA 3 1 1 {HEX}": "the class CLASS3 has no pins",
    f"_443._tcp.x.org. CLASS01 TLSA 3 1 1 {HEX}": "line 1: no type 'CLASS01' is known",
    f"_443._tcp.x.org. IN TSLA 3 1 1 {HEX}": "line 1: no type 'TSLA' is known; write T",
    f"_443._tcp.x.org. TYPE052 \\# 35 030101{HEX}": "no type 'TYPE052' is known",
    "_443._tcp.x.org. TYPE5 \\# 3 016100": "no type 'TYPE5' is known; write TLSA, or",
    f"_443._tcp.x.org. 111x TLSA 3 1 1 {HEX}": "line 1: '111x' is where a type belongs",
    f"$ORIGIN x.org.\n_443._tcp A 1\nTLSA 3 1 1 {HEX}": "line 3: '1' is where a type",
    f"$ORIGIN x.org.\nTLSA \\# 35 030101{HEX}": "is where a type belongs; write owner",
    "_443._tcp.x.org. 5 IN": "a record without a type",
    "$INCLUDE other.zone": "line 1: '$INCLUDE' is not followed",
    f"$GENERATE 1-9 _443._tcp.$ TLSA 3 1 1 {HEX}": "'$GENERATE' is not followed",
    "$ORIGIN": "'$ORIGIN' is not followed",
    "_443._tcp.x.org. TLSA 3 1": "expected usage, selector, matching type",
    f"_443._tcp.x.org. TLSA 3 1 one {HEX}": "expected usage, selector, matching type",
    f"_443._tcp.x.org. TLSA 3 1 1 {HEX[1:]}": "is not hex",
    f"_443._tcp.x.org. TLSA 3 1 1 {HEX[2:]}": "type 1 needs 32 bytes, and here are 31",
    f"_443._tcp.x.org. TLSA 3 1 2 {HEX}": "type 2 needs 64 bytes, and here are 32",
    "_443._tcp.x.org. TLSA 3 1 0": "type 0 needs data, and here are 0",
    f"_443._tcp.x.org. TLSA 3 1 1 {ABSENT[7:]}": "is not hex",
    f"_443._tcp.x.org. TLSA ( 3 1 1 {HEX}\n": "line 1: a bracket has no other end",
    f"_443._tcp.x.org. TLSA 3 1 1 {HEX} )\n": "line 1: brackets or quotes that",
    f"_443._tcp.x.org. TLSA (( 3 1 1 {HEX}\n": "line 1: brackets or quotes that",
    f'_443._tcp.x.org. TLSA 3 1 1 "{HEX}\n': "line 1: brackets or quotes that do not",
    f'_443._tcp.x.org. TLSA 3 1 1 "{HEX}"\n': "is not hex",
    f"_443._tcp.x.org. TLSA 3 1 1 {'00 ' * 2000}\n": "a very long record",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_explained(text: str) -> None:
    """Each at its line, with the next step."""
    with pytest.raises(PolicyError, match=r"\Afile: .*" + re.escape(MISTAKES[text])):
        load(text)


def test_many_records_take_bounded_memory() -> None:
    """With names of their own, which an attacker chooses."""
    for line in ("_1._tcp.h{:x}. TLSA 3 1 0 00\n", "_{:x}. CNAME a.\n"):
        text = "".join(map(line.format, range(4000)))
        tracemalloc.start()
        with pytest.raises(PolicyError, match="very many very small records"):
            load(text)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10 * len(text) + 700_000
    line = f"_443._tcp.h{{:x}}. TLSA 3 1 1 {HEX}\n"
    assert len(load("".join(map(line.format, range(4000)))).rules.hosts) == 4000


# ---- writing -----------------------------------------------------------------------


def test_records_are_written() -> None:
    """For all ports, as a rule is."""
    rules = Rules(
        {
            "a.org": PinSet(leaf=[ABSENT, "cert-sha256:" + HEX_B]),
            "b.org": PinSet(ca=[ABSENT]),
            "c.org": [ABSENT],
        }
    )
    dumped = dump(rules, "tlsa")
    assert dumped is not None
    assert {loss.kind for loss in dumped.losses} == {"validation"}
    assert str(dumped.text).splitlines()[1:] == [
        f"*._tcp.a.org. IN TLSA 3 1 1 {HEX}",
        f"*._tcp.a.org. IN TLSA 3 0 1 {HEX_B}",
        f"*._tcp.b.org. IN TLSA 0 1 1 {HEX}",
        f"*._tcp.c.org. IN TLSA 3 1 1 {HEX}",
        f"*._tcp.c.org. IN TLSA 0 1 1 {HEX}",
    ]
    assert load(str(dumped.text)).rules == rules


def test_losses_of_records_are_told() -> None:
    """An address has no records, and no name stands for all below another."""
    hosts: dict[str, Any] = {
        "127.0.0.1": [ABSENT],
        "**.x.org": [ABSENT],
        "*.y.org": [ABSENT],
        "z.org": PinSet(leaf=[ABSENT], ca=[OTHER]),
    }
    dumped = dump(Rules(hosts), "tlsa")
    assert dumped is not None
    assert {(loss.kind, loss.where) for loss in dumped.losses} == {
        ("left-out", "127.0.0.1"),
        ("many-labels", "**.x.org"),
        ("one-label", "*.y.org"),
        ("position", "z.org"),
        ("validation", "x.org"),
        ("validation", "z.org"),
    }
    assert load(str(dumped.text)).rules == Rules(
        {"x.org": [ABSENT], "z.org": PinSet(leaf=[ABSENT])}
    )


# ---- OpenSSL -----------------------------------------------------------------------


@pytest.fixture
def server() -> Any:  # noqa: ANN401 - a generator of servers
    """A server with a leaf of an authority."""
    with TLSServer(server_context(example_pki().server)) as running:
        yield running


def connects(server: TLSServer, records: Sequence[str], directory: Path) -> bool:
    """Return whether OpenSSL's client verifies the server by these records."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    command = [openssl, "s_client", "-brief", "-verify_return_error"]
    command += ["-connect", f"127.0.0.1:{server.port}", "-CAfile"]
    command += [str(example_pki().trust_file(directory))]
    command += ["-dane_tlsa_domain", "localhost"]
    for record in records:
        command += ["-dane_tlsa_rrdata", record]
    done = subprocess.run(
        command, check=False, capture_output=True, input=b"", timeout=LIMIT
    )
    assert (b"Verification: OK" in done.stderr) == (done.returncode == 0), done
    return done.returncode == 0


def test_openssl_decides_by_written_records_as_the_rules_do(
    server: TLSServer, tmp_path: Path
) -> None:
    """On genuine connections: right and wrong pins, at each position."""
    pki = example_pki()
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    right = [Pin.from_certificate(der) for der in chain]
    whole = [Pin.from_certificate(der, kind=PinKind.CERTIFICATE) for der in chain]
    verdicts = []
    for value in (
        *(PinSet(leaf=[pin]) for pin in (right[0], right[1], whole[0], whole[1])),
        *(PinSet(ca=[pin]) for pin in (right[0], right[1], right[2], whole[1])),
        *(PinSet([pin, Pin.parse(ABSENT)]) for pin in (right[0], right[1], whole[2])),
        PinSet([ABSENT]),
    ):
        rules = Rules({"localhost": value})
        dumped = dump(rules, "tlsa")
        assert dumped is not None
        assert {loss.kind for loss in dumped.losses} <= {"validation"}
        records = re.findall(r"TLSA (.*)", str(dumped.text))
        ours = Policy(rules).evaluate("localhost", chain).accepted
        assert connects(server, records, tmp_path) == ours, value
        verdicts.append(ours)
    assert verdicts == [
        *(True, False, True, False),
        *(False, True, True, True),
        *(True, True, True, False),
    ]


def test_openssl_lets_the_stronger_hash_decide(
    server: TLSServer, tmp_path: Path
) -> None:
    """The reader follows it."""
    right = f"3 1 1 {hashlib.sha256(example_pki().server.spki).hexdigest()}"
    assert connects(server, [right], tmp_path)
    assert not connects(server, [right, f"3 1 2 {'00' * 64}"], tmp_path)
    assert connects(server, [right, f"3 0 2 {'00' * 64}"], tmp_path)
    assert connects(server, [right, f"2 1 1 {HEX}", f"0 1 1 {HEX}"], tmp_path)
