"""A hundred thousand commands through everything that can go wrong, and every rule asked at each step.

SR-01 to SR-07 as `tests.support.world_judge` has them; H39 to H52, H55, H59 to H61, H69, H70, H73 to H78, H84, H85,
H87, H94 to H100, H103 and H104 come up again and again.  A million, or one world alone: `tests.simulation.million`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import pytest

from agent.backend.session import CarSession
from agent.bench.car import CarFault
from agent.command.envelope import Hello, decode_result, open_unverified
from agent.command.feedback import FeedbackWatch
from agent.command.fields import MessageKind
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Persist
from agent.model.events import ClockTrust
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from agent.model.recipe import Feedback
from agent.model.records import Intent, Record, TelemetryRecord
from tests.simulation import million
from tests.simulation.million import Lived, live, simulate
from tests.support.pair import CAR, Disk, Pair, vehicle
from tests.support.ways import Way
from tests.support.world import World
from tests.support.world_computer import Computer
from tests.support.world_disk import WorldDisk
from tests.support.world_station import Station

COMMANDS = 100_000
PROCESSES = os.cpu_count() or 1

# Whatever its seeds, a run of this size has seen each of these; one that has not tests less than it says.
SEEN = (
    "end verified ok",
    "end executed_unverified ok",
    "end executed_unverified timeout",
    "end failed no_state_change",
    "end failed conflicting_state",
    "end failed superseded",
    "end failed can_down",
    "end failed bus_off",
    "end failed timeout",
    "end interrupted ok",
    "end rejected expired",
    "end rejected bus_asleep",
    "end rejected moving",
    "refused stale_session",
    "refused counter",
    "refused expired",
    "refused busy",
    "refused rate_limited",
    "refused cid_conflict",
    "refused wrong_car",
    "refused operator_mismatch",
    "refused action_not_allowed",
    "refused door_open",
    "refused ignition_on",
    "refused speed_unknown",
    "refused precondition_stale",
    "refused storage",
    "return confirmed",
    "return door_open",
    "return ignition_on",
    "return precondition_stale",
    "end failed negative_answer",
    "end failed internal",
    "pulse fob_unlock",
    "pulse fob_lock",
    "backend ignored forged hello",
    "backend ignored forged result",
)


def test_two_thousand_commands_break_no_rule() -> None:
    """Enough for most faults of the program; `tests/mutants/` has the proof."""
    report = simulate(2000, seed=1, processes=1)
    assert report.failure is None, report.failure


@pytest.mark.timeout(1200)  # two minutes on two idle processors
def test_hundred_thousand_commands_break_no_rule_whatever_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """SR-01, SR-02, SR-03, SR-04, SR-05, SR-06, SR-07"""
    report = simulate(COMMANDS, seed=100, processes=PROCESSES)
    with capsys.disabled():
        sys.stdout.write(f"\n{report.words()}\n")
    assert report.failure is None, report.failure
    assert report.commands >= COMMANDS
    assert [name for name in SEEN if not report.counts[name]] == []


def test_seed_gives_the_same_world_in_every_process() -> None:
    """What a run finds can be lived again: the same steps, whatever order this interpreter keeps its sets in."""
    command = million.replay_command(7).split()[1:]
    runs = [
        subprocess.run(
            [sys.executable, *command],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=100,
        )
        for hash_seed in ("1", "2")
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stdout + runs[0].stderr
    traces = {re.search(r"trace ([0-9a-f]{16})", run.stdout)[1] for run in runs}  # type: ignore[index]
    assert traces == {simulate(1, seed=7, processes=1).digest[:16]}
    assert live(8).digest != live(7).digest


def test_several_processes_live_the_worlds_that_one_does() -> None:
    alone, together = simulate(400, seed=3, processes=1), simulate(400, seed=3, processes=2)
    assert (alone.digest, alone.counts) == (together.digest, together.counts)


# --- the judge is not blind: each part of the world that can lie is made to -------------------------------------------


class ForgetfulDisk(WorldDisk):
    """Answers that an intent is durable, and has not kept it."""

    def write(self, records: Iterable[Record]) -> None:
        super().write(record for record in records if not isinstance(record, Intent))


class ForgetfulComputer(Computer):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.disk = ForgetfulDisk()


class ForgetfulWorld(World):
    computer_kind = ForgetfulComputer


class ForgetfulWorldOfRequests(ForgetfulWorld):
    forced_way = Way.REQUESTS


class ForgetfulWorldOfPulses(ForgetfulWorld):
    forced_way = Way.PULSES


class EarlyAnswerComputer(Computer):
    """A store that answers before a write is on the disk."""

    def _make_durable(self, effect: Persist) -> None:
        is_telemetry = all(isinstance(record, TelemetryRecord) for record in effect.records)
        if is_telemetry:
            self._world.after(0.2, super()._make_durable, effect)
        else:
            super()._make_durable(effect)


class EarlyAnswerWorld(World):
    computer_kind = EarlyAnswerComputer


class LateStampComputer(Computer):
    """An edge that takes a frame's time of receipt when it gets round to reading it (H97)."""

    def stamped(self, frame: Frame) -> Frame:
        return frame._replace(received_at_s=frame.received_at_s + 0.3)


class LateStampWorld(World):
    computer_kind = LateStampComputer


