"""`doctor` on the health of a bus: every state in words, with what to do where something is wrong."""

from __future__ import annotations

import pytest

from agent.doctor.checks.finding import Verdict
from agent.doctor.checks.health import HealthFacts, check_health
from agent.model.bus import BusHealth

VERDICTS = {
    BusHealth.UNKNOWN: Verdict.UNKNOWN,
    BusHealth.ERROR_ACTIVE: Verdict.OK,
    BusHealth.SILENT: Verdict.WARNING,
    BusHealth.ERROR_PASSIVE: Verdict.WARNING,
    BusHealth.BUS_OFF: Verdict.FAULT,
    BusHealth.DOWN: Verdict.FAULT,
    BusHealth.REMOVED: Verdict.FAULT,
}


@pytest.mark.parametrize("state", BusHealth)
def test_every_state_has_words_a_verdict_and_what_to_do(state: BusHealth) -> None:
    found = check_health("body", HealthFacts(state, "link_up", 12.4, 3, {"protocol_error": 7}))
    assert (found.name, found.verdict) == ("can.body.health", VERDICTS[state])
    assert found.found.startswith(f"{state.value} for 12 s (link_up): ")
    assert found.found.endswith("; 3 changes since the agent began; error frames: protocol_error 7")
    assert bool(found.advice) is (state is not BusHealth.ERROR_ACTIVE)


def test_a_bus_of_which_nothing_is_known_yet_has_no_cause() -> None:
    found = check_health("body", HealthFacts(BusHealth.UNKNOWN, "", 0.0, 0, {}))
    assert found.found.startswith("unknown since the agent began: ")
    assert found.found.endswith("error frames: none")


def test_without_an_agent_to_ask_it_is_said_why() -> None:
    found = check_health("body", "the agent does not run")
    assert (found.verdict, found.found) == (Verdict.UNKNOWN, "the agent does not run")
