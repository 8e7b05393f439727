"""Iteration over a car's records against a real Mosquitto: with the real agent, and with records made by hand."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.backend import Backend
from agent.backend.completeness import CarNumbers, Missing, NewStore, Numbered
from agent.backend.events import EventStream, Told, Unreadable, load_numbers, save_numbers
from agent.backend.numbering import Arrival, Fate
from agent.backend.records import CommandEnded, OtherRecord
from agent.backend.watching import LinkReport
from agent.bench.setup import CAR_NAME
from agent.errors import ConfigurationError, LinkError
from agent.uplink import wire
from tests.support.live_car import live_car, soon
from tests.support.mosquitto import Mosquitto, free_port, mosquitto
from tests.support.scripted_car import ScriptedCar, connected, is_silent, settings, topic

pytestmark = pytest.mark.broker

WAIT_S = 20.0
PAGE = Path(__file__).resolve().parents[2] / "agent/backend/README.md"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path, ["persistence true", f"persistence_location {tmp_path}/"]) as running:
        yield running


@pytest.fixture
async def backend(broker: Mosquitto) -> AsyncIterator[Backend]:
    async with Backend(settings(port=broker.port)) as opened:
        yield opened


async def read(stream: EventStream, until: Callable[[Told], bool]) -> list[Told]:
    """What comes, up to the first that is wanted."""
    told = []
    async with asyncio.timeout(WAIT_S):
        async for each in stream:
            told.append(each)
            if until(each):
                return told
    raise AssertionError(f"the stream ended: {told}")


def is_number(sequence: int) -> Callable[[Told], bool]:
    return lambda told: isinstance(told, Numbered) and told.record.sequence == sequence


def record(sequence: int, kind: str = "made_by_hand") -> bytes:
    return wire.named_record(kind, sequence, wire.Moment(1, None, 0), {})


def sequences(told: list[Told]) -> list[int]:
    return [each.record.sequence for each in told if isinstance(each, Numbered)]


async def test_no_record_of_a_real_car_is_missing_over_a_restart_of_the_reader_sr_07(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """While it is away the broker keeps its session; what it had seen is not told again."""
    saved = tmp_path / "numbers.json"

    def is_end(told: Told) -> bool:
        return isinstance(told, Numbered) and isinstance(told.record, CommandEnded)

    async with live_car(tmp_path, car_port=broker.port, backend_port=broker.port) as live:
        async with live.backend.events(session="ledger") as stream:
            assert (await live.backend.unlock(CAR_NAME)).is_verified
            first = await read(stream, is_end)
            save_numbers(saved, stream.numbers)
        assert (await live.backend.lock(CAR_NAME)).is_verified
        async with live.backend.events(session="ledger", numbers=load_numbers(saved)) as stream:
            assert (await live.backend.unlock(CAR_NAME)).is_verified
            second = [*await read(stream, is_end), *await read(stream, is_end)]
            (numbers,) = stream.numbers
    told = [*first, *second]
    assert len(set(sequences(told))) == len(sequences(told))
    assert not [each for each in told if isinstance(each, Missing | NewStore | Unreadable)]
    assert not [each for each in told if isinstance(each, Numbered) and isinstance(each.record, OtherRecord)]
    ends = [each.record for each in told if isinstance(each, Numbered) and isinstance(each.record, CommandEnded)]
    assert [(end.command, end.stage) for end in ends] == [
        ("unlock", "verified"),
        ("lock", "verified"),
        ("unlock", "verified"),
    ]
    (run,) = numbers.runs
    came = set(sequences(told)) | {end.result_sequence for end in ends}
    open_numbers = set(range(run.numbering.known_from, run.numbering.last + 1)) - came
    assert len(open_numbers) == numbers.count(Fate.AWAITED)


async def test_what_was_not_taken_before_a_crash_comes_again(broker: Mosquitto, backend: Backend) -> None:
    async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car:
        async with backend.events(session="ledger") as stream:
            for sequence in (1, 2, 3):
                await car.publish(topic("evt"), record(sequence), qos=1)
            assert sequences(await read(stream, is_number(2))) == [1, 2]
            before = stream.numbers
        async with backend.events(session="ledger") as stream:  # it had dealt with 1, and says nothing of 2
            assert sequences(await read(stream, is_number(3))) == [2, 3]
        async with backend.events(session="ledger", numbers=before) as stream:
            await car.publish(topic("evt"), record(2), qos=1)
            await car.publish(topic("evt"), record(4), qos=1)
            assert sequences(await read(stream, is_number(4))) == [3, 4], "3 was not acknowledged, 2 is a repetition"


async def test_the_example_of_the_page_runs_and_keeps_its_place(
    tmp_path: Path, broker: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), page)  # noqa: S102 - our own page
    path = tmp_path / "books.json"
    moment = wire.Moment(1, None, 0)
    async with EventStream(settings(port=broker.port), session="books"):
        pass  # from here on the broker keeps what comes
    async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car:
        for numbers, word in (((1, 2), "locked"), ((2, 3), "unlocked")):
            for sequence in numbers:
                fields = {"event": word, "readings": []}
                await car.publish(topic("evt"), wire.named_record("event", sequence, moment, fields), qos=1)
            reading = asyncio.create_task(page["keep_books"](settings(port=broker.port), path))
            await soon(functools.partial(has_read, path, numbers[-1]), what="the last record is in the books")
            reading.cancel()
            await asyncio.wait((reading,))
    assert capsys.readouterr().out.splitlines() == ["demo 1 locked None", "demo 2 locked None", "demo 3 unlocked None"]


def has_read(path: Path, sequence: int) -> bool:
    return any(run.numbering.last == sequence for numbers in load_numbers(path) for run in numbers.runs)


async def test_a_reader_without_a_session_learns_what_it_missed(broker: Mosquitto, backend: Backend) -> None:
    async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car:
        async with backend.events() as stream:
            await car.publish(topic("evt"), record(1), qos=1)
            await read(stream, is_number(1))
            before = stream.numbers
        await car.publish(topic("evt"), record(2), qos=1)
        async with backend.events(numbers=before) as stream:
            await car.publish(topic("evt"), record(3), qos=1)
            told = (await read(stream, is_number(3)))[-1]
            assert isinstance(told, Numbered) and told.arrival is Arrival.NEXT
            assert [numbers.count(Fate.AWAITED) for numbers in stream.numbers] == [1]


async def test_foreign_payloads_are_told_as_such_and_end_nothing(broker: Mosquitto, backend: Backend) -> None:
    foreign = [
        b"",
        b"\xff\x00",
        b"[1]",
        b'{"seq": true}',
        b'{"seq": 1e400}',
        b"[" * 60_000,
        b'{"kind":"event","seq":0}',
    ]
    async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car, backend.events() as stream:
        for payload in foreign:
            await car.publish(topic("evt"), payload, qos=1)
        await car.publish(topic("evt"), json.dumps({"kind": "gap", "seq": 5, "spans": [[9, 1]]}), qos=1)
        told = await read(stream, is_number(5))
    assert [each.payload for each in told if isinstance(each, Unreadable)] == [each[:1024] for each in foreign]
    assert isinstance(told[-1], Numbered) and isinstance(told[-1].record, OtherRecord)


async def test_a_broker_that_goes_is_told_and_what_it_kept_comes_after(broker: Mosquitto, backend: Backend) -> None:
    async with backend.events(session="ledger") as stream:
        async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car:
            await car.publish(topic("evt"), record(1), qos=1)
            await read(stream, is_number(1))
        await asyncio.to_thread(broker.end)
        await read(stream, lambda told: isinstance(told, LinkReport) and not told.is_connected)
        await asyncio.to_thread(broker.start)
        async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as car:
            await car.publish(topic("evt"), record(2), qos=1)
            assert sequences(await read(stream, is_number(2))) == [2], "the 1 that comes again is left out"


async def test_wrong_use_is_said_before_anything_is_connected() -> None:
    with pytest.raises(ConfigurationError, match="session"):
        EventStream(settings(), session="a b")
    with pytest.raises(ConfigurationError, match="other"):
        EventStream(settings(), ["other"])
    with pytest.raises(LinkError):
        async with EventStream(settings(port=free_port())):
            pass


def test_saved_numbers_come_back_and_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    assert load_numbers(path) == ()
    for numbers in ((), (CarNumbers("demo"),)):
        save_numbers(path, numbers)
        assert load_numbers(path) == numbers
    for text in ("{", "{}", '{"v": 1, "cars": {"demo": [{}]}}', '{"v": 1, "cars": {"demo": 3}}'):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=str(path)):
            load_numbers(path)
