"""Lives of the agent that end before one of their effects: what is tried, what is judged, and what need not be run.

At every effect of a run all that outlives the agent (car, disk, time) is set aside, and a new agent begins with it.
Effects between which nothing of that changes (the broker is told something, a line is logged) leave the same remains:
one new agent begins there for all these cuts, while what had been told by then is judged for each of them.

Agents that begin with the very same remains live the very same lives, whatever is wrong with the car: a lock that
takes its time is no different until somebody asks it for something.  Whether they are the same is looked at, not
supposed: time, disk, command, and every frame the car would send from there on if left alone, which it is, since no
agent may send a frame for a command of an earlier life.  Such lives are run once, and judged each time.
"""

from __future__ import annotations

import gc
import json
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, groupby, product
from typing import Final

from agent.bench.car import CarFault, VirtualCar
from agent.bench.car_switch import SwitchUnit
from agent.command.envelope import MessageKind, Result, check_signature, decode_result, open_unverified
from agent.model.command import Action, Executed, Stage
from agent.model.effects import Effect, Persist, Publish, PulseRelay, SendFrame
from tests.support.disk import Disk, OutboxDisk
from tests.support.pair import VEHICLE_KEY, Pair, Remains, copied
from tests.support.ways import Way
from tests.support.world_car import WorldCar

FAULTS: Final = (None, *CarFault)

_LOCK: Final = frozenset({Action.UNLOCK, Action.LOCK})
_DRIVE: Final = frozenset({Action.ENABLE_DRIVE, Action.DISABLE_DRIVE})
QUESTIONS: Final = (Action.REPORT, Action.CHECK_RETURN)

UNBELIEVED: Final[Mapping[CarFault, frozenset[Action]]] = {
    CarFault.BUS_SILENT: _LOCK | _DRIVE,
    CarFault.CHECKSUM_WRONG: _LOCK | _DRIVE,
    CarFault.COUNTER_STUCK: _LOCK | _DRIVE,
    CarFault.LOCK_IGNORES: _LOCK,
    CarFault.LOCK_DEAD: _LOCK,
    CarFault.LOCK_BLOCKED: _LOCK,
    CarFault.LOCK_SILENT: _LOCK,
    CarFault.LOCK_REFUSES: _LOCK,
    CarFault.IMMOBILISER_IGNORES: _DRIVE,
    CarFault.IMMOBILISER_DEAD: _DRIVE,
    CarFault.IMMOBILISER_BLOCKED: _DRIVE,
    CarFault.IMMOBILISER_SILENT: _DRIVE,
    CarFault.IMMOBILISER_REFUSES: _DRIVE,
}
"""With these the unit does not move, or nothing that can be believed says so: no result may be `verified`."""

UNSEEN: Final = (CarFault.LAMPS_DEAD, CarFault.BUS_SILENT)
"""With these a car that is asked to show itself does not, and no car that gives no feedback could tell (A4)."""

AFTERWARDS_S: Final = 1.0
"""How long after its last word a new agent is watched for frames that nobody asked for."""

FUTURE_S: Final = 14
"""For so long after it last heard a frame a car left alone must do the same as another to count as the same."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One command to one car, whose units stand as the command does not want them."""

    action: Action
    fault: CarFault | None
    is_asleep: bool
    way: Way = Way.FRAMES

    def __str__(self) -> str:
        by = "" if self.way is Way.FRAMES else f"-by_{self.way}"
        return f"{self.action.name.lower()}{by}-{self.fault or 'sound'}-{'asleep' if self.is_asleep else 'awake'}"

    @property
    def may_be_verified(self) -> bool:
        unbelieved = frozenset() if self.fault is None else UNBELIEVED.get(self.fault, frozenset())
        return self.action in _LOCK | _DRIVE and self.action not in unbelieved


@dataclass(frozen=True, slots=True)
class Truth:
    """What the command has done to the car, and how often each unit was asked for something."""

    is_there: bool
    """The unit stands as the command wants it."""
    is_on_its_way: bool
    requests: tuple[int, int, int]

    @property
    def has_moved(self) -> bool:
        return self.is_there or self.is_on_its_way

    @staticmethod
    def of(car: VirtualCar, action: Action) -> Truth:
        units: dict[Action, tuple[SwitchUnit, bool]] = {
            Action.UNLOCK: (car.lock, False),
            Action.LOCK: (car.lock, True),
            Action.ENABLE_DRIVE: (car.immobiliser, True),
            Action.DISABLE_DRIVE: (car.immobiliser, False),
        }
        requests = (car.lock.requests_seen, car.immobiliser.requests_seen, car.lamps.requests.seen)
        if action not in units:
            return Truth(car.lamps.flashes_seen > 0, is_on_its_way=False, requests=requests)
        unit, wanted = units[action]
        return Truth(unit.is_on is wanted, unit.is_moving, requests)


