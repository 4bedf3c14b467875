"""The subject of a certificate as text (RFC 4514)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from tricorn.protocol.distinguished_name import subject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWN = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1.200")


def certificate(*parts: x509.NameAttribute | list[x509.NameAttribute]) -> bytes:
    """One with this subject, the least specific part first."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.RelativeDistinguishedName(p if isinstance(p, list) else [p]) for p in parts]
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


def attribute(
    oid: x509.ObjectIdentifier, value: str, kind: _ASN1Type | None = None
) -> x509.NameAttribute:
    return x509.NameAttribute(oid, value, kind)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        ([attribute(NameOID.COMMON_NAME, "peer")], "CN=peer"),
        (
            [
                attribute(NameOID.COUNTRY_NAME, "DE"),
                attribute(NameOID.ORGANIZATION_NAME, 'A, "B" + <C>;=\\'),
                attribute(NameOID.COMMON_NAME, " #1\u00e9 "),
            ],
            r"CN=\ #1é\ ,O=A\, \"B\" \+ \<C\>\;\=\\,C=DE",
        ),
        ([attribute(NameOID.COMMON_NAME, "#1")], r"CN=\#1"),
        ([attribute(NameOID.COMMON_NAME, "a\0b \n")], "CN=a\\00b \n"),
        ([attribute(NameOID.COMMON_NAME, "\u20ac", _ASN1Type.BMPString)], "CN=\u20ac"),
        ([attribute(NameOID.COMMON_NAME, "x" * 60)] * 5, ",".join(["CN=" + "x" * 60] * 5)),
        (
            [
                attribute(NameOID.DOMAIN_COMPONENT, "example"),
                [attribute(NameOID.SERIAL_NUMBER, "7"), attribute(NameOID.EMAIL_ADDRESS, "a@b")],
            ],
            "serialNumber=7+emailAddress=a@b,DC=example",
        ),
        # Without a name, or no text: in hexadecimal.
        ([attribute(OWN, "ab")], "1.3.6.1.4.1.99999.1.200=#0c026162"),
    ],
)
def test_the_text(parts: list[x509.NameAttribute], text: str) -> None:
    assert subject(certificate(*parts)) == text


def test_a_value_that_is_no_text() -> None:
    data = certificate(attribute(NameOID.COMMON_NAME, "abcd\u00e9"))
    assert subject(data.replace(b"abcd\xc3\xa9", b"abcd\xff\xfe")) == "CN=#0c0661626364fffe"


def test_what_is_no_certificate() -> None:
    data = certificate(attribute(NameOID.COMMON_NAME, "peer"))
    for end in range(len(data)):
        assert subject(data[:end]) is None
    # Lengths that X.690 has and DER has not.
    assert subject(b"\x30\x80" + data[4:] + b"\0\0") is None
    assert subject(b"\x30\x02\x30\x00") is None
