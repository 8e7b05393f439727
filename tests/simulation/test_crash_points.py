"""SR-02, H73 to H78: the power is cut before every single effect of a command, twice, and the agent starts again.

At every effect of a run all that outlives the agent (car, disk, time) is set aside, and a new agent begins with it.
Effects between which nothing of that changes (the broker is told something, a line is logged) leave the same
remains: one new agent begins there for all these cuts, while what had been told by then is judged for each of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, product

import pytest

from agent.bench.car import CarFault
from agent.command.envelope import MessageKind, Result, check_signature, decode_result, open_unverified
from agent.model.command import Action, Executed, Stage
from agent.model.effects import Effect, Persist, Publish, SendFrame
from agent.model.frame import Frame
from tests.support.pair import VEHICLE_KEY, Pair, PowerCutError, Remains

FAULTS = (None, *CarFault)
UNBELIEVED = {
    CarFault.LOCK_IGNORES,
    CarFault.LOCK_DEAD,
    CarFault.LOCK_BLOCKED,
    CarFault.LOCK_SILENT,
    CarFault.BUS_SILENT,
    CarFault.CHECKSUM_WRONG,
    CarFault.COUNTER_STUCK,
}
"""With these the lock does not move, or nothing that can be believed says so: no result may be `verified`."""

AFTERWARDS_S = 1.0  # how long after its last word a new agent is watched for frames that nobody asked for


@dataclass(frozen=True, slots=True)
class Scenario:
    """One command to one car, whose lock stands as the command does not want it."""

    action: Action
    fault: CarFault | None
    is_asleep: bool

    @property
    def is_locked_at_first(self) -> bool:
        return self.action is not Action.LOCK


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes before the effect of this number: so many messages have been told, and this is left."""

    number: int
    told: int
    remains: Remains


@dataclass(slots=True)
class Life:
    """What one run of the agent came to, and every place at which it can be cut."""

    pair: Pair
    cuts: list[Cut] = field(default_factory=list)

    @property
    def told(self) -> list[Publish]:
        return self.pair.published

    @property
    def sent(self) -> list[Frame]:
        return self.pair.sent

    def distinct_cuts(self) -> Iterator[tuple[Remains, list[Cut]]]:
        """Each remains once, with the cuts that leave it."""
        for _, cuts in groupby(self.cuts, lambda cut: id(cut.remains)):
            alike = list(cuts)
            yield alike[0].remains, alike


class Watch:
    """Looks at every effect before it is performed: is what is about to be told true, and what would a cut leave?"""

    def __init__(self, scenario: Scenario, *, is_cut: bool) -> None:
        self.cuts: list[Cut] = []
        self._scenario = scenario
        self._is_cut = is_cut
        self._has_changed = True
        self._at_s = 0.0

    def __call__(self, pair: Pair, effect: Effect) -> None:
        if self._is_cut:
            is_new = self._has_changed or pair.now_s != self._at_s
            self._at_s, self._has_changed = pair.now_s, isinstance(effect, Persist | SendFrame)
            remains = pair.remains() if is_new else self.cuts[-1].remains
            self.cuts.append(Cut(len(self.cuts), len(pair.published), remains))
        match effect:
            case Publish(topic, payload) if topic.endswith("/res") and result_in(payload).stage is Stage.VERIFIED:
                assert pair.car.lock.is_locked is not self._scenario.is_locked_at_first, "verified, and was not"
                assert self._scenario.fault not in UNBELIEVED, "verified by what nobody could know"


@lru_cache(10_000)
def result_in(raw: bytes) -> Result:
    envelope = open_unverified(MessageKind.RES, raw)
    assert envelope is not None
    assert check_signature(envelope, VEHICLE_KEY.public_key())
    return decode_result(envelope.payload)


@lru_cache(10_000)
def record_in(raw: bytes) -> tuple[int, str]:
    """Number and content of an `evt`; that it was kept for a while is not part of what it says."""
    document = json.loads(raw)
    document.pop("historical", None)
    return int(document["seq"]), json.dumps(document)


def results_in(told: Iterable[Publish]) -> list[tuple[bytes, Result]]:
    return [(one.payload, result_in(one.payload)) for one in told if one.topic.endswith("/res")]


def has_ended(told: list[Publish]) -> bool:
    """Whether the last result told is final."""
    last = next((one for one in reversed(told) if one.topic.endswith("/res")), None)
    return last is not None and result_in(last.payload).stage.is_final


def first_life(scenario: Scenario) -> tuple[Life, bytes]:
    """A command, and the same bytes at its heels, to a car that has been at peace for a while."""
    pair = Pair(is_asleep=scenario.is_asleep, is_locked=scenario.is_locked_at_first)
    pair.run(2.0)
    if scenario.fault is not None:
        pair.car.set_fault(scenario.fault, pair.now_s, is_on=True)
    raw = pair.command(scenario.action)
    pair.published.clear()
    pair.before_effect = watch = Watch(scenario, is_cut=True)
    pair.deliver("cmd", raw)
    insist(pair, raw)
    watch.cuts.append(Cut(len(watch.cuts), len(pair.published), pair.remains()))  # behind the last effect
    return Life(pair, watch.cuts), raw


