"""The fleet's CA, and the list of what it has revoked, as other software reads them."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.backend.authority import Authority, load_authority, make_authority
from agent.errors import ConfigurationError

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"), "test fleet")


def test_a_made_ca_is_loaded_again_and_its_key_is_its_owners_alone(tmp_path: Path) -> None:
    made = make_authority(tmp_path / "ca", "test fleet")
    assert load_authority(tmp_path / "ca").certificate == made.certificate
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600


def test_a_ca_is_never_overwritten(tmp_path: Path) -> None:
    make_authority(tmp_path, "test fleet")
    before = (tmp_path / "ca.key").read_bytes()
    with pytest.raises(ConfigurationError, match=r"ca\.key: is there already"):
        make_authority(tmp_path, "test fleet")
    assert (tmp_path / "ca.key").read_bytes() == before


def test_a_cars_certificate_names_it_and_is_good_for_a_car_without_a_clock(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = authority.issue_client("0123456789abcdef", key)
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=0123456789abcdef"
    assert certificate.public_key() == key
    assert certificate.not_valid_before_utc == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    years = (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days / 365
    assert 19.9 < years < 20.1
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    ("host", "name"), [("broker.example", x509.DNSName("broker.example")), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")]
)
def test_the_brokers_certificate_is_for_its_name_or_address(authority: Authority, host: str, name: object) -> None:
    certificate = authority.issue_server(host, ec.generate_private_key(ec.SECP256R1()).public_key())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name if isinstance(name, x509.DNSName) else str(one.value) for one in names] == [name]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_list_holds_what_was_revoked_and_does_not_run_out_soon(authority: Authority) -> None:
    listed = x509.load_pem_x509_crl(authority.revocation_list({5: NOW, 7: NOW}, NOW))
    assert {entry.serial_number for entry in listed} == {5, 7}
    assert listed.issuer == authority.certificate.subject
    key = authority.key.public_key()
    assert listed.is_signature_valid(key)
    assert listed.last_update_utc < NOW
    assert listed.next_update_utc is not None
    assert (listed.next_update_utc - NOW).days > 9 * 365  # past that date a broker would refuse every car


def test_no_ca_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no certificate authority here.*fleet init"):
        load_authority(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("ca.key", b"", r"ca\.key: no private key"),
        ("ca.pem", b"-----BEGIN", r"ca\.pem: no certificate"),
        ("ca.pem", None, r"ca\.pem: cannot be read: No such file"),
        ("ca.key", None, r"ca\.key cannot be read: No such file"),
    ],
)
def test_a_broken_ca_is_told_by_its_file(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    make_authority(tmp_path, "test fleet")
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem):
        load_authority(tmp_path)


def test_the_key_of_another_ca_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        make_authority(tmp_path / name, name)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(ConfigurationError, match="is not the certificate of the key"):
        load_authority(tmp_path / "one")


@pytest.mark.hazard("H135")
def test_a_ca_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make_authority(tmp_path, "test fleet")
    (tmp_path / "ca.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"mode 0640.*chmod 600"):
        load_authority(tmp_path)
