"""The subject of a certificate as text: as `cryptography` writes it, for any bytes."""

from __future__ import annotations

import contextlib
import re

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from corpora import inputs
from oracle_der import encode
from pinverify.policy._certs_and_pins import element, name_text, subject_of
from pki import Pki, self_signed

__all__: list[str] = []


def test_subjects_of_other_projects_are_read_as_cryptography_reads_them() -> None:
    """Where both read one, they agree; most are read by both."""
    compared = 0
    for one in inputs():
        ours = subject_of(one.der)
        with contextlib.suppress(Exception):  # not every input is a certificate
            theirs = x509.load_der_x509_certificate(one.der).subject.rfc4514_string()
            if ours:
                assert ours == theirs, one
                compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    "name", ["a", "a,b+c", '"q"', "#1", " x ", "\\", "<;>", "\u00fc\u4e2d", "a=b"]
)
def test_a_name_is_escaped_as_rfc_4514_says(name: str) -> None:
    """A comma in a name is not the end of it."""
    identity = self_signed("a.example", common_name=name)
    assert (
        subject_of(identity.der)
        == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]).rfc4514_string()
    )


def name_with_oid(length: int) -> bytes:
    """Return a name with one attribute, whose OID is one large number."""
    oid = encode(0x06, b"\x2a" + b"\x81" * (length - 2) + b"\x01")
    attribute = encode(0x30, oid + encode(0x0C, b"x"))
    return encode(0x30, encode(0x31, attribute))


def test_an_oid_that_names_nothing_is_not_written_out() -> None:
    """Its number grows with each byte; `cryptography` refuses more than 63 too."""
    name = name_with_oid(63)
    assert re.fullmatch(r"1\.2\.\d{129}=x", name_text(name, element(name, 0)))
    name = name_with_oid(64)
    with pytest.raises(ValueError, match="OID"):
        name_text(name, element(name, 0))


@given(data=st.binary(max_size=300))
def test_any_bytes_have_a_subject_or_none(data: bytes) -> None:
    """A peer chooses these bytes, and the log must not fail for them."""
    assert isinstance(subject_of(data), str)


@given(data=st.data())
def test_a_damaged_certificate_raises_nothing(pki: Pki, data: st.DataObject) -> None:
    """A length that lies, or an end that comes early."""
    der = bytearray(pki.server.der)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(der)))
    subject_of(bytes(der))
    subject_of(bytes(der[:end]))
