"""What the car says in its own name: signed results and session greetings, and which of them are still owed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.envelope import Hello, MessageKind, Result, encode_hello, encode_result, seal
from agent.ledger import Key
from agent.model.command import Outcome
from agent.model.effects import Level
from agent.model.events import ClockTrust
from agent.model.records import Done
from agent.pending import Pending
from agent.session import Session
from agent.uplink.wire import Topics

# After a refusal nothing that is owed is offered for so long; every connection begins with offering it.
RETRY_S = 30.0

# Offered at once and unanswered. A car owes a result or two; one whose results were refused for weeks owes many.
IN_FLIGHT_MAX = 16


class Answers:
    """Signs, publishes, and keeps final results until the broker has acknowledged them."""

    def __init__(
        self,
        session: Session,
        pending: Pending,
        *,
        car: bytes,
        key: Ed25519PrivateKey,
        store_id: bytes,
        is_degraded: bool,
        owed: Iterable[Done],
    ) -> None:
        self._session = session
        self._pending = pending
        self._topics = Topics(car)
        self._car = car
        self._key = key
        self._store_id = store_id
        self._is_degraded = is_degraded
        self._owed: dict[Key, bytes] = {(done.operator, done.cid): done.result for done in owed}
        self._tokens: dict[int, Key] = {}
        self.is_connected = False
        self._retry_at_s = float("inf")

    def result(
        self, operator: int, cid: bytes, digest: bytes, outcome: Outcome, now_s: float, *, sequence: int | None = None
    ) -> bytes:
        """A signed `res` envelope."""
        answer = Result(
            car=self._car,
            cid=cid,
            operator=operator,
            stage=outcome.stage,
            reason=outcome.reason,
            executed=outcome.executed,
            sid=self._session.sid,
            session_ms=self._session.ms(now_s),
            digest=digest[:8],
            evidence=outcome.evidence,
            event_sequence=sequence,
            is_degraded=self._is_degraded,
            conditions=outcome.conditions,
        )
        return seal(MessageKind.RES, encode_result(answer), self._key, self._car)

    def say(self, operator: int, result: bytes) -> None:
        """Publish a result that nobody has to be sure of: progress, a rejection, a repetition."""
        self._pending.publish(self._topics.of(operator, "res"), result)

    def owe(self, key: Key, result: bytes) -> None:
        """Publish a final result and keep offering it until the broker has it."""
        self._owed[key] = result
        if self.is_connected and len(self._tokens) < IN_FLIGHT_MAX:
            self._offer(key)

    def greet(
        self,
        operator: int,
        counters: Mapping[bytes, int],
        now_s: float,
        nonce: bytes | None = None,
        *,
        floor_unix_s: int = 0,
        bundle_version: int = 0,
    ) -> None:
        """Publish a signed `hello` to one operator; where no clock is trusted, the time in it is the floor at least."""
        unix_s = self._session.unix_s(now_s)
        if floor_unix_s and self._session.clock_trust is ClockTrust.FLOOR_ONLY:
            unix_s = max(unix_s or 0, floor_unix_s)
        hello = Hello(
            car=self._car,
            sid=self._session.sid,
            session_ms=self._session.ms(now_s),
            clock_trust=self._session.clock_trust,
            store_id=self._store_id,
            event_sequence=self._pending.sequence_last,
            counters=counters,
            unix_s=None if unix_s is None else max(0, int(unix_s)),
            nonce=nonce,
            versions=(bundle_version, 0),
        )
        self._pending.publish(
            self._topics.of(operator, "hello"), seal(MessageKind.HELLO, encode_hello(hello), self._key, self._car)
        )

    def connected(self) -> None:
        self.is_connected = True
        self._retry_at_s = float("inf")
        self._offer_owed()

    def disconnected(self) -> None:
        self.is_connected = False
        self._tokens.clear()

    def published(self, token: int, refusal: str | None, now_s: float) -> Key | None:
        """The broker answered; returns the command whose final result it now has, if any."""
        key = self._tokens.pop(token, None)
        if key is None or key not in self._owed:
            return None
        if refusal is not None:
            self._retry_at_s = min(self._retry_at_s, now_s + RETRY_S)
            # To the end of the queue: the results of one operator must not wait for the rights of another.
            self._owed[key] = self._owed.pop(key)
            self._pending.log(Level.WARNING, "result_refused", cid=key[1].hex(), refusal=refusal)
            return None
        del self._owed[key]
        if self._retry_at_s == float("inf"):
            self._offer_owed()
        return key

    def handle_timer(self, now_s: float) -> None:
        if now_s < self._retry_at_s:
            return
        self._retry_at_s = float("inf")
        if self.is_connected:
            self._offer_owed()

    def next_timer(self) -> float:
        return self._retry_at_s

    def _offer_owed(self) -> None:
        under_way = set(self._tokens.values())
        waiting = (key for key in self._owed if key not in under_way)
        for key in tuple(islice(waiting, max(0, IN_FLIGHT_MAX - len(self._tokens)))):
            self._offer(key)

    def _offer(self, key: Key) -> None:
        token = self._pending.publish_tracked(self._topics.of(key[0], "res"), self._owed[key])
        self._tokens[token] = key
