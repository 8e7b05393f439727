"""A power supervisor on a serial port: lines of ASCII, each ended by a newline, 115,200 bit/s, 8N1.

    it says     ok N            to request number N: done, or about to be
                no N WORDS      to request number N: not done, for this reason
                supply VOLTS    measured at its own 12 V terminal, from 1 to 20 s apart
                ignition on|off the ignition wire, when it changes
                woke WORD       why it switched the computer on (`Wake`), once after `hello`
                fails           its supply is gone; what it has left lasts for some seconds
    we say      hello N         are you there
                off N SECONDS   cut the power so many seconds from now, and switch it on again when it is time

A line it does not know it should pass over; so do we, and count it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Final

import serial

from agent.adapters.clock import boot_s
from agent.errors import SupervisorError
from agent.model.power import (
    IgnitionLine,
    PowerFails,
    SupervisorFound,
    SupervisorNews,
    SupplyMeasured,
    Wake,
    Woken,
)

BAUD_RATE_BPS: Final = 115_200

LINE_BYTES_MAX: Final = 64
"""Its longest line with room for words; a longer one is noise, and is thrown away to its end."""

WRITE_WAIT_S: Final = 0.5
"""A port that takes no byte for so long hangs."""

ANSWER_WAIT_S: Final = 2.0
TRIES_MAX: Final = 3
"""A microcontroller answers within milliseconds; a line that noise has hit is said again, twice."""

HELLO_INTERVAL_S: Final = 30.0
"""How often it is asked whether it is there: one that was not there would be asked in vain when the battery is low."""

RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 60.0
"""A port that is not there is tried again after the first, twice that and so on up to the second."""

LINES_PER_S_MAX: Final = 20.0
"""A port that is noisy, or one's console, must not keep the agent from its work: what comes faster is thrown away."""

_VOLTS = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_ANSWER = re.compile(r"(ok|no) ([0-9]{1,9})(?: ([ -~]*))?")


class PowerSupervisor:
    """One port. `listen` passes on what it says; `request_off` asks for the power to be cut.

    `on_news` is told each piece of news, and whether the supervisor is there when that changes; `on_progress` at every
    turn of `listen` the seconds that are waited on purpose before the next.
    """

    def __init__(
        self,
        device: str,
        on_news: Callable[[SupervisorNews], None],
        on_progress: Callable[[float], None] = lambda pause_s: None,
    ) -> None:
        self._device = device
        self._on_news = on_news
        self._on_progress = on_progress
        self._number = 0
        self.ignored_count = 0

    async def listen(self) -> None:
        """Until cancelled: keep the port open, ask again and again whether it is there, pass on what it says."""
        pause_s = RETRY_S_MIN
        while True:
            try:
                with _opened(self._device) as port:
                    while True:
                        await self._ask(port, "hello")
                        pause_s = RETRY_S_MIN
                        self._on_news(SupervisorFound(is_there=True))
                        self._on_progress(HELLO_INTERVAL_S)
                        await self._take_for(port, HELLO_INTERVAL_S)
            except SupervisorError as error:
                self._on_news(SupervisorFound(is_there=False, detail=str(error)))
            self._on_progress(pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def request_off(self, after_s: float) -> None:
        """Have the power cut so many seconds after it agrees; SupervisorError if it does not.

        `listen` must have ended, for the port is one's own alone.
        """
        with _opened(self._device) as port:
            await self._ask(port, "off", f"{math.ceil(after_s)}")

    async def _ask(self, port: _Port, *words: str) -> None:
        verb, *rest = words
        for _ in range(TRIES_MAX):
            self._number += 1
            port.write(" ".join((verb, str(self._number), *rest)))
            if await self._take_for(port, ANSWER_WAIT_S, answer_to=self._number):
                return
        raise SupervisorError(f"{self._device}: no answer to {verb} within {TRIES_MAX * ANSWER_WAIT_S:g} s")

    async def _take_for(self, port: _Port, wait_s: float, *, answer_to: int | None = None) -> bool:
        """Take lines for so long; True as soon as the answer is among them, SupervisorError if that is a refusal."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    line = await port.line()
                    if (answer := _ANSWER.fullmatch(line)) is None:
                        self._take(line)
                    elif answer_to is not None and int(answer[2]) == answer_to:
                        if answer[1] == "no":
                            raise SupervisorError(f"{self._device}: refused: {answer[3] or 'no reason given'}")
                        return True
        return False

    def _take(self, line: str) -> None:
        if (news := news_of(line, boot_s())) is None:
            self.ignored_count += 1
        else:
            self._on_news(news)


def news_of(line: str, at_s: float) -> SupervisorNews | None:
    """What a line says, None if it is none of the protocol's."""
    match line.split(" "):
        case ["supply", volts] if _VOLTS.fullmatch(volts):
            return SupplyMeasured(float(volts), at_s)
        case ["ignition", ("on" | "off") as word]:
            return IgnitionLine(word == "on")
        case ["woke", word] if word in frozenset(Wake):
            return Woken(Wake(word))
        case ["fails"]:
            return PowerFails()
    return None


class _Port:
    """The open port: whole lines in, whole lines out."""

    def __init__(self, device: str, port: serial.Serial) -> None:
        self._device = device
        self._port = port
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(maxsize=64)
        self._rest = b""
        self._is_overlong = False
        self._allowance = LINES_PER_S_MAX
        self._allowed_at_s = boot_s()
        asyncio.get_running_loop().add_reader(port.fileno(), self._read)

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException):
            asyncio.get_running_loop().remove_reader(self._port.fileno())
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    async def line(self) -> str:
        """The next line; SupervisorError once the port has gone."""
        if (line := await self._lines.get()) is None:
            raise SupervisorError(f"{self._device}: the port has gone")
        return line

    def write(self, line: str) -> None:
        try:
            self._port.write(line.encode("ascii") + b"\n")
        except (OSError, serial.SerialException) as error:
            raise SupervisorError(f"{self._device}: not written: {error}") from error

    def _read(self) -> None:
        try:
            data = self._port.read(LINE_BYTES_MAX)
        except (OSError, serial.SerialException):
            data = b""
        if not data:  # readable, and nothing there: the device is gone
            asyncio.get_running_loop().remove_reader(self._port.fileno())
            while self._lines.full():
                self._lines.get_nowait()
            self._lines.put_nowait(None)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._is_overlong and self._is_allowed() and not self._lines.full():
                self._lines.put_nowait(line.removesuffix(b"\r").decode("ascii", "replace"))
            self._is_overlong = False
        if len(self._rest) > LINE_BYTES_MAX:
            self._rest, self._is_overlong = b"", True

    def _is_allowed(self) -> bool:
        now_s = boot_s()
        self._allowance = min(LINES_PER_S_MAX, self._allowance + (now_s - self._allowed_at_s) * LINES_PER_S_MAX)
        self._allowed_at_s = now_s
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True


@contextlib.contextmanager
def _opened(device: str) -> Iterator[_Port]:
    try:
        # Exclusive: two that talk at once are understood by nobody.
        opened = serial.Serial(device, BAUD_RATE_BPS, timeout=0, write_timeout=WRITE_WAIT_S, exclusive=True)
    except (OSError, ValueError, serial.SerialException) as error:
        raise SupervisorError(f"{device}: not opened: {error}") from error
    port = _Port(device, opened)
    try:
        yield port
    finally:
        port.close()
