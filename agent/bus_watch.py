"""The buses of the car: how each is, whether it is asleep, and what of that is told.

Asleep and silent are kept apart by what the car said last.  A car that was driving when its bus fell silent has not
gone to sleep: its ignition goes off with a frame, and buses stay awake for a while after that.  So there silence is a
fault (a wire, the adapter, a wrong bit rate), told as such.  In every other case it is what a parked car does, and
says nothing; a fault that begins while the car is parked is therefore seen at the next drive, or by a command.
"""

from __future__ import annotations

from dataclasses import asdict

from agent.chronicle import Chronicle
from agent.model.bus import BusHealth, BusLook, BusSign
from agent.model.effects import Level
from agent.model.events import BusChanged, BusLooked
from agent.model.frame import BusState
from agent.pending import Pending
from agent.profiles.schema import Profile
from agent.state.bus_health import HealthChange, HealthWatch

_SIGNS = {
    BusState.UP: BusSign.LINK_UP,
    BusState.ERROR_PASSIVE: BusSign.CONTROLLER_PASSIVE,
    BusState.BUS_OFF: BusSign.CONTROLLER_OFF,
    BusState.DOWN: BusSign.LINK_DOWN,
    BusState.GONE: BusSign.LINK_GONE,
}

# Of a bus that cannot be heard nobody knows whether it sleeps.
_DEAF = frozenset({BusHealth.BUS_OFF, BusHealth.DOWN, BusHealth.REMOVED})


class BusWatch:
    """Every bus of one profile."""

    def __init__(self, profile: Profile, chronicle: Chronicle, pending: Pending, now_s: float) -> None:
        self._chronicle = chronicle
        self._pending = pending
        self._silent_after_s = {bus.name: bus.silent_after_s for bus in profile.buses}
        self._awake_with = {bus.name: bus.awake_with or bus.name for bus in profile.buses}
        self._health = {bus.name: HealthWatch(bus.silent_after_s, now_s) for bus in profile.buses}
        # A bus on which the car is not expected to say anything is never silent.
        self._spoken_on = {message.bus for message in profile.messages}
        self._heard_at_s: dict[str, float] = {}
        self._going_on: set[str] = set()
        self._is_awake_told = dict.fromkeys(self._health, False)
        self._has_news = False

    # --- in -----------------------------------------------------------------------------------------------------

    def heard(self, bus: str, at_s: float) -> bool:
        """A frame of the profile was on this bus at `at_s`; returns whether it was silent before."""
        before_s = self._heard_at_s.get(bus)
        if before_s is not None and at_s <= before_s:
            return False
        self._heard_at_s[bus] = at_s
        return before_s is None or (bus not in self._going_on and at_s - before_s > self._silent_after_s[bus])

    def goes_on(self, bus: str, *, is_so: bool) -> None:
        """Somebody would say if the last of its messages stopped, or nobody would any more."""
        (self._going_on.add if is_so else self._going_on.discard)(bus)

    def changed(self, event: BusChanged, now_s: float) -> None:
        """An interface says that it is in another state."""
        sign = _SIGNS[event.state] if event.sign is None else event.sign
        self._tell(event.bus, self._health[event.bus].note(sign, now_s), now_s)

    def looked(self, event: BusLooked, now_s: float) -> None:
        """An interface was looked at."""
        self._tell(event.bus, self._health[event.bus].take_look(event.look, now_s), now_s)

    def handle_time(self, now_s: float, *, is_in_use: bool) -> None:
        """Notice what has stood, what fell silent and what woke; `is_in_use`: the car was last heard driving."""
        for bus, health in self._health.items():
            heard_at_s = self._heard_at_s.get(bus)
            is_expected = is_in_use and bus in self._spoken_on
            self._tell(bus, health.handle_time(now_s, heard_at_s=heard_at_s, is_in_use=is_expected), now_s)
            is_awake = not self.is_asleep(bus, now_s)
            is_known = is_awake or health.state not in _DEAF | {BusHealth.SILENT}
            if is_known and is_awake != self._is_awake_told[bus]:
                self._is_awake_told[bus] = is_awake
                self._has_news = True
                self._chronicle.bus("bus_awake" if is_awake else "bus_asleep", bus, {}, now_s)

    # --- out ----------------------------------------------------------------------------------------------------

    def is_asleep(self, bus: str, now_s: float) -> bool:
        """No frame for the profile's time of silence: the bus sleeps, or cannot be heard, or never was."""
        bus = self._awake_with[bus]
        heard_at_s = self._heard_at_s.get(bus)
        return heard_at_s is None or now_s - heard_at_s > self._silent_after_s[bus]

    def next_at(self, now_s: float) -> float | None:
        """When time alone may change something next, as long as nobody says anything; None if it does not."""
        silent = (
            heard_at_s + self._silent_after_s[bus]
            for bus, heard_at_s in self._heard_at_s.items()
            if bus not in self._going_on
        )
        ends = (at_s for health in self._health.values() if (at_s := health.next_at(now_s)) is not None)
        return min((at_s for at_s in (*silent, *ends) if at_s >= now_s), default=None)

    def is_any_awake(self, now_s: float) -> bool:
        """Whether a bus of the profile is heard."""
        return any(not self.is_asleep(bus, now_s) for bus in self._health)

    def state_of(self, bus: str) -> BusHealth:
        """How it is, as far as that has stood."""
        return self._health[bus].state

    def shown_by(self, bus: str) -> BusHealth:
        """How it is by its last sign alone."""
        return self._health[bus].shown

    def take_news(self) -> bool:
        """Whether `words` may have changed since this was asked last."""
        has_news, self._has_news = self._has_news, False
        return has_news

    def words(self, now_s: float) -> dict[str, str]:
        """A word for each bus, for the snapshot: its state, or of a sound one whether it sleeps."""
        return {
            bus: health.state.value
            if health.state is not BusHealth.ERROR_ACTIVE
            else "asleep"
            if self.is_asleep(bus, now_s)
            else "awake"
            for bus, health in self._health.items()
        }

    def status(self, now_s: float) -> dict[str, object]:
        """Each bus in full, for the local status socket."""
        return {bus: _status(health, now_s) for bus, health in self._health.items()}

    def _tell(self, bus: str, change: HealthChange | None, now_s: float) -> None:
        if change is None:
            return
        self._has_news = True
        words = {"state": change.state.value, "before": change.before.value, "cause": change.cause.value}
        level = Level.NOTICE if change.state is BusHealth.ERROR_ACTIVE else Level.WARNING
        self._pending.log(level, "bus_changed", bus=bus, **words)
        self._chronicle.bus("bus_health", bus, {**words, "counters": _counters(self._health[bus].look)}, now_s)


def _counters(look: BusLook) -> dict[str, object]:
    errors = {sign.value: count for sign, count in look.errors.items()}
    return {"errors": errors} if look.link is None else {"errors": errors, "link": asdict(look.link)}


def _status(health: HealthWatch, now_s: float) -> dict[str, object]:
    last = health.last
    return {
        "state": health.state.value,
        "shown": health.shown.value,
        "cause": None if last is None else last.cause.value,
        "before": None if last is None else last.before.value,
        "age_s": None if last is None else round(now_s - last.at_s, 1),
        "changes": health.changes,
        "counters": _counters(health.look),
    }
