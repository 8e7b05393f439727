"""Is this command new, in time, and not one too many? Pure functions; a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Final

from agent.model.command import Action, Command, Reason
from agent.model.quick_dataclass import dataclass

COUNTER_MAX: Final = 2**53 - 1
"""Counters stay exact in every JSON number, and one key cannot shut out all later commands with the last one (H53)."""

LIFETIME_HARD_MAX_MS: Final = 300_000
"""No command lives longer, whatever its action; the memory of rejections is sized by it (amendment A8)."""

_LIFETIME_MAX_MS: Final[Mapping[int, int]] = {Action.UNLOCK: 30_000, Action.ENABLE_DRIVE: 30_000}
_LIFETIME_OTHERS_MAX_MS: Final = 120_000
"""What opens or starts a car must not come late: its user may have walked on. Closing it late does no harm."""

_STATE_CHANGING = frozenset(
    {Action.UNLOCK, Action.LOCK, Action.ENABLE_DRIVE, Action.DISABLE_DRIVE, Action.LOCATE},
)


def is_state_changing(action: int) -> bool:
    """Whether the action does something to the car; only those are counted and limited by rate."""
    return action in _STATE_CHANGING


def lifetime_max_ms(action: int) -> int:
    """How far ahead a deadline for this action may lie."""
    return _LIFETIME_MAX_MS.get(action, _LIFETIME_OTHERS_MAX_MS)


def judge_freshness(sid: bytes, counter_last: int | None, command: Command, now_ms: int) -> Reason | None:
    """Steps 10 to 12: this session, a higher counter, a deadline neither past nor too far ahead. None if all hold.

    `sid` and `now_ms` are the car's session and the milliseconds in it; `counter_last` is the last counter accepted
    from the command's key in this session, None before the first.
    """
    if command.sid != sid:
        return Reason.STALE_SESSION
    if command.counter > COUNTER_MAX:
        return Reason.BAD_PARAMS
    if is_state_changing(command.action) and counter_last is not None and command.counter <= counter_last:
        return Reason.COUNTER
    if now_ms > command.deadline_ms:
        return Reason.EXPIRED
    if command.deadline_ms - now_ms > lifetime_max_ms(command.action):
        return Reason.TTL_TOO_LONG
    return None


class JournalVerdict(Enum):
    """What the journal says of a command: never seen, seen with these very bytes, or its id used for others."""

    NEW = "new"
    REPEATED = "repeated"
    CID_CONFLICT = "cid_conflict"


def judge_journal(digest_known: bytes | None, command: Command) -> JournalVerdict:
    """Step 9; `digest_known` is the SHA-256 kept under the command's (operator of the key, cid), None if none is."""
    if digest_known is None:
        return JournalVerdict.NEW
    return JournalVerdict.REPEATED if digest_known == command.digest else JournalVerdict.CID_CONFLICT


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """At most `capacity` at once and `per_s` in the long run."""

    capacity: float
    per_s: float
    tokens: float
    at_s: float

    def take(self, now_s: float) -> tuple[TokenBucket, bool]:
        """The bucket with one token less and True, or the same bucket and False. Time going back refills nothing."""
        tokens = min(self.capacity, self.tokens + max(0.0, now_s - self.at_s) * self.per_s)
        if tokens < 1.0:
            return self, False
        return replace(self, tokens=tokens - 1.0, at_s=max(now_s, self.at_s)), True


def command_bucket(now_s: float) -> TokenBucket:
    """For one key: ten state-changing commands a minute, more than any person and any working backend asks (A8)."""
    return TokenBucket(capacity=10.0, per_s=10.0 / 60.0, tokens=10.0, at_s=now_s)


def inbound_bucket(now_s: float) -> TokenBucket:
    """For all deliveries, before the costly signature check: 20 a second, 40 at once."""
    return TokenBucket(capacity=40.0, per_s=20.0, tokens=40.0, at_s=now_s)
