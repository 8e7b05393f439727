"""`carshare-bench car`: commands in, JSON Lines out."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.bench_car import ROOT, BenchCar

VIRTUAL = ("--interface", "virtual", "--channel", "test-car-alone")


def test_it_does_what_it_is_told_and_tells_what_it_does() -> None:
    with BenchCar(*VIRTUAL, "--time-compression", "50", "--unlocked", "--awake") as car:
        car.say("open trunk")
        assert car.event("opened")["opening"] == "trunk"
        assert car.state()["open"] == ["trunk"]
        car.say("drive 0.2")
        assert "trunk" in car.event("refused")["problem"]
        car.say("close trunk")
        before_m = car.state()["odometer_m"]
        car.say("drive 0.2")
        car.event("drive_ended")
        assert car.state()["odometer_m"] == before_m + 200
        car.say("fault bus_silent")
        assert car.event("fault")["fault"] == "bus_silent"
        car.say("sleep")
        car.event("slept")
        car.say("quit")
        assert car.leaves() == 0


def test_without_commands_it_goes_on_until_terminated() -> None:
    with BenchCar(*VIRTUAL, "--awake", "--sleep-after", "1") as car:
        assert car.process.stdin is not None
        car.process.stdin.close()
        car.event("slept")
        assert car.process.poll() is None
        car.process.send_signal(signal.SIGTERM)
        assert car.leaves() == 143


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--interface", "no_such"], 1, "cannot open the CAN interface no_such:vcan0"),
        (["--fault", "gremlins"], 2, "--fault"),
        (["--sleep-after", "-1"], 2, "--sleep-after"),
        (["--profile", "/nowhere"], 2, "/nowhere"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments: list[str], status: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.bench.cli", "car", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_it_is_the_car_of_a_profile_on_each_of_its_buses() -> None:
    channels = ("--channel", "ev=test-alone-ev", "--channel", "car=test-alone-car")
    profile = ("--profile", "dbc/nissan_leaf_ze1", "--interface", "virtual", *channels)
    with BenchCar(*profile, "--awake", "--unlocked", "--relock-after", "0.5") as car:
        car.say("fob lock")
        assert car.event("lock_moved")["state"] == "Locked"
        car.say("fob unlock")
        assert car.event("lock_moved")["state"] == "Unlocked"
        car.event("relocks")
        assert car.event("lock_moved")["state"] == "Locked"


def test_a_bus_without_a_channel_is_refused_with_what_is_expected() -> None:
    command = [sys.executable, "-m", "agent.bench.cli", "car", "--profile", "dbc/nissan_leaf_ze1", "--channel", "vcan0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2
    assert "--channel ev=vcan0 --channel car=vcan1" in done.stderr
