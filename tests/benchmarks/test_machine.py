"""Where benchmarks run and what they count; that the emulated machine boots is shown by `tests/booted`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.benchmarks import machine, processor
from tests.booted.emulated import code_script

BUSY_S = 0.05


def be_busy() -> None:
    end_s = time.thread_time() + BUSY_S
    while time.thread_time() < end_s:
        pass


def test_the_time_of_a_thread_that_has_ended_is_counted() -> None:
    before_s = processor.spent_s(os.getpid())
    thread = threading.Thread(target=be_busy)
    thread.start()
    thread.join()
    assert processor.spent_s(os.getpid()) - before_s >= BUSY_S


def test_another_process_s_time_is_its_own() -> None:
    words = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        before_s = processor.spent_s(other.pid)
        be_busy()
        assert 0 < before_s <= processor.spent_s(other.pid) < before_s + BUSY_S
        other.kill()


def test_a_kernel_that_counts_by_ticks_is_known_by_its_round_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: 30_000_000)
    assert not processor.is_exact()
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: 30_000_001)
    assert processor.is_exact()


def test_the_machine_s_work_is_that_of_all_its_processors(tmp_path: Path) -> None:
    told = tmp_path / "schedstat"
    assert processor.busy_s(told) is None, "many kernels do not tell"
    lines = ["version 15", "timestamp 4294896553"]
    for number, busy_ns in enumerate((1_500_000_000, 250_000_000)):
        lines += [f"cpu{number} 0 0 0 0 0 0 {busy_ns} 99 7", "domain0 3 " + "0 " * 36]
    told.write_text("\n".join(lines))
    assert processor.busy_s(told) == 1.75


def test_elsewhere_the_command_is_the_same_but_for_the_machine() -> None:
    words = ["--rounds", "2", "--machine", "counted", "--way", "agent", "--json"]
    assert machine.elsewhere(words) == ["--rounds", "2", "--way", "agent", "--json"]
    assert machine.elsewhere(["--machine=uml"]) == []


def test_programs_that_lie_ready_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.PROGRAMS_FOLDER, str(tmp_path))
    assert machine.programs_folder(tmp_path / "other") == tmp_path
    monkeypatch.delenv(machine.PROGRAMS_FOLDER)
    assert machine.programs_folder(tmp_path) == tmp_path
    assert all((tmp_path / name).stat().st_mode & 0o100 for name in machine.PROGRAMS)


def test_the_guest_s_shell_can_read_where_the_code_is() -> None:
    done = subprocess.run(["sh", "-n"], input=code_script(), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"mount --bind /mnt/python/environment {sys.prefix}" in code_script()
