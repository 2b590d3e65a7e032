"""Names of keys, which must be exactly those that the other systems read.

A reader and a writer with the same wrong name agree with each other, but with no
system. So the names are listed here as they are in the code of each system.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from other_systems import vectors, vectors_folder
from places import ROOT

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
    "envoy": Names(
        "envoyproxy/data-plane-api envoy/extensions/transport_sockets/tls/v3/ "
        "common.proto, secret.proto and tls.proto "
        "84e84367f2560cdb47b9bb78fd3e615feb80c3e4",
        "_envoy _envoy_contexts",
        """verify_certificate_spki verify_certificate_hash common_tls_context
        validation_context combined_validation_context default_validation_context
        validation_context_sds_secret_config UpstreamTlsContext DownstreamTlsContext sni
        require_client_certificate trust_chain_verification VERIFY_TRUST_CHAIN
        ACCEPT_UNTRUSTED custom_validator_config match_typed_subject_alt_names
        match_subject_alt_names trusted_ca crl watched_directory system_root_certs
        ca_certificate_provider_instance require_signed_certificate_timestamp
        allow_expired_certificate only_verify_leaf_cert_crl max_verify_depth""",
    ),
    "postfix": Names(
        "vdukhovni/postfix postfix/src/global/mail_params.h and smtp/smtp_tls_policy.c "
        "17830e5c13c160d51c95cb971d137a46de84e48c, tls/tls_level.c "
        "072fa2d1f7beaf41756c30a69ef96cb611461cec; half-dane: postconf(5)",
        "_postfix",
        """smtp_tls_security_level smtp_tls_fingerprint_digest compatibility_level
        smtp_tls_fingerprint_cert_match smtp_tls_policy_maps fingerprint match=
        none may encrypt dane dane-only half-dane verify secure""",
    ),
    "hpkp": Names(
        "RFC 7469, sections 2.1 and 3",
        "_hpkp",
        """Public-Key-Pins Public-Key-Pins-Report-Only pin-sha256 max-age
        includesubdomains report-uri""",
    ),
    "okhttp": Names(
        "square/okhttp okhttp/src/main/kotlin/okhttp3/CertificatePinner.kt "
        "1cf700cbff251f9b1016a35339843e322cd566ae and OkHttpClient.kt "
        "0073f344963e060c3f34b2899d3a6a544f80780a",
        "_okhttp _okhttp_calls",
        "CertificatePinner .Builder add build pins certificatePinner .DEFAULT sha256/",
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


# ---- vectors -----------------------------------------------------------------------

# Of the anchors of Android, and of its Certificate Transparency.
PASSED_OVER = {"certificates", "src", "certificateTransparency", "enabled"}


def test_words_of_the_vectors_are_keys() -> None:
    """Android's own files have no element and no attribute that is spelt otherwise."""
    words: set[str] = set()
    for file in vectors_folder("android-nsc").glob("*.xml"):
        for _, element in ET.iterparse(file):  # noqa: S314 - of the vectors
            words |= {element.tag, *element.attrib}
    assert len(words) > 10
    assert words - PASSED_OVER <= {*SYSTEMS["android"].keys.split()}


def test_directives_of_the_vectors_are_keys() -> None:
    """Each header that Chromium's test accepts has the names that ours has."""
    words: Counter[str] = Counter()
    for case in vectors("hpkp", "headers.json")["cases"]:
        if case["result"] == "accepted":
            parts = re.sub(r'"[^"]*"', "", case["header"]).split(";")
            words.update(part.partition("=")[0].strip().lower() for part in parts)
    ours = {*SYSTEMS["hpkp"].keys.lower().split()}
    assert {"pin-sha256", "max-age", "includesubdomains"} <= words.keys() & ours


def test_pins_of_the_vectors_begin_as_ours() -> None:
    """OkHttp's test builds no other pins than SHA-1, which is refused, and SHA-256."""
    pins = vectors("okhttp", "matching.json")["pins"]
    starts = {
        one["pin"].partition("/")[0] for one in pins if one["result"] != "refused"
    }
    assert starts <= {"sha1", "sha256"}
    assert "sha256" in starts