# --- what was told --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A signed result, or a numbered record; `content` is what stands under `number`, None if it has none."""

    content: str | bytes
    number: int | None
    result: Result | None = None


@lru_cache(10_000)
def result_in(raw: bytes) -> Result:
    envelope = open_unverified(MessageKind.RES, raw)
    assert envelope is not None
    assert check_signature(envelope, VEHICLE_KEY.public_key())
    return decode_result(envelope.payload)


@lru_cache(10_000)
def record_in(raw: bytes) -> Said:
    """Number and content of an `evt`; that it was kept for a while is not part of what it says."""
    document = json.loads(raw)
    document.pop("historical", None)
    return Said(json.dumps(document), int(document["seq"]))


def said_in(one: Publish) -> Said | None:
    kind = one.topic.rpartition("/")[2]
    if kind == "res":
        result = result_in(one.payload)
        return Said(one.payload, result.event_sequence, result)
    return record_in(one.payload) if kind == "evt" else None


def has_ended(told: list[Publish]) -> bool:
    """Whether the last result told is final."""
    last = next((one for one in reversed(told) if one.topic.endswith("/res")), None)
    return last is not None and result_in(last.payload).stage.is_final


# --- lives ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes before the effect of this number: so many messages have been published, and this is left."""

    number: int
    published: int
    remains: Remains
    since: object
    """The car since it last heard a frame: when that was, and a digest of all it says from then on if left alone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One cut as the judge needs it: its number, and how much had been said by then."""

    number: int
    said: int


class Watch:
    """Looks at every effect before it is performed: is what is about to be told true, and what would a cut leave?"""

    def __init__(self, scenario: Scenario | None, *, is_cut: bool) -> None:
        """`scenario` is that of a first life; later ones are told apart by their remains alone."""
        self.cuts: list[Cut] = []
        self._scenario = scenario
        self._is_cut = is_cut
        self._has_changed = True
        self._has_sent = True
        self._at_s = 0.0
        self._since: object = None

    def __call__(self, pair: Pair, effect: Effect) -> None:
        if self._is_cut:
            self.cut(pair)
            self._has_changed = isinstance(effect, Persist | SendFrame | PulseRelay)
            self._has_sent = self._has_sent or isinstance(effect, SendFrame | PulseRelay)
        if self._scenario is None or not isinstance(effect, Publish) or not effect.topic.endswith("/res"):
            return
        if result_in(effect.payload).stage is Stage.VERIFIED:
            assert Truth.of(pair.car, self._scenario.action).is_there, "verified, and was not"

    def cut(self, pair: Pair) -> None:
        """Note what would be left now."""
        pair.car.drain_events()  # which nobody reads here, and which would be copied each time
        is_new = self._has_changed or pair.now_s != self._at_s
        self._at_s = pair.now_s
        remains = pair.remains() if is_new else self.cuts[-1].remains
        if self._scenario is not None and self._has_sent:
            self._since = (pair.now_s, future(remains.car, pair.now_s))
            self._has_sent = False
        self.cuts.append(Cut(len(self.cuts), len(pair.published), remains, self._since))


def future(car: VirtualCar, now_s: float) -> bytes:
    """All that the car sends from now on if it is left alone."""
    alone, digest = copied(car), sha256()
    for second in range(1, FUTURE_S + 1):
        for frame in alone.step(now_s + second):
            digest.update(b"%x %r %b " % (frame.arbitration_id, frame.received_at_s, frame.data))
    return digest.digest()


@dataclass(slots=True)
class Life:
    """What one run of the agent said, and every place at which it can be cut, those with the same remains together."""

    pair: Pair
    said: tuple[Said, ...]
    groups: list[tuple[Cut, list[Mark]]]

    @staticmethod
    def of(pair: Pair, cuts: Sequence[Cut]) -> Life:
        told = [said_in(one) for one in pair.published]
        upto = [0, *accumulate(one is not None for one in told)]
        groups = []
        for _, alike in groupby(cuts, lambda cut: id(cut.remains)):
            cuts_alike = list(alike)
            groups.append((cuts_alike[0], [Mark(cut.number, upto[cut.published]) for cut in cuts_alike]))
        return Life(pair, tuple(one for one in told if one is not None), groups)


