"""What the backend knows of a car's session: its id, its time, and the counters used in it (amendment A7).

Pure: time comes in as `now_s` (the backend's boot clock), nonces are drawn elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from agent.command.envelope import Hello
from agent.errors import AgentError
from agent.model.command import Action

# A hello that took longer is not used: whoever delays it would decide what time the backend believes it is.
NONCE_LIFE_S = 10.0
MAPPING_AGE_S_MAX = 3600.0

# One ping every few seconds for ten seconds, and the ids of the commands under way; the oldest give way.
NONCES_MAX = 64

# Two crystals of 100 ppm each, drifting apart.  Without it a mapping grown old could ask for more than the cap.
DRIFT_RATIO_MAX = 200e-6

# What the car accepts, counted in its own session time (protocol section 2.3); anything longer is `ttl_too_long`.
LIFETIME_S_MAX = {Action.UNLOCK: 30.0, Action.ENABLE_DRIVE: 30.0}
LIFETIME_S_MAX_OTHERS = 120.0

COUNTER_MAX = 2**53 - 1


class SessionUsedUpError(AgentError):
    """The counter of our key stands at its end: no command can be signed in this session of the car."""


class Change(StrEnum):
    """What a hello reveals about the time since the one before."""

    RESTARTED = "restarted"
    """Another session id: the agent started anew, and what was under way is `interrupted` at best."""
    STORE_CHANGED = "store_changed"
    """The car made a new journal: what it said of older commands no longer counts as `executed = no`."""
    EVENTS_WENT_BACK = "events_went_back"
    """The event number fell although the store is the same: an older image of the car's storage is running (H93)."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Session time as seen from here: at `received_at_s` the session was at least `session_ms` old.

    Anchored at receipt, so a delay on the way makes us think it earlier than it is, never later: a deadline worked
    out from it may come too soon, and never lies beyond the lifetime that was asked for.
    """

    sid: bytes
    session_ms: int
    received_at_s: float

    def is_old(self, now_s: float) -> bool:
        return now_s - self.received_at_s > MAPPING_AGE_S_MAX

    def deadline_ms(self, now_s: float, lifetime_s: float) -> int:
        """Session milliseconds `lifetime_s` from now, less what two clocks may have drifted apart."""
        age_s = max(0.0, now_s - self.received_at_s)
        return self.session_ms + int((age_s * (1 - DRIFT_RATIO_MAX) + lifetime_s * (1 - DRIFT_RATIO_MAX)) * 1000)


@dataclass(frozen=True, slots=True)
class Reception:
    """What became of a hello: whether it answered one of our nonces in time, and what changed since the last such."""

    is_answer: bool
    changes: frozenset[Change] = frozenset()


class CarSession:
    """One car's session as one operator key sees it."""

    def __init__(self, kid: bytes) -> None:
        self._kid = kid
        self._asked_at_s: OrderedDict[bytes, float] = OrderedDict()
        self._mapping: Mapping | None = None
        self._heard: Hello | None = None
        self._counter = 0

    def ask(self, nonce: bytes, now_s: float) -> None:
        """Wait for a hello that echoes `nonce` (16 bytes, drawn at random, or a command's id)."""
        self._asked_at_s[nonce] = now_s
        while len(self._asked_at_s) > NONCES_MAX:
            self._asked_at_s.popitem(last=False)

    def is_asking(self, now_s: float, within_s: float) -> bool:
        """Whether something that a hello may echo was sent in the last `within_s`."""
        return any(now_s - asked_at_s < within_s for asked_at_s in self._asked_at_s.values())

    def receive(self, hello: Hello, now_s: float) -> Reception:
        """Take in a hello that the car signed.

        Only an answer to a nonce of ours that is at most ten seconds old is used, and each nonce once (H51, H52).
        Any other of a different session just makes us ask again before the next command.
        """
        asked_at_s = None if hello.nonce is None else self._asked_at_s.pop(hello.nonce, None)
        if asked_at_s is None or now_s - asked_at_s > NONCE_LIFE_S:
            if self._mapping is not None and self._mapping.sid != hello.sid:
                self._mapping = None
            return Reception(is_answer=False)
        changes = self._changes(hello)
        counter = hello.counters.get(self._kid, 0)
        is_same_session = self._heard is not None and self._heard.sid == hello.sid
        self._counter = max(self._counter, counter) if is_same_session else counter
        self._mapping = Mapping(hello.sid, hello.session_ms, now_s)
        self._heard = hello
        return Reception(is_answer=True, changes=changes)

    def mapping(self, now_s: float) -> Mapping | None:
        """The session to sign for, or None if the car has to be asked first."""
        return None if self._mapping is None or self._mapping.is_old(now_s) else self._mapping

    def forget(self, sid: bytes) -> None:
        """The car said that this session is over."""
        if self._mapping is not None and self._mapping.sid == sid:
            self._mapping = None

    def next_counter(self, unix_ms: int) -> int:
        """A counter above every one used in this session: the wall clock, so that two backends keep in step too."""
        counter = max(self._counter + 1, unix_ms)
        if counter > COUNTER_MAX:
            raise SessionUsedUpError(
                "The counter of this command key is used up in the car's present session; restart the car's agent."
            )
        self._counter = counter
        return counter

    def _changes(self, hello: Hello) -> frozenset[Change]:
        last = self._heard
        if last is None:
            return frozenset()
        found = set()
        if hello.sid != last.sid:
            found.add(Change.RESTARTED)
        if hello.store_id != last.store_id:
            found.add(Change.STORE_CHANGED)
        elif hello.event_sequence < last.event_sequence:
            found.add(Change.EVENTS_WENT_BACK)
        return frozenset(found)


def lifetime_s(action: Action, wait_s: float) -> float:
    """How long a command may wait to be begun: what the car accepts, but never longer than the caller waits."""
    return max(0.0, min(LIFETIME_S_MAX.get(action, LIFETIME_S_MAX_OTHERS), wait_s))
