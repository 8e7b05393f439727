"""What the bench says the backend was told is what the backend was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agent.backend.watching import EventReport, LinkReport, PresenceReport, Report, ResultReport, StateReport
from agent.bench.reported import LINES_MAX, Reported
from agent.command.envelope import Result
from agent.model.command import Executed, Reason, Stage
from tests.support.scripted_car import CAR, LOCK_EVIDENCE

SPEED = "Vehicle.Speed"


def row(value: object, quality: str = "ok", **more: object) -> dict[str, object]:
    return {"value": value, "unit": "km/h", "quality": quality, "age_s": 0.25, **more}


def state(**readings: dict[str, object]) -> StateReport:
    return StateReport("demo", {"kind": "state", "buses": {"body": "awake"}, "readings": readings})


async def told(*reports: Report) -> Reported:
    async def source() -> AsyncIterator[Report]:
        for report in reports:
            yield report

    reported = Reported()
    await reported.follow(source())
    return reported


async def test_a_snapshot_gives_values_and_the_state_of_the_buses() -> None:
    reported = await told(state(**{SPEED: row(12.5)}))
    assert (reported.value(SPEED), reported.number(SPEED), reported.buses) == (12.5, 12.5, {"body": "awake"})
    assert reported.readings[SPEED].age_now_s(reported.readings[SPEED].at_s + 1) == 1.25


async def test_an_event_updates_one_path_and_a_historical_one_none() -> None:
    now = EventReport("demo", {"kind": "event", "readings": [{"path": SPEED, **row(3.0)}]})
    old = EventReport("demo", {"kind": "event", "readings": [{"path": SPEED, **row(99.0)}], "historical": True})
    assert (await told(state(**{SPEED: row(0.0)}), now, old)).value(SPEED) == 3.0


async def test_a_reading_that_is_not_good_has_no_value() -> None:
    """SR-05."""
    reported = await told(state(**{SPEED: row(None, "stale", last_value=50.0, reason="not_received")}))
    assert (reported.value(SPEED), reported.number(SPEED)) == (None, None)
    assert (reported.readings[SPEED].last_value, reported.readings[SPEED].reason) == (50.0, "not_received")
    assert reported.value("Vehicle.Unheard") is None
    assert (await told(state(**{SPEED: row(50.0, "stale")}))).value(SPEED) is None


async def test_a_truth_value_is_no_number() -> None:
    reported = await told(state(a=row(True)))
    assert (reported.value("a"), reported.number("a")) == (True, None)


async def test_presence_and_link_are_kept() -> None:
    reported = await told(PresenceReport("demo", True, b"12345678"), LinkReport(False, "gone"))
    assert (reported.is_online, reported.is_linked) == (True, False)


async def test_malformed_documents_tell_nothing() -> None:
    reported = await told(
        StateReport("demo", {"readings": 5, "buses": []}),
        StateReport("demo", {"readings": {SPEED: 7}}),
        EventReport("demo", {"kind": "event", "readings": [1, None]}),
    )
    assert (reported.readings, reported.buses) == ({}, {})


async def test_lines_tell_what_happened_and_no_values_which_stand_elsewhere() -> None:
    opened = {"kind": "event", "event": "door_opened", "readings": [{"path": "Vehicle.Door", **row(True)}]}
    samples = {"kind": "readings", "readings": [{"path": SPEED, **row(3.0)}]}
    reported = await told(state(**{SPEED: row(1.0)}), EventReport("demo", samples), EventReport("demo", opened))
    assert list(reported.lines) == ["demo event door_opened"]
    assert (reported.value(SPEED), reported.value("Vehicle.Door")) == (3.0, True)


async def test_of_a_result_the_end_is_told_whoever_asked_for_the_command() -> None:
    result = Result(
        CAR.id, bytes(16), 1, Stage.VERIFIED, Reason.OK, Executed.YES, b"session1", 7000, b"d" * 8, LOCK_EVIDENCE, 8
    )
    assert list((await told(ResultReport("demo", result))).lines) == ["demo command 00000000 verified"]


async def test_lines_are_bounded() -> None:
    reported = Reported()
    for number in range(LINES_MAX + 5):
        reported.note(str(number))
    assert (len(reported.lines), reported.lines[0]) == (LINES_MAX, "5")


async def test_until_ends_when_the_condition_comes_true_and_when_time_is_up() -> None:
    queue: asyncio.Queue[Report] = asyncio.Queue()

    async def source() -> AsyncIterator[Report]:
        while True:
            yield await queue.get()

    reported = Reported()
    following = asyncio.create_task(reported.follow(source()))
    waiting = asyncio.create_task(reported.until(lambda: reported.number(SPEED) == 2.0, 5.0))
    for speed in (1.0, 2.0):
        await queue.put(state(**{SPEED: row(speed)}))
    assert await waiting
    assert not await reported.until(lambda: reported.number(SPEED) == 3.0, 0.01)
    following.cancel()
