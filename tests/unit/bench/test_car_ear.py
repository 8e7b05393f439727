"""What the virtual car hears: the recipes of any profile, whole, in order and in time."""

from __future__ import annotations

import pytest

from agent.bench.car import WAKE_DELAY_S, VirtualCar
from agent.bench.car_body import Opening
from agent.bench.car_diagnostics import ANSWER_AFTER_S
from agent.bench.car_ear import ROUND_S_MAX, CarEar, WakeHeard
from agent.bench.vehicle import load_vehicle
from agent.model.command import Action
from agent.model.frame import Frame
from agent.model.recipe import FrameTemplate
from tests.profiles.shipped import VEHICLES, folder, profile

TWO_FRAMES = "nissan_leaf_ze1"
"""Its wake-up is two frames, the second of the identifier of its requests."""


def sent(template: FrameTemplate, counter: int = 0) -> Frame:
    data = template.data if template.counter is None else template.counter.insert(template.data, counter)
    if template.checksum is not None:
        data = template.checksum.field.insert(data, template.checksum.compute(data))
    return Frame(template.bus, template.arbitration_id, data, 0.0, template.is_extended_id, template.is_fd)


def wake_up(name: str) -> list[Frame]:
    wake = profile(name).recipes[Action.UNLOCK].wake
    assert wake is not None
    return [sent(template) for template in wake.frames]


@pytest.mark.parametrize("name", VEHICLES)
def test_every_recipe_of_every_profile_is_heard_as_its_action_and_as_no_other(name: str) -> None:
    for action, recipe in profile(name).recipes.items():
        ear = CarEar(profile(name))
        frames = [sent(template) for template in recipe.frames]
        heard = [[one.action for one in ear.requests(frame, number / 10)] for number, frame in enumerate(frames)]
        assert heard == [*([[]] * (len(frames) - 1)), [action]]


def test_a_wake_up_is_all_of_its_frames_in_order_and_soon_after_each_other() -> None:
    first, second = wake_up(TWO_FRAMES)
    ear = CarEar(profile(TWO_FRAMES))
    assert [ear.wake(second, 0.0), ear.wake(first, 0.1), ear.wake(second, 0.2)] == [
        WakeHeard.NOTHING,
        WakeHeard.FRAME,
        WakeHeard.WHOLE,
    ]
    ear = CarEar(profile(TWO_FRAMES))
    assert ear.wake(first, 0.0) is WakeHeard.FRAME
    assert ear.wake(second, ROUND_S_MAX + 0.1) is WakeHeard.NOTHING
    # A frame of somebody else between them, and the first one twice, do no harm.
    ear.wake(first, 5.0)
    ear.wake(first, 5.1)
    ear.wake(first._replace(arbitration_id=0x123), 5.2)
    assert ear.wake(second, 5.3) is WakeHeard.WHOLE


def test_a_frame_on_another_bus_or_of_another_length_is_none_of_the_recipe() -> None:
    (first, _), ear = wake_up(TWO_FRAMES), CarEar(profile(TWO_FRAMES))
    assert ear.wake(first._replace(bus="ev"), 0.0) is WakeHeard.NOTHING
    assert ear.wake(first._replace(data=first.data + b"\x00"), 0.0) is WakeHeard.NOTHING


def woken(*, relock_after_s: float | None) -> VirtualCar:
    """A locked car woken by its profile's frames and asked to unlock, at 1 s."""
    car = VirtualCar(*load_vehicle(folder(TWO_FRAMES)), relock_after_s=relock_after_s)
    for frame in wake_up(TWO_FRAMES):
        car.receive(frame, 0.5)
    assert car.step(0.5 + WAKE_DELAY_S - 0.01) == []
    assert {frame.bus for frame in car.step(1.0)} == {"ev", "car"}
    for template in profile(TWO_FRAMES).recipes[Action.UNLOCK].frames:
        car.receive(sent(template), 1.0)
    return car


def test_a_car_that_locks_itself_does_so_in_its_time_unless_a_door_was_opened() -> None:
    car = woken(relock_after_s=5.0)
    car.step(6.0)
    assert not car.lock.is_locked
    car.step(7.0)
    assert car.lock.is_locked
    assert [event.name for event in car.drain_events()] == [
        "woke",
        "lock_request",
        "lock_moved",
        "relocks",
        "lock_moved",
    ]

    car = woken(relock_after_s=5.0)
    car.step(2.0)
    car.set_opening(Opening.DRIVER_DOOR, 2.0, is_open=True)
    car.step(20.0)
    assert not car.lock.is_locked


def test_a_car_that_does_not_lock_itself_does_not() -> None:
    car = woken(relock_after_s=None)
    car.step(50.0)
    assert not car.lock.is_locked


def test_control_units_hear_and_answer_while_the_car_is_awake() -> None:
    car = VirtualCar(*load_vehicle(folder(TWO_FRAMES)), is_asleep=False, sleep_after_s=1e9)
    car.step(0.99)
    poll = next(poll for poll in profile(TWO_FRAMES).polls if len(poll.answers) == 1 and max(poll.answers) == 1)
    asked = Frame(poll.bus, poll.request_id, poll.request, 0.0, poll.is_extended_id)

    def answers(frames: list[Frame]) -> list[float]:
        return [
            frame.received_at_s for frame in frames if (frame.bus, frame.arbitration_id) == (poll.bus, poll.response_id)
        ]

    car.receive(asked, 1.0)
    assert answers(car.step(2.0)) == [1.0 + ANSWER_AFTER_S]
    car.receive(asked, 2.0)
    car.sleep(2.01)
    assert car.step(3.0) == []
    car.receive(asked, 3.0)
    assert car.step(4.0) == []
    assert car.diagnostics.requests_seen[poll.name] == 2


def test_a_leisurely_car_sends_no_message_more_often_than_its_freshness_needs() -> None:
    vehicle = load_vehicle(folder(TWO_FRAMES))
    counts = [
        len(VirtualCar(*vehicle, is_asleep=False, is_leisurely=is_leisurely).step(4.0))
        for is_leisurely in (False, True)
    ]
    assert counts[1] < 0.6 * counts[0]
