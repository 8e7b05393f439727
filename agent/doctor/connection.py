"""How far a connection to the broker comes, and the certificates at both ends."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.adapters.dial import dial, look_up, tls_context
from agent.adapters.files import read_bytes
from agent.config import BrokerTable
from agent.doctor.checks.broker import BrokerFacts, CertificateFacts
from agent.errors import ConfigurationError, LinkError

_STEP_S = 10.0
_CERTIFICATE_BYTES_MAX = 64 * 1024


def broker_facts(broker: BrokerTable, directory: Path) -> BrokerFacts:
    """Look the name up, connect, and shake hands, each step once; what went wrong is a fact, not an exception.

    No client certificate is shown: the key may be sealed for the service. ConfigurationError for a bad `ca_file`.
    """
    context = None if broker.ca_file is None else tls_context(directory / broker.ca_file, None, None)
    return asyncio.run(_broker_facts(broker.host, broker.port, context))


async def _broker_facts(host: str, port: int, context: ssl.SSLContext | None) -> BrokerFacts:
    is_tls = context is not None
    try:
        async with asyncio.timeout(_STEP_S):
            found = await look_up(host, port)
    except OSError as error:  # TimeoutError is one
        return BrokerFacts(host, port, is_tls, lookup_error=f"{host}: the name cannot be looked up: {_words(error)}")
    addresses = tuple(dict.fromkeys(str(address[0]) for _, address in found))
    try:
        async with asyncio.timeout(_STEP_S):
            (await dial(host, port, None)).close()
    except (OSError, LinkError) as error:
        return BrokerFacts(host, port, is_tls, addresses, connect_error=_words(error))
    if context is None:
        return BrokerFacts(host, port, is_tls, addresses)
    try:
        async with asyncio.timeout(_STEP_S):
            connection = await dial(host, port, context)
    except (OSError, LinkError) as error:
        return BrokerFacts(host, port, is_tls, addresses, tls_error=_words(error))
    with connection:
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    certificate = None if shown is None else _certificate_facts(x509.load_der_x509_certificate(shown))
    return BrokerFacts(host, port, is_tls, addresses, certificate=certificate)


def certificate_facts(path: Path) -> CertificateFacts:
    """Of the first certificate in a PEM file; ConfigurationError if there is none."""
    raw = read_bytes(path, _CERTIFICATE_BYTES_MAX)
    try:
        return _certificate_facts(x509.load_pem_x509_certificate(raw))
    except ValueError as error:
        raise ConfigurationError(f"{path}: no certificate in PEM form: {error}") from None


def _certificate_facts(certificate: x509.Certificate) -> CertificateFacts:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return CertificateFacts(
        str(names[0].value) if names else "",
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _words(error: OSError | LinkError) -> str:
    return f"no answer within {_STEP_S:g} s" if isinstance(error, TimeoutError) else str(error)
