"""What surrounds the tests of `hw-tests/`: bench files, a person's answers, the report. The tests run on vcan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench_file import Bench, BenchFileError, Channel, read_bench
from manual import ManualLockSensor, ManualPower, Person
from report import Result, write

ROOT = Path(__file__).resolve().parents[2]
BENCHES = sorted((ROOT / "hw-tests").glob("bench.*.toml"))


@pytest.mark.parametrize("path", BENCHES, ids=[path.name for path in BENCHES])
def test_bench_file_that_is_shipped_is_read(path: Path) -> None:
    assert read_bench(path).peer is not None


def test_every_fault_of_a_bench_file_is_told_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text('name = ""\nspeed = 3\n[agent]\ninterface = "socketcan"\n[ports]\npower = "solar"\n')
    with pytest.raises(BenchFileError) as raised:
        read_bench(path)
    told = [line.split(": ")[1] for line in str(raised.value).splitlines()]
    assert sorted(told) == ["agent.channel", "name", "ports.power", "speed"]


def test_bench_whose_ports_need_a_second_channel_has_one(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text('name = "x"\n[agent]\ninterface = "socketcan"\nchannel = "can0"\n[ports]\nignition = "virtual"\n')
    with pytest.raises(BenchFileError, match="peer"):
        read_bench(path)


ONE_CHANNEL = '[agent]\ninterface = "socketcan"\nchannel = "can0"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"name = ", "not valid TOML"),
        (b'name = "x"\n[agent]\ninterface = "socketkan"\nchannel = "can0"', "agent.interface: "),
        (b'name = "../x"\n' + ONE_CHANNEL.encode(), "name: "),
        (b'name = "---"\n' + ONE_CHANNEL.encode(), "name: "),
        (b'name = "' + b"x" * 61 + b'"\n' + ONE_CHANNEL.encode(), "name: "),
        (b'name = "x"\nprofile = "../../etc"\n' + ONE_CHANNEL.encode(), "profile: "),
        (b'name = "x"\nwatchdog_s = inf\n' + ONE_CHANNEL.encode(), "watchdog_s: "),
        (b'name = "x"\nsoak_hours = nan\n' + ONE_CHANNEL.encode(), "soak_hours: "),
        (b'name = "x"\nbitrates_bps = [500000, 0]\n' + ONE_CHANNEL.encode(), "bitrates_bps.1: "),
        (b'name = "x"\nunlock_runs = "10"\n' + ONE_CHANNEL.encode(), "unlock_runs: "),
    ],
)
def test_bench_file_with_a_fault_is_refused_before_anything_runs(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "bench.toml"
    path.write_bytes(text)
    with pytest.raises(BenchFileError) as raised:
        read_bench(path)
    assert f"bench.toml: {told}" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_smallest_bench_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(f'name = "x"\n{ONE_CHANNEL}')
    assert read_bench(tmp_path / "bench.toml").bitrate_bps == 500_000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [([], "which bench"), (["--bench", "no-such.toml"], "no-such.toml")],
)
def test_suite_without_a_bench_says_what_to_name(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "hw-tests", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr


class Terminal:
    """A pseudo-terminal and what a person types there, one answer to each question."""

    def __init__(self, answers: list[bytes]) -> None:
        self._master, slave = os.openpty()
        self.path = Path(os.ttyname(slave))
        self.asked = b""
        self._thread = threading.Thread(target=self._answer, args=(answers,), daemon=True)
        self._thread.start()

    def _answer(self, answers: list[bytes]) -> None:
        for answer in answers:
            begun = len(self.asked)
            while b">>> " not in self.asked[begun:] or not self.asked.endswith(b" "):
                self.asked += os.read(self._master, 1000)
            os.write(self._master, answer + b"\n")


def test_person_is_asked_again_until_the_answer_is_one() -> None:
    terminal = Terminal([b"perhaps", b"Y"])
    assert ManualLockSensor(Person(terminal.path)).is_locked() is True
    assert terminal.asked.count(b"Is the car locked") == 2


def test_person_is_told_what_to_do() -> None:
    terminal = Terminal([b""])
    ManualPower(Person(terminal.path)).cut()
    assert b"Pull the board's plug" in terminal.asked


def test_bench_without_a_person_says_what_would_have_been_asked(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Pull the board's plug"):
        ManualPower(Person(tmp_path / "no-terminal")).cut()


def test_report_tells_board_kernel_adapter_date_and_each_result(tmp_path: Path) -> None:
    bench = Bench(name="A b/ench", agent=Channel(interface="slcan", channel="/dev/tty9", adapter="Some Adapter"))
    results = [
        Result(1, "test_a", "passed", 1.25, measured={"frames": 3}),
        Result(2, "test_b", "skipped", 0.0, "no x | y"),
    ]
    as_json, as_text = write(tmp_path, bench, results)
    document = json.loads(as_json.read_text())
    assert as_json.name == "a-b-ench.json"
    assert all(document[key] for key in ("board", "kernel", "date", "version"))
    assert document["channels"] == {
        "agent": {"channel": "slcan /dev/tty9", "adapter": "Some Adapter", "driver": "python-can slcan"}
    }
    assert [each["outcome"] for each in document["results"]] == ["passed", "skipped"]
    text = as_text.read_text()
    assert "| 1 | test_a | passed | 1.2 | frames 3 |" in text
    assert "| 2 | test_b | skipped | 0.0 | no x \\| y |" in text
