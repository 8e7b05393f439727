"""`doctor` on the way to the broker: each step that failed is told alone, with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doctor.checks.broker import (
    AgentLink,
    AllowList,
    BrokerFacts,
    CertificateFacts,
    check_allowed,
    check_connection,
    check_link,
    check_own_certificate,
)
from agent.doctor.checks.finding import Verdict

NOW_S, DAY_S = 1_800_000_000.0, 86_400.0
CAR = "0011223344556677"


def certificate(days: float, *, name: str = "broker.example", begins_days: float = -1.0) -> CertificateFacts:
    return CertificateFacts(name, NOW_S + begins_days * DAY_S, NOW_S + days * DAY_S)


REACHED = BrokerFacts("broker.example", 8883, True, ("198.51.100.7", "2001:db8::7"), certificate=certificate(90))


@pytest.mark.parametrize(
    ("facts", "verdicts", "words"),
    [
        (REACHED, ["name ok", "connection ok", "tls ok", "certificate ok"], "90 days left"),
        (replace(REACHED, lookup_error="cannot be looked up"), ["name fault"], "looked up"),
        (replace(REACHED, connect_error="refused"), ["name ok", "connection fault"], "refused"),
        (replace(REACHED, tls_error="expired"), ["name ok", "connection ok", "tls fault"], "expired"),
        (
            replace(REACHED, certificate=certificate(29.4)),
            ["name ok", "connection ok", "tls ok", "certificate warning"],
            "29 days left",
        ),
        (replace(REACHED, is_tls=False), ["name ok", "connection ok", "tls warning"], "reads along"),
        (
            replace(REACHED, is_tls=False, addresses=("127.0.0.1", "::1")),
            ["name ok", "connection ok", "tls ok"],
            "on this machine",
        ),
    ],
)
def test_connection_is_told_as_far_as_it_came(facts: BrokerFacts, verdicts: list[str], words: str) -> None:
    found = check_connection(facts, NOW_S)
    assert [f"{each.name.removeprefix('broker.')} {each.verdict}" for each in found] == verdicts
    assert words in found[-1].found
    assert all(each.advice for each in found if each.verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("shown", "verdict", "words"),
    [
        (certificate(400, name=CAR), Verdict.OK, "400 days left"),
        (certificate(-3, name=CAR), Verdict.FAULT, "ended 3 days ago"),
        (certificate(400, name=CAR, begins_days=2), Verdict.FAULT, "not valid yet by this computer's clock"),
        (certificate(400, name="another"), Verdict.WARNING, "'another'"),
    ],
)
def test_cars_own_certificate(shown: CertificateFacts, verdict: Verdict, words: str) -> None:
    found = check_own_certificate(shown, CAR, NOW_S)
    assert (found.verdict, words in found.found) == (verdict, True), found


@pytest.mark.parametrize(
    ("link", "verdict"),
    [
        (AgentLink(is_connected=True), Verdict.OK),
        (AgentLink(is_connected=True, problems=("flapping (2)",)), Verdict.OK),
        (AgentLink(is_connected=True, refused=("v1/1/car/cmd: Not authorized",)), Verdict.WARNING),
        (AgentLink(problems=("certificate_refused (4)",)), Verdict.FAULT),
        (AgentLink(why="the agent does not run"), Verdict.UNKNOWN),
    ],
)
def test_link_of_the_agent_itself(link: AgentLink, verdict: Verdict) -> None:
    found = check_link(link)
    assert found.verdict is verdict
    assert all(word in found.found for word in (*link.problems, *link.refused, link.why))


LOCAL = ("127.0.0.0/8", "::1/128")


@pytest.mark.parametrize(
    ("host", "allow_list", "missing"),
    [
        ("broker.example", AllowList(None), []),
        ("broker.example", AllowList(("0.0.0.0/0", "::/0"), ("192.0.2.53",)), []),
        ("broker.example", AllowList(LOCAL, ("127.0.0.53",)), ["198.51.100.7", "2001:db8::7"]),
        (
            "broker.example",
            AllowList((*LOCAL, "198.51.100.0/24", "2001:db8::7/128"), ("192.0.2.53",)),
            ["192.0.2.53"],
        ),
        ("198.51.100.7", AllowList((*LOCAL, "198.51.100.7/32", "2001:db8::/32"), ("192.0.2.53",)), []),
    ],
)
def test_addresses_the_unit_keeps_the_agent_from_are_named_with_the_lines_to_write(
    host: str, allow_list: AllowList, missing: list[str]
) -> None:
    found = check_allowed(replace(REACHED, host=host), allow_list)
    assert found.verdict is (Verdict.FAULT if missing else Verdict.OK)
    lines = found.advice.splitlines()
    assert [line for line in lines if line.startswith("IPAddress")] == [f"IPAddressAllow={each}" for each in missing]
    if missing:
        assert "/etc/systemd/system/carshare-agent.service.d/broker.conf" in lines[0]
        assert lines[1] == "[Service]"


def test_for_a_broker_on_this_machine_no_resolver_is_asked() -> None:
    facts = replace(REACHED, host="localhost", addresses=("127.0.0.1",))
    assert check_allowed(facts, AllowList(LOCAL, ("192.0.2.53",))).verdict is Verdict.OK


def test_addresses_that_are_not_known_cannot_be_looked_for_among_the_allowed() -> None:
    assert check_allowed(replace(REACHED, addresses=()), AllowList(LOCAL)).verdict is Verdict.UNKNOWN
