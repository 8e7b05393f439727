"""One command from the wish to its final answer: ask for the session, sign, send the same bytes until answered.

Pure: `advance` is told the time and returns what to do; nonces and ids come from `draw`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.session import LIFETIME_S, NONCE_LIFE_S, CarSession, SessionMapping
from agent.backend.settings import Operator
from agent.command.envelope import CommandPayload, MessageKind, Ping, Result, encode_command, encode_ping, seal
from agent.command.fields import DIGEST_BYTES, NONCE_BYTES
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.quick_dataclass import dataclass

# A connected car answers a ping within a second or two; this covers a reconnection in between.
PING_INTERVAL_S = 3.0
SESSION_WAIT_S = 20.0

# After `stale_session` the car sends a hello by itself (A7); if it is not here by then it was lost.
HELLO_AFTER_STALE_S = 1.0

# The first resend comes soon enough to mend a lost delivery before a person gives up; then ever more rarely.
RESEND_S_MIN = 2.0
RESEND_S_MAX = 15.0
SENDS_MAX = 16
LINK_RETRY_S = 1.0
HURRY_GAP_S = 0.5

# A command begun at its deadline still wakes the car, settles, repeats its frames and watches for feedback.
GRACE_S = 15.0

# Asked once more just after the deadline, a car that never had the command says `expired`, signed: not executed.
LAST_ASK_S = 1.0


@dataclass(frozen=True, slots=True)
class Send:
    """Publish `raw` on this car's topic of that kind; the broker may drop it after `expiry_s`."""

    kind: MessageKind
    raw: bytes
    expiry_s: int


@dataclass(frozen=True, slots=True)
class SignedCommand:
    """The one and only bytes of a command; `deadline_at_s` is its deadline on the backend's clock."""

    cid: bytes
    sid: bytes
    raw: bytes
    digest: bytes
    deadline_at_s: float


class Signer:
    """Signs for one operator to one car."""

    def __init__(self, operator: Operator, car: bytes) -> None:
        self._operator = operator
        self._car = car

    def ping(self, nonce: bytes) -> Send:
        payload = encode_ping(Ping(self._car, self._operator.number, nonce))
        raw = seal(MessageKind.PING, payload, self._operator.key, self._operator.kid)
        return Send(MessageKind.PING, raw, math.ceil(NONCE_LIFE_S))

    def command(
        self, action: Action, cid: bytes, *, sid: bytes, counter: int, deadline_ms: int, deadline_at_s: float
    ) -> SignedCommand:
        payload = CommandPayload(self._car, cid, self._operator.number, sid, counter, deadline_ms, action)
        raw = seal(MessageKind.CMD, encode_command(payload), self._operator.key, self._operator.kid)
        digest = hashlib.sha256(raw).digest()[:DIGEST_BYTES]
        return SignedCommand(cid, sid, raw, digest, deadline_at_s)


