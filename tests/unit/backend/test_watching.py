"""Reports: read from the broker's JSON, and kept for a watcher within a bound."""

from __future__ import annotations

import asyncio

import pytest

from agent.backend.watching import (
    WAITING_MAX,
    EventReport,
    LinkReport,
    Missed,
    PresenceReport,
    Report,
    StateReport,
    Watch,
    parse_report,
)
from agent.uplink import wire

MOMENT = wire.Moment(5000, None, 0)


def test_what_the_agent_writes_is_read() -> None:
    state = wire.state_document(
        MOMENT,
        "6.0",
        b"session1",
        {},
        {},
        {"body": "awake"},
        0.0,
        use="awake",
        power={"step": "normal", "supply": "ok"},
    )
    event = wire.named_record("started", 1, MOMENT, {"version": "0.1.0"})
    presence = wire.presence_document(b"session1", is_online=False)
    assert isinstance(parse_report("state", "demo", state), StateReport)
    report = parse_report("evt", "demo", event)
    assert isinstance(report, EventReport)
    assert (report.car, report.document["kind"], report.document["seq"]) == ("demo", "started", 1)
    assert parse_report("presence", "demo", presence) == PresenceReport("demo", is_online=False, sid=b"session1")


@pytest.mark.parametrize(
    ("is_online", "told", "known"),
    [
        (False, "asleep", "asleep"),
        (False, "stopped", "stopped"),
        (False, None, None),
        (False, "dreaming", None),
        (True, "asleep", None),
    ],
)
def test_an_end_that_was_announced_is_told_from_the_will(is_online: bool, told: str | None, known: str | None) -> None:
    """R14; a word of a later version, or of a car that is there, is none."""
    presence = wire.presence_document(b"session1", is_online=is_online, end=told)
    assert parse_report("presence", "demo", presence) == PresenceReport("demo", is_online, b"session1", known)


@pytest.mark.parametrize("kind", ["state", "evt", "presence"])
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"x": NaN}',
        b'{"x": -Infinity}',
        b"[" * 65_000,
        b'{"x":' * 10_000,
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
)
def test_anything_else_is_no_report(kind: str, payload: bytes) -> None:
    assert parse_report(kind, "demo", payload) is None


@pytest.mark.parametrize(
    "payload",
    [b"{}", b'{"online": 1, "sid": "00"}', b'{"online": true}', b'{"online": true, "sid": "zz"}'],
)
def test_a_presence_that_says_nothing_definite_is_no_report(payload: bytes) -> None:
    assert parse_report("presence", "demo", payload) is None


def state(number: int, car: str = "demo") -> StateReport:
    return StateReport(car, {"number": number})


async def next_of(watch: Watch) -> Report:
    async with asyncio.timeout(1.0):
        return await watch.get()


async def test_reports_come_in_the_order_they_arrived() -> None:
    watch = Watch(None)
    for number in range(3):
        watch.put(state(number))
    assert [await next_of(watch) for _ in range(3)] == [state(0), state(1), state(2)]


async def test_a_watcher_of_one_car_hears_of_it_and_of_the_link() -> None:
    watch = Watch({"demo"})
    watch.put(state(0, "other"))
    watch.put(state(1))
    watch.put(LinkReport(is_connected=False, detail="gone"))
    assert await next_of(watch) == state(1)
    assert await next_of(watch) == LinkReport(is_connected=False, detail="gone")


async def test_a_watcher_that_does_not_read_loses_the_oldest_and_is_told_how_many() -> None:
    watch = Watch(None)
    for number in range(WAITING_MAX + 5):
        watch.put(state(number))
    assert await next_of(watch) == Missed(5)
    assert await next_of(watch) == state(5)
    assert [await next_of(watch) for _ in range(WAITING_MAX - 1)][-1] == state(WAITING_MAX + 4)


async def test_a_watcher_that_has_read_everything_waits() -> None:
    watch = Watch(None)
    waiting = asyncio.create_task(watch.get())
    await asyncio.wait((waiting,), timeout=0)
    assert not waiting.done()
    watch.put(state(0))
    assert await waiting == state(0)
