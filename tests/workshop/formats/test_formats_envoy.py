"""Envoy and Istio: validation contexts in YAML and JSON, and YAML itself."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from other_systems import (
    FAST,
    HOSTS_HERE,
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
from pinverify import Pin, PinSet, Policy, PolicyError, Rules, load_rules
from pinverify.formats._format_table import FORMATS
from pinverify.formats._policy_reading import Given, Loaded
from policy_samples import ABSENT, OTHER

__all__: list[str] = []

A, B = ABSENT.removeprefix("sha256/"), OTHER.removeprefix("sha256/")
HEX = "df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a"
COLONS = ":".join(HEX[i : i + 2] for i in range(0, 64, 2)).upper()
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def load(text: str, host: str | None = None) -> Loaded:
    """Read a configuration."""
    return FORMATS["envoy"].reader(text.encode(), Given("file", host))


def pins_of(rules: Rules) -> PinSet:
    """Return the pins of the only host."""
    (value,) = rules.hosts.values()
    assert isinstance(value, PinSet)
    return value


def context(spki: Sequence[str] = (A,), **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a TLS context with pins; *fields* stand beside the validation context."""
    validation = {"verify_certificate_spki": list(spki)}
    return {"common_tls_context": {"validation_context": validation}, **fields}


# ---- the model ---------------------------------------------------------------------


class Upstream(NamedTuple):
    """A cluster: the name of the server, and the validation of its certificate."""

    sni: str
    keys: list[str]
    certificates: list[str]
    accepts_untrusted: bool

    def accepts(self, chain: Sequence[Cert]) -> bool:
        """Compare the leaf with both lists (verifyCertificate)."""
        if not self.keys and not self.certificates:
            return True
        return (
            chain[0].spki in self.keys
            or chain[0].certificate in self.certificates
            or self.accepts_untrusted
        )


class Envoy:
    """All clusters; of a host without one nothing is checked."""

    def __init__(self, clusters: Sequence[Upstream]) -> None:
        """Take the clusters."""
        self.clusters = clusters

    def __call__(self, host: str, chain: Sequence[Cert], _: dt.datetime) -> bool:
        """Ask the cluster of the host."""
        return all(c.accepts(chain) for c in self.clusters if c.sni == host)


@st.composite
def clusters(draw: st.DrawFn) -> list[Upstream]:
    """Draw clusters with different names."""
    numbers = st.lists(st.integers(0, 4), max_size=3, unique=True)
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        keys = [pool()[number].spki for number in draw(numbers)]
        certificates = [pool()[number].certificate for number in draw(numbers)]
        found.append(Upstream(name, keys, certificates, draw(st.booleans())))
    return found