class Conversation:
    """One wish of one caller. Ends with exactly one `CommandResult`, at the latest when the caller's time is up.

    A second command is signed in one case only: the car refused the first as belonging to an older session and
    said, signed, that it did nothing.
    """

    def __init__(
        self,
        car: str,
        action: Action,
        signer: Signer,
        session: CarSession,
        *,
        draw: Callable[[int], bytes],
        now_s: float,
        wait_s: float | None = None,
    ) -> None:
        self._car = car
        self._action = action
        self._signer = signer
        self._session = session
        self._draw = draw
        self._began_at_s = now_s
        self._ends_at_s = now_s + (LIFETIME_S[action] + GRACE_S if wait_s is None else wait_s)
        self._asking_since_s = now_s
        self._ping_at_s = now_s
        self._command: SignedCommand | None = None
        self._sends = 0
        self._send_at_s = now_s
        self._sent_at_s = -math.inf
        self._has_begun = False
        self._told: set[Progress] = set()
        self._news: list[Progress] = []
        self._answer: tuple[Result, float] | None = None
        self._stale_answer: tuple[Result, float] | None = None

    @property
    def cid(self) -> bytes | None:
        """The command in question at present."""
        return None if self._command is None else self._command.cid

    @property
    def has_left(self) -> bool:
        """Whether the present command may have reached the broker."""
        return self._sends > 0

    def receive(self, result: Result, now_s: float) -> bool:
        """Take in a result that the car signed; False if it is not about our very bytes, or comes after the end."""
        command = self._command
        if command is None or (result.cid, result.digest) != (command.cid, command.digest) or self._answer is not None:
            return False
        if result.stage.is_final:
            self._answer = result, now_s
        else:
            self._has_begun = True
            self._tell(Step.ACCEPTED if result.stage is Stage.ACCEPTED else Step.EXECUTING)
        return True

    def advance(self, now_s: float, unix_ms: int) -> tuple[Send | Progress | CommandResult, ...]:
        """What is due at `now_s`; a `CommandResult` comes last and ends the conversation."""
        if self._answer is not None and self._may_sign_anew(self._answer[0], now_s):
            self._turn_to_new_session(now_s)
        if self._answer is not None:
            return (*self._take_news(), self._answered(*self._answer))
        if now_s >= self._gives_up_at_s():
            return (*self._take_news(), self._unanswered(now_s))
        if self._command is None and (mapping := self._session.mapping(now_s)) is not None:
            self._command = self._sign(mapping, now_s, unix_ms)
        sends: tuple[Send, ...] = ()
        if self._command is None:
            if now_s >= self._ping_at_s:
                sends = (self._ask(now_s),)
        elif now_s >= self._send_at_s:
            sends = (self._send(self._command, now_s),)
        return (*self._take_news(), *sends)

    def next_timer(self) -> float:
        """When `advance` has something to do even if nothing arrives."""
        due_at_s = self._ping_at_s if self._command is None else self._send_at_s
        return min(self._gives_up_at_s(), due_at_s)

    def not_sent(self, send: Send, now_s: float) -> None:
        """`send` certainly did not leave this process: try again when the link may be back."""
        if send.kind is MessageKind.PING:
            self._ping_at_s = now_s + LINK_RETRY_S
        elif self._command is not None and send.raw == self._command.raw:
            self._sends -= 1
            self._send_at_s = now_s + LINK_RETRY_S

    def not_heard(self) -> None:
        """The broker took the last `Send` and says that nobody is subscribed to it."""
        self._tell(Step.NOT_HEARD)

    def hurry(self, now_s: float) -> None:
        """There is reason to think that an answer can be had now: the link is new, or the car has just come back.

        What either said meanwhile is lost.  The gap keeps a stranger who repeats old hellos from making us shout.
        """
        at_s = max(now_s, self._sent_at_s + HURRY_GAP_S)
        self._ping_at_s = min(self._ping_at_s, at_s)
        self._send_at_s = min(self._send_at_s, at_s if self._sends < SENDS_MAX else math.inf)

    def _gives_up_at_s(self) -> float:
        if self._command is None:
            return min(self._ends_at_s, self._asking_since_s + SESSION_WAIT_S)
        return min(self._ends_at_s, self._command.deadline_at_s + GRACE_S)

    def _ask(self, now_s: float) -> Send:
        nonce = self._draw(NONCE_BYTES)
        self._session.ask(nonce, now_s)
        self._sent_at_s = now_s
        self._ping_at_s = now_s + PING_INTERVAL_S
        self._tell(Step.ASKING)
        return self._signer.ping(nonce)

    def _sign(self, mapping: SessionMapping, now_s: float, unix_ms: int) -> SignedCommand:
        # Never longer than the caller waits: a car must not open for somebody who has given up.
        span_s = min(LIFETIME_S[self._action], self._ends_at_s - now_s)
        command = self._signer.command(
            self._action,
            self._draw(NONCE_BYTES),
            sid=mapping.sid,
            counter=self._session.next_counter(unix_ms),
            deadline_ms=mapping.deadline_ms(now_s, span_s),
            deadline_at_s=now_s + span_s,
        )
        # Should the car refuse it as stale, the hello that follows echoes the command's id.
        self._session.ask(command.cid, now_s)
        self._send_at_s = now_s
        return command

    def _send(self, command: SignedCommand, now_s: float) -> Send:
        self._tell(Step.SENT_AGAIN if self._sends else Step.SENT)
        self._sends += 1
        self._sent_at_s = now_s
        self._send_at_s = now_s + min(RESEND_S_MAX, RESEND_S_MIN * 2 ** (self._sends - 1))
        if now_s < command.deadline_at_s + LAST_ASK_S:
            self._send_at_s = min(self._send_at_s, command.deadline_at_s + LAST_ASK_S)
        if self._sends >= SENDS_MAX:
            self._send_at_s = math.inf
        return Send(MessageKind.CMD, command.raw, max(1, math.ceil(command.deadline_at_s - now_s)))

    def _may_sign_anew(self, result: Result, now_s: float) -> bool:
        if self._stale_answer is not None or self._has_begun or now_s >= self._ends_at_s:
            return False  # a car that began, and then says it never did, lost its memory in between (H93)
        refusal = (result.stage, result.reason, result.executed)
        return refusal == (Stage.REJECTED, Reason.STALE_SESSION, Executed.NO)

    def _turn_to_new_session(self, now_s: float) -> None:
        self._tell(Step.NEW_SESSION)
        if self._command is not None:
            self._session.forget(self._command.sid)
        self._stale_answer, self._answer = self._answer, None
        self._command, self._sends = None, 0
        self._asking_since_s = now_s
        self._ping_at_s = now_s + HELLO_AFTER_STALE_S

    def _tell(self, step: Step) -> None:
        """Each step is news once, but for the resends, which are bounded by their number."""
        progress = Progress(self._car, step, self.cid)
        if step is Step.SENT_AGAIN or progress not in self._told:
            self._told.add(progress)
            self._news.append(progress)

    def _take_news(self) -> tuple[Progress, ...]:
        news = tuple(self._news)
        self._news.clear()
        return news

    def _answered(self, result: Result, at_s: float) -> CommandResult:
        return CommandResult(
            car=self._car,
            action=self._action,
            cid=result.cid,
            stage=result.stage,
            reason=result.reason,
            executed=result.executed,
            evidence=result.evidence,
            answered_in_s=at_s - self._began_at_s,
            is_degraded=result.is_degraded,
            event_sequence=result.event_sequence,
            conditions=result.conditions,
        )

    def _unanswered(self, now_s: float) -> CommandResult:
        """No final answer in time. What never left, or was refused, signed, as of an older session, moved nothing."""
        if self._sends == 0 and self._stale_answer is not None:
            return self._answered(*self._stale_answer)
        return CommandResult(
            car=self._car,
            action=self._action,
            cid=self.cid,
            stage=None,
            reason=None,
            executed=Executed.UNKNOWN if self._sends else Executed.NO,
            evidence=(),
            answered_in_s=now_s - self._began_at_s,
        )
