"""Power cuts at the places with a name, stores that are not what they were, and the end of the agent (SR-02).

Every place there is, and twice: `test_crash_points.py`. Here stands what exactly is said after each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from agent.bench.car import CarFault
from agent.command.envelope import MessageKind, decode_result, open_unverified
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Effect, Persist, Publish, SendFrame
from agent.model.events import StopAsked
from agent.model.records import Done, Intent, Recovered, ResultDelivered
from tests.support.disk import Disk
from tests.support.pair import Pair, PowerCutError

LOCK_PATH = "Vehicle.Carshare.CentralLock.IsLocked"
INTERRUPTED = (Stage.INTERRUPTED, Reason.OK, Executed.UNKNOWN)
VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)

IsHere = Callable[[Effect], bool]


def writes(kind: type) -> IsHere:
    return lambda effect: isinstance(effect, Persist) and any(isinstance(record, kind) for record in effect.records)


def tells_the_end(effect: Effect) -> bool:
    if not isinstance(effect, Publish) or not effect.topic.endswith("/res"):
        return False
    envelope = open_unverified(MessageKind.RES, effect.payload)
    return envelope is not None and decode_result(envelope.payload).stage.is_final


def cut_off(pair: Pair, is_here: IsHere, *, passed: int = 0) -> bytes:
    """Unlock, and lose power before the effect that `is_here`, after so many of its kind. The command's bytes."""
    raw = pair.command(Action.UNLOCK)
    left = iter(range(passed))

    def before(_: Pair, effect: Effect) -> None:
        if is_here(effect) and next(left, None) is None:
            raise PowerCutError

    pair.before_effect = before
    with pytest.raises(PowerCutError):
        pair.deliver("cmd", raw)
        pair.run(10.0)
    return raw


def awake() -> Pair:
    pair = Pair()
    pair.run(2.0)
    return pair


def start_again(pair: Pair) -> None:
    """A start with what is on the disk, and time for the bus to show itself; `sent` and `published` are of this run."""
    pair.sent.clear()
    pair.published.clear()
    pair.restart()
    pair.run(3.0)


def ends(pair: Pair) -> list[tuple[Stage, Reason, Executed]]:
    return [(result.stage, result.reason, result.executed) for result in pair.final_results()]


# --- power cuts -------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H73")
def test_cut_before_the_intent_is_durable_leaves_nothing_behind() -> None:
    """The session died with the agent, so the same bytes are refused and were not carried out."""
    pair = awake()
    raw = cut_off(pair, writes(Intent))
    start_again(pair)
    assert ends(pair) == []
    pair.deliver("cmd", raw)
    pair.run(3.0)
    assert ends(pair) == [(Stage.REJECTED, Reason.STALE_SESSION, Executed.NO)]
    assert (pair.sent, pair.car.lock_requests_seen) == ([], 0)


@pytest.mark.hazard("H74")
@pytest.mark.parametrize("is_asleep", [False, True])
def test_cut_between_intent_and_first_frame_is_interrupted_and_sends_nothing_after(is_asleep: bool) -> None:
    pair = Pair(is_asleep=is_asleep)
    pair.run(2.0)
    raw = cut_off(pair, lambda effect: isinstance(effect, SendFrame))
    assert pair.sent == []
    start_again(pair)
    assert ends(pair) == [INTERRUPTED]
    pair.deliver("cmd", raw)
    pair.run(3.0)
    assert ends(pair) == [INTERRUPTED] * 2
    assert (pair.sent, pair.car.lock_requests_seen) == ([], 0)


@pytest.mark.hazard("H75")
@pytest.mark.parametrize("is_asleep", [False, True], ids=["command frames", "wake burst"])
def test_cut_among_the_frames_is_interrupted_with_the_state_read_back(is_asleep: bool) -> None:
    pair = Pair(is_asleep=is_asleep)
    pair.run(2.0)
    if not is_asleep:
        pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    cut_off(pair, lambda effect: isinstance(effect, SendFrame), passed=1)
    assert len(pair.sent) == 1
    pair.sent.clear()
    pair.car.rouse(pair.now_s)
    start_again(pair)
    (result,) = pair.final_results()
    assert (result.stage, result.reason, result.executed) == INTERRUPTED
    assert [(piece.path, piece.value) for piece in result.evidence] == [(LOCK_PATH, True)]
    assert pair.sent == []


@pytest.mark.hazard("H76")
def test_cut_after_the_lock_moved_is_interrupted_and_the_read_back_shows_it() -> None:
    pair = awake()
    cut_off(pair, writes(Done))
    assert not pair.car.lock.is_locked
    start_again(pair)
    (result,) = pair.final_results()
    assert (result.stage, result.reason, result.executed) == INTERRUPTED
    assert [(piece.path, piece.value) for piece in result.evidence] == [(LOCK_PATH, False)]
    assert pair.sent == []