def first_life(scenario: Scenario) -> tuple[Life, bytes]:
    """A command, and the same bytes at its heels, to a car that has been at peace for a while."""
    car = WorldCar(
        scenario.way.profile(repeats_max=1),
        now_s=1000.0,
        is_asleep=scenario.is_asleep,
        is_locked=scenario.action is not Action.LOCK,
        is_drive_enabled=scenario.action is not Action.ENABLE_DRIVE,
        sleep_after_s=1e9,
    )
    pair = scenario.way.pair(Remains(1000.0, car, Disk(), 0))
    pair.run(2.0)
    if scenario.fault is not None:
        pair.car.set_fault(scenario.fault, pair.now_s, is_on=True)
    raw = pair.command(scenario.action)
    pair.published.clear()
    pair.before_effect = watch = Watch(scenario, is_cut=True)
    pair.deliver("cmd", raw)
    insist(pair, raw)
    watch.cut(pair)  # behind the last effect
    assert sum(isinstance(effect, PulseRelay) for effect in pair.performed) <= 1, "a second pulse"
    return Life.of(pair, watch.cuts), raw


def next_life(raw: bytes, remains: Remains, way: Way, *, is_cut: bool) -> Life:
    """A start with what a cut left; the backend, which knows of nothing, goes on sending the same bytes."""
    watch = Watch(None, is_cut=is_cut)
    pair = way.pair(remains, watch)
    insist(pair, raw)
    if is_cut:
        pair.before_effect = None
        pair.run(AFTERWARDS_S)
    assert pair.sent == [], "a frame for a command of an earlier life"
    assert not any(isinstance(effect, PulseRelay) for effect in pair.performed), "a pulse for one"
    return Life.of(pair, watch.cuts)


def insist(pair: Pair, raw: bytes) -> None:
    """The same bytes now, and again when their end has been told."""
    pair.deliver("cmd", raw)
    pair.run(12.0, until=lambda: has_ended(pair.published))
    pair.deliver("cmd", raw)
    pair.run(0.02)


@dataclass(frozen=True, slots=True)
class End:
    """All that a last life said, and whether the disk knows of the command."""

    said: tuple[Said, ...]
    is_journalled: bool


@dataclass(frozen=True, slots=True)
class Afterlife:
    """What becomes of one set of remains: the second life, and a third from each of its cuts."""

    second: End
    thirds: list[tuple[list[Mark], End]]


def live_on(raw: bytes, cut: Cut, way: Way = Way.FRAMES) -> Afterlife:
    """Run all lives that begin with what the cut left."""
    began_s = cut.since[0] if isinstance(cut.since, tuple) else cut.remains.now_s
    second = next_life(raw, cut.remains, way, is_cut=True)
    thirds = []
    for again, marks in second.groups:
        with placed("then before effect", marks[0]):
            third = next_life(raw, again.remains, way, is_cut=False)
        assert third.pair.now_s < began_s + FUTURE_S, "the car was not compared for as long as this took"
        thirds.append((marks, _end(third)))
    return Afterlife(_end(second), thirds)


def _end(life: Life) -> End:
    return End(life.said, bool(life.pair.disk.journal))


# --- what is judged -------------------------------------------------------------------------------------------------


def judge(scenario: Scenario, said: Sequence[Said], *, is_journalled: bool, truth: Truth) -> None:
    """One honest end, told as often as it was asked for; `said` is everything, in all lives."""
    results = [(one.content, one.result) for one in said if one.result is not None]
    finals = [(raw, result) for raw, result in results if result.stage.is_final]
    ends = {(result.stage, result.executed) for _, result in finals}
    if is_journalled:
        assert len({raw for raw, _ in finals}) == 1, f"not one end: {ends}"
        is_final = [result.stage.is_final for _, result in results]
        assert is_final == sorted(is_final), "an end, and then it goes on"
    elif scenario.action in QUESTIONS:
        # Answered, or refused, or of another session by now; it asks for no frame, and any of it is true.
        assert ends <= {(Stage.EXECUTED_UNVERIFIED, Executed.YES), (Stage.REJECTED, Executed.NO)}
        assert ends
    else:
        assert ends == {(Stage.REJECTED, Executed.NO)}

    executed = finals[0][1].executed
    assert not (truth.has_moved and executed is Executed.NO), "said to be as it was"
    if executed is Executed.YES and scenario.action not in QUESTIONS:
        is_unseen = scenario.action is Action.LOCATE and scenario.fault in UNSEEN
        assert truth.has_moved or is_unseen, "said to have moved"
    if any(stage is Stage.VERIFIED for stage, _ in ends):
        assert scenario.may_be_verified, "verified by what nobody could know"
    assert sum(truth.requests) <= 1, "a second actuation"
    judge_numbers(said)


