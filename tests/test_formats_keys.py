"""Names of keys are those that the other systems read, letter by letter.

A reader and a writer that share a wrong name agree with each other, and with no system:
so the names are listed here as they stand in the code of each system.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

import pytest

from cli_runs import ROOT

__all__: list[str] = []

FORMATS = ROOT / "src" / "pinverify" / "formats"


class Names(NamedTuple):
    """The names of one system.

    Attributes:
        seen: repository, path and commit where they were read.
        files: our modules for the format, without the ending.
        keys: the names.
    """

    seen: str
    files: str
    keys: str


SYSTEMS = {
    "android": Names(
        "aosp-mirror/platform_frameworks_base core/java/android/security/net/config/"
        "XmlConfigSource.java 0172a23b1af4735bcca3580bc53e37f57a639c7a",
        "_android",
        """network-security-config base-config domain-config debug-overrides domain
        includeSubdomains pin-set expiration pin digest trust-anchors overridePins
        hstsEnforced cleartextTrafficPermitted""",
    ),
    "trustkit": Names(
        "datatheorem/TrustKit TrustKit/TSKTrustKitConfig.m "
        "c48790f306234926d66ed1eb04acf0c23b3df5a1 (3.0.0)",
        "_trustkit",
        """TSKSwizzleNetworkDelegates TSKPinnedDomains
        TSKIgnorePinningForUserDefinedTrustAnchors TSKPublicKeyHashes TSKEnforcePinning
        kSKExcludeSubdomainFromParentPolicy TSKIncludeSubdomains TSKPublicKeyAlgorithms
        TSKReportUris TSKDisableDefaultReportUri TSKExpirationDate""",
    ),
    "chromium": Names(
        "chromium/chromium net/tools/transport_security_state_generator/"
        "input_file_parsers.cc (with two lists); of the old layout: "
        "hanpfei/chromium-net net/http/transport_security_state_static.json "
        "9df8ce98c2a14fb60c2f581853011e32eb4bed0f",
        "_chromium",
        """name policy include_subdomains mode pins entries pinsets PinsListTimestamp
        include_subdomains_for_pinning static_spki_hashes bad_static_spki_hashes
        report_uri""",
    ),
    "apple": Names(
        "Averyy/apple-dev-docs 23ec83f5f90a45b4279a1208c25d413ded3561c2",
        "_apple",
        """NSAppTransportSecurity NSPinnedDomains NSIncludesSubdomains
        NSPinnedLeafIdentities NSPinnedCAIdentities SPKI-SHA256-BASE64""",
    ),
}


def _constants(files: str) -> set[str]:
    """Return all texts in the code of our modules."""
    return {
        node.value
        for file in files.split()
        for node in ast.walk(ast.parse((FORMATS / f"{file}.py").read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_keys_are_those_of_the_system(name: str) -> None:
    """Each stands in our code as it does in theirs."""
    names = SYSTEMS[name]
    assert set(names.keys.split()) <= _constants(names.files)


def test_trustkit_has_no_other_keys() -> None:
    """A text that begins like a key of TrustKit is one; its manual has another."""
    ours = {
        text
        for text in _constants("_trustkit")
        if text.startswith(("TSK", "kSK")) and text.isalpha()
    }
    theirs = set(SYSTEMS["trustkit"].keys.split())
    dictionary = {"TSKConfiguration"}  # TSKTrustKitConfig has it as an argument
    misnamed = {"TSKExcludeSubdomainFromParentPolicy"}
    assert ours == theirs | dictionary | misnamed
