"""The benchmark of a command's cost runs, and its figures have the shape it promises; their height is no matter."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.benchmarks.command_cost import main
from tests.benchmarks.cost_report import COMMAND_ROWS, FLOOR_ROWS, machine_facts, spread_ms, summary, table


def test_one_command_is_measured_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--commands", "1", "--folder", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["commands"] == 1
    for part, steps in (("command", 4), ("floor", 3)):
        total, *others = (figures["median_ms"] for figures in document[part].values())
        assert len(others) == steps
        assert min(others) > 0
        assert total == pytest.approx(sum(others), abs=0.01), "of one command the steps add up"
    # Of one command either may come first: a stall of the disk falls on whichever syncs just then.
    ratio = document["command"]["total"]["median_ms"] / document["floor"]["total"]["median_ms"]
    assert document["ratio"]["median"] == pytest.approx(ratio, rel=0.05)
    assert document["machine"]["file_system"]
    assert list(tmp_path.iterdir()) == [], "stores are of no use afterwards"


@pytest.mark.parametrize("commands", ["0", "-1", "many", "10001"])
def test_wrong_number_of_commands_is_wrong_use(commands: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--commands", commands])
    assert ended.value.code == 2
    assert "--commands" in capsys.readouterr().err


def test_steps_are_told_apart_and_compared() -> None:
    command = SimpleNamespace(delivered_s=1.0, decided_s=1.001, handed_over_s=1.003, stored_s=1.007, sent_s=1.015)
    floor = SimpleNamespace(signature_s=0.001, commit_s=0.002, send_s=0.003)
    document = summary([(command, floor)] * 3)
    assert [document["command"][key]["median_ms"] for key, _ in COMMAND_ROWS] == [15.0, 1.0, 2.0, 4.0, 8.0]
    assert [document["floor"][key]["median_ms"] for key, _ in FLOOR_ROWS] == [6.0, 1.0, 2.0, 3.0]
    assert document["ratio"] == {"p10": 2.5, "median": 2.5, "p90": 2.5, "p99": 2.5}
    assert document["over_floor"] == {"p10_ms": 9.0, "median_ms": 9.0, "p90_ms": 9.0, "p99_ms": 9.0}


def test_table_has_every_step_and_the_machine(tmp_path: Path) -> None:
    command = SimpleNamespace(delivered_s=1.0, decided_s=1.001, handed_over_s=1.003, stored_s=1.007, sent_s=1.015)
    floor = SimpleNamespace(signature_s=0.001, commit_s=0.002, send_s=0.003)
    page = table(summary([(command, floor)]) | {"machine": machine_facts(tmp_path, "vcan0")})
    for _, words in (*COMMAND_ROWS, *FLOOR_ROWS):
        assert words in page
    assert page.splitlines()[-3].split()[-4:] == ["2.5"] * 4
    assert page.splitlines()[-2].split()[-4:] == ["9.00"] * 4
    assert "bus: vcan0" in page.splitlines()[-1]


def test_nine_in_ten_do_not_exceed_the_ninetieth_percentile() -> None:
    spans_s = [number / 1000 for number in range(10, 0, -1)]
    assert spread_ms(spans_s) == {"p10_ms": 1.0, "median_ms": 5.5, "p90_ms": 9.0, "p99_ms": 10.0}
    assert spread_ms([0.007]) == dict.fromkeys(("p10_ms", "median_ms", "p90_ms", "p99_ms"), 7.0)