@pytest.mark.hazard("H77")
def test_cut_between_the_durable_end_and_its_telling_tells_it_after_the_start() -> None:
    pair = awake()
    cut_off(pair, tells_the_end)
    assert pair.final_results() == []
    start_again(pair)
    assert ends(pair) == [VERIFIED]
    assert pair.sent == []


@pytest.mark.hazard("H78")
def test_cut_before_the_brokers_answer_tells_the_same_end_again_under_its_number() -> None:
    pair = awake()
    cut_off(pair, writes(ResultDelivered))
    (told,) = (publish.payload for publish in pair.published if tells_the_end(publish))
    number = pair.final_results()[-1].event_sequence
    start_again(pair)
    assert [publish.payload for publish in pair.published if tells_the_end(publish)] == [told]
    assert number is not None and pair.final_results()[-1].event_sequence == number
    assert pair.sent == []


@pytest.mark.hazard("H85")
def test_store_that_fails_under_the_intent_ends_the_agent_and_the_next_start_moves_nothing() -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.is_store_broken = True
    pair.deliver("cmd", raw)
    assert ends(pair) == [(Stage.REJECTED, Reason.STORAGE, Executed.NO)]
    assert pair.stopped is not None and "disk full" in pair.stopped
    pair.is_store_broken, pair.stopped = False, None
    start_again(pair)
    pair.deliver("cmd", raw)
    pair.run(3.0)
    assert ends(pair) == [(Stage.REJECTED, Reason.STALE_SESSION, Executed.NO)]
    assert (pair.sent, pair.car.lock_requests_seen) == ([], 0)


# --- stores that are not what they were -------------------------------------------------------------------------------


@dataclass
class OddDisk(Disk):
    """A disk of which the store has something to say at the start."""

    oddity: dict[str, object] = field(default_factory=dict)

    def recover(self) -> Recovered:
        return replace(super().recover(), **self.oddity)  # type: ignore[arg-type]


@pytest.mark.hazard("H86")
@pytest.mark.parametrize("action", [Action.UNLOCK, Action.LOCK])
def test_car_whose_storage_is_dead_obeys_and_says_so_in_the_signed_result(action: Action) -> None:
    """Amendment A12."""
    pair = Pair(is_locked=action is Action.UNLOCK)
    pair.disk = OddDisk(oddity={"is_degraded": True, "notes": ("storage cannot be used: read-only",)})
    start_again(pair)
    result = pair.ask(action)
    assert (result.stage, result.is_degraded) == (Stage.VERIFIED, True)
    assert [event["note"] for event in pair.events() if event["kind"] == "store"] == [
        "storage cannot be used: read-only"
    ]


@pytest.mark.hazard("H82", "H83")
def test_store_made_anew_is_told_as_an_event_and_in_every_hello() -> None:
    """What the files must have been like for that: `tests/unit/adapters/test_store.py`."""
    pair = awake()
    before = pair.ping().store_id
    note = "authority.sqlite3 belonged to car 0011223344556677; set aside and made anew"
    pair.disk = OddDisk(oddity={"store_id": b"store--2", "notes": (note,)})
    start_again(pair)
    assert [event["note"] for event in pair.events() if event["kind"] == "store"] == [note]
    assert pair.ping().store_id == b"store--2" != before


# --- the end of the agent ---------------------------------------------------------------------------------------------


@pytest.mark.hazard("H92")
def test_running_command_ends_by_itself_while_new_ones_are_refused() -> None:
    """SIGTERM; the lock motors take two seconds of the eight there are."""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_SLOW, pair.now_s, is_on=True)
    first, second = pair.command(Action.UNLOCK), pair.command(Action.LOCK)
    pair.deliver("cmd", first)
    pair.run(0.2)
    pair.engine.receive_link(StopAsked(is_final=False), pair.now_s)
    pair.perform()
    pair.deliver("cmd", second)
    assert ends(pair) == [(Stage.REJECTED, Reason.SHUTTING_DOWN, Executed.NO)]
    pair.run(8.0, until=lambda: not pair.engine.is_commanding)
    assert ends(pair)[1:] == [VERIFIED]


@pytest.mark.hazard("H92")
def test_command_that_outlives_the_grace_is_interrupted() -> None:
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(0.2)
    for is_final in (False, True):
        pair.engine.receive_link(StopAsked(is_final=is_final), pair.now_s)
        pair.perform()
    assert ends(pair) == [(Stage.INTERRUPTED, Reason.SHUTTING_DOWN, Executed.UNKNOWN)]
    start_again(pair)
    assert pair.sent == []
