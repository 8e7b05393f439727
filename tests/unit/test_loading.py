"""The plan of a profile is kept beside the stores, and the profile compiled whenever that does not fit."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.adapters.files import PLAN_FILE
from agent.adapters.removal import store_files
from agent.errors import ConfigurationError
from agent.loading import PLAN_BYTES_MAX, Loaded, checked_config, interface_faults, load_for_run, load_profile
from tests.unit.test_config import MINIMAL

ROOT = Path(__file__).resolve().parents[2]
SECRET = bytes(range(32))


@pytest.fixture
def car(tmp_path: Path) -> Path:
    """A folder with a profile and an empty folder for the stores."""
    shutil.copytree(ROOT / "dbc" / "demo_hatchback", tmp_path / "profile")
    (tmp_path / "store").mkdir()
    return tmp_path


def start(car: Path, secret: bytes = SECRET) -> Loaded:
    return load_for_run(car / "profile", car / "store", secret)


def kept(car: Path) -> Path:
    """The plan that a first start leaves behind."""
    start(car).keep()
    return car / "store" / PLAN_FILE


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_first_start_compiles_and_the_next_recalls(car: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = start(car)
    first.keep()
    assert [(line["event"], line["reason"]) for line in lines(capsys)] == [("profile_compiled", "there is none yet")]
    again = start(car)
    again.keep()
    assert (first.is_recalled, again.is_recalled) == (False, True)
    assert again.profile == first.profile == load_profile(car / "profile")
    assert lines(capsys) == [], "an ordinary start has nothing to say"


def test_an_interface_that_python_can_does_not_have_is_told_with_its_line() -> None:
    text = MINIMAL
    assert interface_faults(checked_config(text, Path("agent.toml")), text, source="agent.toml") == []
    text = text.replace("[buses.body]", '[buses.body]\ninterface = "sclan"', 1)
    (fault,) = interface_faults(checked_config(text, Path("agent.toml")), text, source="agent.toml")
    assert (fault.key, fault.line) == ("buses.body.interface", text.splitlines().index('interface = "sclan"') + 1)
    assert (fault.problem, "slcan" in fault.expected) == ("python-can has no interface 'sclan'", True)


def test_the_plan_is_its_owners_alone_and_nothing_is_left_beside_it(car: Path) -> None:
    plan = kept(car)
    assert [path.name for path in plan.parent.iterdir()] == [PLAN_FILE]
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600


def test_an_ordinary_start_does_without_cantools(car: Path) -> None:
    kept(car)
    program = (
        "import sys; from pathlib import Path; from agent.loading import load_for_run;"
        f"loaded = load_for_run(Path({str(car / 'profile')!r}), Path({str(car / 'store')!r}), {SECRET!r});"
        "assert loaded.is_recalled; print('cantools' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


def _touch_dbc(plan: Path) -> None:
    with (plan.parent.parent / "profile" / "vehicle.dbc").open("a") as file:
        file.write("\n")


def _flip(plan: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)


def _link(plan: Path) -> None:
    plan.rename(plan.with_name("elsewhere"))
    plan.symlink_to(plan.with_name("elsewhere"))


def _pipe(plan: Path) -> None:
    plan.unlink()
    os.mkfifo(plan, 0o600)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_touch_dbc, "the profile's files have changed"),
        (_flip, "it is damaged"),
        (lambda plan: os.truncate(plan, 100), "it is damaged"),
        (lambda plan: os.truncate(plan, 0), "it is damaged"),
        (lambda plan: os.truncate(plan, PLAN_BYTES_MAX + 1), f"it is larger than {PLAN_BYTES_MAX} bytes"),
        (lambda plan: plan.chmod(0o640), "others may read or change it (mode 0640)"),
        (_link, "Too many levels of symbolic links"),
        (_pipe, "it is not a plain file"),
    ],
)
def test_a_plan_that_does_not_fit_is_made_anew(
    car: Path, change: Callable[[Path], object], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = kept(car)
    lines(capsys)
    change(plan)
    anew = start(car)
    anew.keep()
    (told,) = lines(capsys)
    assert reason in told["reason"]
    assert not anew.is_recalled
    assert anew.profile == load_profile(car / "profile")
    assert start(car).is_recalled, "it was written anew"


def test_a_plan_of_another_car_is_made_anew(car: Path) -> None:
    kept(car)
    assert not start(car, bytes(32)).is_recalled


def test_a_draft_that_a_power_cut_left_is_no_hindrance(car: Path) -> None:
    draft = car / "store" / f"{PLAN_FILE}.new"
    draft.write_bytes(b"half")
    draft.chmod(0o666)
    assert stat.S_IMODE(kept(car).stat().st_mode) == 0o600
    assert not draft.exists()


def test_a_folder_that_takes_no_plan_is_told_and_no_failure(car: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (car / "store").rmdir()
    start(car).keep()
    _, told = lines(capsys)
    assert (told["event"], told["reason"]) == (
        "plan_not_kept",
        f"[Errno 2] No such file or directory: '{car}/store/{PLAN_FILE}.new'",
    )


def test_a_profile_that_cantools_alone_can_read_is_compiled_at_each_start(
    car: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its message to be sent is written as DBC allows and nobody does."""
    plan = kept(car)
    dbc = car / "profile" / "vehicle.dbc"
    dbc.write_text(dbc.read_text().replace("BO_ 496 LockRequest: 4", "BO_ 496\n LockRequest: 4"))
    anew = start(car)
    lines(capsys)
    anew.keep()
    (told,) = lines(capsys)
    assert told["event"] == "plan_not_kept"
    assert "without cantools" in told["reason"]
    assert not plan.exists()


def test_faults_of_a_profile_are_told_as_ever(car: Path) -> None:
    kept(car)
    text = car / "profile" / "profile.toml"
    text.write_text(text.read_text().replace("Vehicle.Speed", "Vehicle.Sped"))
    with pytest.raises(ConfigurationError, match=r"faults\n.*unknown path 'Vehicle.Sped'"):
        start(car)


def test_a_car_out_of_service_keeps_no_plan(car: Path) -> None:
    assert kept(car) in store_files(car / "store")
