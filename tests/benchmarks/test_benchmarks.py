"""The pieces of the longer benchmarks do their part; how much anything takes is no matter here."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

import cantools.database
import pytest
from cantools.database.can import Database

from agent.decode.decoder import Decoder
from agent.loading import load_profile
from agent.model.frame import Frame
from tests.benchmarks import bus_profile, bus_report, decoding, full_bus, receiving, start_up
from tests.benchmarks.bus_report import Cost
from tests.benchmarks.traffic import dbc_text, frames


def test_decoding_is_measured_beside_cantools(capsys: pytest.CaptureFixture[str]) -> None:
    assert decoding.main(["--frames", "200", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == set(decoding.BOUNDS)
    for row in document.values():
        assert min(row[f"{name}_ns"] for name in ("cantools", "agent", "agent_to_state")) > 0
        assert row["agent_share"] == pytest.approx(row["agent_ns"] / row["cantools_ns"], rel=0.02)
    assert "1/6" in decoding.table(document)


def test_the_portable_path_is_measured_beside_bare_receiving(capsys: pytest.CaptureFixture[str]) -> None:
    assert receiving.main(["--rounds", "1", "--seconds", "0.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == set(receiving.REGIMES)
    told = receiving.lines(document)
    for row in document.values():
        for way in receiving.WAYS:
            assert row[f"{way}_own_ns"] == pytest.approx(row[f"{way}_ns"] - row["receive_ns"], abs=1)
            assert row[f"{way}_share"] == pytest.approx(row[f"{way}_own_ns"] / row["cantools_own_ns"], abs=0.01)
            assert f"{row[f'{way}_share']:.2f} of cantools'" in told


def test_the_decoder_of_the_benchmark_reads_what_cantools_reads() -> None:
    """Else their times would be those of different work."""
    database = cantools.database.load_string(dbc_text(), "dbc")
    assert isinstance(database, Database)
    decoder = Decoder(decoding.profile())
    for sent in islice(frames(0.5), 300):
        values = database.decode_message(sent.arbitration_id, sent.data)
        assert isinstance(values, dict)
        readings = decoder.receive(Frame(decoding.BUS, sent.arbitration_id, sent.data, sent.at_s))
        read = {"".join(reading.path.split(".")[1:]): reading for reading in readings}
        assert read.keys() == values.keys()
        for name, value in values.items():
            known = read[name].value
            assert (str(value) == known) if isinstance(known, str) else known is None or known == pytest.approx(value)


@pytest.mark.parametrize("buses", [1, 4])
def test_the_car_of_the_full_bus_is_a_sound_profile(buses: int, tmp_path: Path) -> None:
    profile = load_profile(bus_profile.write_profile(tmp_path / "car", buses=buses, is_reporting=False))
    first = [message for message in profile.messages if message.bus == "bus0"]
    assert [message.arbitration_id for message in first] == list(range(0x100, 0x106))
    assert sum(len(message.signals) for message in first) == 12
    assert len(profile.messages) == 5 + buses


def test_figures_of_the_full_bus_are_medians_a_frame_and_ratios() -> None:
    costs = {
        "naive": [Cost(4.0, 40_000, 100), Cost(8.0, 40_000, 100), Cost(6.0, 40_000, 100)],
        "agent": [Cost(0.015, 40_000, 100, seconds=10.0, sleeps=120, machine_s=0.02)],
    }
    document = bus_report.summary(costs)
    naive, agent = document["ways"]["naive"], document["ways"]["agent"]
    assert naive["ns_a_frame"] == {"least": 100_000, "median": 150_000, "most": 200_000}
    assert agent["ns_a_frame"] == {"least": 375, "median": 375, "most": 375}
    assert (agent["ns_a_change"], agent["machine_ns_a_frame"], agent["wakes_a_second"]) == (150_000, 500, 12.0)
    assert document["ratios"] == {"naive/agent": {"times": 400.0, "bound": 400}}
    shown = bus_report.table(document, {"naive": "n", "agent": "a"})
    assert "naive/agent: naive costs 400.0 times what agent does (wanted: 400)" in shown


def test_what_grows_with_changes_and_what_with_frames_is_told_apart() -> None:
    costs = {
        "agent_half": [Cost(0.010, 40_000, 50, seconds=10.0)],
        "agent": [Cost(0.015, 40_000, 100, seconds=10.0)],
        "agent_4_buses": [Cost(0.016, 40_000, 100, seconds=10.0)],
    }
    growth = bus_report.summary(costs)["growth"]
    assert growth == {"ns_a_further_change": 100_000, "ns_a_further_frame": 8}


def test_a_program_that_has_all_of_a_processor_is_said_to_be_behind() -> None:
    document = bus_report.summary({"naive": [Cost(9.9, 20_000, 50, seconds=10.0)]}, measured="so many frames")
    told, _, row, *_ = bus_report.table(document, {"naive": "every frame"}).splitlines()
    assert (told, "behind" in row) == ("so many frames", True)


@pytest.mark.parametrize("main", [full_bus.main, start_up.main, decoding.main, receiving.main])
def test_a_wrong_number_of_rounds_is_wrong_use(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(main)
    with pytest.raises(SystemExit) as ended:
        main(["--rounds", "0"])
    assert ended.value.code == 2
    assert "--rounds" in capsys.readouterr().err


def test_the_share_of_a_library_is_its_time_and_memory(tmp_path: Path) -> None:
    assert start_up.share("pass", tmp_path)["mb"] > 1
    document = {
        "programs": {
            "naive_whole": {"first_reading_ms": 100.0, "mb": 30.0},
            "agent_first": {"first_reading_ms": 120.0, "commands_ms": 170.0, "mb": 52.0},
            "agent_whole": {"first_reading_ms": 90.0, "commands_ms": 150.0, "mb": 50.0},
        },
        "libraries": {"can": {"ms": 5.0, "mb": 20.0}},
        "imported": {"can": "before the first value"},
        "profile": {"messages": 500, "plan_bytes": 3000, "compiled_ms": 900.0, "recalled_ms": 1.5},
    }
    told = start_up.table(document)
    assert "wanted: 200" in told
    assert re.search(r"can +5 +20.0  before the first value\n", told)
    assert "compiled 900.0 ms, recalled 1.5 ms" in told


def test_a_large_profile_is_compiled_and_recalled_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_up.main(["--profile-only", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["profile"]
    assert row["messages"] == 500
    assert row["compiled_ms"] > row["recalled_ms"] >= 0


def test_the_installed_code_has_its_bytecode_beside_it(tmp_path: Path) -> None:
    code = start_up.installed_code(tmp_path / "code")
    assert list((code / "agent" / "__pycache__").glob("cli.*.pyc"))
    assert list((code / "tests" / "benchmarks" / "__pycache__").glob("bus_programs.*.pyc"))
