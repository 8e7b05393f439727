"""The terminal is left as it was found, whatever happens in between."""

from __future__ import annotations

import io
import os
import termios
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent.backend.terminal import Terminal


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's, the program's."""
    person, program = os.openpty()
    yield person, program
    for descriptor in (person, program):
        with suppress(OSError):
            os.close(descriptor)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_modes_and_picture_are_restored(pty: tuple[int, int], error: type[BaseException] | None) -> None:
    before, output = termios.tcgetattr(pty[1]), io.StringIO()
    with suppress(RuntimeError, KeyboardInterrupt), Terminal(pty[1], output):
        during = termios.tcgetattr(pty[1])
        assert not during[3] & (termios.ECHO | termios.ICANON)
        assert during[3] & termios.ISIG
        if error is not None:
            raise error
    assert termios.tcgetattr(pty[1]) == before
    assert output.getvalue().startswith("\x1b[?1049h\x1b[?25l")
    assert output.getvalue().endswith("\x1b[?25h\x1b[?1049l")


def test_keys_come_one_by_one_without_return_and_sequences_are_left_out(pty: tuple[int, int]) -> None:
    with Terminal(pty[1], io.StringIO()) as terminal:
        os.write(pty[0], b"ul")
        assert terminal.keys() == "ul"
        os.write(pty[0], b"\x1b[A")
        assert terminal.keys() == ""


def test_a_terminal_that_is_gone_gives_none() -> None:
    person, program = os.openpty()
    terminal = Terminal(program, io.StringIO())
    os.close(person)
    assert terminal.keys() is None
    os.close(program)
    assert terminal.keys() is None


def test_a_picture_is_drawn_over_the_last_one(pty: tuple[int, int]) -> None:
    output = io.StringIO()
    with Terminal(pty[1], output) as terminal:
        terminal.draw(["one", "two"])
        assert output.getvalue().endswith("\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J")


def test_a_picture_that_comes_late_is_not_drawn(pty: tuple[int, int]) -> None:
    output = io.StringIO()
    with Terminal(pty[1], output) as terminal:
        pass
    terminal.draw(["late"])
    assert "late" not in output.getvalue()
