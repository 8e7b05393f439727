"""A power supervisor of the tests: the other end of a pseudo-terminal, with a real one's protocol and faults."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from types import TracebackType


class PowerBox:
    """Answers `hello` and `off` unless told not to; `device` is what `[power] supervisor` names.

    `heard` has every line it was sent. `refuses` is the reason it gives instead of `ok`; `is_deaf`: it answers nothing;
    `answers_ahead`: the numbers it answers to are so much too high.
    """

    def __init__(self, *, on_off: Callable[[int], None] = lambda after_s: None) -> None:
        self._own, self._other = os.openpty()
        tty.setraw(self._other)
        self.device = os.ttyname(self._other)
        self.heard: list[str] = []
        self.refuses: str | None = None
        self.is_deaf = False
        self.lost_answers = 0
        self.answers_ahead = 0
        self.was_greeted = asyncio.Event()
        self.was_asked = asyncio.Event()
        self._on_off = on_off
        self._rest = b""

    def __enter__(self) -> PowerBox:
        asyncio.get_running_loop().add_reader(self._own, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unplug()

    def say(self, line: str) -> None:
        os.write(self._own, line.encode() + b"\n")

    def unplug(self) -> None:
        """The cable is pulled: the port at the other end hangs up."""
        if self._own >= 0:
            asyncio.get_running_loop().remove_reader(self._own)
            os.close(self._other)
            os.close(self._own)
            self._own = -1

    def _read(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._own, 4096)).split(b"\n")
        for line in lines:
            self._take(line.decode())

    def _take(self, line: str) -> None:
        self.heard.append(line)
        verb, number, *rest = line.split(" ")
        if self.is_deaf:
            return
        if self.lost_answers:
            self.lost_answers -= 1
            return
        number = str(int(number) + self.answers_ahead)
        is_refused = self.refuses is not None and verb == "off"
        if verb == "off" and not is_refused:
            self._on_off(int(rest[0]))
        self.say(f"no {number} {self.refuses}" if is_refused else f"ok {number}")
        (self.was_asked if verb == "off" else self.was_greeted).set()
