"""The way to the broker: name, connection, TLS, certificates of both ends, and what the unit lets through."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from agent.doctor.checks.finding import Finding, fault, ok, unknown, warning
from agent.model.quick_dataclass import dataclass

DAYS_LEFT_WARNED = 30

_DAY_S = 86_400
_DROP_IN = "/etc/systemd/system/carshare-agent.service.d/broker.conf"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """`name` is the subject's common name; times in Unix seconds."""

    name: str
    not_before_unix_s: float
    not_after_unix_s: float


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """How far a connection came: each `…_error` is empty if that step went well, or was not come to.

    `certificate` is the broker's, None without TLS or when there was no connection.
    """

    host: str
    port: int
    is_tls: bool
    addresses: tuple[str, ...] = ()
    lookup_error: str = ""
    connect_error: str = ""
    tls_error: str = ""
    certificate: CertificateFacts | None = None


@dataclass(frozen=True, slots=True)
class AgentLink:
    """What the running agent says of its link; `why` if none could be asked."""

    is_connected: bool = False
    problems: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class AllowList:
    """IPAddressAllow= of the unit; None: the unit does not deny anything."""

    allowed: tuple[str, ...] | None
    nameservers: tuple[str, ...] = ()


def check_connection(facts: BrokerFacts, now_unix_s: float) -> list[Finding]:
    where = f"{facts.host} port {facts.port}"
    if facts.lookup_error:
        advice = "Check broker.host in agent.toml, the network (networkctl, mobile modem) and the resolver (resolvectl)"
        return [fault("broker.name", facts.lookup_error, advice)]
    findings = [ok("broker.name", f"{facts.host} is {', '.join(facts.addresses)}")]
    if facts.connect_error:
        advice = "Check broker.port, that the broker runs, and firewalls on the way"
        return [*findings, fault("broker.connection", facts.connect_error, advice)]
    findings.append(ok("broker.connection", f"{where} answers"))
    if not facts.is_tls and _is_local(facts.addresses):
        return [*findings, ok("broker.tls", "no TLS, on this machine")]
    if not facts.is_tls:
        return [*findings, warning("broker.tls", "no TLS: whoever is on the way reads along", "Set broker.ca_file")]
    if facts.tls_error:
        advice = (
            "broker.ca_file must be the CA of the broker's certificate, broker.host the name in it, and the clock "
            f"right; look: openssl s_client -connect {facts.host}:{facts.port} -showcerts"
        )
        return [*findings, fault("broker.tls", facts.tls_error, advice)]
    findings.append(ok("broker.tls", "TLS 1.3; its certificate is of the CA in broker.ca_file, and for this name"))
    if facts.certificate is not None:
        advice = "The broker's owner has to renew it"
        findings.append(_dates("broker.certificate", facts.certificate, now_unix_s, advice))
    return findings


def check_own_certificate(certificate: CertificateFacts, car: str, now_unix_s: float) -> Finding:
    name = "car.certificate"
    if certificate.name != car:
        return warning(
            name,
            f"it is for {certificate.name!r}, and car.id is {car!r}: a broker that goes by the name lets it do nothing",
            "Put this car's own certificate there, as `carshare-agent accept` wrote it",
        )
    return _dates(name, certificate, now_unix_s, "Enrol the car anew: carshare-backend enroll, carshare-agent accept")


def check_link(link: AgentLink) -> Finding:
    """Whether the agent itself is connected: only that shows that the broker takes this car's certificate."""
    name = "broker.link"
    if link.why:
        return unknown(name, link.why)
    problems = f"; problems so far: {', '.join(link.problems)}" if link.problems else ""
    if not link.is_connected:
        return fault(
            name,
            f"the agent is not connected{problems}",
            "See the other broker checks, journalctl --unit carshare-agent, and the broker's own log, which says why "
            "it refuses this car",
        )
    if link.refused:
        advice = "The broker's access list must give this car its topics: systemd/mosquitto.acl.example of the sources"
        return warning("broker.link", f"connected; subscriptions refused: {', '.join(link.refused)}", advice)
    return ok(name, f"the agent is connected{problems}")


def check_allowed(facts: BrokerFacts, allow_list: AllowList) -> Finding:
    """The unit denies all addresses that it does not name; what doctor reaches from outside it may not."""
    name = "broker.allowed"
    if allow_list.allowed is None:
        return ok(name, "the unit lets every address through")
    if not facts.addresses:
        return unknown(name, "the broker's addresses are not known", "See broker.name")
    # A name of this machine stands in /etc/hosts: nobody is asked for it.
    is_asked_for = not _is_address(facts.host) and not _is_local(facts.addresses)
    wanted = [*facts.addresses, *(allow_list.nameservers if is_asked_for else ())]
    missing = [address for address in dict.fromkeys(wanted) if not _is_in(address, allow_list.allowed)]
    if not missing:
        return ok(name, f"the unit lets {', '.join(dict.fromkeys(wanted))} through")
    lines = "\n".join(f"IPAddressAllow={address}" for address in missing)
    return fault(
        name,
        f"the unit does not let the agent reach {', '.join(missing)} (the broker, or who is asked for its name)",
        f"Write {_DROP_IN}, or add to it:\n[Service]\n{lines}\n"
        "Then: systemctl daemon-reload && systemctl restart carshare-agent. If addresses change, give the range",
    )


def _dates(name: str, certificate: CertificateFacts, now_unix_s: float, advice: str) -> Finding:
    days = (certificate.not_after_unix_s - now_unix_s) / _DAY_S
    if now_unix_s < certificate.not_before_unix_s:
        found = f"certificate of {certificate.name!r}: not valid yet by this computer's clock"
        return fault(name, found, "See the clock")
    if days < 0:
        return fault(name, f"certificate of {certificate.name!r}: ended {-days:.0f} days ago", advice)
    if days < DAYS_LEFT_WARNED:
        return warning(name, f"certificate of {certificate.name!r}: {days:.0f} days left", advice)
    return ok(name, f"certificate of {certificate.name!r}: {days:.0f} days left")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(addresses: Sequence[str]) -> bool:
    return all(ip_address(address).is_loopback for address in addresses)


def _is_in(address: str, allowed: Sequence[str]) -> bool:
    return any(ip_address(address) in network for network in map(ip_network, allowed))