@st.composite
def configurations(draw: st.DrawFn) -> tuple[list[Upstream], str]:
    """Draw clusters, and a file that has them."""
    drawn = draw(clusters().filter(lambda all_: any(c.keys for c in all_)))
    written = draw(st.randoms())
    secrets: list[dict[str, Any]] = []
    found = []
    for cluster in drawn:
        validation: dict[str, Any] = {"trusted_ca": {"filename": "ca.pem"}}
        if cluster.keys:
            validation["verify_certificate_spki"] = cluster.keys
        if cluster.certificates:
            validation["verify_certificate_hash"] = [
                written.choice([text, ":".join(re.findall("..", text)).upper()])
                for text in cluster.certificates
            ]
        if cluster.accepts_untrusted:
            validation["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
        common = _common(validation, f"secret of {cluster.sni}", secrets, written)
        tls = {"@type": TYPE + "UpstreamTlsContext", "common_tls_context": common}
        tls["sni"] = written.choice([cluster.sni, cluster.sni.upper()])
        found.append({"transport_socket": {"name": "tls", "typed_config": tls}})
    whole: Any = {"static_resources": {"clusters": found, "secrets": secrets}}
    if written.random() < 0.3:
        whole = _camel(whole)
    style = written.choice(["block", "flow", "json"])
    if style == "json":
        return drawn, json.dumps(whole, indent=written.choice([None, 1]))
    return drawn, "# a comment\n---\n" + yaml.safe_dump(
        whole, default_flow_style=style == "flow"
    )


def _common(
    validation: dict[str, Any],
    name: str,
    secrets: list[dict[str, Any]],
    written: Any,  # noqa: ANN401 - random.Random
) -> dict[str, Any]:
    """Return a common context: in place, by a secret, or partly by a secret."""
    kind = written.randrange(3)
    if kind == 0:
        return {"validation_context": validation}
    if kind == 1:
        secrets.append({"name": name, "validation_context": validation})
        return {"validation_context_sds_secret_config": {"name": name}}
    keys = set(written.sample(sorted(validation), written.randrange(len(validation))))
    there = {key: value for key, value in validation.items() if key in keys}
    here = {key: value for key, value in validation.items() if key not in keys}
    secrets.append({"name": name, "validation_context": there})
    return {
        "combined_validation_context": {
            "default_validation_context": here,
            "validation_context_sds_secret_config": {"name": name},
        }
    }


def _camel(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Spell keys as protobuf's JSON does."""
    if isinstance(value, list):
        return [_camel(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda m: m[1].upper(), key): _camel(inner)
        for key, inner in value.items()
    }


def _read_policies_agree(
    drawn: tuple[list[Upstream], str], chains: list[list[Cert]]
) -> None:
    wanted, text = drawn
    agree(Policy(load(text).rules), Envoy(wanted), chains)


def _written_rules_agree(rules: Rules, host: str, chains: list[list[Cert]]) -> None:
    dumped = dump(rules, "envoy", host=host)
    if dumped is None:
        return
    model = Envoy([written(str(dumped.text))])
    losses_are_true(rules, dumped, model, chains, hosts=[host])


def written(text: str) -> Upstream:
    """Read a context that was written, with PyYAML's own loader."""
    document = yaml.safe_load(text)
    assert document["@type"] == TYPE + "UpstreamTlsContext"
    validation = document["common_tls_context"]["validation_context"]
    assert set(validation) <= {"verify_certificate_spki", "verify_certificate_hash"}
    return Upstream(
        document["sni"],
        validation.get("verify_certificate_spki", []),
        validation.get("verify_certificate_hash", []),
        accepts_untrusted=False,
    )


@FAST
@given(configurations(), SOME_CHAINS)
def test_a_policy_that_is_read_decides_like_envoy(
    drawn: tuple[list[Upstream], str], chains: list[list[Cert]]
) -> None:
    """In YAML of both styles and in JSON, with secrets and without."""
    _read_policies_agree(drawn, chains)


@FAST
@given(small_rules(), HOSTS_HERE, SOME_CHAINS)
def test_what_envoy_cannot_say_is_told(
    rules: Rules, host: str, chains: list[list[Cert]]
) -> None:
    """About the host that is written."""
    _written_rules_agree(rules, host, chains)


@pytest.mark.slow
def test_many_policies_decide_like_envoy() -> None:
    """The long form of the tests above."""
    LONG(given(configurations(), SOME_CHAINS)(_read_policies_agree))()
    LONG(given(small_rules(), HOSTS_HERE, SOME_CHAINS)(_written_rules_agree))()


# ---- contexts ----------------------------------------------------------------------


def test_the_context_of_a_server_is_a_rule() -> None:
    """Either list may match the leaf."""
    validation = {"verify_certificate_spki": [A], "verify_certificate_hash": [COLONS]}
    text = yaml.safe_dump(
        {"sni": "X.org", "common_tls_context": {"validation_context": validation}}
    )
    rules = load(text).rules
    assert rules == Rules(
        {"x.org": PinSet(leaf=[Pin.parse(ABSENT), Pin.certificate(HEX)])}
    )
    assert rules.origins == {"x.org": "file: line 1"}


@pytest.mark.parametrize(
    "document",
    [
        context(require_client_certificate=True),
        context(**{"@type": TYPE + "DownstreamTlsContext"}),
        {"typed_config": {"downstream_tls_context": context()}},
        {
            "servers": [
                {"hosts": ["*"], "tls": {"verifyCertificateSpki": [A], "mode": 1}}
            ]
        },
        {
            "a": context(requireClientCertificate=True),
            "b": {"downstreamTlsContext": context()},
        },
    ],
    ids=lambda document: next(iter(document)),
)
@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps])
def test_the_context_of_clients_is_no_rule_of_a_host(
    document: dict[str, Any],
    write: Any,  # noqa: ANN401
) -> None:
    """Servers ask for the certificate of a client, which has no name."""
    expected = Rules(clients=PinSet(leaf=[ABSENT]))
    assert load(write(document)).rules == expected
    with pytest.raises(PolicyError, match=r"not 'x\.org'; leave out `host`"):
        load(write(document), "x.org")


