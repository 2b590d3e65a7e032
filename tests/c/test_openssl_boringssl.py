"""The adapter on BoringSSL, from Debian's package android-libboringssl-dev.

It runs the scenarios of test_openssl_adapter.py. The list below names those for which
BoringSSL differs, with the reason; a listed scenario that holds all the same fails.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from c_objects import ended
from openssl_cast import write_cast
from openssl_programs import BORINGSSL, SCENARIOS, objects
from pki import Pki
from places import TESTS
from test_openssl_adapter import VERSIONS, names, read_names
from test_openssl_remedies import without

__all__: list[str] = []

pytestmark = pytest.mark.ci  # test_openssl_adapter.py has the same with OpenSSL

LIST = TESTS / "remedies" / "boringssl.toml"
REMEDIES = tomllib.loads(LIST.read_text(encoding="utf-8"))["remedy"]

# Scenarios of functions that BoringSSL does not have.
LACKING = {
    "several_names_are_refused": "SSL_add1_host",
    "shared_secret": "SSL_CTX_set_ciphersuites, and shared secrets in TLS 1.3",
    "renegotiation": "SSL_renegotiate on clients",
    "authentication_afterwards": "SSL_verify_client_post_handshake",
    "early_data": "SSL_write_early_data: see early_data_of_a_client",
    "early_data_at_a_server": "SSL_read_early_data: see early_data_of_a_server",
    "security_callback_before": "SSL_CTX_set_security_callback: see log_of_keys",
    "ticket_data_of_the_application": "SSL_SESSION_set1_ticket_appdata",
    "damaged_evidence": "SSL_SESSION_set1_ticket_appdata",
    "copied": "SSL_dup",
    "copy_of_a_used_client": "SSL_dup",
    "name_from_sni_of_this_connection": "a name in sessions",
    "quic_is_refused": "OSSL_QUIC_client_method",
    "note_of_a_callback": "X509_STORE_CTX_get_verify_cb",
    **dict.fromkeys(
        (
            "early_data_is_not_the_end",
            "early_data_by_a_shared_key",
            "early_data_by_a_shared_key_beside_a_session",
            "early_data_of_another_session",
            "server_that_could_read_early_data",
        ),
        "SSL_write_early_data",
    ),
}

# The first condition that does not hold, and the reason.
DIFFERENT = {
    # The chain of a session is verified again, so none is too old to be judged.
    "session_older_than_the_pins": "went_well(&again) && !again.is_resumed &&",
    "ticket_older_than_the_pins": "again.server_accepts == cases[i].accepted",
    # And one may serve for another name that its certificate is for.
    "session_of_another_name": "!SSL_session_reused(d.client)",
    # BoringSSL has no SSL_set_verify_result. All else is as it should be then.
    "swapped_while_resuming": "again.verify_result == X509_V_ERR_CERT_REJECTED",
}
# A server of TLS 1.3 keeps no sessions in its memory: without tickets, none is resumed.
DIFFERENT_IN_TLS13 = {
    "resumed_from_memory": "went_well(&first) && first.session != NULL",
    "refused_client_returns": "went_well(&first) && first.session != NULL",
}

# What must hold whatever names the steps of a handshake have.
WITHOUT_NAMES = (
    *("pinned_leaf", "pinned_authority", "unverified_forgery", "pinned_clients"),
    *("pin_removed_in_between", "session_for_a_name_it_does_not_have"),
    *("resumed_in_another_process", "new_policy_judges_the_ticket"),
    *("info_callback_that_forgets_ours", "early_data_of_a_client"),
    *("early_data_of_a_server", "false_start"),
)

SHARED = [name for name in names() if name not in LACKING]
OWN = read_names("boringssl")


@pytest.fixture(scope="module")
def cast(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with certificates and policies."""
    return write_cast(tmp_path_factory.mktemp("cast"), pki)


@pytest.fixture(scope="module")
def program() -> Path:
    """The program that runs scenarios."""
    return objects(BORINGSSL).program(*SCENARIOS)


def test_boringssl_runs_all_scenarios_but_those_that_it_cannot(program: Path) -> None:
    """And it is BoringSSL that runs."""
    listed = "".join(f"{name}\n" for name in [*SHARED, *OWN])
    assert ended([program]) == (0, listed, "")
    assert ended([program, "--library"]) == (0, "BoringSSL\n", "")
    assert len(SHARED) > 60
    assert set(LACKING) | set(DIFFERENT) | set(DIFFERENT_IN_TLS13) <= set(names())


@pytest.mark.parametrize("tls", VERSIONS)
@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_the_scenario_holds_on_boringssl(
    name: str, tls: str, program: Path, cast: Path
) -> None:
    """A failure names the line in tests/c/openssl and the condition there."""
    different = DIFFERENT | (DIFFERENT_IN_TLS13 if tls == "TLS1.3" else {})
    code, told, errors = ended([program, cast, tls, name])
    if name in different:
        assert code == 1
        assert different[name] in errors
    else:
        assert (code, told, errors) == (0, f"{name}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("tls", VERSIONS)
def test_an_allocation_that_fails_accepts_nobody_on_boringssl(
    tls: str, cast: Path
) -> None:
    """Every seventh one, in full and resumed handshakes."""
    faults = objects(BORINGSSL).program("faults", "dialogue")
    code, told, errors = ended([faults, cast, tls, "7"])
    assert (code, errors) == (0, "")
    numbers = [int(number) for number in re.findall(r"(\d+) faults", told)]
    assert len(numbers) == 2
    assert min(numbers) > 100


@pytest.mark.slow
@pytest.mark.parametrize("tls", VERSIONS)
def test_each_handshake_of_boringssl_is_decided_by_exactly_one_policy(
    tls: str, cast: Path
) -> None:
    """Eight threads connect while a ninth replaces policies and frees the old ones."""
    swaps = objects(BORINGSSL).program("swaps", "dialogue")
    code, told, errors = ended([swaps, cast, tls, "8", "1000"])
    assert (code, errors) == (0, "")
    assert told.startswith("1000 handshakes, ")


def test_unknown_names_of_steps_let_nobody_in(cast: Path, tmp_path: Path) -> None:
    """Another copy of BoringSSL may have other names; these scenarios hold with any."""
    change = {
        "in": "pv__step_of",
        "find": "strcmp(name, STEPS[i].name) == 0",
        "put": "strcmp(name, STEPS[i].name) == 0 && 0",
    }
    program = without({"change": [change]}, tmp_path, objects(BORINGSSL))
    for tls in VERSIONS:
        told = "".join(f"{name}\n" for name in WITHOUT_NAMES)
        assert ended([program, cast, tls, *WITHOUT_NAMES]) == (0, told, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "remedy", REMEDIES, ids=lambda remedy: f"{remedy['pitfall']}: {remedy['what']}"
)
def test_a_scenario_fails_on_boringssl_without_its_remedy(
    remedy: dict[str, Any], cast: Path, tmp_path: Path
) -> None:
    """It sees a condition that does not hold; a crash would show nothing."""
    program = without(remedy, tmp_path, objects(BORINGSSL))
    for name in remedy["scenarios"]:
        codes = [ended([program, cast, tls, name])[0] for tls in VERSIONS]
        assert set(codes) <= {0, 1}, name
        assert 1 in codes, f"{name} holds without the remedy"
