from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.supervisor import STATUS_CHARS_MAX, Supervisor, failed_starts


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET says, and the socket behind it."""
    name = f"@carshare-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(5)
        yield name, listener


def test_lines_reach_systemd(systemd: tuple[str, socket.socket]) -> None:
    name, listener = systemd
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    for line in ("READY=1", "STATUS=running", "WATCHDOG=1", "STOPPING=1"):
        assert supervisor.notify(line)
        assert listener.recv(4096) == line.encode()


def test_a_status_cannot_smuggle_in_another_assignment(systemd: tuple[str, socket.socket]) -> None:
    name, listener = systemd
    Supervisor({"NOTIFY_SOCKET": name}).notify("STATUS=broker said\nREADY=1")
    assert listener.recv(4096) == b"STATUS=broker said READY=1"


def test_a_status_has_a_bound_sr_09(systemd: tuple[str, socket.socket]) -> None:
    name, listener = systemd
    Supervisor({"NOTIFY_SOCKET": name}).notify("STATUS=" + "x" * 100_000)
    assert len(listener.recv(1 << 20)) == STATUS_CHARS_MAX


def test_without_a_supervisor_nothing_happens(tmp_path: Path) -> None:
    assert not Supervisor({}).notify("READY=1")
    assert not Supervisor({"NOTIFY_SOCKET": "vsock:2:1234"}).notify("READY=1")
    assert not Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).notify("READY=1")


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_the_watchdog_is_due_twice_in_its_time(environ: dict[str, str], interval_s: float | None) -> None:
    assert Supervisor(environ).watchdog_interval_s == interval_s


@pytest.mark.parametrize(
    ("text", "count"), [("12", 12), ("0", 0), ("", 0), ("-1", 0), ("1e3", 0), ("٣", 0), ("9" * 5, 99_999), ("9" * 6, 0)]
)
def test_failed_starts_are_a_number_or_none_were_counted(text: str, count: int) -> None:
    assert failed_starts({"CARSHARE_FAILED_STARTS": text}) == count
    assert failed_starts({}) == 0
