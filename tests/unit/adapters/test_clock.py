from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.adapters.clock import boot_s, unix_offset, wall_offset_s
from agent.model.events import ClockTrust


def test_boot_time_counts_seconds_since_boot_and_never_falls() -> None:
    readings = [boot_s() for _ in range(1000)]
    assert readings == sorted(readings)
    assert readings[0] == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=1.0)


def test_the_offset_leads_from_boot_time_to_unix_time() -> None:
    assert boot_s() + wall_offset_s() == pytest.approx(time.time(), abs=0.05)
    offset_s, _ = unix_offset()
    assert boot_s() + offset_s == pytest.approx(time.time(), abs=0.05)


def test_a_clock_systemd_has_set_is_estimated_never_attested(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    mark.touch()
    assert unix_offset(mark)[1] is ClockTrust.ESTIMATED


def test_without_the_mark_the_kernel_decides(tmp_path: Path) -> None:
    assert unix_offset(tmp_path / "none")[1] in (ClockTrust.ESTIMATED, ClockTrust.FLOOR_ONLY)
