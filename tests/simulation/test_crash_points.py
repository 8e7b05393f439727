"""SR-02, H73 to H78: the power is cut before every single effect of a command, twice, and the agent starts again.

For every action, with every fault of the virtual car, awake and asleep; unlock and lock also where they are requests
to a control unit, or pulses of relays: `tests.simulation.crash_points`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context

import pytest

from agent.bench.car import CarFault
from agent.model.command import Action, Executed, Stage
from tests.simulation import crash_points
from tests.simulation.crash_points import (
    FAULTS,
    QUESTIONS,
    Found,
    Said,
    Scenario,
    Tally,
    Truth,
    explore,
    first_life,
    future,
    judge,
    key_of,
    live_on,
)
from tests.support.envelopes import VERIFIED as RESULT
from tests.support.pair import Pair, PowerCutError
from tests.support.ways import Way
from tests.support.world_memory import begin_process

PROCESSES = os.cpu_count() or 1

Group = tuple[Action, bool, Way]
"""An action, whether the car sleeps, and by what it is worked: its scenarios share what their lives have in common."""

SCENARIOS = [Scenario(*each) for each in product(Action, FAULTS, (False, True))]
SCENARIOS += [
    Scenario(*each)
    for each in product(
        (Action.UNLOCK, Action.LOCK),
        (None, CarFault.LOCK_REFUSES, CarFault.LOCK_DEAD, CarFault.LOCK_SILENT, CarFault.LOCK_IGNORES),
        (False, True),
        (Way.REQUESTS, Way.PULSES),
    )
]
"""Of the ways that are not frames what differs there: who answers, who refuses, and what stands behind a pulse."""

UNLOCK = Scenario(Action.UNLOCK, None, is_asleep=False)

TALLY = Tally()


def wanted_scenarios(request: pytest.FixtureRequest) -> dict[Group, list[CarFault | None]]:
    """What this run of pytest selected of the test below, the longest groups first."""
    wanted: dict[Group, list[CarFault | None]] = {}
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.keys() == {"scenario"}:
            scenario: Scenario = callspec.params["scenario"]
            wanted.setdefault((scenario.action, scenario.is_asleep, scenario.way), []).append(scenario.fault)
    return dict(sorted(wanted.items(), key=lambda one: (one[0][0] in QUESTIONS, not one[0][1])))


@pytest.fixture(scope="module")
def explored(request: pytest.FixtureRequest) -> Iterator[dict[Scenario, Future[list[Found]]]]:
    """Each selected scenario with the work on its group; one alone is done where a debugger can see it."""
    wanted = wanted_scenarios(request)
    if sum(map(len, wanted.values())) == 1:
        (((action, is_asleep, way), faults),) = wanted.items()
        done: Future[list[Found]] = Future()
        done.set_result(explore(action, is_asleep, way, faults))
        yield {Scenario(action, faults[0], is_asleep, way): done}
        return
    pool = ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"), initializer=begin_process)
    try:
        work = {group: pool.submit(explore, *group, faults) for group, faults in wanted.items()}
        yield {
            Scenario(action, fault, is_asleep, way): work[action, is_asleep, way]
            for (action, is_asleep, way), faults in wanted.items()
            for fault in faults
        }
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.hazard("H73", "H74", "H75", "H76", "H77", "H78")
@pytest.mark.timeout(600)  # the first of a group waits for all of it; the longest take half a minute
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_two_cuts_lead_to_a_second_actuation_a_false_verified_or_a_second_end(
    scenario: Scenario, explored: dict[Scenario, Future[list[Found]]]
) -> None:
    """SR-02, SR-04, SR-07, H73 to H78: the same bytes, sent again and again, move nothing more and have one end."""
    (found,) = [one for one in explored[scenario].result() if one.scenario == scenario]
    TALLY.add(found.tally)
    if found.failure is not None:
        pytest.fail(found.failure, pytrace=False)


def test_counts_of_cuts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Stands behind the test above and says how much of it was run."""
    with capsys.disabled():
        sys.stdout.write(f"\n{TALLY}\n")