def test_a_context_without_a_name_needs_the_host() -> None:
    """Alone, in a common context, or in a secret that no context names."""
    validation = {"verify_certificate_spki": [A]}
    for document in (
        validation,
        {"validation_context": validation},
        context(),
        {"resources": [{"name": "secret", "validation_context": validation}]},
    ):
        text = yaml.safe_dump(document)
        assert load(text, "**.x.org").rules == Rules(
            {"**.x.org": PinSet(leaf=[ABSENT])}
        )
        with pytest.raises(PolicyError, match=r"not say whose pins.*give `host`"):
            load(text)


def test_a_host_that_the_file_names_may_be_given_and_no_other() -> None:
    """`pinverify convert` gives it where the target needs it."""
    text = json.dumps(context(sni="x.org"))
    assert load(text, "x.org").rules == load(text).rules
    with pytest.raises(PolicyError, match=r"\Afile: host: .* leave out `host`"):
        load(text, "y.org")


def test_several_contexts_of_one_host_have_the_same_pins() -> None:
    """A rule holds for all ports."""
    same = json.dumps({"a": context(sni="x.org"), "b": context(sni="x.org")})
    assert load(same).rules == Rules({"x.org": PinSet(leaf=[ABSENT])})
    other = json.dumps({"a": context(sni="x.org"), "b": context([B], sni="x.org")})
    with pytest.raises(PolicyError, match=r"file: b: 'x\.org' is there already, see a"):
        load(other)
    clients = {"@type": TYPE + "DownstreamTlsContext"}
    text = json.dumps([context(**clients), context([B], **clients)])
    with pytest.raises(PolicyError, match="a policy has one set"):
        load("---\n" + text)


def test_a_context_without_pins_beside_one_with_is_told() -> None:
    """Here the host is pinned everywhere, which is narrower."""
    bare = {"sni": "x.org", "common_tls_context": {}}
    loaded = load(json.dumps({"a": context(sni="x.org"), "b": bare}))
    assert loaded.notices == (
        "file: b: another context of 'x.org' has no pins; here it has",
    )


def test_untrusted_peers_are_reported() -> None:
    """Envoy refuses nobody then, whatever its lists say."""
    document = context(sni="x.org")
    validation = document["common_tls_context"]["validation_context"]
    for mode in ("ACCEPT_UNTRUSTED", "1", 1):
        validation["trust_chain_verification"] = mode
        assert load(json.dumps(document)).rules == Rules(
            {"x.org": PinSet(leaf=[ABSENT], mode="report")}
        )
    validation["trust_chain_verification"] = "VERIFY_TRUST_CHAIN"
    assert load(json.dumps(document)).rules == Rules({"x.org": PinSet(leaf=[ABSENT])})


def test_a_secret_from_elsewhere_is_told_or_refused() -> None:
    """It may only add pins, so those that are there make a narrower rule."""
    secret = {"name": "ROOTCA", "sds_config": {"ads": {}}}
    own = {"name": "ROOTCA", "validation_context": {"verify_certificate_spki": [B]}}
    alone = {
        "sni": "x.org",
        "common_tls_context": {"validation_context_sds_secret_config": secret},
    }
    with pytest.raises(PolicyError, match="'ROOTCA' is not in the file, and may have"):
        load(json.dumps({"a": alone, "b": context(sni="y.org"), "c": [own]}), "z.org")
    validation = {"verify_certificate_spki": [A]}
    both = {
        "default_validation_context": validation,
        "validation_context_sds_secret_config": secret,
    }
    document = {
        "sni": "x.org",
        "common_tls_context": {"combined_validation_context": both},
    }
    loaded = load(json.dumps(document))
    assert loaded.rules == Rules({"x.org": PinSet(leaf=[ABSENT])})
    assert loaded.notices == (
        "file: the secret 'ROOTCA' is not in the file; its pins are left out",
    )
    secret.pop("sds_config")
    loaded = load(json.dumps([document, {"secrets": [own]}]).join(("---\n", "")))
    assert loaded.rules == Rules({"x.org": PinSet(leaf=[ABSENT, OTHER])})


