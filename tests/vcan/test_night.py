"""Ten hours beside a sleeping car on a real kernel: frames for the two commands of the night, and no other (SR-08)."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.config_table import ReportingTable
from agent.link_watch import ECHO_IDLE_S
from tests.vcan.night import STRIDE_S

pytestmark = [pytest.mark.vcan, pytest.mark.broker, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
HOURS = 10.0

AFTER_S = 180.0
"""What a command leaves to be told has been by then: the record of it, and a snapshot in which the values are stale."""

REPORTING = ReportingTable()
PACES_S = {"echo": ECHO_IDLE_S, "state": REPORTING.state_interval_s, "evt": REPORTING.asleep.heartbeat_s}
"""What a sleeping car tells at most: nothing of it changes."""


def lived_night() -> dict[str, Any]:
    """The account, of a process of its own."""
    command = [sys.executable, "-m", "tests.vcan.night", "--hours", str(HOURS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stderr
    account: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return account


def test_ten_hours_of_sleep_have_no_frame_on_the_bus_but_those_of_two_commands_sr_08() -> None:
    night = lived_night()
    assert night["night_s"] == pytest.approx(HOURS * 3600.0, abs=STRIDE_S)
    assert [command["outcome"] for command in night["commands"]] == ["verified", "verified"]
    spans = [(intent_s, command["result_s"]) for command in night["commands"] for intent_s in command["intent_s"]]
    assert len(spans) == 2
    frames_s = night["agents_frames_s"]
    assert [second for second in frames_s if not any(first <= second <= last for first, last in spans)] == []
    assert all(any(first <= second <= last for second in frames_s) for first, last in spans)
    # Every frame heard is somebody's: what the agent's adapter counts, and what the car says that it sent.
    assert len(frames_s) == night["agent_sent"]
    assert night["cars_frames_heard"] == night["cars_frames_sent"] > 0
    assert [event for event in night["car_events"] if event in ("woke", "slept")] == ["woke", "slept"] * 2

    ends_s = [AFTER_S, *(last + AFTER_S for _, last in spans)]
    begins_s = [*(first for first, _ in spans), night["night_s"]]
    for first_s, last_s in zip(ends_s, begins_s, strict=True):
        told_s: dict[str, list[float]] = {}
        for second, kind in night["messages"]:
            # An operator who asks for the session, and a record of what the operator asked, are the command's.
            if first_s <= second < last_s - STRIDE_S:
                told_s.setdefault(kind, []).append(second)
        assert told_s.keys() <= PACES_S.keys()
        gaps = [(kind, then - now) for kind, times_s in told_s.items() for now, then in pairwise(times_s)]
        assert [(kind, gap_s) for kind, gap_s in gaps if gap_s < PACES_S[kind]] == []
        assert len(told_s["echo"]) >= (last_s - first_s) // (ECHO_IDLE_S + 2 * STRIDE_S) - 1