# --- lives that are not run again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "fault"), [(Action.UNLOCK, CarFault.IMMOBILISER_SLOW), (Action.LOCATE, CarFault.LAMPS_DEAD)]
)
def test_lives_taken_as_known_are_those_that_would_be_lived(action: Action, fault: CarFault) -> None:
    known: crash_points.Known = {}
    sound, faulty = (first_life(Scenario(action, one, is_asleep=False)) for one in (None, fault))
    raw = sound[1]
    for cut, _ in sound[0].groups[::4]:
        key = key_of(raw, cut)  # before the lives, which write on the disk that is left
        known[key] = live_on(raw, cut)
    compared = set()
    for cut, _ in faulty[0].groups:
        if (key := key_of(raw, cut)) in known:
            compared.add(key)
            assert live_on(raw, cut) == known[key]
    assert compared == known.keys()
    assert len(known) > 2


def test_no_life_of_a_car_that_behaves_otherwise_is_taken_as_known() -> None:
    sound, raw = first_life(UNLOCK)
    silent, _ = first_life(replace(UNLOCK, fault=CarFault.LOCK_SILENT))
    ignoring, _ = first_life(replace(UNLOCK, fault=CarFault.LOCK_IGNORES))
    keys, keys_silent, keys_ignoring = (
        {key_of(raw, cut) for cut, _ in one.groups} for one in (sound, silent, ignoring)
    )
    assert not keys & keys_silent
    assert keys & keys_ignoring  # as long as nobody has asked it for anything
    assert keys_ignoring - keys


def test_car_is_another_if_it_says_anything_else_within_the_time_of_a_life() -> None:
    def after(fault: CarFault | None, *, is_locked: bool = True) -> bytes:
        car = Pair(is_locked=is_locked).car
        if fault is not None:
            car.set_fault(fault, 1000.0, is_on=True)
        return future(car, 1000.0)

    sound = after(None)
    same = {fault for fault in CarFault if after(fault) == sound}
    assert same == {
        *(CarFault.LOCK_IGNORES, CarFault.LOCK_SLOW, CarFault.IMMOBILISER_IGNORES, CarFault.IMMOBILISER_SLOW),
        *(CarFault.LOCK_REFUSES, CarFault.IMMOBILISER_REFUSES, CarFault.LAMPS_DEAD, CarFault.WAKE_DEAF),
    }
    assert after(CarFault.LOCK_SILENT) == after(CarFault.LOCK_DEAD)
    assert after(None, is_locked=False) != sound


# --- the judge is not blind -----------------------------------------------------------------------------------------

OPENED = Truth(is_there=True, is_on_its_way=False, requests=(1, 0, 0))
UNTOUCHED = Truth(is_there=False, is_on_its_way=False, requests=(0, 0, 0))


def ended(stage: Stage, executed: Executed, content: bytes = b"end", number: int | None = 7) -> Said:
    return Said(content, number, replace(RESULT, stage=stage, executed=executed))


VERIFIED = ended(Stage.VERIFIED, Executed.YES)
ACCEPTED = ended(Stage.ACCEPTED, Executed.UNKNOWN, b"accepted", None)
REFUSED = ended(Stage.REJECTED, Executed.NO, number=None)
FLASHED = ended(Stage.EXECUTED_UNVERIFIED, Executed.YES)


def test_honest_ends_pass() -> None:
    judge(UNLOCK, [ACCEPTED, VERIFIED, VERIFIED], is_journalled=True, truth=OPENED)
    judge(UNLOCK, [REFUSED], is_journalled=False, truth=UNTOUCHED)
    on_its_way = replace(OPENED, is_there=False, is_on_its_way=True)
    judge(UNLOCK, [ended(Stage.INTERRUPTED, Executed.UNKNOWN)], is_journalled=True, truth=on_its_way)
    for fault in (CarFault.LAMPS_DEAD, CarFault.BUS_SILENT):
        judge(Scenario(Action.LOCATE, fault, False), [FLASHED], is_journalled=True, truth=UNTOUCHED)


