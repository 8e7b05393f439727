"""The engine's eye on its own link: an echo through the broker, flapping, and what the operator must hear of it.

A broker can take everything and pass on nothing, and TCP, TLS and keep-alive all look well then (H69). So the car
sends itself an echo; two that do not come back end the connection.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum

from agent.model.effects import Level, Reconnect
from agent.model.events import Delivery, LinkEnd
from agent.pending import Pending
from agent.session import Session
from agent.telemetry import Telemetry
from agent.uplink import wire

ECHO_IN_USE_S = 60.0
ECHO_IDLE_S = 300.0
"""How often an echo is sent while a bus is awake, and while the car sleeps (requirement R13)."""

ECHO_SHED_S = 1200.0
"""While load is shed; keep-alive, which the connection began with, is all that is sent in between."""

ECHO_WAIT_S = 15.0
"""An echo that takes longer is a miss: a bad mobile link needs seconds, a command that took longer would be late."""

ECHO_MISSES_MAX = 2

SHORT_S = 60.0
FLAPS_MIN = 3
FLAP_WINDOW_S = 600.0
"""Three connections in ten minutes that were lost within a minute are no accident: another client has our id (H61)."""

TOLD_INTERVAL_S = 3600.0
"""Each problem is told at once, then once an hour with how often it was there: a fault that stays is not news."""

_DETAIL_LENGTH_MAX = 200


class LinkProblem(StrEnum):
    """What is told of the link, as `problem` of an `evt` record of kind `link`."""

    FLAPPING = "flapping"
    ECHO_LOST = "echo_lost"
    ECHO_REFUSED = "echo_refused"
    SESSION_KEPT = "session_kept"
    CERTIFICATE_REFUSED = "certificate_refused"
    SUBSCRIPTIONS_REFUSED = "subscriptions_refused"
    DELIVERIES_DROPPED = "deliveries_dropped"


_PROBLEM_OF_END = {
    LinkEnd.SESSION_KEPT: LinkProblem.SESSION_KEPT,
    LinkEnd.CERTIFICATE_REFUSED: LinkProblem.CERTIFICATE_REFUSED,
}


class LinkWatch:
    """Knows how the link fares. Records it makes while there is no link are told with the next one."""

    def __init__(
        self,
        car: bytes,
        buses: tuple[str, ...],
        session: Session,
        pending: Pending,
        telemetry: Telemetry,
        now_s: float,
    ) -> None:
        self._topic = wire.Topics(car).of("all", "echo")
        self._buses = buses
        self._session = session
        self._pending = pending
        self._telemetry = telemetry
        self._connected_at_s: float | None = None
        self._echo_count = 0
        self._echo_at_s = now_s
        self._echo_token: int | None = None
        # Sent on this connection since the last that came back: no more than misses are borne.
        self._outstanding: set[bytes] = set()
        self._is_echo_refused = False
        self._is_in_use = False
        self._is_shedding = False
        self._short_ends_s: deque[float] = deque(maxlen=FLAPS_MIN)
        self._refused: tuple[str, ...] = ()
        self._untold: Counter[LinkProblem] = Counter()
        self._tell_at_s: dict[LinkProblem, float] = {}
        self._counts: Counter[LinkProblem] = Counter()

    @property
    def is_connected(self) -> bool:
        return self._connected_at_s is not None

    # --- in -----------------------------------------------------------------------------------------------------

    def connected(self, refused: tuple[str, ...], now_s: float) -> None:
        """The link is up, but for the subscriptions in `refused`; said again when those change."""
        self._refused = refused
        self._is_echo_refused = any(text.startswith(f"{self._topic}:") for text in refused)
        if refused:
            self.note(LinkProblem.SUBSCRIPTIONS_REFUSED, ", ".join(refused), now_s)
        if self._connected_at_s is None:
            self._connected_at_s = now_s
            self._send_echo(now_s)

    def disconnected(self, end: LinkEnd, detail: str, now_s: float) -> None:
        """The link ended, or could not be made."""
        connected_at_s, self._connected_at_s = self._connected_at_s, None
        is_given_up = len(self._outstanding) >= ECHO_MISSES_MAX
        self._outstanding.clear()
        self._echo_token = None
        self._refused = ()
        if (problem := _PROBLEM_OF_END.get(end)) is not None:
            self.note(problem, detail, now_s)
        elif connected_at_s is not None and not is_given_up and now_s - connected_at_s < SHORT_S:
            self._short_ends_s.append(now_s)
            if len(self._short_ends_s) == FLAPS_MIN and now_s - self._short_ends_s[0] <= FLAP_WINDOW_S:
                self.note(LinkProblem.FLAPPING, detail, now_s)

    def echo_returned(self, delivery: Delivery) -> bool:
        """Whether this delivery is an echo of ours that was waited for; anything else is not, wherever it came from."""
        if delivery.topic != self._topic or delivery.payload not in self._outstanding:
            return False
        self._outstanding.clear()
        return True

    def published(self, token: int, refusal: str | None, now_s: float) -> bool:
        """The broker answered for an echo; True if it was one of ours.

        One that is refused can neither return nor be missed: a new connection would not give the right.
        """
        if token != self._echo_token:
            return False
        self._echo_token = None
        if refusal is not None and self._connected_at_s is not None:
            self._outstanding.clear()
            self.note(LinkProblem.ECHO_REFUSED, refusal, now_s)
        return True

    def handle_timer(self, now_s: float) -> None:
        """Send an echo that is due; give the connection up when too many did not come back."""
        self._is_in_use = not all(self._telemetry.is_asleep(bus, now_s) for bus in self._buses)
        if self._connected_at_s is None or now_s < self._due_at_s():
            return
        if len(self._outstanding) < ECHO_MISSES_MAX:
            self._send_echo(now_s)
            return
        reason = f"{ECHO_MISSES_MAX} echoes through the broker did not come back"
        self.note(LinkProblem.ECHO_LOST, reason, now_s)
        self._pending.add(Reconnect(reason))
        # Should the edge not do it, it is asked again, and not at every turn.
        self._echo_at_s = now_s

    def shed(self, *, is_shedding: bool) -> None:
        """Send fewer echoes from now on, or as many as before."""
        self._is_shedding = is_shedding

    def next_timer(self) -> float:
        return float("inf") if self._connected_at_s is None else self._due_at_s()

    def note(self, problem: LinkProblem, detail: str, now_s: float) -> None:
        """Count a problem, and tell it if it was not told within the last hour."""
        self._counts[problem] += 1
        self._untold[problem] += 1
        if now_s < self._tell_at_s.get(problem, now_s):
            return
        self._tell_at_s[problem] = now_s + TOLD_INTERVAL_S
        count = self._untold.pop(problem)
        words = detail[:_DETAIL_LENGTH_MAX]
        self._pending.log(Level.WARNING, "link_problem", problem=problem.value, count=count, detail=words)
        self._telemetry.tell("link", {"problem": problem.value, "count": count, "detail": words}, now_s)

    def status(self) -> Mapping[str, object]:
        """For the local status socket."""
        return {
            "problems": {problem.value: count for problem, count in self._counts.items()},
            "subscriptions_refused": list(self._refused),
            "echoes_missing": len(self._outstanding),
        }

    # --- the echo -----------------------------------------------------------------------------------------------

    def _due_at_s(self) -> float:
        if self._outstanding:
            return self._echo_at_s + ECHO_WAIT_S
        interval_s = ECHO_SHED_S if self._is_shedding else ECHO_IN_USE_S if self._is_in_use else ECHO_IDLE_S
        return self._echo_at_s + interval_s

    def _send_echo(self, now_s: float) -> None:
        self._echo_at_s = now_s
        if self._is_echo_refused:
            return
        self._echo_count += 1
        payload = wire.encode(
            {"v": wire.PAYLOAD_VERSION, "kind": "echo", "sid": self._session.sid.hex(), "n": self._echo_count}
        )
        self._outstanding.add(payload)
        self._echo_token = self._pending.publish_tracked(self._topic, payload)
