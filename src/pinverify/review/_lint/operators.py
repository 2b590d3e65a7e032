"""Operators who change keys without telling the owner of a host, and their keys.

Operators of authorities choose between several keys: a certificate may come from
another root or intermediate at the next renewal. Operators whose customers choose the
root are not here. The keys were computed from certificates, and a test computes them
again: the keys of roots that browsers trust from these roots, all other keys from the
test vectors, whose chains lead to one of these roots.

Providers serve the hosts of others under names that belong to the providers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.files import _digests
from pinverify.policy._certs_and_pins import Pin, PinKind, subject_of
from pinverify.review._certificates import issuer_and_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "INTERMEDIATES",
    "ROOTS",
    "Key",
    "has_key",
    "has_root",
    "key_of",
    "known_among",
    "listed",
    "missing_roots",
    "provider_of",
    "rotating",
    "why_no_intermediate",
]

# The roots that each operator issued from in November 2026. Generation Y of Let's
# Encrypt is signed by X1 and X2; if a trust store has generation Y, chains end there.
ROOTS = {
    "Let's Encrypt": {
        "ISRG Root X1": "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
        "ISRG Root X2": "diGVwiVYbubAI3RW4hB9xU8e/CH2GnkuvVFZE8zmgzI=",
        "Root YE": "sCkq5UWXjg+7mKu9lMhhYF5bGLsy7VI/UNW3tccdR7w=",
        "Root YR": "fk6IOKit1ild5647BH06ujSIq5XbCgqlbYl6ANhhi88=",
    },
    "Google Trust Services": {
        "GTS Root R1": "hxqRlPTu1bMS/0DITB1SSu0vd4u/8l8TjPgfaAp63Gc=",
        "GTS Root R3": "QXnt2YHvdHR3tJYmQIr0Paosp6t/nggsEGD4QJZ3Q0g=",
        "GTS Root R4": "mEflZT5enoR1FuXLgYYGqnVEoZvmf9c2bVBpiOjYQ0c=",
        "GlobalSign ECC Root CA - R4": "CLOmM1/OXvSPjw5UOYbAf9GKOxImEp9hhku9W90fHMk=",
    },
    "Amazon": {
        "Amazon Root CA 1": "++MBgDH5WGvL9Bcn5Be30cRcL0f5O+NyoXuWtQdX1aI=",
        "Amazon Root CA 2": "f0KW/FtqTjs108NpYj42SrGvOB2PpxIVM8nWxjPqJGE=",
        "Amazon Root CA 3": "NqvDJlas/GRcYbcWE8S/IceH9cq77kg0jVhZeAPXq8k=",
        "Amazon Root CA 4": "9+ze1cZgR9KO1kZrVDxA4HQ6voHRCSVNz4RdTCx4U8U=",
        "Starfield Services Root Certificate Authority - G2": (
            "KwccWaCgrnaw6tsrrSO61FgLacNgG2MMLq8GE6+oP5I="
        ),
    },
}

# Intermediates, retired ones first. X1 and X3 have one key, and so have X2 and X4.
INTERMEDIATES = {
    "Let's Encrypt": {
        "Let's Encrypt Authority X3": "YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=",
        "Let's Encrypt Authority X4": "sRHdihwgkaib1P1gxX8HFszlD+7/gTfNvuAybgLPNis=",
        "E1": "J2/oqMTsdhFWW/n85tys6b4yDBtb6idZayIEBx7QTxA=",
        "E2": "vZNucrIS7293MQLGt304+UKXMi78JTlrwyeUIuDIknA=",
        "R3": "jQJTbIh0grw0/1TkHSumWb+Fs0Ggogr621gT3PvPKG0=",
        "R4": "5VReIRNHJBiRxVSgOTTN6bdJZkpZ0m1hX+WPd5kPLQM=",
        "E5": "NYbU7PBwV4y9J67c4guWTki8FJ+uudrXL0a4V4aRcrg=",
        "E6": "0Bbh/jEZSKymTy3kTOhsmlHKBB32EDu1KojrP3YfV9c=",
        "E7": "y7xVm0TVJNahMr2sZydE2jQH8SquXV9yLF9seROHHHU=",
        "E8": "iFvwVyJSxnQdyaUvUERIf+8qk7gRze3612JMwoO3zdU=",
        "E9": "8UQKm3bh5B5TpMtGEym/Yze0GXJr5RPkLhnxxpHF1LI=",
        "R10": "K7rZOrXHknnsEhUH8nLL4MZkejquUuIvOIr6tCa0rbo=",
        "R11": "bdrBhpj38ffhxpubzkINl0rG+UyossdhcBYj+Zx2fcc=",
        "R12": "kZwN96eHtZftBWrOZUsd6cA4es80n3NzSk/XtYz2EqQ=",
        "R13": "AlSQhgtJirc8ahLyekmtX+Iw+v46yPYRLJt9Cq1GlB0=",
        "R14": "8WR6XuPvrFTIkukwWE/keXm3rNHHbBJxvKHFB22GmIg=",
        "YE1": "brzvtCELCIZUo4sD/qPX0ccRtPsd3DY6RfmxpOU9oB4=",
        "YE2": "s/tdAOmUzd8syaTuqfgGvFcn6DzA5Cmb+Vby1ST+U3Y=",
        "YE3": "ppiiCCS+BOR6GjPE+kiHMb6SAR8jox6QDiyibJwqz84=",
        "YR1": "LoMHBotttiDko50Gi13uXW71eIy7LAttI+rYT8wXF4w=",
        "YR2": "nWN7PSep5XDQdge5zK24CnCRXHr3KvzhKEGxsdqCX9E=",
        "YR3": "UaqofZhLVZrGnpKfiIoCLYMuCJ/026CkErUQG8pLx5k=",
    }
}


class Key(NamedTuple):
    """A key of an operator.

    Attributes:
        operator: the operator that has it.
        name: the name of its certificate.
        is_root: False for an intermediate.
    """

    operator: str
    name: str
    is_root: bool


_KEYS = {
    Pin.spki(text).digest: Key(operator, name, is_root)
    for table, is_root in ((ROOTS, True), (INTERMEDIATES, False))
    for operator, keys in table.items()
    for name, text in keys.items()
}


def key_of(pin: Pin) -> Key | None:
    """Return the operator's key that a pin means; None if it is not known."""
    return _KEYS.get(pin.digest) if pin.kind is PinKind.SPKI else None


