"""The bench with a person at it, through a real terminal: keys in, picture out, the terminal left as it was."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.person import ROOT, Person

BENCH = [sys.executable, "-m", "agent.bench.cli", "run", "--broker", "embedded"]


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path, BENCH)
    yield person
    person.close()


def test_a_person_unlocks_drives_is_refused_and_locks(person: Person, tmp_path: Path) -> None:
    person.sees("bus body asleep")
    person.press("u")
    person.sees(r"backend: demo: unlock verified")
    person.press("g")
    person.sees(r"car: drive ended")
    person.press("d")
    person.sees(r"Row1\.DriverSide\.IsOpen +true ok")
    person.press("l")
    person.sees(r"backend: demo: lock rejected .*: a door is open")
    person.press("d")
    person.sees(r"Row1\.DriverSide\.IsOpen +false ok")
    person.press("l")
    person.sees(r"backend: demo: lock verified")
    person.press("q")
    assert person.leaves() == 0
    assert person.modes == person.modes_before
    assert list(tmp_path.iterdir()) == []


def test_every_action_has_a_key(person: Person) -> None:
    person.sees("agent online")
    person.press("x")
    person.sees("backend: demo: disable drive verified")
    person.sees("immobiliser Engaged")
    person.press("u")
    person.sees("backend: demo: unlock verified")
    person.press("g")
    person.sees("car: no drive: the immobiliser is engaged")
    person.press("e")
    person.sees("backend: demo: enable drive verified")
    person.press("i")
    person.sees("car: switched on")
    person.sees(r"LowVoltageSystemState +ON ok")
    person.press("x")
    person.sees("backend: demo: disable drive rejected .*: the ignition is on")
    person.press("k")
    person.sees("backend: demo: check return rejected .*: the ignition is on")
    person.press("i")
    person.sees(r"LowVoltageSystemState +OFF ok")
    person.press("f")
    person.sees("backend: demo: locate")
    person.press("k")
    person.sees("backend: demo: check return (?!rejected)")
    person.press("5")
    person.sees("faults: immobiliser_dead")


def test_the_command_for_the_second_terminal_works_as_printed(person: Person) -> None:
    """It runs while nobody reads the first terminal: a picture that cannot be drawn stops neither agent nor car."""
    command = person.sees(r"(\S+carshare-backend|\S+ -m agent\.backend\.cli) --config (\S+) unlock demo").group()
    person.sees("agent online")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, "verified" in done.stdout) == (0, True), done.stdout + done.stderr
    person.sees("the car itself: awake, Unlocked")


def test_faults_are_switched_on_and_off(person: Person) -> None:
    person.sees("agent online")
    person.press("2")
    person.sees("faults: lock_ignores")
    person.press("u")
    person.sees("backend: demo: unlock failed .*: the car reports its state, and that did not change")
    person.press("2u")
    person.sees("backend: demo: unlock verified")
    person.press("3")
    person.sees(r"Speed +– stale \(was 0")
    person.press("3")
    person.sees(r"Speed +0(\.0)? km/h ok")


def test_the_broker_goes_and_comes_back(person: Person) -> None:
    person.sees("agent online")
    person.press("4")
    person.sees("backend not connected; broker GONE")
    person.press("4")
    person.sees("agent online; backend connected; broker there")
    person.press("r")
    person.sees("backend: demo: report .* in|backend: demo: report .* after")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_the_bench_in_order(person: Person, tmp_path: Path, number: signal.Signals, status: int) -> None:
    person.sees("agent online")
    person.process.send_signal(number)
    assert person.leaves() == status
    assert person.modes == person.modes_before
    assert person.seen.rstrip().endswith("\x1b[?25h\x1b[?1049l")
    assert list(tmp_path.iterdir()) == []


def test_the_battery_of_12_v_is_emptied_step_by_step(person: Person) -> None:
    person.sees("12.6 V")
    person.press("v")
    person.sees("12.3 V")
    person.press("vv")
    person.sees("12.1 V")
    person.press("vv")
    person.sees("12.6 V")


def test_car_of_another_profile_is_asked_for_what_it_does_not_say_by_itself(tmp_path: Path) -> None:
    """Its control units answer: of these paths no message of the profile tells anything."""
    person = Person(tmp_path, [*BENCH, "--profile", "dbc/vw_e_up"])
    try:
        person.sees("agent online")
        person.press("w")
        person.sees(r"IsChargingCableLocked +false ok")
        person.press("q")
        assert person.leaves() == 0
    finally:
        person.close()
