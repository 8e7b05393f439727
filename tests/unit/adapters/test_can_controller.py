"""What an interface says of itself: error frames, failures, and files as a kernel has them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.adapters.can_controller import Controller, KernelFiles
from agent.adapters.can_port import bus_error
from agent.model.bus import BusLook, BusSign, LinkCounts
from agent.model.frame import BusState

COUNTS = LinkCounts(101, 102, 103, 104, 105, 106)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An interface that is up and takes part in its bus."""
    (tmp_path / "flags").write_text("0x40041\n")
    (tmp_path / "carrier").write_text("1\n")
    (tmp_path / "statistics").mkdir()
    for name in LinkCounts.__slots__:
        (tmp_path / "statistics" / name).write_text(f"{getattr(COUNTS, name)}\n")
    return tmp_path


class Told:
    """A controller, and what it told."""

    def __init__(self, folder: Path | None) -> None:
        self.states: list[tuple[BusState, BusSign]] = []
        self.looks: list[BusLook] = []
        self.controller = Controller(
            folder,
            sent=lambda: 3,
            on_state=lambda state, sign: self.states.append((state, sign)),
            on_look=self.looks.append,
        )

    def error(self, error_class: int, detail: int = 0) -> None:
        self.controller.error_frame(error_class, bytes([0, detail, 0, 0, 0, 0, 0, 0]))


def said_of(folder: Path | None) -> tuple[bool | None, LinkCounts | None]:
    files = KernelFiles(folder)
    try:
        return files.has_carrier(), files.counts()
    finally:
        files.close()


def test_states_are_told_once_each_with_their_sign() -> None:
    told = Told(None)
    told.controller.opened()
    for error_class, detail in ((0x004, 0x08), (0x004, 0x20), (0x004, 0x20), (0x008, 0), (0x040, 0), (0x040, 0)):
        told.error(error_class, detail)
    told.controller.heard()
    told.controller.failed(bus_error("can0", OSError(100, "Network is down")))
    told.controller.failed(bus_error("can0", OSError(19, "No such device")))
    assert told.states == [
        (BusState.UP, BusSign.LINK_UP),
        (BusState.ERROR_PASSIVE, BusSign.CONTROLLER_PASSIVE),
        (BusState.BUS_OFF, BusSign.CONTROLLER_OFF),
        (BusState.UP, BusSign.HEARD),
        (BusState.DOWN, BusSign.LINK_DOWN),
        (BusState.GONE, BusSign.LINK_GONE),
    ]


def test_what_is_counted_is_told_before_a_change_and_no_oftener_than_the_second(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SR-09: a controller whose state flaps with each frame has the files read once."""
    now_s = 10.0
    monkeypatch.setattr("agent.adapters.can_controller.boot_s", lambda: now_s)
    told = Told(folder)
    told.error(0x008)
    assert told.looks == []
    for _ in range(1000):
        told.error(0x040)
        told.error(0x100)
    assert len(told.states) == 2000
    assert told.looks == [BusLook({BusSign.PROTOCOL_ERROR: 1, BusSign.CONTROLLER_OFF: 1}, 3, COUNTS)]
    now_s = 11.0
    told.controller.look()
    assert told.looks[1].errors[BusSign.CONTROLLER_OFF] == 1000


def test_a_controller_that_was_off_before_the_bus_was_opened_is_known_to_be(folder: Path) -> None:
    """No error frame tells of it; drivers take the carrier away."""
    (folder / "carrier").write_text("0\n")
    told = Told(folder)
    told.controller.opened()
    told.controller.look()
    assert told.states == [(BusState.BUS_OFF, BusSign.NO_CARRIER)]
    (folder / "carrier").write_text("1\n")
    told.controller.look()
    told.controller.look()
    assert told.states[1:] == [(BusState.UP, BusSign.CARRIER)]


def test_an_error_frame_that_was_lost_is_made_up_for_by_the_carrier(folder: Path) -> None:
    told = Told(folder)
    told.controller.opened()
    (folder / "carrier").write_text("0\n")
    told.controller.look()
    assert told.states[1:] == [(BusState.BUS_OFF, BusSign.NO_CARRIER)]


def test_of_an_interface_that_is_closed_the_carrier_says_nothing(folder: Path) -> None:
    told = Told(folder)
    told.controller.failed(bus_error("can0", OSError(100, "Network is down")))
    for carrier in "01":
        (folder / "carrier").write_text(carrier)
        told.controller.look()
    assert told.states == [(BusState.DOWN, BusSign.LINK_DOWN)]


def test_of_what_is_down_away_or_none_of_the_kernels_nothing_is_known(folder: Path, tmp_path: Path) -> None:
    assert said_of(folder) == (True, COUNTS)
    (folder / "flags").write_text("0x40040\n")
    assert said_of(folder)[0] is None
    (folder / "flags").write_text("0x40041\n")
    (folder / "carrier").unlink()
    (folder / "statistics" / "tx_errors").write_text("many")
    assert said_of(folder) == (None, None)
    for other in (tmp_path / "no_such", None):
        assert said_of(other) == (None, None)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_kept_open_and_opened_anew_once_they_say_no_more(folder: Path) -> None:
    """Of an interface that was taken away the kernel's files can be read no more, those of its successor can."""
    files, open_before = KernelFiles(folder), open_files()
    for _ in range(3):
        assert files.counts() == COUNTS
    assert open_files() == open_before + len(LinkCounts.__slots__)
    away = os.open(folder, os.O_RDONLY)  # to read a folder is an error too
    for opened in files._opened.values():
        os.dup2(away, opened)
    os.close(away)
    (folder / "statistics" / "tx_errors").write_text("7")
    assert files.counts() == replace(COUNTS, tx_errors=7)
    files.close()
    assert open_files() == open_before