def test_names_are_left_to_the_library() -> None:
    """And this is told."""
    document = context(sni="x.org")
    validation = document["common_tls_context"]["validation_context"]
    validation["match_typed_subject_alt_names"] = [{"san_type": "DNS"}]
    (remark,) = load(json.dumps({"a": document})).remarks
    assert remark.startswith("file: a: match_typed_subject_alt_names is left out")


def fields(text: str) -> str:
    """Return a validation context with these fields."""
    return f"validation_context: {{{text}}}"


KEYS = f"verify_certificate_spki: [{A}]"
TLS = f"common_tls_context: {{{fields(KEYS)}}}"

MISTAKES = {
    "sni: x.org\n": "nobody is pinned",
    "": "nobody is pinned",
    "{}": "nobody is pinned",
    "- 1\n- [a, {}]\n": "nobody is pinned",
    f"a:\n  {KEYS}": "line 2: pins belong in a validation_context",
    f"a:\n b:\n  tls: {{x: {{{KEYS}}}}}": "line 3: pins belong",
    "validation_context: 5": "line 1: expected a mapping",
    "validation_context:\n  verify_certificate_spki: []": "without one, nobody is",
    f"validation_context:\n  verify_certificate_spki: {A}": "line 2: .*expected a list",
    "validation_context:\n  verify_certificate_spki:\n": "line 2: .*expected a list",
    "validation_context:\n  verify_certificate_spki:\n  - ab": "line 3: 'ab' is",
    fields(f"verify_certificate_spki: [[{A}]]"): "expected a text",
    fields(f"verify_certificate_hash: [{HEX[1:]}]"): "is not 64 hex",
    fields(f"verify_certificate_hash: ['{COLONS[:-3]}']"): "is not 64 hex",
    fields(f"verify_certificate_hash: [{HEX[:63]}é]"): "is not 64 hex",
    fields(f"verify_certificate_spkis: [{A}]"): "unknown field 'verify_",
    fields(f"verifyCertificateSpki: [{A}], {KEYS}"): "Spki' is there twice",
    fields(f"{KEYS}, custom_validator_config: {{name: spiffe}}"): (
        "custom_validator_config decides here"
    ),
    fields(f"{KEYS}, trust_chain_verification: ACCEPT"): (
        "'ACCEPT' is unknown; write VERIFY_TRUST_CHAIN or ACCEPT_UNTRUSTED"
    ),
    f"{fields(KEYS)}\ncombined_validation_context: {{}}": "there can be one of them",
    "[{name: s, validation_context: {}}, {name: s, validation_context: {}}]": (
        "the secret 's' is there already"
    ),
    f"sni: '*.x.org'\n{TLS}": r"'\*.x.org': sni is one name",
    f"sni: [x.org]\n{TLS}": "expected a text",
    f"sni: x..org\n{TLS}": r"line 1: 'x\.\.org' is not",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_explained(text: str) -> None:
    """Each at its line, with the next step."""
    with pytest.raises(PolicyError, match=r"\Afile: (?s:.)*" + MISTAKES[text]):
        load(text, "z.org" if "sni" not in text else None)


def test_the_place_in_json_is_a_path() -> None:
    """JSON has no lines once it is read."""
    document = {"static": {"clusters": [{}, {"tls": context(["abc"], sni="x.org")}]}}
    with pytest.raises(PolicyError) as caught:
        load(json.dumps(document))
    where = "static.clusters[1].tls.common_tls_context.validation_context"
    assert f"file: {where}.verify_certificate_spki[0]: 'abc' is not" in str(
        caught.value
    )


# ---- YAML --------------------------------------------------------------------------

NO_YAML = {
    "a: &x 1\nb: *x": "line 1: anchors and aliases are not read",
    "a: *x": "line 1: anchors and aliases",
    f"x: 1\na: !!binary {A}": "line 2: the tag 'tag:yaml.org,2002:binary' is not read",
    "!x a: 1": "the tag '!x' is not read",
    "a: 1\nb: 2\na: 3": "line 3: the key 'a' is there twice",
    "a: {b: 1, b: 2}": "the key 'b' is there twice",
    "? [a]\n: 1": "line 1: a key that is no text",
    "a: [1": "line 1: not YAML: ",
    "a: 1\n b: 2": "line 2: not YAML: mapping values are not allowed",
    "a:\n\t- 1": "line 2: not YAML",
    "a: \x07": "line 1: not YAML: special characters",
    'a: "\\U00110000"': "line 1: not YAML: a number is too large",
    'a: "\\q"': "not YAML: found unknown escape",
    "[" * 100: "nested too deeply",
    "- " * 100: "nested too deeply",
    "a: " + "b " * 9000: "a text of more than 8,192 lines or words",
    "a: |\n" + "  b\n" * 9000: "a text of more than 8,192 lines or words",
    'a: "' + "\n" * 9000 + '"': "a text of more than 8,192 lines or words",
    'a: "' + "\\u0041" * 9000 + '"': "a text of more than 8,192 lines or words",
    "".join(f"a{i}: \n" for i in range(9000)): "very many very small values",
    "sni: [" + "a," * 9000 + "]": "very many very small values",
    "a: " + "b" * 2**20: "more than 1,048,576 characters of YAML; give JSON",
}


@pytest.mark.parametrize("text", NO_YAML, ids=lambda text: text[:20])
def test_what_no_policy_needs_of_yaml_is_refused(text: str) -> None:
    """Bombs are made of it, and values that look like others than they are."""
    with pytest.raises(PolicyError, match=r"\Afile: .*" + re.escape(NO_YAML[text])):
        load(text)


def test_scalars_stay_text() -> None:
    """Digits with colons are a number in base sixty for YAML 1.1."""
    digits = "1" * 64
    text = f"sni: x.org\n{TLS[:-2]}, verify_certificate_hash: [{digits}]}}}}"
    assert Pin.certificate(digits) in pins_of(load(text).rules).leaf


def test_what_is_not_asked_for_is_not_held() -> None:
    """A configuration may have much about other things."""
    others = "".join(f"- {{name: n, port: {i}, on: yes}}\n" for i in range(3000))
    text = f"a:\n{others}b:\n  sni: x.org\n  {TLS}\n"
    rules = load(text).rules
    assert rules == Rules({"x.org": PinSet(leaf=[ABSENT])})
    assert rules.origins == {"x.org": "file: line 3003"}
    many = "".join(f"---\nsni: h{i}.org\n{TLS}\n" for i in range(300))
    assert len(load(many).rules.hosts) == 300


@pytest.mark.filterwarnings("ignore::pinverify.PolicyWarning")
def test_the_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,  # noqa: ANN401
) -> None:
    """JSON is read without it."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "pinverify.formats._yaml", raising=False)
    monkeypatch.delattr("pinverify.formats._yaml", raising=False)
    path = tmp_path / "envoy"
    path.write_text(json.dumps(context(sni="x.org")), encoding="utf-8")
    assert load_rules(path, format="envoy").hosts
    path.write_text(f"sni: x.org\n{TLS}", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"pip install '\.\[yaml\]'"):
        load_rules(path, format="envoy")


# ---- writing -----------------------------------------------------------------------


def test_a_context_is_written() -> None:
    """With a word about the chain, which pins do not replace."""
    pins = [Pin.parse(ABSENT), Pin.certificate(HEX)]
    dumped = dump(Rules({"x.org": PinSet(leaf=pins)}), "envoy")
    assert dumped is not None
    assert dumped.losses == ()
    assert dumped.text == (
        f'"@type": {TYPE}UpstreamTlsContext\n'
        'sni: "x.org"\n'
        "common_tls_context:\n"
        "  validation_context:\n"
        "    # Add trusted_ca: without it Envoy checks these pins and no chain.\n"
        "    verify_certificate_spki:\n"
        f'    - "{A}"\n'
        "    verify_certificate_hash:\n"
        f'    - "{HEX}"\n'
    )
    assert load(str(dumped.text)).rules == Rules({"x.org": PinSet(leaf=pins)})


def test_a_context_of_clients_is_written() -> None:
    """Where the rules are about clients alone."""
    rules = Rules(clients=PinSet(leaf=[ABSENT]))
    dumped = dump(rules, "envoy")
    assert dumped is not None
    assert dumped.losses == ()
    assert load(str(dumped.text)).rules == rules
    dumped = dump(Rules(clients=PinSet(leaf=[ABSENT], ca=[OTHER])), "envoy")
    assert dumped is not None
    assert [loss.kind for loss in dumped.losses] == ["position"]
    assert dump(Rules(clients=PinSet(ca=[OTHER])), "envoy") is None
