"""The virtual car: what it puts on the bus is what it is, and it fails only as told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.bench.car import MEASURING_S, WAKE_DELAY_S, CarFault, VirtualCar
from agent.bench.car_body import CarRefusesError, Opening
from agent.bench.car_immobiliser import CHANGE_S
from agent.bench.car_lamps import FLASHING_S
from agent.bench.car_lock import TRAVEL_S, LockState
from agent.bench.car_switch import SLOW_TRAVEL_S
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.model.command import Action
from agent.model.frame import Frame
from agent.model.recipe import FrameTemplate

PROFILE, DATABASES = load_vehicle(demo_folder())
DATABASE = DATABASES["body"]


def awake_car(*, is_locked: bool = True, time_compression: float = 1.0) -> VirtualCar:
    """A car past its measuring phase; its clock stands at 1 s."""
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False, is_locked=is_locked, time_compression=time_compression)
    car.step(1.0)
    car.drain_events()
    return car


def filled(template: FrameTemplate, counter: int = 0) -> Frame:
    """The template as the agent would send it."""
    data = template.data
    if template.counter is not None:
        data = template.counter.insert(data, counter)
    if template.checksum is not None:
        data = template.checksum.field.insert(data, template.checksum.compute(data))
    return Frame(template.bus, template.arbitration_id, data, 0.0, template.is_extended_id, template.is_fd)


def request(action: Action, counter: int = 0) -> Frame:
    return filled(PROFILE.recipes[action].frames[0], counter)


def wake_request() -> Frame:
    wake = PROFILE.recipes[Action.UNLOCK].wake
    assert wake is not None
    return filled(wake.frames[0])


def named(frames: list[Frame], message: str) -> list[Frame]:
    spec = DATABASE.message(message)
    assert spec is not None
    return [one for one in frames if one.arbitration_id == spec.arbitration_id]


def newest(frames: list[Frame], message: str) -> dict[str, float]:
    return DATABASE.decode(message, named(frames, message)[-1].data)


def lock_status(car: VirtualCar, until_s: float) -> str:
    spec = DATABASE.message("LockStatus")
    assert spec is not None
    return spec.signals["CentralLock"].names[int(newest(car.step(until_s), "LockStatus")["CentralLock"])]


# --- frames ---------------------------------------------------------------------------------------------------------


def test_an_awake_car_sends_every_message_at_its_cycle_time() -> None:
    car = awake_car()
    frames = [*car.step(6.0), *car.step(11.0)]
    for name, spec in DATABASE.messages.items():
        expected = 0 if spec.cycle_time_s is None else 10 / spec.cycle_time_s
        assert len(named(frames, name)) == expected, name
    assert frames == sorted(frames, key=lambda frame: frame.received_at_s)


def test_frames_hold_the_cars_physical_values_as_cantools_decodes_them() -> None:
    car = awake_car()
    body = car.body
    body.outside_temperature_c, body.cell_temperature_c, body.energy_wh = -7.3, 4.5, 19_500.0
    body.openings[Opening.REAR_PASSENGER_DOOR] = body.openings[Opening.TRUNK] = True
    frames = car.step(2.0)
    motion, status = newest(frames, "MotionStatus"), newest(frames, "BodyStatus")
    assert motion["WheelSpeed"] == 0.0
    assert motion["Odometer"] == pytest.approx(18_234.56)
    assert status["OutsideTemperature"] == pytest.approx(-7.3)
    assert status["LowVoltage"] == pytest.approx(12.6)
    doors = ("DoorFrontDriver", "DoorFrontPassenger", "DoorRearDriver", "DoorRearPassenger", "Trunk")
    assert [status[door] for door in doors] == [0, 0, 0, 1, 1]
    battery = newest(frames, "BatteryStatus")
    assert battery["StateOfCharge"] == pytest.approx(50.0)
    assert battery["StateOfChargeShown"] == pytest.approx(50)
    pages = [DATABASE.decode("BatteryDetails", frame.data) for frame in named(frames, "BatteryDetails")]
    assert [page["Page"] for page in pages][:4] in ([0, 1, 0, 2], [1, 0, 2, 0], [0, 2, 0, 1], [2, 0, 1, 0])
    assert {page["CellTemperatureMin"] for page in pages if page["Page"] == 1} == {4.5}


def test_counters_run_and_checksums_hold() -> None:
    frames = awake_car().step(4.0)
    for name in ("MotionStatus", "LockStatus"):
        plan = next(plan for plan in PROFILE.messages if plan.name == name)
        assert plan.counter is not None
        assert plan.checksum is not None
        counters = [plan.counter.field.extract(frame.data) for frame in named(frames, name)]
        assert len(set(counters)) == 16
        assert all((after - before) % 16 == 1 for before, after in pairwise(counters))
        for frame in named(frames, name):
            assert plan.checksum.field.extract(frame.data) == plan.checksum.compute(frame.data)


def test_after_waking_the_car_first_sends_what_the_profile_calls_invalid() -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False)
    early = [frame for frame in car.step(1.0) if frame.received_at_s < MEASURING_S]
    plans = {(plan.arbitration_id, plan.is_extended_id): plan for plan in PROFILE.messages}
    marked = 0
    for frame in early:
        plan = plans[frame.arbitration_id, frame.is_extended_id]
        page = plan.selector.extract(frame.data) if plan.selector else None
        for signal in plan.signals:
            if signal.selector_values is not None and page not in signal.selector_values:
                continue
            raw = signal.field.extract(frame.data)
            assert raw in signal.invalid_raw if signal.invalid_raw else raw not in (signal.choices or {})
            marked += 1
    assert marked > 20
    assert newest(car.step(2.0), "MotionStatus")["WheelSpeed"] == 0.0


@settings(deadline=None)
@given(times_s=st.lists(st.floats(0.0, 30.0), max_size=40))
@example(times_s=[15.582878374400211, 9.24209150835309, 3.161454154795522, 8.94, 12.48, 22.64])
def test_the_same_car_sends_the_same_frames_however_often_it_is_asked(times_s: list[float]) -> None:
    def ride(car: VirtualCar, times_s: list[float]) -> list[Frame]:
        car.drive(200, 1.0)
        return [frame for time_s in sorted([*times_s, *range(2, 31)]) for frame in car.step(time_s)]

    asked, plain = awake_car(is_locked=False), awake_car(is_locked=False)
    assert ride(asked, times_s) == ride(plain, [])


# --- sleep ----------------------------------------------------------------------------------------------------------


def test_a_sleeping_car_sends_nothing_and_hears_no_lock_request() -> None:
    car = VirtualCar(PROFILE, DATABASES)
    car.receive(request(Action.UNLOCK), 1.0)
    assert car.step(60.0) == []
    assert (car.lock_requests_seen, car.is_asleep, car.next_step_at()) == (0, True, None)


def test_a_wake_request_wakes_it_after_a_delay() -> None:
    car = VirtualCar(PROFILE, DATABASES)
    car.receive(wake_request(), 1.0)
    assert car.step(1.0 + WAKE_DELAY_S - 0.001) == []
    frames = car.step(2.0)
    assert frames[0].received_at_s == pytest.approx(1.0 + WAKE_DELAY_S)
    assert car.wake_frames_seen == 1


def test_it_falls_asleep_when_left_alone_locked() -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False, sleep_after_s=4.0)
    car.step(3.0)
    car.receive(wake_request(), 3.0)
    assert car.step(6.999)
    assert not car.is_asleep
    car.step(7.0)
    assert car.is_asleep
    assert car.step(11.0) == []


@pytest.mark.parametrize("reason", ["unlocked", "charging"])
def test_it_stays_awake_for_a_reason(reason: str) -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False, is_locked=reason != "unlocked", sleep_after_s=4.0)
    if reason == "charging":
        car.charge(0.0)
    for second in range(1, 20):
        car.step(second)
    assert not car.is_asleep


def test_a_driving_car_cannot_be_put_to_sleep_and_a_parked_one_can() -> None:
    car = awake_car(is_locked=False)
    car.drive(100, 1.0)
    with pytest.raises(CarRefusesError, match="stays awake"):
        car.sleep(2.0)
    for second in range(2, 40):
        car.step(second)
    car.sleep(40.0)
    assert car.step(44.0) == []


def test_after_a_pause_of_the_host_missed_frames_stay_missed() -> None:
    assert len(awake_car(is_locked=False).step(3600.0)) < 300


# --- the lock unit --------------------------------------------------------------------------------------------------


def test_an_unlock_request_moves_the_locks_in_their_time() -> None:
    car = awake_car()
    car.receive(request(Action.UNLOCK), 1.0)
    assert lock_status(car, 1.0 + TRAVEL_S - 0.05) == "Moving"
    assert lock_status(car, 1.0 + TRAVEL_S + 0.15) == "Unlocked"
    assert [event.name for event in car.drain_events()] == ["lock_request", "lock_moved"]


def test_a_request_repeated_is_one_request_and_a_later_one_another() -> None:
    """What H39 and H59 are measured with: a command carried out twice shows as two requests."""
    car = awake_car()
    for index in range(10):
        car.receive(request(Action.UNLOCK, index), 1.0 + index / 10)
    assert (car.lock.requests_seen, car.lock.frames_seen) == (1, 10)
    car.receive(request(Action.UNLOCK, 10), 4.0)
    car.receive(request(Action.LOCK, 11), 4.1)
    assert (car.lock.requests_seen, car.lock.frames_seen) == (3, 12)


def test_a_request_with_a_wrong_checksum_or_a_counter_just_seen_is_refused() -> None:
    car = awake_car(is_locked=False)
    good = request(Action.LOCK, 5)
    car.receive(Frame(good.bus, good.arbitration_id, bytes([good.data[0] ^ 1]) + good.data[1:]), 1.0)
    assert car.lock.state is LockState.UNLOCKED
    car.receive(good, 1.1)
    car.receive(good, 1.2)
    assert car.lock.frames_seen == 1
    assert [event.fields.get("why") for event in car.drain_events()] == ["checksum", None, "counter"]


@pytest.mark.parametrize("data", [b"", b"\x00\x10\x00"])
def test_a_request_too_short_is_no_request(data: bytes) -> None:
    car = awake_car()
    car.receive(Frame("body", request(Action.LOCK).arbitration_id, data), 1.0)
    assert car.lock.frames_seen == 0


def test_the_key_fob_moves_the_locks_without_a_request() -> None:
    car = awake_car()
    car.press_key_fob(1.0, is_locked=False)
    assert lock_status(car, 2.0) == "Unlocked"
    assert car.lock_requests_seen == 0


# --- immobiliser and lamps ------------------------------------------------------------------------------------------


def immobiliser_status(car: VirtualCar, until_s: float) -> str:
    spec = DATABASE.message("DriveStatus")
    assert spec is not None
    return spec.signals["Immobiliser"].names[int(newest(car.step(until_s), "DriveStatus")["Immobiliser"])]


def test_immobiliser_engages_and_releases_in_its_time_and_keeps_the_car_from_starting() -> None:
    car = awake_car(is_locked=False)
    car.receive(request(Action.DISABLE_DRIVE), 1.0)
    assert immobiliser_status(car, 1.0 + CHANGE_S - 0.05) == "Changing"
    assert immobiliser_status(car, 1.0 + CHANGE_S + 0.25) == "Engaged"
    assert [event.name for event in car.drain_events()] == ["drive_request", "immobiliser_changed"]
    with pytest.raises(CarRefusesError, match="the immobiliser is engaged"):
        car.drive(100, 2.0)
    car.receive(request(Action.ENABLE_DRIVE, 1), 2.0)
    assert immobiliser_status(car, 3.0) == "Released"
    car.drive(100, 3.0)
    assert car.lock.requests_seen == 0


def test_immobiliser_does_not_stop_a_car_that_drives() -> None:
    car = awake_car(is_locked=False)
    car.drive(1000, 1.0)
    car.receive(request(Action.DISABLE_DRIVE), 4.0)
    car.step(6.0)
    assert car.body.is_driving
    assert not car.immobiliser.is_drive_enabled


def test_cars_own_key_switches_the_immobiliser_without_a_request() -> None:
    car = awake_car()
    car.switch_immobiliser(1.0, is_drive_enabled=False)
    assert immobiliser_status(car, 2.0) == "Engaged"
    assert car.immobiliser.requests_seen == 0


def test_each_unit_has_a_counter_of_its_own() -> None:
    car = awake_car()
    for action in (Action.UNLOCK, Action.ENABLE_DRIVE, Action.LOCATE):
        car.receive(request(action, 5), 1.0)
    assert (car.lock.frames_seen, car.immobiliser.frames_seen, car.lamps.requests.frames_seen) == (1, 1, 1)
    car.receive(request(Action.ENABLE_DRIVE, 5), 1.1)
    assert car.immobiliser.frames_seen == 1


def test_lamps_flash_once_for_a_request_however_often_it_is_repeated() -> None:
    car = awake_car()
    for index in range(3):
        car.receive(request(Action.LOCATE, index), 1.0 + index / 10)
    assert (car.lamps.requests.seen, car.lamps.flashes_seen) == (1, 1)
    car.receive(request(Action.LOCATE, 3), 1.0 + FLASHING_S + 1.0)
    assert (car.lamps.requests.seen, car.lamps.flashes_seen) == (2, 2)


# --- faults ---------------------------------------------------------------------------------------------------------


def faulty(fault: CarFault) -> VirtualCar:
    """A locked, awake car with the fault, asked to unlock at 1 s."""
    car = awake_car()
    car.set_fault(fault, 1.0, is_on=True)
    car.receive(request(Action.UNLOCK), 1.0)
    return car


@pytest.mark.parametrize("fault", [CarFault.LOCK_IGNORES, CarFault.LOCK_REFUSES])
def test_fault_lock_ignores_sees_the_request_and_keeps_reporting_the_old_state(fault: CarFault) -> None:
    """H95; told by frames, a lock that refuses has no way to say so."""
    car = faulty(fault)
    assert lock_status(car, 4.0) == "Locked"
    assert car.lock_requests_seen == 1


@pytest.mark.parametrize(("fault", "is_locked"), [(CarFault.LOCK_SILENT, False), (CarFault.LOCK_DEAD, True)])
def test_fault_lock_silent_acts_and_lock_dead_does_not_and_neither_reports(fault: CarFault, is_locked: bool) -> None:
    """H94."""
    car = faulty(fault)
    frames = car.step(4.0)
    assert named(frames, "LockStatus") == []
    assert named(frames, "MotionStatus")
    assert car.lock.is_locked is is_locked


def test_fault_lock_slow_takes_its_time() -> None:
    car = faulty(CarFault.LOCK_SLOW)
    assert lock_status(car, 1.0 + SLOW_TRAVEL_S - 0.05) == "Moving"
    assert lock_status(car, 1.0 + SLOW_TRAVEL_S + 0.15) == "Unlocked"


def test_fault_lock_blocked_says_so() -> None:
    assert lock_status(faulty(CarFault.LOCK_BLOCKED), 3.0) == "Blocked"


def disabling(fault: CarFault) -> VirtualCar:
    """An awake car with the fault, asked to engage its released immobiliser at 1 s."""
    car = awake_car()
    car.set_fault(fault, 1.0, is_on=True)
    car.receive(request(Action.DISABLE_DRIVE), 1.0)
    return car


def test_fault_immobiliser_ignores_sees_the_request_and_keeps_reporting_the_old_state() -> None:
    car = disabling(CarFault.IMMOBILISER_IGNORES)
    assert immobiliser_status(car, 4.0) == "Released"
    assert car.immobiliser.requests_seen == 1


@pytest.mark.parametrize(
    ("fault", "is_drive_enabled"), [(CarFault.IMMOBILISER_SILENT, False), (CarFault.IMMOBILISER_DEAD, True)]
)
def test_fault_immobiliser_silent_acts_and_dead_does_not_and_neither_reports(
    fault: CarFault, is_drive_enabled: bool
) -> None:
    car = disabling(fault)
    frames = car.step(4.0)
    assert named(frames, "DriveStatus") == []
    assert named(frames, "LockStatus")
    assert car.immobiliser.is_drive_enabled is is_drive_enabled


def test_fault_immobiliser_slow_takes_its_time_and_blocked_says_so() -> None:
    car = disabling(CarFault.IMMOBILISER_SLOW)
    assert immobiliser_status(car, 1.0 + SLOW_TRAVEL_S - 0.05) == "Changing"
    assert immobiliser_status(car, 1.0 + SLOW_TRAVEL_S + 0.25) == "Engaged"
    assert immobiliser_status(disabling(CarFault.IMMOBILISER_BLOCKED), 3.0) == "Blocked"


def test_fault_lamps_dead_hears_and_does_nothing() -> None:
    car = awake_car()
    car.set_fault(CarFault.LAMPS_DEAD, 1.0, is_on=True)
    car.receive(request(Action.LOCATE), 1.0)
    assert (car.lamps.requests.seen, car.lamps.flashes_seen) == (1, 0)


def test_fault_bus_silent_carries_nothing_either_way() -> None:
    car = faulty(CarFault.BUS_SILENT)
    assert car.step(4.0) == []
    assert car.lock_requests_seen == 0
    car.set_fault(CarFault.BUS_SILENT, 4.0, is_on=False)
    assert car.step(5.0)


def test_fault_wake_deaf_stays_asleep() -> None:
    """H103."""
    car = VirtualCar(PROFILE, DATABASES)
    car.set_fault(CarFault.WAKE_DEAF, 0.0, is_on=True)
    car.receive(wake_request(), 1.0)
    assert car.step(4.0) == []
    assert car.wake_frames_seen == 1


def test_fault_checksum_wrong_spoils_every_checksum() -> None:
    frames = faulty(CarFault.CHECKSUM_WRONG).step(2.0)
    plan = next(plan for plan in PROFILE.messages if plan.name == "LockStatus")
    assert plan.checksum is not None
    for frame in named(frames, "LockStatus"):
        assert plan.checksum.field.extract(frame.data) != plan.checksum.compute(frame.data)


def test_fault_counter_stuck_repeats_one_number() -> None:
    frames = faulty(CarFault.COUNTER_STUCK).step(2.0)
    plan = next(plan for plan in PROFILE.messages if plan.name == "LockStatus")
    assert plan.counter is not None
    assert len({plan.counter.field.extract(frame.data) for frame in named(frames, "LockStatus")}) == 1