def judge_numbers(said: Iterable[Said]) -> None:
    """SR-07: a sequence number stands for one record or result, however often that is told."""
    seen: dict[int, str | bytes] = {}
    for one in said:
        if one.number is not None:
            assert seen.setdefault(one.number, one.content) == one.content, "a sequence number twice"


@contextmanager
def placed(words: str, mark: Mark) -> Iterator[None]:
    """Whatever is found wrong is told with the place of the cut."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"{words} {mark.number}")
        raise


# --- all of it ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """How much was tried."""

    scenarios: int = 0
    cuts_once: int = 0
    cuts_twice: int = 0
    lives: int = 0
    lives_known: int = 0
    took_s: float = 0.0

    def add(self, other: Tally) -> None:
        self.scenarios += other.scenarios
        self.cuts_once += other.cuts_once
        self.cuts_twice += other.cuts_twice
        self.lives += other.lives
        self.lives_known += other.lives_known
        self.took_s += other.took_s

    def __str__(self) -> str:
        return (
            f"crash points: {self.scenarios} scenarios (action, fault, asleep or awake), cut once at each of"
            f" {self.cuts_once:,} effects and again at each effect of the run after it, {self.cuts_twice:,} pairs of"
            f" cuts, none left out; {self.lives:,} runs of the agent in {self.took_s:.0f} s of all processors, and"
            f" {self.lives_known:,} not run again that begin with the same car, disk and time as one of these"
        )


@dataclass(slots=True)
class Found:
    """What came of one scenario; `failure` is a traceback in words, None if every promise holds."""

    scenario: Scenario
    tally: Tally = field(default_factory=lambda: Tally(scenarios=1))
    failure: str | None = None


Known = dict[object, Afterlife]
"""By all that a life depends on; for one action, asleep or awake, whose scenarios differ in the fault alone."""


def explore(action: Action, is_asleep: bool, way: Way, faults: Sequence[CarFault | None]) -> list[Found]:
    """Every pair of cuts of one action on one car, with each of the faults."""
    known: Known = {}
    found = []
    for fault in faults:
        found.append(_explore(Scenario(action, fault, is_asleep, way), known))
        gc.collect()  # what a life leaves is in cycles, and a process of its own does not look for it by itself
    return found


def _explore(scenario: Scenario, known: Known) -> Found:
    found, began_s = Found(scenario), time.process_time()
    try:
        _try_all(scenario, known, found.tally)
    except Exception:  # noqa: BLE001 - told by the test of this scenario, in another process
        found.failure = f"{scenario}\n{traceback.format_exc()}"
    found.tally.took_s = time.process_time() - began_s
    return found


def _try_all(scenario: Scenario, known: Known, tally: Tally) -> None:
    first, raw = first_life(scenario)
    tally.lives += 1
    truth = Truth.of(first.pair.car, scenario.action)
    judge(scenario, first.said, is_journalled=bool(first.pair.disk.journal), truth=truth)
    for cut, marks in first.groups:
        truth = Truth.of(cut.remains.car, scenario.action)
        key = key_of(raw, cut)
        if key in known:
            tally.lives_known += 1 + len(known[key].thirds)
        else:
            with placed("cut before effect", marks[0]):
                known[key] = live_on(raw, cut, scenario.way)
            tally.lives += 1 + len(known[key].thirds)
        _judge_all(scenario, first.said, marks, known[key], truth, tally)


def _judge_all(
    scenario: Scenario, said: tuple[Said, ...], marks: list[Mark], after: Afterlife, truth: Truth, tally: Tally
) -> None:
    second = after.second
    for mark in marks:
        tally.cuts_once += 1
        with placed("cut before effect", mark):
            judge(scenario, said[: mark.said] + second.said, is_journalled=second.is_journalled, truth=truth)
    for marks_again, third in after.thirds:
        for mark, again in product(marks, marks_again):
            tally.cuts_twice += 1
            with placed("then before effect", again), placed("cut before effect", mark):
                judge(
                    scenario,
                    said[: mark.said] + second.said[: again.said] + third.said,
                    is_journalled=third.is_journalled,
                    truth=truth,
                )


def key_of(raw: bytes, cut: Cut) -> object:
    """All that the lives after a cut depend on."""
    remains = cut.remains
    return raw, remains.now_s, remains.sessions, _shelves(remains.disk), cut.since


def _shelves(disk: Disk | OutboxDisk) -> tuple[object, ...]:
    return tuple(_hashable(getattr(disk, shelf.name)) for shelf in fields(disk))


def _hashable(shelf: object) -> object:
    if isinstance(shelf, OutboxDisk):
        return _shelves(shelf)
    if isinstance(shelf, dict):
        return tuple(shelf.items())
    return frozenset(shelf) if isinstance(shelf, set) else shelf
