"""Texts of the C core for messages and logs: reasons, pins and its version."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pinverify
from pinverify import Pin, Reason
from pinverify._core import ffi, lib
from places import ROOT

__all__: list[str] = []

REASONS = {
    Reason.MISMATCH: "the chain does not match the pins",
    Reason.MATCH: "the chain matches the pins",
    Reason.NOT_PINNED: "the host is not pinned",
    Reason.EXPIRED: "the pins have expired",
    Reason.NO_CERTIFICATE: "the peer showed no certificate",
    Reason.MALFORMED: "a certificate is not strict DER",
    Reason.BLOCKED: "a key or certificate of the chain is blocked",
    Reason.BAD_HOST: "the host has no canonical form",
    Reason.NOT_CHECKED: "the chain was not checked: no evidence, or a failure",
}


def reason_text(number: int) -> str:
    """Return the text of a reason."""
    return bytes(ffi.string(lib.pv_reason_text(number))).decode("ascii")


def pin_text(kind: int, digest: bytes) -> str:
    """Return the text of a pin; what is behind its NUL must be left alone."""
    room = 2 * (lib.PV_PIN_TEXT_MAX + 1)
    out = ffi.new("char[]", b"\xff" * room)
    assert lib.pv_pin_text(out, kind, digest) == out
    text, _, behind = bytes(ffi.buffer(out, room)).partition(b"\0")
    assert behind == b"\xff" * (room - len(text) - 1)
    return text.decode("ascii")


def test_each_reason_has_its_text() -> None:
    """A log says why, and a number that is no reason is not taken for one."""
    assert list(REASONS) == sorted(Reason)
    assert {reason: reason_text(reason) for reason in Reason} == REASONS
    for number in (max(Reason) + 1, 255, 2**31):
        assert reason_text(number) == "unknown reason"


@given(digest=st.binary(min_size=32, max_size=32))
def test_a_pin_is_spelt_as_python_spells_it(digest: bytes) -> None:
    """A pin that C prints can be pasted into a policy file."""
    assert pin_text(lib.PV_SPKI, digest) == str(Pin.spki(digest))
    assert pin_text(lib.PV_CERTIFICATE, digest) == str(Pin.certificate(digest))


def test_each_digit_of_base64_is_spelt_as_python_spells_it() -> None:
    """All 64 of them occur, at each place of a group, and in the last digit."""
    for shift in range(256):
        digest = bytes((37 * i + shift) % 256 for i in range(32))
        assert pin_text(lib.PV_SPKI, digest) == str(Pin.spki(digest))


@pytest.mark.parametrize("kind", [2, 255, 2**32 - 1])
def test_a_pin_of_an_unknown_kind_is_no_pin(kind: int) -> None:
    """The text says so; nothing reads it as a pin."""
    assert pin_text(kind, bytes(32)) == "unknown kind"
    with pytest.raises(ValueError, match="unknown kind"):
        Pin.parse("unknown kind")


def test_the_version_is_the_same_everywhere() -> None:
    """The library, its header, the package, and what is published."""
    version = pinverify.__version__
    assert bytes(ffi.string(lib.pv_version())).decode("ascii") == version
    header = (ROOT / "csrc" / "pinverify.h").read_text(encoding="ascii")
    macros = dict(re.findall(r"#define PV_VERSION(\w*) (\S+)", header))
    assert macros.pop("") == f'"{version}"'
    parts = (macros[f"_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))
    assert ".".join(parts) == version
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{version}"\n' in project