def has_key(pins: Iterable[Pin]) -> bool:
    """Return True if a digest of *pins* may be of a known key; fast, for many rules."""
    return not _KEYS.keys().isdisjoint([pin.digest for pin in pins])


def known_among(digests: Sequence[bytes]) -> set[bytes]:
    """Return those digests that may be of an operator's key, or of no key at all."""
    return _digests.known_among(digests) | (_KEYS.keys() & digests)


def has_root(operator: str, pins: Iterable[Pin]) -> bool:
    """Return True if a root of an operator is among *pins*."""
    return any(
        key.is_root and key.operator == operator
        for key in map(key_of, pins)
        if key is not None
    )


def missing_roots(operator: str, pins: Iterable[Pin]) -> dict[str, Pin]:
    """Return the roots of an operator that are not among *pins*, by name."""
    roots = {name: Pin.spki(text) for name, text in ROOTS[operator].items()}
    there = set(pins)
    return {name: pin for name, pin in roots.items() if pin not in there}


def listed(roots: Mapping[str, Pin]) -> str:
    """Return names and pins in one text."""
    return ", ".join(f"{name} {pin}" for name, pin in roots.items())


def why_no_intermediate(operator: str) -> str:
    """Return why not to pin an intermediate of an operator, and the next step."""
    return (
        f"an intermediate of {operator}, which replaces them without notice; pin all "
        f"roots instead: {listed(missing_roots(operator, ()))}"
    )


# The organization in the subject of their certificates.
_ORGANIZATIONS = {
    "Let's Encrypt": "Let's Encrypt",
    "Google Trust Services": "Google Trust Services",
    "Google Trust Services LLC": "Google Trust Services",
    "Amazon": "Amazon",
}


def rotating(cert: bytes) -> str:
    """Return the operator that an intermediate names; empty for others and roots."""
    issuer, subject = issuer_and_subject(cert)
    if issuer == subject:
        return ""
    named = f"{subject_of(cert)},"
    for organization, operator in _ORGANIZATIONS.items():
        if f",O={organization}," in named:
            return operator
    return ""


# ---- providers -------------------------------------------------------------------

# Names whose owner serves others, and changes keys without telling them.
_PROVIDERS = {
    **dict.fromkeys(("amazonaws.com", "cloudfront.net", "awsapps.com"), "Amazon"),
    **dict.fromkeys(
        (
            *("azurewebsites.net", "azureedge.net", "azurefd.net", "windows.net"),
            *("cloudapp.net", "azure-api.net", "microsoft.com", "live.com"),
            *("microsoftonline.com", "office.com", "office365.com"),
        ),
        "Microsoft",
    ),
    **dict.fromkeys(
        (
            *("googleapis.com", "google.com", "gstatic.com", "appspot.com", "web.app"),
            *("firebaseio.com", "firebaseapp.com", "run.app", "cloudfunctions.net"),
            "blogspot.com",
        ),
        "Google",
    ),
    **dict.fromkeys(("apple.com", "icloud.com"), "Apple"),
    **dict.fromkeys(("facebook.com", "fbcdn.net", "instagram.com"), "Meta"),
    **dict.fromkeys(("github.com", "github.io", "githubusercontent.com"), "GitHub"),
    **dict.fromkeys(("cloudflare.com", "workers.dev", "pages.dev"), "Cloudflare"),
    **dict.fromkeys(("akamaihd.net", "akamaized.net", "edgekey.net"), "Akamai"),
    **dict.fromkeys(("fastly.net", "fastlylb.net"), "Fastly"),
    **dict.fromkeys(("netlify.app", "netlify.com"), "Netlify"),
    **dict.fromkeys(("stripe.com", "stripe.network"), "Stripe"),
    "ddns.net": "No-IP",
    "herokuapp.com": "Heroku",
    "vercel.app": "Vercel",
    "fly.dev": "Fly.io",
    "onrender.com": "Render",
    "paypal.com": "PayPal",
    "twilio.com": "Twilio",
    "sentry.io": "Sentry",
    "auth0.com": "Auth0",
    "okta.com": "Okta",
    "myshopify.com": "Shopify",
    "zendesk.com": "Zendesk",
    "slack.com": "Slack",
    "openai.com": "OpenAI",
    "anthropic.com": "Anthropic",
}


def provider_of(name: str) -> str:
    """Return the provider that serves a host for others; empty if none is known."""
    while name:
        if name in _PROVIDERS:
            return _PROVIDERS[name]
        _, _, name = name.partition(".")
    return ""
