"""A private Mosquitto on a free loopback port, with the rights and certificates a test asks for."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.process import Process, until

START_WITHIN_S = 10.0
_FIRST_PORT_OF_CONNECTIONS = 32_768  # Linux: net.ipv4.ip_local_port_range as it comes


class Mosquitto:
    """One broker; `start` and `stop` may alternate, the port stays."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._folder = folder
        self._runs = 0
        self._process: Process | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            # Started by root it would become `mosquitto`, and then could not read what the test wrote.
            *(["user root"] if os.geteuid() == 0 else []),
            *options,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self._runs += 1
        self._process = Process(f"mosquitto-{self._runs}", ["mosquitto", "-c", "mosquitto.conf"], self._folder)
        try:
            until(self._is_listening, within_s=START_WITHIN_S, what=f"Mosquitto listens on {self._ports()}")
        except AssertionError as error:
            said = self._process.said()
            self.stop()
            raise AssertionError(f"{error}; it said: {said}") from None

    def end(self) -> None:
        """Ask it to end, so that it writes down what it holds, if its options say where."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None

    def _ports(self) -> list[int]:
        """Of every listener in its file, which a test may have written anew: they open one after another."""
        configuration = (self._folder / "mosquitto.conf").read_text()
        return [int(port) for port in re.findall(r"^listener (\d+)", configuration, re.MULTILINE)]

    def _is_listening(self) -> bool:
        return all(_is_open(port) for port in self._ports())


@contextmanager
def mosquitto(folder: Path, options: Sequence[str] = ()) -> Iterator[Mosquitto]:
    """A running broker whose files are in `folder`, ended with the test."""
    broker = Mosquitto(folder, options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def free_port() -> int:
    """A loopback port nobody listens on just now, of those no connection is given: none takes it from a broker that
    is about to start, or to start again."""
    for port in secrets.SystemRandom().sample(range(20_000, _FIRST_PORT_OF_CONNECTIONS), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("of a hundred loopback ports each is taken")


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of one certificate and its key."""

    certificate_file: Path
    key_file: Path


class Authority:
    """A private CA that exists for one test."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        builder = _builder(self._name, self._name, self._key.public_key(), -3600, 3600)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_KEY_USAGE_OF_A_CA, critical=True)
        self.ca_file = folder / f"{name}.pem"
        self.ca_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(
        self, name: str, *, is_server: bool = False, host: str = "", begins_s: float = -3600, ends_s: float = 3600
    ) -> Certificate:
        """A certificate for `name`, valid between two times from now; a server's `host` is a name or an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key(), begins_s, ends_s)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.certificate_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        made.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        made.key_file.chmod(0o600)
        return made


_KEY_USAGE_OF_A_CA = x509.KeyUsage(
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


def tls_options(server: Certificate, ca_file: Path) -> list[str]:
    """Mosquitto's lines for TLS 1.3 with a client certificate asked for."""
    return [
        f"cafile {ca_file}",
        f"certfile {server.certificate_file}",
        f"keyfile {server.key_file}",
        "require_certificate true",
        "use_identity_as_username true",
        "tls_version tlsv1.3",
    ]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins_s: float, ends_s: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now + datetime.timedelta(seconds=begins_s),
        not_valid_after=now + datetime.timedelta(seconds=ends_s),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
