"""`carshare-backend watch`: the fleet live on a terminal, or what it tells line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable

from agent.backend import documents, words
from agent.backend.client import Backend
from agent.backend.fleet_status import FleetStatus
from agent.backend.fleet_view import fleet_picture, rows_of
from agent.backend.notices import notice_document, notice_words
from agent.backend.reception import Ignored, IgnoredCounts
from agent.backend.settings import Settings
from agent.backend.terminal import Terminal, is_interactive, show_until
from agent.backend.watching import Report


async def watch(
    settings: Settings, cars: Iterable[str], say: Callable[[str], None], *, is_json: bool, is_lines: bool
) -> None:
    """Show the cars of these names (none: all) until interrupted; raises `LinkError` if there is no connection."""
    names = tuple(cars)
    status = FleetStatus(names or settings.cars)
    async with Backend(settings) as backend, contextlib.aclosing(backend.watch(*names)) as reports:
        if is_json or is_lines or not is_interactive():
            await _tell(status, reports, say, is_json=is_json)
        else:
            with Terminal(sys.stdin.fileno(), sys.stdout) as terminal:
                await FleetScreen(status, terminal, backend.ignored).run(reports)


async def _tell(
    status: FleetStatus, reports: AsyncIterator[Report], say: Callable[[str], None], *, is_json: bool
) -> None:
    shown = words.ReportWords()
    async for report in reports:
        notices = (*status.take(report, time.monotonic(), time.time()), *status.look(time.monotonic()))
        if is_json:
            say(documents.line(documents.report_document(report, time.time())))
            for notice in notices:
                if (document := notice_document(notice, time.time())) is not None:
                    say(documents.line(document))
            continue
        clock = time.strftime("%H:%M:%S")
        for line in (*shown.lines(report), *filter(None, map(notice_words, notices))):
            say(f"{clock} {line}")


class FleetScreen:
    """The picture until `q`, or a signal to end."""

    def __init__(self, status: FleetStatus, terminal: Terminal, ignored: IgnoredCounts) -> None:
        self._status = status
        self._ignored = ignored
        self._terminal = terminal
        self._is_done = asyncio.Event()
        self._first = 0

    async def run(self, reports: AsyncIterator[Report]) -> None:
        """Draw until `q`; if the reports end by an exception, so does this."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._is_done.set)
        following = asyncio.create_task(self._follow(reports), name="backend-fleet")
        following.add_done_callback(lambda _: self._is_done.set())
        try:
            await show_until(self._is_done, self._terminal, self._picture, self.press)
            if following.done():
                following.result()
        finally:
            following.cancel()
            await asyncio.wait((following,))

    def press(self, key: str) -> None:
        """Do what one key stands for; other keys do nothing."""
        page = rows_of(self._terminal.size()[1])
        moves = {"j": 1, "k": -1, " ": page, "b": -page}
        if key == "q":
            self._is_done.set()
        elif key in moves:
            self._first = max(0, min(self._first + moves[key], len(self._status.cars) - page))

    async def _follow(self, reports: AsyncIterator[Report]) -> None:
        async for report in reports:
            self._status.take(report, time.monotonic(), time.time())

    def _picture(self, columns: int, lines: int) -> list[str]:
        now_s = time.monotonic()
        self._status.look(now_s)
        self._status.refused_count = self._ignored[Ignored.MALFORMED]
        has_color = not os.environ.get("NO_COLOR")
        return fleet_picture(
            self._status, columns=columns, lines=lines, now_s=now_s, first=self._first, has_color=has_color
        )
