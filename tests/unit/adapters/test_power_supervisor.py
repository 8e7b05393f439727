"""The power supervisor's port, on a pseudo-terminal: answers, silence, noise, and a cable that is pulled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.adapters import power_supervisor
from agent.adapters.power_supervisor import LINE_BYTES_MAX, PowerSupervisor, news_of
from agent.errors import SupervisorError
from agent.model.power import IgnitionLine, PowerFails, SupervisorFound, SupervisorNews, SupplyMeasured, Wake, Woken
from tests.support.power_box import PowerBox

WAIT_S = 10.0
FOUND = SupervisorFound(is_there=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_supervisor, "ANSWER_WAIT_S", 0.1)
    monkeypatch.setattr(power_supervisor, "HELLO_INTERVAL_S", 0.2)
    monkeypatch.setattr(power_supervisor, "RETRY_S_MIN", 0.01)


class Heard:
    """News as they come; `until` waits for one."""

    def __init__(self) -> None:
        self.news: list[SupervisorNews] = []
        self._has_more = asyncio.Event()

    def take(self, news: SupervisorNews) -> None:
        self.news.append(news)
        self._has_more.set()

    async def until(self, wanted: type[SupervisorNews] | SupervisorNews) -> SupervisorNews:
        async with asyncio.timeout(WAIT_S):
            while True:
                for each in self.news:
                    if each == wanted or (isinstance(wanted, type) and isinstance(each, wanted)):
                        return each
                self._has_more.clear()
                await self._has_more.wait()


@contextlib.asynccontextmanager
async def listening(device: str) -> AsyncIterator[tuple[PowerSupervisor, Heard]]:
    heard = Heard()
    supervisor = PowerSupervisor(device, heard.take)
    task = asyncio.create_task(supervisor.listen())
    try:
        yield supervisor, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("line", "news"),
    [
        ("supply 12.34", SupplyMeasured(12.34, 5.0)),
        ("ignition on", IgnitionLine(is_on=True)),
        ("ignition off", IgnitionLine(is_on=False)),
        ("woke timer", Woken(Wake.TIMER)),
        ("fails", PowerFails()),
        *(
            (line, None)
            for line in ("", "supply", "supply 12", "supply nan", "supply -1.0", "supply 123.4", "supply 1e1")
        ),
        *((line, None) for line in ("ignition", "ignition maybe", "woke dream", "fails now", "FAILS", " fails", "ok")),
    ],
)
def test_line_is_news_of_the_protocol_or_none(line: str, news: SupervisorNews | None) -> None:
    assert news_of(line, 5.0) == news


async def test_supervisor_that_answers_is_found_and_what_it_says_is_passed_on() -> None:
    with PowerBox() as box:
        async with listening(box.device) as (_, heard):
            await heard.until(FOUND)
            for line in ("woke ignition", "supply 12.61\r", "nonsense", "ignition on"):
                box.say(line)
            await heard.until(IgnitionLine(is_on=True))
    supply = next(each for each in heard.news if isinstance(each, SupplyMeasured))
    assert supply.volts == 12.61
    assert heard.news[0] == FOUND and Woken(Wake.IGNITION) in heard.news


async def test_supervisor_that_falls_silent_is_lost_and_found_again() -> None:
    """SR-10: it is asked again and again; an answer that comes late is not taken for another's."""
    with PowerBox() as box:
        async with listening(box.device) as (_, heard):
            await heard.until(FOUND)
            box.is_deaf = True
            lost = await heard.until(SupervisorFound(False, f"{box.device}: no answer to hello within 0.3 s"))
            heard.news.clear()
            box.is_deaf = False
            await heard.until(FOUND)
    assert isinstance(lost, SupervisorFound)


async def test_cable_that_is_pulled_is_told_and_a_port_that_is_not_there(tmp_path: Path) -> None:
    with PowerBox() as box:
        async with listening(box.device) as (_, heard):
            await heard.until(FOUND)
            box.unplug()
            await heard.until(SupervisorFound(False, f"{box.device}: the port has gone"))
    async with listening(str(tmp_path / "ttyNONE")) as (_, heard):
        told = await heard.until(SupervisorFound)
    assert isinstance(told, SupervisorFound)
    assert not told.is_there and "not opened" in told.detail


async def test_power_is_cut_by_one_request_repeated_until_it_is_answered() -> None:
    asked: list[int] = []
    with PowerBox(on_off=asked.append) as box:
        box.lost_answers = 2
        await PowerSupervisor(box.device, lambda news: None).request_off(59.2)
        assert box.heard == ["off 1 60", "off 2 60", "off 3 60"]
    assert asked == [60]


async def test_refusal_and_silence_are_told_in_words() -> None:
    with PowerBox() as box:
        box.refuses = "charging"
        with pytest.raises(SupervisorError, match="refused: charging"):
            await PowerSupervisor(box.device, lambda news: None).request_off(60.0)
        box.is_deaf = True
        with pytest.raises(SupervisorError, match=r"no answer to off within 0\.3 s"):
            await PowerSupervisor(box.device, lambda news: None).request_off(60.0)
        assert len(box.heard) == 1 + power_supervisor.TRIES_MAX


async def test_answer_to_another_request_is_none() -> None:
    """What comes late says nothing of what was asked since."""
    with PowerBox() as box:
        box.answers_ahead = 7
        with pytest.raises(SupervisorError, match="no answer to off"):
            await PowerSupervisor(box.device, lambda news: None).request_off(60.0)


async def test_noise_is_bounded_and_passed_over() -> None:
    """SR-09: a line without an end takes no memory, and a flood of lines no more time than twenty a second."""
    with PowerBox() as box:
        async with listening(box.device) as (_, heard):
            await heard.until(FOUND)
            box.say("x" * 20 * LINE_BYTES_MAX + "\nignition on")
            await heard.until(IgnitionLine(is_on=True))
            for _ in range(400):
                box.say("supply 12.00")
            box.say("ignition off")
            heard.news.clear()
            await heard.until(FOUND)
            assert sum(isinstance(each, SupplyMeasured) for each in heard.news) <= 30


async def test_two_do_not_talk_on_one_port() -> None:
    with PowerBox() as box:
        async with listening(box.device) as (_, heard):
            await heard.until(FOUND)
            with pytest.raises(SupervisorError, match="not opened"):
                await PowerSupervisor(box.device, lambda news: None).request_off(60.0)
