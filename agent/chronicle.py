"""What happened, as numbered events, each with its time, its number, and odometer and charge where they are known."""

from __future__ import annotations

from collections.abc import Mapping

from agent import __version__
from agent.forwarding import Forwarding
from agent.model.events import ClockSet, FramesLost
from agent.model.records import Priority
from agent.policy.clock_watch import ClockWatch
from agent.policy.event_cap import EventCap
from agent.policy.happenings import Asked, LockWatch, happening
from agent.policy.reporting import Change
from agent.profiles.schema import EVENTS_PER_HOUR_MAX, Profile
from agent.session import Session
from agent.state.tracker import Tracker
from agent.uplink import wire

# Told beside every event, as far as the car gives it: where a rental began and ended, by two numbers.
_ODOMETER = "Vehicle.TraveledDistance"
_CHARGE = (
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
)


class Chronicle:
    """Words for what changed, and who did it; nothing of it oftener than its cap."""

    def __init__(
        self, profile: Profile, tracker: Tracker, cap: EventCap, forwarding: Forwarding, session: Session
    ) -> None:
        self._vss_release = profile.vss_release
        self._tracker = tracker
        self._cap = cap
        self._forwarding = forwarding
        self._session = session
        self._context_paths = tuple(path for path in (_ODOMETER, *_CHARGE) if path in profile.paths)[:2]
        self._locks = LockWatch()
        self._clock = ClockWatch()
        self._lost: dict[str, int] = {}

    def tell(self, kind: str, fields: Mapping[str, object], now_s: float, priority: Priority = Priority.EVENT) -> int:
        """Put an event into the outbox and return its number. A value of its context that is stale is none (SR-05)."""
        context = {
            path: wire.reading_document(reading, now_s, self._tracker.last_known(path))
            for path in self._context_paths
            if (reading := self._tracker.reading(path, now_s)).reason != "never_received"
        }
        return self._forwarding.tell(kind, {**fields, "context": context} if context else fields, now_s, priority)

    def started(self, fields: Mapping[str, object], now_s: float) -> None:
        """The first word of a run."""
        self._forwarding.tell_started({"agent": __version__, **fields}, now_s)

    def changed(self, change: Change, now_s: float) -> None:
        """An input of the car went from one known value to another."""
        reading = change.reading
        word = happening(reading.path, change.before, change.before if reading.value is None else reading.value)
        fields = {
            "event": word,
            **self._locks.note(word, now_s),
            "vss": self._vss_release,
            "readings": wire.reading_rows((reading,), now_s),
        }
        self.tell("event", fields, now_s)

    def lock_asked(self, asked: Asked) -> None:
        """A command that locks or unlocks is about to be carried out."""
        self._locks.command_begun(asked)

    def command_ended(self, fields: Mapping[str, object], now_s: float) -> None:
        """The end of any command, for the operator who watches the car; it names the number of the signed result."""
        is_unlocked = fields.get("command") == "unlock" and fields.get("executed") == "yes"
        self._locks.command_ended(now_s, is_unlocked=is_unlocked)
        self.tell("command", fields, now_s)

    def bus(self, kind: str, bus: str, fields: Mapping[str, object], now_s: float) -> None:
        """A bus came, went, woke or fell asleep."""
        if self._cap.allows(f"bus {bus}", EVENTS_PER_HOUR_MAX, now_s):
            self.tell(kind, {"bus": bus, **fields}, now_s, Priority.NOTE)

    def frames_lost(self, event: FramesLost, now_s: float) -> None:
        """The kernel had no room for what came on a bus; with the sum, for not every time is told."""
        self._lost[event.bus] = lost = self._lost.get(event.bus, 0) + event.count
        self.bus("frames_lost", event.bus, {"lost": event.count, "lost_since_start": lost}, now_s)

    def clock(self, event: ClockSet, now_s: float) -> None:
        """The wall clock was compared. Records made before it was known get their time by the record told here."""
        news = self._clock.news(event)
        if news is None or not self._cap.allows("clock", EVENTS_PER_HOUR_MAX, now_s):
            return
        self._clock.told(news)
        fields = {
            "sid": self._session.sid.hex(),
            "session_started_unix_s": (round(self._session.started_s + event.offset_s, 3) if news.is_known else None),
            "trust": event.trust.name.lower(),
            "before": news.before.name.lower(),
            "step_s": None if news.step_s is None else round(news.step_s, 3),
        }
        self.tell("clock", fields, now_s)

    def supervisor(self, fields: Mapping[str, object], now_s: float) -> int | None:
        """The power supervisor said something; returns the record's number if it is within its cap."""
        if not self._cap.allows("supervisor", EVENTS_PER_HOUR_MAX, now_s):
            return None
        return self.tell("supervisor", fields, now_s)

    def is_announced(self, sequence: int) -> bool:
        """Whether the event of this number is durable, and with the broker too if there is a link."""
        return self._forwarding.is_announced(sequence)

    def tell_suppressed(self, now_s: float, *, is_last: bool) -> None:
        """How much was held back of which input."""
        if suppressed := self._cap.take_suppressed(now_s, is_last=is_last):
            inputs = [{"name": each.name, "capped": each.capped, "bounced": each.bounced} for each in suppressed]
            self._forwarding.tell("suppressed", {"inputs": inputs}, now_s, Priority.NOTE)
