"""The tools on the command line: what goes where, exit statuses, and which bus a log's channel is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import ConfigurationError
from agent.profile_tools.recording import Channels

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "dbc" / "demo_hatchback"
LOG = str(DEMO / "drive.log")


def copied(tmp_path: Path, *, file: str = "vehicle.dbc", old: str = "", new: str = "") -> Path:
    folder = tmp_path / "demo_hatchback"
    shutil.copytree(DEMO, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return folder


def test_sound_profile_ends_with_0_and_says_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "lint", str(DEMO), "--log", LOG]) == 0
    assert capsys.readouterr() == ("", "faults 0, warnings 0\n")


def test_dbc_fault_of_a_message_that_the_profile_does_not_use_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(
        tmp_path,
        old="BO_ 800 BodyStatus",
        new='BO_ 9 Spare: 1 Body\n SG_ A : 4|8@1+ (1,0) [0|0] "" Lock\n\nBO_ 800 BodyStatus',
    )
    assert main(["check", str(folder)]) == 0
    assert main(["profile", "lint", str(folder), "--json"]) == 1
    (remark,) = map(json.loads, capsys.readouterr().out.splitlines()[1:])
    assert (remark["severity"], remark["key"]) == ("fault", "Spare.A")
    assert remark["file"] == str(folder / "vehicle.dbc")
    assert (
        remark["line"]
        == (folder / "vehicle.dbc").read_text().splitlines().index(' SG_ A : 4|8@1+ (1,0) [0|0] "" Lock') + 1
    )


def test_faults_of_profile_and_dbc_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(tmp_path, old="VAL_ 800 DoorFrontDriver", new="VAL_ 801 DoorFrontDriver")
    text = (folder / "profile.toml").read_text()
    (folder / "profile.toml").write_text(text.replace('path = "Vehicle.Speed"', 'path = "Vehicle.Sped"'))
    assert main(["profile", "lint", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "a value table for message 801" in out
    assert "Vehicle.Sped" in out


def test_id_that_the_log_never_holds_is_a_warning_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "short.log"
    log.write_text("".join(line for line in Path(LOG).read_text().splitlines(keepends=True) if " 320#" not in line))
    assert main(["profile", "lint", str(DEMO), "--log", str(log)]) == 0
    out = capsys.readouterr().out
    assert "body 0x320 BodyStatus: never heard in the log" in out
    line = int(out.split("profile.toml:")[1].split(":")[0])
    assert "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen" in (DEMO / "profile.toml").read_text().splitlines()[line - 1]


def test_number_without_any_limit_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(tmp_path, file="profile.toml", old="invalid = [0x7F]\nmin = 0.0\nmax = 100.0\n", new="")
    assert main(["profile", "lint", str(folder)]) == 0
    assert "StateOfCharge.Displayed: neither min nor max nor invalid" in capsys.readouterr().out


def test_dbc_file_alone_can_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.dbc"
    path.write_text("rubbish\n")
    assert main(["profile", "lint", str(path)]) == 1
    assert f"fault: {path}:1: 'rubbish' begins no statement" in capsys.readouterr().out


def test_coverage_is_one_document_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "coverage", str(DEMO), LOG, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mismatches"] == []
    assert told["frames"] == len(Path(LOG).read_text().splitlines())
    requests = {each["id"] for each in told["unknown_ids"] if each["is_on_send_list"]}
    assert requests == {"0x1F0", "0x1F2", "0x1F4", "0x1ABCDFE1"}


def test_mismatch_ends_with_1_and_a_log_of_another_bus_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "other.log"
    log.write_text("".join(f"(1000000000.{number:06}) can0 130#{number:016X}\n" for number in range(50)))
    assert main(["profile", "coverage", str(DEMO), str(log)]) == 1
    assert "MISMATCH (checksum) body 0x130 MotionStatus: all 50 frames have a wrong checksum" in capsys.readouterr().out
    log.write_text("(1000000000.0) can0 001#00\n")
    assert main(["profile", "coverage", str(DEMO), str(log)]) == 0
    assert "no id of the profile is in the logs" in capsys.readouterr().err


def test_draft_keeps_a_file_that_is_there_and_asks_which_bus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.dbc"
    assert main(["profile", "draft", LOG, "--dbc", str(output)]) == 0
    before = output.read_text()
    assert main(["profile", "draft", LOG, "--dbc", str(output)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert output.read_text() == before
    log = tmp_path / "two.log"
    log.write_text("(1000000000.0) can0 001#00\n(1000000000.1) can1 001#00\n")
    assert main(["profile", "draft", str(log), "--dbc", str(tmp_path / "b.dbc")]) == 2
    assert "--bus can0 or --bus can1" in capsys.readouterr().err
    assert main(["profile", "draft", str(log), "--bus", "can1", "--json"]) == 0
    assert [json.loads(line)["bus"] for line in capsys.readouterr().out.splitlines()] == ["can1"]
    assert main(["profile", "draft", str(log), "--bus", "can7"]) == 2


@pytest.mark.parametrize(
    ("buses", "given", "channel", "bus"),
    [
        (["ev"], [], "can0", "ev"),
        (["ev", "car"], [], "car", "car"),
        (["ev", "car"], ["car"], "can0", "car"),
        (["ev", "car"], ["1=ev", "2=car"], "2", "car"),
        (["ev", "car"], ["1=ev"], "2", None),
        (["ev"], ["1=ev"], "2", None),
    ],
)
def test_channel_of_a_log_is_a_bus(buses: list[str], given: list[str], channel: str, bus: str | None) -> None:
    assert Channels(buses, given, owner="my_car").bus_of(channel) == bus


def test_channel_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"channel 'can0' is no bus of my_car; .* --bus can0=ev"):
        Channels(["ev", "car"], owner="my_car").bus_of("can0")
    for given in (["can0=gone"], ["gone"], ["ev", "car"]):
        with pytest.raises(ConfigurationError, match="--bus"):
            Channels(["ev", "car"], given, owner="my_car")
