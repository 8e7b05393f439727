"""The fleet's private certificate authority: who may connect to the broker, and who no longer.

Certificates say nothing about commands: those are signed by other keys (protocol section 2.1).
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.backend.files import OPEN_MODE, SECRET_MODE, read_file, require_own, write_new
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

# A Pi without a clock boots in the past, and would find a new certificate "not yet valid" (protocol section 2.10).
NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

# Longer than a car is kept; a certificate is ended by the revocation list, not by its date. The CA outlives them all.
CLIENT_YEARS = 20
AUTHORITY_YEARS = 40

# A broker refuses every car once its revocation list is past this date, so it is far off: the list is made anew with
# each revocation, and an old one in its place is what a stolen broker would have anyway.
REVOCATION_LIST_YEARS = 10

_PEM_BYTES_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA's certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue_client(self, subject: str, public_key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """A certificate to connect with; the broker takes `subject` for the user's name."""
        return self._issue(subject, public_key, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def issue_server(self, host: str, public_key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """The broker's certificate; `host` is the name or address by which cars reach it."""
        return self._issue(host, public_key, ExtendedKeyUsageOID.SERVER_AUTH, _general_name(host))

    def revocation_list(self, revoked: Mapping[int, datetime.datetime], now: datetime.datetime) -> bytes:
        """The list of revoked serial numbers in PEM, for the broker's `crlfile`."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - datetime.timedelta(days=1))  # the broker's clock may be behind ours
            .next_update(_years_on(now, REVOCATION_LIST_YEARS))
            .add_extension(self._key_identifier(), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial, since in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _issue(
        self,
        subject: str,
        public_key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier,
        host: x509.GeneralName | None,
    ) -> x509.Certificate:
        builder = (
            _builder(subject, self.certificate.subject, public_key, CLIENT_YEARS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def make_authority(folder: Path, name: str) -> Authority:
    """Make a CA and write `ca.key` (0600) and `ca.pem` into `folder`; never overwrites one."""
    key = new_tls_key(folder / "ca.key")
    certificate = (
        _builder(name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), AUTHORITY_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage_of_an_authority(), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_new(folder / "ca.pem", certificate.public_bytes(Encoding.PEM), OPEN_MODE)
    return Authority(certificate, key)


def load_authority(folder: Path) -> Authority:
    """The CA in `folder`; ConfigurationError naming the file that is missing, open to others, or wrong."""
    key_file, certificate_file = folder / "ca.key", folder / "ca.pem"
    if not key_file.exists() and not certificate_file.exists():
        raise ConfigurationError(
            f"{folder}: there is no certificate authority here; expected ca.key and ca.pem, "
            "as `carshare-backend fleet init` makes them"
        )
    require_own(key_file)
    try:
        key = load_pem_private_key(read_file(key_file, _PEM_BYTES_MAX), None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{key_file}: no private key; expected one in PEM, not encrypted") from None
    try:
        certificate = x509.load_pem_x509_certificate(read_file(certificate_file, _PEM_BYTES_MAX))
    except ValueError:
        raise ConfigurationError(f"{certificate_file}: no certificate; expected one in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise ConfigurationError(f"{certificate_file}: is not the certificate of the key in {key_file}")
    return Authority(certificate, key)


def new_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key and write it to a new file (PEM, 0600)."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), SECRET_MODE)
    return key


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, years: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(_years_on(datetime.datetime.now(datetime.UTC), years))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _years_on(now: datetime.datetime, years: int) -> datetime.datetime:
    return now + datetime.timedelta(days=365 * years)


def _usage_of_an_authority() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
