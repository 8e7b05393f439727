"""Every shipped profile on a real kernel's CAN: the whole agent, the virtual car of the profile, signed commands.

What has to come of them follows from the profile's abilities, and for the profiles of today also stands here by name,
so that one which silently loses an ability is noticed. A new folder of `dbc/` is tried without a line here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.model.command import Action, Reason
from agent.profiles.schema import Profile
from tests.profiles.shipped import VEHICLES, profile
from tests.support.wire import ip
from tests.vcan.profile_trial import Trial, live_trial

pytestmark = [pytest.mark.vcan, pytest.mark.broker, pytest.mark.timeout(400)]

AT_ONCE = 3
"""Most of a trial is waiting: for the car to wake, to lock itself, to be silent."""

BUSES_MAX = 3

End = tuple[str, str]
"""Outcome and reason of a command."""

UNSUPPORTED: End = ("rejected", "unsupported_action")
VERIFIED: End = ("verified", "ok")
UNVERIFIED: End = ("executed_unverified", "ok")
DOOR_OPEN: End = ("rejected", "door_open")


@dataclass(frozen=True, slots=True)
class Expected:
    """Of an unlock, a lock while the driver's door is open, a call to flash; who the agent says locked the car that
    locked itself, None if the car tells nothing of its lock; whether it is asked for what it does not broadcast."""

    unlock: End
    lock: End
    locate: End
    locked_by: str | None
    is_polled: bool


BY_NAME: Mapping[str, Expected] = {
    "bmw_i3": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, "relock", True),
    "demo_hatchback": Expected(VERIFIED, DOOR_OPEN, UNVERIFIED, "relock", False),
    "nissan_env200": Expected(VERIFIED, DOOR_OPEN, UNSUPPORTED, "relock", True),
    "nissan_leaf_aze0": Expected(VERIFIED, DOOR_OPEN, UNSUPPORTED, "relock", True),
    "nissan_leaf_ze0": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, "relock", True),
    "nissan_leaf_ze1": Expected(VERIFIED, DOOR_OPEN, UNSUPPORTED, "relock", True),
    "renault_zoe_ph1": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, "relock", False),
    "renault_zoe_ph2": Expected(VERIFIED, DOOR_OPEN, UNVERIFIED, "relock", True),
    "smart_451": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, None, False),
    "smart_453": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, "relock", False),
    "vw_e_up": Expected(UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, "relock", True),
}


def expected_of(profile: Profile) -> Expected:
    """What follows from the profile. Relays are none here, so an action by pulses is not supported."""

    def end(action: Action) -> End:
        recipe = profile.recipes.get(action)
        if recipe is None or recipe.pulses:
            return UNSUPPORTED
        return VERIFIED if recipe.feedback else UNVERIFIED

    lock = end(Action.LOCK)
    if lock is not UNSUPPORTED and any(
        one.reason is Reason.DOOR_OPEN for one in profile.recipes[Action.LOCK].preconditions
    ):
        lock = DOOR_OPEN
    tells_lock = any(path.endswith((".IsLocked", ".IsLockedBesideDriver")) for path in profile.paths)
    broadcast = {signal.path for message in profile.messages for signal in message.signals}
    is_polled = any(
        not poll.is_silent and not {signal.path for signal in poll.signals} <= broadcast for poll in profile.polls
    )
    return Expected(end(Action.UNLOCK), lock, end(Action.LOCATE), "relock" if tells_lock else None, is_polled)


@pytest.fixture(scope="module")
def links() -> Iterator[list[list[str]]]:
    """As many interfaces as the cars that are there at once have buses."""
    names = [[f"vcanp{lane}{bus}" for bus in range(BUSES_MAX)] for lane in range(AT_ONCE)]
    flat = [name for lane in names for name in lane]
    for name in flat:
        ip("add", "dev", name, "type", "vcan")
        ip("set", name, "up")
    yield names
    for name in flat:
        ip("delete", name)


@pytest.fixture(scope="module")
def trials(
    links: list[list[str]], broker_port: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trial | BaseException]:
    """Every profile's trial, a few at a time; what ended one is that one's own."""
    done: dict[str, Trial | BaseException] = {}

    async def lane(name: str, channels: list[str], start: asyncio.Barrier) -> None:
        folder: Path = tmp_path_factory.mktemp(name)
        try:
            done[name] = await live_trial(
                name, folder, interface="socketcan", channels=channels, broker_port=broker_port, start=start
            )
        except Exception as error:  # noqa: BLE001 - told by the test of this profile
            done[name] = error
            await start.abort()

    async def together(names: Sequence[str]) -> None:
        start = asyncio.Barrier(len(names))
        async with asyncio.TaskGroup() as tasks:
            for name, channels in zip(names, links, strict=False):
                tasks.create_task(lane(name, channels, start))

    for first in range(0, len(VEHICLES), AT_ONCE):
        asyncio.run(together(VEHICLES[first : first + AT_ONCE]))
    return done


@pytest.mark.parametrize("name", VEHICLES)
def test_commands_and_polls_come_out_as_the_profile_is_able_to_sr04_sr06_sr08(
    name: str, trials: dict[str, Trial | BaseException]
) -> None:
    """SR-01, SR-04, SR-06, SR-08: also that nothing but the profile's own frames is ever sent."""
    trial, expected = trials[name], expected_of(profile(name))
    if isinstance(trial, BaseException):
        raise trial
    assert (
        Expected(trial.unlock, trial.lock_with_door_open, trial.locate, trial.locked_by, trial.polls_awake > 0)
        == expected
    )
    assert trial.unlocked_really is (expected.unlock is not UNSUPPORTED)
    assert (trial.wakes > 0) is (expected.unlock is not UNSUPPORTED)
    assert trial.door_told
    assert trial.polls_asleep == 0
    assert trial.strangers == []


@pytest.mark.parametrize("name", BY_NAME)
def test_a_profile_can_what_it_could(name: str) -> None:
    assert expected_of(profile(name)) == BY_NAME[name]