def next_life(scenario: Scenario, raw: bytes, remains: Remains, *, is_cut: bool) -> Life:
    """A start with what a cut left; the backend, which knows of nothing, goes on sending the same bytes."""
    watch = Watch(scenario, is_cut=is_cut)
    pair = Pair(remains=remains, before_effect=watch)
    insist(pair, raw)
    if is_cut:
        pair.before_effect = None
        pair.run(AFTERWARDS_S)
    assert pair.sent == [], "a frame for a command of an earlier life"
    return Life(pair, watch.cuts)


def insist(pair: Pair, raw: bytes) -> None:
    """The same bytes now, and again when their end has been told."""
    pair.deliver("cmd", raw)
    pair.run(12.0, until=lambda: has_ended(pair.published))
    pair.deliver("cmd", raw)
    pair.run(0.02)


def judge(scenario: Scenario, told: list[Publish], pair: Pair) -> None:
    """One honest end, told as often as it was asked for; `told` is everything, `pair` the last of the lives."""
    results = results_in(told)
    finals = [(raw, result) for raw, result in results if result.stage.is_final]
    ends = {(result.stage, result.executed) for _, result in finals}
    if pair.disk.journal:
        assert len({raw for raw, _ in finals}) == 1, f"not one end: {ends}"
        is_final = [result.stage.is_final for _, result in results]
        assert is_final == sorted(is_final), "an end, and then it goes on"
    elif scenario.action is Action.REPORT:
        # Answered, or of another session by now; it asks for no frame, and either is true of it.
        assert ends <= {(Stage.EXECUTED_UNVERIFIED, Executed.YES), (Stage.REJECTED, Executed.NO)}
        assert ends
    else:
        assert ends == {(Stage.REJECTED, Executed.NO)}

    executed = finals[0][1].executed
    has_moved = pair.car.lock.is_locked is not scenario.is_locked_at_first or pair.car.lock.arrives_at_s is not None
    assert not (has_moved and executed is Executed.NO), "said to be as it was"
    assert has_moved or executed is not Executed.YES or scenario.action is Action.REPORT, "said to have moved"
    assert pair.car.lock_requests_seen <= 1, "a second actuation"
    judge_numbers(told)


def judge_numbers(told: list[Publish]) -> None:
    """SR-07: a sequence number stands for one record or result, however often that is told."""
    seen: dict[int, str | bytes] = {}
    for raw, result in results_in(told):
        if result.event_sequence is not None:
            assert seen.setdefault(result.event_sequence, raw) == raw, "a sequence number twice"
    for one in told:
        if one.topic.endswith("/evt"):
            number, content = record_in(one.payload)
            assert seen.setdefault(number, content) == content, "a sequence number twice"


@contextmanager
def placed(*cuts: Cut) -> Iterator[None]:
    """Whatever is found wrong is told with the place of the cuts."""
    try:
        yield
    except AssertionError as error:
        error.add_note("cut before effect " + ", then before effect ".join(str(cut.number) for cut in cuts))
        raise


@dataclass(slots=True)
class Tally:
    """How much was tried, over all scenarios of this file's run."""

    scenarios: int = 0
    cuts_once: int = 0
    cuts_twice: int = 0
    lives: int = 0
    took_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"crash points: {self.scenarios} scenarios (action, fault, asleep or awake), cut once at each of"
            f" {self.cuts_once:,} effects and again at each effect of the run after it, {self.cuts_twice:,} pairs of"
            f" cuts, none left out; {self.lives:,} runs of the agent in {self.took_s:.0f} s"
        )


TALLY = Tally()


@pytest.mark.parametrize("is_asleep", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault or "sound")
@pytest.mark.parametrize("action", Action, ids=lambda action: action.name.lower())
def test_no_two_cuts_lead_to_a_second_actuation_a_false_verified_or_a_second_end(
    action: Action, fault: CarFault | None, is_asleep: bool
) -> None:
    """SR-02, SR-04, SR-07, H73 to H78: the same bytes, sent again and again, move nothing more and have one end."""
    began_s = time.perf_counter()
    scenario = Scenario(action, fault, is_asleep)
    first, raw = first_life(scenario)
    judge(scenario, first.told, first.pair)
    TALLY.scenarios += 1
    TALLY.lives += 1
    for remains, cuts in first.distinct_cuts():
        with placed(cuts[0]):
            second = next_life(scenario, raw, remains, is_cut=True)
        TALLY.lives += 1
        for cut in cuts:
            TALLY.cuts_once += 1
            with placed(cut):
                judge(scenario, first.told[: cut.told] + second.told, second.pair)
        for remains_again, cuts_again in second.distinct_cuts():
            with placed(cuts[0], cuts_again[0]):
                third = next_life(scenario, raw, remains_again, is_cut=False)
            TALLY.lives += 1
            for cut, again in product(cuts, cuts_again):
                TALLY.cuts_twice += 1
                with placed(cut, again):
                    judge(scenario, first.told[: cut.told] + second.told[: again.told] + third.told, third.pair)
    TALLY.took_s += time.perf_counter() - began_s


def test_counts_of_cuts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Stands behind the test above and says how much of it was run."""
    with capsys.disabled():
        sys.stdout.write(f"\n{TALLY}\n")


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
