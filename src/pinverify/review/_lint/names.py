"""Names of hosts: whose they are, and how they look."""

from __future__ import annotations

import unicodedata

__all__ = ["is_local", "is_public_suffix", "mixed_scripts", "provider_of"]

# ---- public suffixes -------------------------------------------------------------
#
# A table and not the Public Suffix List: that changes each week, so a copy in here, or
# one in a dependency, is always old; and it has half a megabyte, which takes ten times
# as long to read as a usual policy. A suffix that is missing here costs a warning, and
# no decision. Each that is here was on the list in November 2026.
_BELOW = {
    "ae": "ac co gov mil net org sch",
    "ar": "com edu gob gov mil net org",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov mil net org",
    "br": "com edu gov ind mil net nom org",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cy": "ac com gov ltd mil net org",
    "ec": "com edu gob gov mil net org",
    "eg": "com edu gov mil net org",
    "es": "com edu gob nom org",
    "fr": "asso com gouv nom",
    "gr": "com edu gov net org",
    "gt": "com edu gob ind mil net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac co go mil net or sch web",
    "il": "ac co gov net org",
    "in": "ac co edu firm gen gov ind mil net org res",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go me ne or",
    "kr": "ac co go mil ne or pe re",
    "mx": "com edu gob net org",
    "my": "com edu gov mil net org",
    "ng": "com edu gov mil net org sch",
    "nz": "ac co gen govt iwi mil net org school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov mil net org",
    "pk": "com edu gov net org web",
    "pl": "com edu gov info net org",
    "pt": "com edu gov net org",
    "sa": "com edu gov net org sch",
    "sg": "com edu gov net org",
    "th": "ac co go in mi net or",
    "tr": "bel com edu gen gov k12 mil net org web",
    "tw": "com edu gov idv mil net org",
    "ua": "com edu gov in net org",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov mil net org web",
    "vn": "ac com edu gov net org",
    "za": "ac co edu gov law mil net nom org school web",
    "zw": "ac co gov mil org",
}
_SUFFIXES = {
    f"{label}.{country}"
    for country, labels in _BELOW.items()
    for label in labels.split()
}
# Names at the top that nobody can register, and that networks use inside.
_INSIDE = {"corp", "home", "internal", "intranet", "lan", "local", "private"}
# Names at the top that RFC 2606, 6761, 7686 and 9476 keep out of the DNS.
_SPECIAL = {"alt", "example", "invalid", "localhost", "onion", "test"}


def is_local(label: str) -> bool:
    """Return True if a name at the top is none of the public DNS."""
    return label in _INSIDE or label in _SPECIAL


def is_public_suffix(name: str) -> bool:
    """Return True if anybody can register names below *name*, as below ``co.uk``."""
    if "." in name:
        return name in _SUFFIXES
    return name not in _INSIDE


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


# ---- scripts ---------------------------------------------------------------------

_LOOK_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}


def mixed_scripts(name: str) -> str:
    """Return the label of a name that has letters of several scripts, or nothing.

    Letters of some scripts look like those of others: a name with both is mistaken for
    another one. The label is given with its letters and not as an A-label.
    """
    for label in name.split("."):
        if label.startswith("xn--"):
            try:
                import idna  # noqa: PLC0415 - see core/_hosts.py

                text = idna.decode(label)
            except UnicodeError:  # no IDN, but a name all the same
                continue
            scripts = {unicodedata.name(c, "").partition(" ")[0] for c in text}
            if len(scripts & _LOOK_ALIKE) > 1:
                return text
    return ""
