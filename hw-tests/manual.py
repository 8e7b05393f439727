"""The ports by hand: a person at the bench is told what to do, and says when it is done."""

from __future__ import annotations

import time
from pathlib import Path

TERMINAL = Path("/dev/tty")
"""Not stdin and stdout, which pytest keeps for itself."""


class Person:
    """Whoever sits at the terminal; without one, asking is an error that says so."""

    def __init__(self, terminal: Path = TERMINAL) -> None:
        self._terminal = terminal

    def ask(self, question: str) -> str:
        """One line of answer, in small letters."""
        try:
            with self._terminal.open("r+b", buffering=0) as terminal:
                terminal.write(f"\n>>> {question} ".encode())
                answer = bytearray()
                while (byte := terminal.read(1)) and byte not in b"\r\n":
                    answer += byte
        except OSError as error:
            raise RuntimeError(f"this bench needs a person at a terminal, to be asked: {question}") from error
        return answer.decode(errors="replace").strip().lower()

    def does(self, what: str) -> None:
        """Return once the person has done it."""
        self.ask(f"{what}, then press Enter.")


class ManualLockSensor:
    is_timed = False

    def __init__(self, person: Person) -> None:
        self._person = person

    def is_locked(self) -> bool:
        while (answer := self._person.ask("Try a door. Is the car locked (y/n)?")) not in ("y", "n"):
            pass
        return answer == "y"

    def moved_at_s(self, within_s: float) -> float | None:
        question = f"Did the lock move within {within_s:g} s (y/n)?"
        return time.monotonic() if self._person.ask(question) == "y" else None


class ManualIgnition:
    def __init__(self, person: Person) -> None:
        self._person = person

    def on(self) -> None:
        self._person.does("Switch the ignition on; leave the car in P with the brake set")

    def off(self) -> None:
        self._person.does("Switch the ignition off")


class ManualPower:
    def __init__(self, person: Person) -> None:
        self._person = person

    def cut(self) -> None:
        self._person.does("Pull the board's plug now; when it has booted again, start this suite again")


class ManualBusFault:
    def __init__(self, person: Person) -> None:
        self._person = person

    def begin(self) -> None:
        self._person.does("On the bench's bus, never in a car: short CAN-H to CAN-L")

    def end(self) -> None:
        self._person.does("Take the short away")


class ManualLink:
    def __init__(self, person: Person) -> None:
        self._person = person

    def down(self) -> None:
        self._person.does("Take the antenna off")

    def up(self) -> None:
        self._person.does("Put the antenna back")


class ManualRelayWatcher:
    def __init__(self, person: Person) -> None:
        self._person = person

    def is_closed(self, name: str) -> bool:
        return self._person.ask(f"Is relay {name} closed now (y/n)?") == "y"

    def closed_alone(self, name: str, seconds: float) -> bool:
        question = f"Did relay {name} close once, for about {seconds:g} s, and no other relay (y/n)?"
        return self._person.ask(question) == "y"