class TrustingStation(Station):
    """A backend that asks for no signature."""

    def receive(self, kind: str, raw: bytes, is_retained: bool) -> None:
        if kind == MessageKind.RES and (envelope := open_unverified(MessageKind.RES, raw)) is not None:
            for conversation in self.wishes:
                conversation.receive(decode_result(envelope.payload), self.clock_s())
        super().receive(kind, raw, is_retained)


class TrustingWorld(World):
    station_kind = TrustingStation


def first_broken(kind: type[World], worlds: int = 60) -> Lived:
    return next(lived for lived in (live(seed, kind) for seed in range(1, worlds)) if lived.failure is not None)


@pytest.mark.parametrize("kind", [ForgetfulWorld, ForgetfulWorldOfRequests, ForgetfulWorldOfPulses])
def test_disk_that_forgets_intents_is_found(kind: type[World]) -> None:
    """SR-02"""
    failure = first_broken(kind).failure
    assert failure is not None and "SR-02" in failure


def test_record_that_is_told_and_was_not_kept_is_found() -> None:
    """SR-07: told from memory is only what a disk has refused."""
    failure = first_broken(EarlyAnswerWorld).failure
    assert failure is not None and "SR-07: a record was told before it was kept" in failure


def test_frames_that_are_made_younger_than_they_are_are_found() -> None:
    """SR-05, H97"""
    failure = first_broken(LateStampWorld).failure
    assert failure is not None and "SR-05" in failure


def test_backend_that_believes_forged_results_is_found() -> None:
    """H70"""
    failure = first_broken(TrustingWorld).failure
    assert failure is not None and "H70" in failure


def test_world_that_breaks_a_rule_is_printed_with_the_command_that_lives_it_again() -> None:
    """And lived again it breaks the same rule after the same steps."""
    broken = first_broken(ForgetfulWorld)
    assert broken.failure is not None
    last_lines = broken.failure.splitlines()[-2:]
    assert last_lines[0].startswith(f"world {broken.seed}: BrokenRuleError: SR-02")
    assert last_lines[1] == f"to live it again: python -m tests.simulation.million --seed {broken.seed} --commands 1"
    again = live(broken.seed, ForgetfulWorld)
    assert (again.digest, again.failure) == (broken.digest, broken.failure)


# --- what the worlds found, in small ----------------------------------------------------------------------------------


def test_state_reached_and_left_before_an_earlier_command_settled_is_not_unchanged() -> None:
    """A4: the lock closed for us and was opened by a key; "not executed" would be a lie."""
    path = "Vehicle.Carshare.CentralLock.IsLocked"
    watch = FeedbackWatch((Feedback(path, equals=True, confirmations=2),), window_s=3, run_s_min=0.1, settled_at_s=12)
    watch.frame_sent(10.0)
    for at_s, is_locked in ((10.6, True), (10.7, True), *((12.0 + tenth / 10, False) for tenth in range(1, 30))):
        watch.receive([Reading(path, is_locked, None, at_s, Quality.OK, message="LockStatus")])
    assert watch.verdict() == (Stage.FAILED, Reason.CONFLICTING_STATE, Executed.UNKNOWN)


def test_sample_that_waited_for_its_batch_is_told_as_it_stands_by_then() -> None:
    """SR-05: the bus falls silent while a batch of samples waits."""
    profile, _ = vehicle()
    freshness_s = {signal.path: signal.freshness_s for message in profile.messages for signal in message.signals}
    freshness_s |= {plan.path: min(freshness_s[path] for path in plan.inputs) for plan in profile.derived}
    for tenths in range(12):
        pair = Pair(is_asleep=True)
        pair.car.rouse(pair.now_s)
        pair.run(0.5 + tenths / 10)
        pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=True)
        pair.run(3.0)
        for event in pair.events():
            if event["kind"] != "readings":
                continue
            for row in cast("list[dict[str, Any]]", event["readings"]):
                assert row["quality"] != "ok" or row["age_s"] <= freshness_s[row["path"]] + 0.001, row


def test_answer_overtaken_by_a_later_one_changes_nothing() -> None:
    """H93 is an alarm; two pings that change places on their way must not raise it."""
    session = CarSession(b"kkkk")
    session.ask(b"1" * 16, 10.0)
    session.ask(b"2" * 16, 11.0)
    hello = Hello(CAR, b"session1", 2000, ClockTrust.FLOOR_ONLY, b"storeid!", 6, nonce=b"1" * 16)
    assert session.receive(hello, 12.0).answered
    before = session.mapping(12.0)
    late = replace(hello, session_ms=1500, event_sequence=5, nonce=b"2" * 16)
    assert session.receive(late, 13.0).changes == frozenset()
    assert session.mapping(13.0) is before


def test_nothing_is_denied_of_an_id_whose_session_the_store_does_not_know() -> None:
    """A2, H41, H42: the journal is lost, and other bytes come under an id that was carried out before."""
    pair = Pair()
    pair.run(2.0)
    cid = bytes(range(16))
    original = pair.command(Action.UNLOCK, cid=cid)
    pair.deliver("cmd", original)
    pair.run(5.0)
    pair.disk = Disk()
    pair.restart()
    pair.published.clear()
    pair.deliver("cmd", original)
    pair.deliver("cmd", pair.command(Action.LOCK, cid=cid, sid=b"no such!"))
    assert [(result.reason, result.executed) for result in pair.final_results()] == [
        (Reason.STALE_SESSION, Executed.UNKNOWN),
        (Reason.CID_CONFLICT, Executed.UNKNOWN),
    ]
