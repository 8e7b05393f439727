"""`dbc/README.md`, "Adding a car", followed as it is printed: from a recording of a car that nobody has to its profile.

The recording is made here, payload by payload, and knows neither DBC nor decoder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.profiles.golden_log import crc8

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "dbc" / "README.md").read_text()
THIS_TEST = "tests/profiles/test_adding_a_car.py"

_SECTION = README.split("## Adding a car\n")[1].split("\n## ")[0]
_BLOCK = re.compile(r"(?:<!-- not run here: ([^>]+) -->\n)?```(\w+)\n(.*?)\n```", re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """Blocks of the section in that language, each with the reason why it is not run by others."""
    return [(reason, body) for reason, kind, body in _BLOCK.findall(_SECTION) if kind == language]


COMMANDS = [body for reason, body in blocks("sh") if reason.startswith(THIS_TEST)]

UNLOCKED_S, OPENED_S, CLOSED_S, LOCKED_S, END_S = 5.0, 8.0, 10.0, 55.0, 60.0
SPEED_FROM_S, SPEED_TO_S, SPEED_KMH = 15.0, 45.0, 54.0


def motion(at_s: float) -> str:
    moving_s = min(max(at_s - SPEED_FROM_S, 0.0), SPEED_TO_S - SPEED_FROM_S)
    speed = round(SPEED_KMH * 100) if SPEED_FROM_S <= at_s < SPEED_TO_S else 0
    odometer = 123_450 + int(moving_s * SPEED_KMH / 3600 * 10)
    if at_s < 1.0:
        speed, odometer = 0xFFFF, 0xFFFFFF
    rest = speed.to_bytes(2, "big") + odometer.to_bytes(3, "big") + bytes([0x5A, round(at_s * 10) % 16])
    checksum = crc8(rest, polynomial=0x1D, start=0xFF, final=0xFF)
    return f"1A0#{(rest + bytes([checksum])).hex().upper()}"


def body(at_s: float) -> str:
    lock = 3 if at_s < 1.0 else int(not UNLOCKED_S <= at_s < LOCKED_S)
    door = 3 if at_s < 1.0 else int(OPENED_S <= at_s < CLOSED_S)
    return f"2B4#{bytes([lock | door << 4, 0]).hex().upper()}"


def battery(at_s: float) -> str:
    charge = 0x3FF if at_s < 1.0 else 805 - int(at_s / 20)
    return f"3C1#{charge.to_bytes(4, 'little').hex().upper()}"


def unknown(_at_s: float) -> str:
    return "4D2#00112233"


def recording() -> str:
    """One minute of the car, as `candump -L` writes it."""
    messages: list[tuple[int, Callable[[float], str]]] = [(100, motion), (200, body), (500, battery), (1000, unknown)]

    def frames() -> Iterator[tuple[int, str]]:
        for order, (period_ms, payload) in enumerate(messages):
            for at_ms in range(0, round(END_S * 1000), period_ms):
                yield at_ms * 1000 + order, payload(at_ms / 1000)

    return "".join(f"({1_000_000_000 + at_us / 1e6:.6f}) can0 {frame}\n" for at_us, frame in sorted(frames()))


def run(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(240)
def test_car_is_added_as_the_document_says_and_touches_its_own_folder_alone(tmp_path: Path) -> None:
    """SR-05: what the car sends before it knows is never a value of the profile that comes out."""
    (tmp_path / "ride.log").write_text(recording())
    draft, review, _, trial = COMMANDS
    (_, dbc), (_, profile) = *blocks("dbc"), *blocks("toml")

    table = run(draft, tmp_path)
    assert re.search(r"0x1A0 .*100 ms .*byte 6 bits 0-3 +byte 7 crc8_sae_j1850 +5:5A", table), table
    assert "SG_ Counter6 : 48|4@1+" in (tmp_path / "dbc/my_car/body.dbc").read_text()

    (tmp_path / "dbc/my_car/body.dbc").write_text(dbc + "\n")
    (tmp_path / "dbc/my_car/profile.toml").write_text(profile + "\n")
    told = run(review, tmp_path)
    assert "MISMATCH" not in told
    assert "body  0x4D2  60      1.0 s   4" in told
    latest = {reading["path"]: reading["value"] for reading in map(json.loads, told.splitlines()[-5:])}
    assert latest == {
        "Vehicle.Speed": 0,
        "Vehicle.TraveledDistance": 12_345_400,
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed": 80.3,
        "Vehicle.Carshare.CentralLock.IsLocked": True,
        "Vehicle.Carshare.Door.FrontA.IsOpen": False,
    }
    state = next(row for row in map(json.loads, run(trial, tmp_path).splitlines()) if row["event"] == "state")
    assert (state["open"], state["set"]) == (["driver_door"], {"Vehicle.Speed": 30.0})
    assert files(tmp_path) == {"ride.log", "ride.png", "dbc/my_car/body.dbc", "dbc/my_car/profile.toml"}


@pytest.mark.timeout(240)
def test_car_with_its_golden_files_passes_the_tests_of_profiles_and_nothing_else_was_touched(tmp_path: Path) -> None:
    """In a copy of the project, to the last step: whatever the document has one write lies in `dbc/`."""
    for name in ("agent", "tests", "dbc"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    folder = tmp_path / "dbc" / "my_car"
    folder.mkdir()
    for name, language in (("body.dbc", "dbc"), ("profile.toml", "toml"), ("README.md", "md"), ("golden.py", "py")):
        ((_, body),) = blocks(language)
        (folder / name).write_text(body + "\n")
    line, at = "| [`my_car`](my_car/) | invented | all | not tried yet |\n", README.index("| [`nissan_env200`]")
    (tmp_path / "dbc" / "README.md").write_text(README[:at] + line + README[at:])

    told = run(COMMANDS[2].replace("pytest ", "pytest -p no:cacheprovider "), tmp_path)
    passed = re.search(r"(\d+) passed", told)
    assert passed is not None, told
    assert int(passed[1]) > 15, told
    run("python -m pytest -q -p no:cacheprovider tests/profiles/test_format_document.py", tmp_path)
    after = {name: (tmp_path / name).read_bytes() for name in files(tmp_path) if not name.endswith(".pyc")}
    changed = {name for name in after if after[name] != before.get(name)}
    own = ("README.md", "body.dbc", "drive.log", "expected.jsonl", "golden.py", "profile.toml")
    assert changed == {"dbc/README.md", *(f"dbc/my_car/{name}" for name in own)}
    assert before.keys() <= after.keys()


def test_values_of_the_ride_come_out_at_their_times(tmp_path: Path) -> None:
    folder = tmp_path / "my_car"
    folder.mkdir()
    (folder / "body.dbc").write_text(blocks("dbc")[0][1] + "\n")
    (folder / "profile.toml").write_text(blocks("toml")[0][1] + "\n")
    (tmp_path / "ride.log").write_text(recording())
    readings = list(map(json.loads, run("carshare-agent decode my_car ride.log", tmp_path).splitlines()))
    changes = {
        path: [(round(each["time_s"] - 1e9, 1), each["value"]) for each in readings if each["path"] == path]
        for path in ("Vehicle.Carshare.CentralLock.IsLocked", "Vehicle.Carshare.Door.FrontA.IsOpen", "Vehicle.Speed")
    }
    assert changes == {
        "Vehicle.Carshare.CentralLock.IsLocked": [(0.0, None), (1.0, True), (UNLOCKED_S, False), (LOCKED_S, True)],
        "Vehicle.Carshare.Door.FrontA.IsOpen": [(0.0, None), (1.0, False), (OPENED_S, True), (CLOSED_S, False)],
        "Vehicle.Speed": [(0.0, None), (1.0, 0), (SPEED_FROM_S, SPEED_KMH), (SPEED_TO_S, 0)],
    }


def test_document_has_the_commands_that_this_test_runs() -> None:
    assert len(COMMANDS) == 4
    assert all(len(blocks(language)) == 1 for language in ("dbc", "toml", "md", "py"))
    tools = set(re.findall(r"carshare-agent profile (\w+)", "\n".join(COMMANDS)))
    assert tools == {"draft", "lint", "coverage", "plot"}
