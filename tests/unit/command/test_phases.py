"""The transition table is complete, and what is not in it is an error."""

from __future__ import annotations

import pytest

from agent.command.phases import TRANSITIONS, Phase, Signal


def test_every_phase_but_the_last_can_end_at_once() -> None:
    for phase in Phase:
        is_listed = (phase, Signal.DECIDED) in TRANSITIONS
        assert is_listed == (phase is not Phase.ENDING)
        assert not is_listed or TRANSITIONS[phase, Signal.DECIDED] is Phase.ENDING


def test_every_phase_is_reached_and_every_signal_used() -> None:
    assert set(TRANSITIONS.values()) | {Phase.STORING_INTENT} == set(Phase)
    assert {signal for _, signal in TRANSITIONS} == set(Signal)


def test_no_way_leads_back_but_from_an_answer_to_the_next_request() -> None:
    order = list(Phase)
    back = {pair for pair, after in TRANSITIONS.items() if order.index(after) <= order.index(pair[0])}
    assert back == {(Phase.AWAITING, Signal.HEARD_OUT)}
    assert {TRANSITIONS[pair] for pair in back} == {Phase.ACTING}


def test_an_answer_is_awaited_only_of_what_was_asked() -> None:
    assert {pair for pair, after in TRANSITIONS.items() if after is Phase.AWAITING} == {(Phase.ACTING, Signal.ASKED)}


def test_sr_02_only_the_stored_signals_lead_from_the_intent_to_a_phase_that_sends() -> None:
    ways = {
        signal
        for (phase, signal), after in TRANSITIONS.items()
        if phase is Phase.STORING_INTENT and after is not Phase.ENDING
    }
    assert ways == {Signal.STORED_ASLEEP, Signal.STORED_WOKEN, Signal.STORED_AWAKE}


def test_missing_entry_is_an_error_not_a_default() -> None:
    with pytest.raises(KeyError):
        TRANSITIONS[Phase.ENDING, Signal.STORED_AWAKE]