@pytest.mark.parametrize(
    ("scenario", "said", "truth", "wrong"),
    [
        (UNLOCK, [VERIFIED, ended(Stage.INTERRUPTED, Executed.UNKNOWN, b"other")], OPENED, "not one end"),
        (UNLOCK, [VERIFIED, ACCEPTED], OPENED, "and then it goes on"),
        (UNLOCK, [ended(Stage.FAILED, Executed.NO)], OPENED, "said to be as it was"),
        (UNLOCK, [VERIFIED], UNTOUCHED, "said to have moved"),
        (replace(UNLOCK, fault=CarFault.LOCK_SILENT), [VERIFIED], OPENED, "verified by what nobody"),
        (Scenario(Action.LOCATE, None, False), [VERIFIED], OPENED, "verified by what nobody"),
        (Scenario(Action.LOCATE, CarFault.LOCK_DEAD, False), [FLASHED], UNTOUCHED, "said to have moved"),
        (UNLOCK, [VERIFIED], replace(OPENED, requests=(2, 0, 0)), "a second actuation"),
        (UNLOCK, [VERIFIED], replace(OPENED, requests=(1, 0, 1)), "a second actuation"),
        (UNLOCK, [VERIFIED, Said("a record", 7)], OPENED, "a sequence number twice"),
    ],
)
def test_each_lie_is_found(scenario: Scenario, said: list[Said], truth: Truth, wrong: str) -> None:
    """SR-02, SR-04, SR-07"""
    with pytest.raises(AssertionError, match=wrong):
        judge(scenario, said, is_journalled=True, truth=truth)


def test_command_the_disk_knows_nothing_of_is_refused_and_nothing_else() -> None:
    """SR-02: but for a question, which is answered and not journalled."""
    for said in ([VERIFIED], [REFUSED, VERIFIED], []):
        with pytest.raises(AssertionError):
            judge(UNLOCK, said, is_journalled=False, truth=OPENED)
    question = Scenario(Action.CHECK_RETURN, None, is_asleep=False)
    judge(question, [FLASHED, REFUSED], is_journalled=False, truth=UNTOUCHED)
    with pytest.raises(AssertionError):
        judge(question, [VERIFIED], is_journalled=False, truth=UNTOUCHED)


# --- in small -------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H76")
def test_interrupted_command_is_reported_with_the_state_read_back() -> None:
    """H76: cut after the actuation, before the end is durable; the read-back shows the lock open."""
    pair = Pair()
    pair.run(2.0)
    raw = pair.command(Action.UNLOCK)
    with pytest.raises(PowerCutError):
        pair.deliver("cmd", raw)
        for _ in range(1000):
            pair.run(0.01)
            if not pair.car.lock.is_locked:
                pair.cut_power_after(0)
    pair.published.clear()
    pair.restart()
    pair.run(3.0)
    (result,) = pair.final_results()
    assert (result.stage, result.executed) == (Stage.INTERRUPTED, Executed.UNKNOWN)
    (piece,) = result.evidence
    assert (piece.path, piece.value) == ("Vehicle.Carshare.CentralLock.IsLocked", False)


def test_every_record_of_the_outbox_reaches_the_broker_once_numbered_over_any_number_of_cuts() -> None:
    """SR-07: no sequence number is given twice, and nothing kept is lost."""
    pair = Pair()
    numbers: list[int] = []
    for cut in (3, 17, 40, 55, 90):
        pair.cut_power_after(cut)
        with pytest.raises(PowerCutError):
            for second in range(300):
                pair.car.press_key_fob(pair.now_s, is_locked=second % 2 == 0)
                pair.run(1.0)
        kept = set(pair.disk.outbox.records)
        pair.published.clear()
        pair.restart()
        pair.run(0.2)
        told = [int(str(event["seq"])) for event in pair.events()]
        assert kept <= set(told)
        numbers += [number for number in told if number not in kept]
    assert len(numbers) == len(set(numbers))
