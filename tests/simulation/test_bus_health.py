"""What the health of a bus means for commands, from the interface's word to the signed result."""

from __future__ import annotations

from typing import Any

import pytest

from agent.bench.car import CarFault
from agent.model.bus import BusSign
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Attend, Log, Persist
from agent.model.events import BusChanged
from agent.model.frame import BusState
from agent.model.records import Intent
from agent.state.bus_health import STAND_S
from tests.support.pair import Pair

OFF = (BusState.BUS_OFF, BusSign.CONTROLLER_OFF)
RESTARTED = (BusState.UP, BusSign.CONTROLLER_RESTARTED)
DOWN = (BusState.DOWN, BusSign.LINK_DOWN)
GONE = (BusState.GONE, BusSign.LINK_GONE)
OPENED = (BusState.UP, BusSign.LINK_UP)
PASSIVE = (BusState.ERROR_PASSIVE, BusSign.CONTROLLER_PASSIVE)

FAILED_DOWN = (Stage.FAILED, Reason.CAN_DOWN, Executed.NO)
REJECTED_OFF = (Stage.REJECTED, Reason.BUS_OFF, Executed.NO)


def awake() -> Pair:
    pair = Pair()
    pair.run(2.0)
    return pair


def tell(pair: Pair, *changes: tuple[BusState, BusSign]) -> None:
    for state, sign in changes:
        pair.engine.receive_link(BusChanged("body", state, sign), pair.now_s)


def answered_at_once(pair: Pair, action: Action) -> tuple[Stage, Reason, Executed] | None:
    """The end of a command if it has one before any time has passed; then nothing was stored or sent for it."""
    sent, done, results = len(pair.sent), len(pair.performed), len(pair.final_results())
    pair.deliver("cmd", pair.command(action))
    pair.perform()
    if len(pair.final_results()) == results:
        return None
    assert len(pair.sent) == sent
    performed = pair.performed[done:]
    assert not any(isinstance(effect, Attend) for effect in performed)
    stored = [record for effect in performed if isinstance(effect, Persist) for record in effect.records]
    assert not any(isinstance(record, Intent) for record in stored)
    result = pair.final_results()[-1]
    return result.stage, result.reason, result.executed


def told(pair: Pair) -> list[tuple[str, str, str]]:
    events: list[Any] = pair.events()
    return [(each["state"], each["before"], each["cause"]) for each in events if each["kind"] == "bus_health"]


@pytest.mark.hazard("H98")
@pytest.mark.parametrize("action", [Action.UNLOCK, Action.LOCK])
@pytest.mark.parametrize("change", [DOWN, GONE])
def test_a_bus_that_is_down_or_away_is_refused_at_once_h98(change: tuple[BusState, BusSign], action: Action) -> None:
    pair = awake()
    tell(pair, change)
    assert answered_at_once(pair, action) == FAILED_DOWN


@pytest.mark.parametrize("action", [Action.UNLOCK, Action.LOCK])
def test_a_bus_that_is_off_before_the_first_frame_is_refused_at_once(action: Action) -> None:
    """Beside H99, which is of a bus that goes off after it."""
    pair = awake()
    tell(pair, OFF)
    assert answered_at_once(pair, action) == REJECTED_OFF


@pytest.mark.hazard("H99")
@pytest.mark.parametrize("action", [Action.UNLOCK, Action.LOCK])
def test_a_bus_that_goes_off_after_the_first_frame_leaves_open_what_happened_and_nothing_is_repeated_h99(
    action: Action,
) -> None:
    """SR-02, SR-04: not when the controller restarts, nor when the same bytes come again; a new command may."""
    pair = awake()
    command = pair.command(action)
    pair.deliver("cmd", command)
    while not pair.sent:
        pair.run(0.01)
    tell(pair, OFF)
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=True)
    pair.run(0.05)
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.BUS_OFF, Executed.UNKNOWN)
    assert len(pair.sent) == 1
    pair.run(1.0)
    tell(pair, RESTARTED)
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=False)
    pair.run(STAND_S + 1.0)
    pair.deliver("cmd", command)
    pair.run(30.0)
    assert len(pair.sent) == 1
    assert {(end.stage, end.reason) for end in pair.final_results()} == {(Stage.FAILED, Reason.BUS_OFF)}
    assert pair.ask(action).stage is Stage.VERIFIED


@pytest.mark.parametrize(
    ("broken", "back", "reason"), [(OFF, RESTARTED, Reason.BUS_OFF), (DOWN, OPENED, Reason.CAN_DOWN)]
)
def test_a_bus_that_has_just_come_back_carries_a_lock_and_not_yet_an_unlock_sr_06(
    broken: tuple[BusState, BusSign], back: tuple[BusState, BusSign], reason: Reason
) -> None:
    pair = awake()
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED
    pair.run(1.0)
    tell(pair, broken, back)
    refused = answered_at_once(pair, Action.UNLOCK)
    assert refused is not None and refused[1:] == (reason, Executed.NO)
    assert pair.ask(Action.LOCK).stage is Stage.VERIFIED
    pair.run(STAND_S + 1.0)
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED


def test_an_error_passive_bus_carries_commands_and_the_log_names_it() -> None:
    pair = awake()
    tell(pair, PASSIVE)
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED
    lines = [effect for effect in pair.performed if isinstance(effect, Log) and effect.event == "command_accepted"]
    assert [line.fields["bus"] for line in lines] == ["error_passive"]
    assert pair.engine.status(pair.now_s)["buses"] == {"body": "error_passive"}


def test_each_change_is_told_with_its_cause_and_stands_in_the_snapshot() -> None:
    pair = awake()
    pair.published.clear()
    tell(pair, PASSIVE, OFF, RESTARTED)
    pair.run(STAND_S + 1.0)
    assert told(pair) == [
        ("error_passive", "error_active", "controller_passive"),
        ("bus_off", "error_passive", "controller_off"),
        ("error_active", "bus_off", "controller_restarted"),
    ]
    status: Any = pair.engine.status(pair.now_s)["bus_health"]
    assert {name: status["body"][name] for name in ("state", "shown", "cause", "before", "changes")} == {
        "state": "error_active",
        "shown": "error_active",
        "cause": "controller_restarted",
        "before": "bus_off",
        "changes": 4,
    }


def test_a_controller_that_goes_off_again_and_again_is_told_once_and_refused_all_the_time() -> None:
    """A short circuit under a kernel that restarts the controller every second."""
    pair = awake()
    pair.published.clear()
    for _ in range(10):
        tell(pair, OFF)
        assert answered_at_once(pair, Action.UNLOCK) == REJECTED_OFF
        pair.run(0.8)
        tell(pair, RESTARTED)
        pair.run(0.2)
    assert told(pair) == [("bus_off", "error_active", "controller_off")]


def test_a_bus_that_falls_silent_while_the_ignition_is_on_is_told_and_an_unlock_moves_nothing() -> None:
    """SR-06, SR-10: it is woken like a sleeping one, and nothing answers."""
    pair = awake()
    pair.car.set_ignition(pair.now_s, is_on=True)
    pair.run(2.0)
    pair.published.clear()
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=True)
    pair.run(4.0)
    assert told(pair) == [("silent", "error_active", "silence")]
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.BUS_ASLEEP, Executed.NO)
    assert pair.lock_requests() == []
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=False)
    pair.run(STAND_S + 1.0)
    assert told(pair)[1:] == [("error_active", "silent", "heard")]
