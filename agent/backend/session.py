"""What the backend knows of a car's session: its id, its time, and the counters used in it (amendment A7).

Pure: time comes in as `now_s` (the backend's boot clock), nonces are drawn elsewhere.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from enum import StrEnum

from agent.command.envelope import Hello
from agent.errors import AgentError
from agent.model.command import Action
from agent.model.quick_dataclass import dataclass

# A hello that took longer is not used: whoever delays it would decide what time the backend believes it is.
NONCE_LIFE_S = 10.0
MAPPING_AGE_S_MAX = 3600.0

# One ping every few seconds for ten seconds, and the ids of the commands under way; the oldest give way.
NONCES_MAX = 64

# Sessions the car has left, kept to know a late word from one of them. A question of ours lives for ten seconds.
SESSIONS_LEFT_MAX = 16

# Two crystals of 100 ppm each, drifting apart.  Without it a mapping grown old could ask for more than the cap.
DRIFT_RATIO_MAX = 200e-6

# How long a command may wait to be begun.  The car's own caps are 30 s to open and 120 s to close (protocol section
# 2.3, `ttl_too_long` beyond); what is of no use later than a person looks at the car is kept shorter.
LIFETIME_S = {
    Action.UNLOCK: 30.0,
    Action.LOCK: 120.0,
    Action.ENABLE_DRIVE: 30.0,
    Action.DISABLE_DRIVE: 120.0,
    Action.LOCATE: 30.0,
    Action.REPORT: 30.0,
    Action.CHECK_RETURN: 30.0,
}

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
class SessionMapping:
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
        return self.session_ms + int(age_s * (1 - DRIFT_RATIO_MAX) * 1000) + int(lifetime_s * 1000)


@dataclass(frozen=True, slots=True)
class Reception:
    """What became of a hello: the nonces it answers, none if it is not used, and what changed since the last one."""

    answered: frozenset[bytes] = frozenset()
    changes: frozenset[Change] = frozenset()


class CarSession:
    """One car's session as one operator key sees it."""

    def __init__(self, kid: bytes) -> None:
        self._kid = kid
        self._asked_at_s: OrderedDict[bytes, float] = OrderedDict()
        self._mapping: SessionMapping | None = None
        self._heard: Hello | None = None
        self._left: deque[bytes] = deque(maxlen=SESSIONS_LEFT_MAX)
        self._counter = 0

    def ask(self, nonce: bytes, now_s: float) -> None:
        """Wait for a hello that echoes `nonce` (16 bytes, drawn at random, or a command's id)."""
        self._asked_at_s[nonce] = now_s
        while len(self._asked_at_s) > NONCES_MAX:
            self._asked_at_s.popitem(last=False)

    def receive(self, hello: Hello, now_s: float) -> Reception:
        """Take in a hello that the car signed.

        Only an answer to a nonce of ours that is at most ten seconds old is used, and each nonce once (H51, H52).
        Questions asked before it are answered along with it: what else comes for them is from an older time.  A
        hello nobody asked for that names another session just makes us ask again before the next command.
        """
        nonce = hello.nonce
        if nonce is None or now_s - self._asked_at_s.get(nonce, -math.inf) > NONCE_LIFE_S:
            self._doubt(hello.sid)
            return Reception()
        if self._is_overtaken(hello):
            return Reception()
        answered = set()
        while nonce not in answered:
            answered.add(self._asked_at_s.popitem(last=False)[0])
        changes = self._changes(hello)
        if Change.RESTARTED in changes and self._heard is not None:
            self._left.append(self._heard.sid)
        counter = hello.counters.get(self._kid, 0)
        self._counter = counter if Change.RESTARTED in changes else max(self._counter, counter)
        self._mapping = SessionMapping(hello.sid, hello.session_ms, now_s)
        self._heard = hello
        return Reception(frozenset(answered), changes)

    def _is_overtaken(self, hello: Hello) -> bool:
        """Whether a later word of the car's was heard before this one: two pings may change places on their way.

        Taken for news it would look as if an older image of the car were running (H93).
        """
        last = self._heard
        if last is None:
            return False
        return hello.sid in self._left or (hello.sid == last.sid and hello.session_ms < last.session_ms)

    def mapping(self, now_s: float) -> SessionMapping | None:
        """The session to sign for, or None if the car has to be asked first."""
        return None if self._mapping is None or self._mapping.is_old(now_s) else self._mapping

    def forget(self, sid: bytes) -> None:
        """The car said that this session is over."""
        if self._mapping is not None and self._mapping.sid == sid:
            self._mapping = None

    def _doubt(self, sid: bytes) -> None:
        if self._mapping is not None and self._mapping.sid != sid:
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
