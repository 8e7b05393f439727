"""A car that moves, sleeps, or says something else than it did: what a command comes to, through the whole engine."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from agent.bench.car import CarFault
from agent.bench.car_body import Ignition, Opening
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.frame import Frame
from agent.model.reading import Quality
from tests.support.attacked import MEMORY_GROWTH_BYTES_MAX
from tests.support.pair import OPENINGS, STEP_S, Pair

VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
SPEED = "Vehicle.Speed"
FULL_BUS_PER_S = 4000
"""At 500 kbit/s: a frame of 8 bytes takes some 120 bits with stuffing."""


def awake(*, is_locked: bool = True) -> Pair:
    pair = Pair(is_locked=is_locked)
    pair.run(2.0)
    return pair


def arbitration_id(pair: Pair, message: str) -> int:
    return next(plan.arbitration_id for plan in pair.profile.messages if plan.name == message)


def run_to_a_frame(pair: Pair, message: str) -> None:
    """Let time pass until the car has just sent this message, at most a second."""
    wanted = arbitration_id(pair, message)
    for _ in range(round(1.0 / STEP_S)):
        pair.now_s += STEP_S
        frames = pair.car.step(pair.now_s)
        for frame in frames:
            pair.engine.receive_frame(frame, pair.now_s)
        pair.perform()
        if wanted in {frame.arbitration_id for frame in frames}:
            return
    raise AssertionError(f"no {message}")


def ask(pair: Pair, action: Action) -> tuple[Stage, Reason, Executed]:
    result = pair.ask(action)
    return result.stage, result.reason, result.executed


def rejected(reason: Reason) -> tuple[Stage, Reason, Executed]:
    return Stage.REJECTED, reason, Executed.NO


def noise_frame(chance: Random) -> Frame:
    is_extended_id = chance.random() < 0.5
    arbitration_id = chance.getrandbits(29 if is_extended_id else 11)
    return Frame("body", arbitration_id, chance.randbytes(chance.randrange(9)), 0.0, is_extended_id)


# --- driving is disabled only at a standstill that is known (SR-06) ---------------------------------------------------


def test_standing_car_can_be_immobilised() -> None:
    """Without this the three below would prove nothing."""
    pair = awake()
    assert ask(pair, Action.DISABLE_DRIVE) == VERIFIED
    assert pair.sent


@pytest.mark.hazard("H101")
def test_driving_is_not_disabled_while_the_car_moves() -> None:
    pair = awake(is_locked=False)
    pair.car.drive(5000.0, pair.now_s)
    pair.run(10.0)
    assert ask(pair, Action.DISABLE_DRIVE) == rejected(Reason.MOVING)
    assert pair.sent == []


@pytest.mark.hazard("H101")
def test_driving_is_not_disabled_while_the_speed_is_not_known() -> None:
    """Every frame with a checksum comes with a wrong one, from the first on."""
    pair = Pair()
    pair.car.set_fault(CarFault.CHECKSUM_WRONG, pair.now_s, is_on=True)
    pair.run(2.0)
    assert ask(pair, Action.DISABLE_DRIVE) == rejected(Reason.SPEED_UNKNOWN)
    assert pair.sent == []


@pytest.mark.hazard("H101")
@pytest.mark.parametrize(("age_s", "is_refused"), [(0.48, False), (0.6, True)])
def test_driving_is_not_disabled_on_a_speed_600_ms_old(age_s: float, is_refused: bool) -> None:
    pair = awake()
    run_to_a_frame(pair, "MotionStatus")
    pair.now_s += age_s
    pair.deliver("cmd", pair.command(Action.DISABLE_DRIVE))
    if is_refused:
        result = pair.final_results()[-1]
        assert (result.stage, result.reason, result.executed) == rejected(Reason.PRECONDITION_STALE)
        (speed,) = (piece for piece in result.evidence if piece.path == SPEED)
        assert (speed.value, speed.quality) == (None, Quality.STALE)
    assert bool(pair.sent) is not is_refused


# --- lock -------------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H102")
@pytest.mark.parametrize("opening", OPENINGS)
def test_lock_is_refused_while_anything_is_open(opening: Opening) -> None:
    pair = awake(is_locked=False)
    pair.car.set_opening(opening, pair.now_s, is_open=True)
    pair.run(1.0)
    assert ask(pair, Action.LOCK) == rejected(Reason.DOOR_OPEN)
    assert pair.sent == []


@pytest.mark.hazard("H102")
def test_lock_is_refused_while_the_ignition_is_on() -> None:
    pair = awake(is_locked=False)
    pair.car.body.ignition = Ignition.ON
    pair.run(1.0)
    assert ask(pair, Action.LOCK) == rejected(Reason.IGNITION_ON)
    assert pair.sent == []


# --- a bus that sleeps ------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H103")
def test_car_that_wakes_two_seconds_after_it_was_called_is_unlocked() -> None:
    pair = Pair(is_asleep=True)
    pair.run(5.0)
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(2.0)
    assert pair.sent and pair.lock_requests() == []
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=False)
    pair.car.rouse(pair.now_s)
    pair.run(10.0, until=lambda: bool(pair.final_results()))
    (result,) = pair.final_results()
    assert (result.stage, result.reason, result.executed) == VERIFIED


@pytest.mark.hazard("H105")
@pytest.mark.parametrize("seed", range(4))
def test_full_bus_leaves_the_command_in_time_or_says_timeout_and_the_agent_as_small(seed: int) -> None:
    """Four thousand random frames a second, some of them under the car's own ids; on a real interface: `tests/vcan`."""
    chance = Random(seed)  # noqa: S311 - to be repeated, not to be secret
    pair = awake()
    noise = [noise_frame(chance) for _ in range(8000)]
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    tracemalloc.start()
    number = 0
    while not pair.final_results() and number < 30 * FULL_BUS_PER_S:
        pair.run(STEP_S)
        for _ in range(round(FULL_BUS_PER_S * STEP_S)):
            number += 1
            frame = noise[number % len(noise)]._replace(received_at_s=pair.now_s)
            pair.engine.receive_frame(frame, pair.now_s)
        pair.perform()
        pair.performed.clear()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (result,) = pair.final_results()
    is_timeout = result.reason is Reason.TIMEOUT and result.executed is Executed.UNKNOWN
    assert is_timeout or (result.stage, result.reason, result.executed) == VERIFIED
    assert result.stage is not Stage.VERIFIED or not pair.car.lock.is_locked
    assert peak_bytes < MEMORY_GROWTH_BYTES_MAX


# --- frames that cannot be read ---------------------------------------------------------------------------------------


@pytest.mark.hazard("H106")
def test_multiplexer_value_nobody_knows_gives_unknown_and_no_default() -> None:
    """SR-05: the page that holds voltage and current never comes, one that the DBC lacks does."""
    path = "Vehicle.Powertrain.TractionBattery.CurrentVoltage"
    pair = Pair(is_asleep=True)
    page_99 = bytes([99, *bytes.fromhex("a00f1027000000")])
    details = arbitration_id(pair, "BatteryDetails")
    for _ in range(30):
        pair.now_s += 0.2
        pair.engine.receive_frame(Frame("body", details, page_99, pair.now_s), pair.now_s)
        pair.engine.handle_timer(pair.now_s)
        pair.perform()
    shown = pair.states()[-1]["readings"]
    assert isinstance(shown, dict)
    assert (shown[path]["value"], shown[path]["quality"]) == (None, "unknown")
