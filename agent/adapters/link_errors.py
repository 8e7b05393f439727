"""Ends of a connection to the broker that call for more than another try."""

from __future__ import annotations

from agent.errors import LinkError
from agent.model.events import LinkEnd

# Alerts of TLS by which a broker says that it does not take our certificate, in OpenSSL's words.
_CERTIFICATE_ALERTS = (
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
)


class SessionKeptError(LinkError):
    """The broker says it kept a session although a clean start was asked for."""


class CertificateRefusedError(LinkError):
    """The broker does not take this car's certificate."""


def link_error(words: str, fault: str) -> LinkError:
    """The error with these words; `fault` is what reading from the socket failed with, if it did."""
    is_ours = any(alert in fault for alert in _CERTIFICATE_ALERTS)
    return CertificateRefusedError(words) if is_ours else LinkError(words)


def end_of(error: Exception) -> LinkEnd:
    """What the engine is told of it."""
    match error:
        case SessionKeptError():
            return LinkEnd.SESSION_KEPT
        case CertificateRefusedError():
            return LinkEnd.CERTIFICATE_REFUSED
        case _:
            return LinkEnd.LOST
