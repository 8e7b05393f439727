"""The terminal as a screen uses it: one key at a time in, whole pictures out, left as it was found."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import termios
import threading
import tty
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

_ENTER = "\x1b[?1049h\x1b[?25l"  # alternate screen, so that what stood there comes back; cursor off
_LEAVE = "\x1b[?25h\x1b[?1049l"
REDRAW_S = 0.2
_RESET = "\x1b[0m"
_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m", "ok": "\x1b[32m", "stale": "\x1b[33m", "bad": "\x1b[31m", "": ""}
_READ_BYTES = 64  # a key, or what a paste into the window should be cut to


class Terminal:
    """A context manager over the controlling terminal; Ctrl-C stays a signal, Ctrl-Z is off while it is held."""

    def __init__(self, descriptor: int, output: TextIO) -> None:
        self.descriptor = descriptor
        self._output = output
        self._before = termios.tcgetattr(descriptor)
        self._is_held = threading.Lock()
        self._may_draw = False

    def __enter__(self) -> Terminal:
        tty.setcbreak(self.descriptor)
        modes = termios.tcgetattr(self.descriptor)
        # Stopped by Ctrl-Z, the picture and the modes would be left to the shell.
        modes[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self.descriptor, termios.TCSANOW, modes)
        self._write(_ENTER)
        self._may_draw = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._may_draw = False
        self._write(_LEAVE)
        termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)

    def keys(self) -> str | None:
        """The keys pressed since the last call, without those that send a sequence; None when the terminal is gone."""
        try:
            typed = os.read(self.descriptor, _READ_BYTES).decode(errors="replace")
        except OSError:
            return None
        if not typed:
            return None
        return "" if typed.startswith("\x1b") else typed

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines` from the top, in one write, over whatever stood there. May be called from a thread.

        It blocks while the terminal takes nothing (Ctrl-S, a slow connection), so that is where to call it from.
        """
        self._write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J", is_drawing=True)

    def _write(self, text: str, *, is_drawing: bool = False) -> None:
        with self._is_held:
            if self._may_draw or not is_drawing:  # a picture that comes late would stay on the restored screen
                self._output.write(text)
                self._output.flush()


Picture = Callable[[int, int], Sequence[str]]
"""Columns and lines of the window → the lines to show in it."""


async def show_until(
    is_done: asyncio.Event, terminal: Terminal, picture: Picture, press: Callable[[str], None]
) -> None:
    """Draw, and hand each key to `press`, until `is_done`; a terminal that is gone presses "q"."""

    def read_keys() -> None:
        keys = terminal.keys()
        for key in "q" if keys is None else keys:
            press(key)

    loop = asyncio.get_running_loop()
    loop.add_reader(terminal.descriptor, read_keys)
    try:
        while not is_done.is_set():
            # In a thread: a terminal that has stopped (Ctrl-S) must not stop what else runs in this loop.
            await asyncio.to_thread(terminal.draw, picture(*terminal.size()))
            try:
                async with asyncio.timeout(REDRAW_S):
                    await is_done.wait()
            except TimeoutError:
                continue
    finally:
        loop.remove_reader(terminal.descriptor)


def styled(text: str, style: str) -> str:
    """`bold`, `dim`, `ok`, `stale`, `bad`, or "" for plain."""
    return f"{_STYLES[style]}{text}{_RESET}" if style else text


def is_interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
