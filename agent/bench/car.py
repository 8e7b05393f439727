"""The virtual car: a small electric car as the buses of a profile see it, whichever profile it is.

Its messages, their values and what wakes, locks and unlocks it are the profile's; the car behind them is one and the
same.  A pure model: time comes in as `now_s`, frames come out of `step` and go in through `receive`; the same calls at
the same times give the same frames.  Bus, sleep and lock run in bus time; driving and charging may run
`time_compression` times faster, so that two kilometres need not take two minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import field

from agent.bench.car_body import CarBody, CarRefusesError, Ignition, Opening
from agent.bench.car_diagnostics import CarDiagnostics
from agent.bench.car_ear import CarEar, WakeHeard
from agent.bench.car_faults import CarFault, muted_endings
from agent.bench.car_messages import CarMessages
from agent.bench.car_rhythm import Rhythm
from agent.bench.car_truth import truth, word
from agent.bench.car_units import CarUnits
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.schema import Profile

__all__ = ["CarEvent", "CarFault", "VirtualCar"]

WAKE_DELAY_S = 0.3
MEASURING_S = 0.3  # after waking, sensors send their "not known yet"
SLEEP_AFTER_S = 30.0
CATCH_UP_S_MAX = 5.0  # after a pause of the host the missed frames stay missed, as on a real bus
EVENTS_MAX = 1000  # for a caller who never asks for them


@dataclass(frozen=True, slots=True)
class CarEvent:
    """Something the car did or noticed, at `at_s`."""

    name: str
    at_s: float
    fields: Mapping[str, object] = field(default_factory=dict)


class VirtualCar:
    """One car on the buses of its profile, which sleep and wake together.

    `body` may be read and changed freely; `faults` are switched by `set_fault`; `shown` are values set by hand, by VSS
    path, which count for more than what is true.
    """

    def __init__(
        self,
        profile: Profile,
        databases: Mapping[str, MessageDatabase],
        *,
        now_s: float = 0.0,
        is_asleep: bool = True,
        is_locked: bool = True,
        is_drive_enabled: bool = True,
        sleep_after_s: float = SLEEP_AFTER_S,
        time_compression: float = 1.0,
        relock_after_s: float | None = None,
        is_leisurely: bool = False,
    ) -> None:
        self.body = CarBody()
        self.shown: dict[str, Value] = {}
        self.diagnostics = CarDiagnostics(profile, self.value_of)
        self.time_compression = time_compression
        self.wake_frames_seen = 0
        self.frames_sent = 0
        self._units = CarUnits(is_locked=is_locked, is_drive_enabled=is_drive_enabled, relock_after_s=relock_after_s)
        self.lock, self.immobiliser, self.lamps = self._units.lock, self._units.immobiliser, self._units.lamps
        self._messages = CarMessages(profile, databases, is_leisurely=is_leisurely)
        self._ear = CarEar(profile)
        self._faults: set[CarFault] = set()
        self._muted: frozenset[str] = frozenset()
        self._events: deque[CarEvent] = deque(maxlen=EVENTS_MAX)
        self._sleep_after_s = sleep_after_s
        self._now_s = now_s
        self._awake_since_s: float | None = None
        self._wakes_at_s: float | None = None
        self._active_at_s = now_s
        self._rhythm = Rhythm(self._messages.cycles_s)
        if not is_asleep:
            self._wake()

    @property
    def is_asleep(self) -> bool:
        return self._awake_since_s is None

    @property
    def lock_requests_seen(self) -> int:
        return self.lock.requests_seen

    @property
    def faults(self) -> frozenset[CarFault]:
        return frozenset(self._faults)

    def value_of(self, path: str) -> Value | None:
        """What is true of the car under a VSS path, in its unit; None if it has nothing to say there."""
        if (shown := self.shown.get(path)) is not None:
            return shown
        return truth(path, self)

    def drain_events(self) -> list[CarEvent]:
        """What happened since the last call, oldest first."""
        events = list(self._events)
        self._events.clear()
        return events

    # --- time and the bus ---------------------------------------------------------------------------------------

    def step(self, now_s: float) -> list[Frame]:
        """Let time pass until `now_s`; the frames the car sent meanwhile, `received_at_s` being when."""
        if now_s - self._now_s > CATCH_UP_S_MAX:
            self._advance(now_s - CATCH_UP_S_MAX)
            self._rhythm.skip_to(self._now_s)
        frames: list[Frame] = []
        while (next_s := self.next_step_at()) is not None and next_s <= now_s:
            self._advance(next_s)
            frames += self._send_due()
        self._advance(now_s)
        return frames

    def next_step_at(self) -> float | None:
        """When `step` has something to do, if nothing is received and nobody touches the car; None: never."""
        next_s = self._rhythm.next_s
        answers_at_s = self.diagnostics.next_step_at()
        for time_s in (self._wakes_at_s, answers_at_s, *self._units.times_s):
            if time_s is not None and time_s < next_s:
                next_s = time_s
        if self._awake_since_s is not None and self._active_at_s + self._sleep_after_s < next_s and self._may_sleep:
            next_s = self._active_at_s + self._sleep_after_s
        return None if next_s == math.inf else max(next_s, self._now_s)

    def receive(self, frame: Frame, now_s: float) -> None:
        """A frame somebody else put on the bus."""
        self._advance(now_s)
        if CarFault.BUS_SILENT in self._faults:
            return
        if (wake := self._ear.wake(frame, now_s)) is not WakeHeard.NOTHING:
            self.wake_frames_seen += 1
            self._active_at_s = now_s
            if wake is WakeHeard.WHOLE and CarFault.WAKE_DEAF not in self._faults:
                self._rouse()
        if self.is_asleep:
            return
        for heard in (*self._ear.requests(frame, now_s), *self.diagnostics.receive(frame, now_s)):
            self._active_at_s = now_s
            if (note := self._units.hear(heard, now_s)) is not None:
                self._note(note[0], **note[1])

    # --- what people do with the car ----------------------------------------------------------------------------

    def drive(self, distance_m: float, now_s: float, *, cruise_kmh: float = 50.0) -> None:
        """Drive so far and stop; raises `CarRefusesError` if the car cannot."""
        self._touch(now_s)
        if self.lock.is_locked:
            raise CarRefusesError("the car is locked")
        if not self.immobiliser.is_drive_enabled:
            raise CarRefusesError("the immobiliser is engaged")
        self.body.drive(distance_m, cruise_kmh=cruise_kmh)
        self._note("drive_started", distance_m=distance_m, time_compression=self.time_compression)

    def set_opening(self, opening: Opening, now_s: float, *, is_open: bool) -> None:
        """Open or close a door (from inside, if the car is locked); raises `CarRefusesError` while it drives."""
        self._touch(now_s)
        self.body.set_opening(opening, is_open=is_open)
        self._units.forget_relock()
        self._note("opened" if is_open else "closed", opening=opening.value)

    def set_ignition(self, now_s: float, *, is_on: bool) -> None:
        """Switch the parked car on or off; raises `CarRefusesError` while it drives."""
        self._touch(now_s)
        self.body.set_ignition(is_on=is_on)
        self._note("switched_on" if is_on else "switched_off")

    def charge(self, now_s: float, *, charger_kw: float = 7.4) -> None:
        """Plug in and charge; raises `CarRefusesError` while the car drives."""
        self._touch(now_s)
        self.body.plug_in(charger_kw=charger_kw)
        self._note("charge_started", charger_kw=charger_kw, time_compression=self.time_compression)

    def unplug(self, now_s: float) -> None:
        self._touch(now_s)
        self.body.unplug()
        self._note("unplugged")

    def press_key_fob(self, now_s: float, *, is_locked: bool) -> None:
        """Lock or unlock with the car's own key, which the agent knows nothing of."""
        self._touch(now_s)
        self._units.forget_relock()
        self.lock.change(is_locked, now_s=now_s)

    def relock(self, now_s: float) -> None:
        """Lock by itself, as cars do some time after an unlock of which nobody makes use."""
        self._advance(now_s)
        self._units.relock(now_s)

    def switch_immobiliser(self, now_s: float, *, is_drive_enabled: bool) -> None:
        """Release or engage it with the car's own key, which the agent knows nothing of."""
        self._touch(now_s)
        self.immobiliser.change(is_drive_enabled, now_s=now_s)

    def set_supply(self, resting_v: float, now_s: float) -> None:
        """Give the 12 V battery this voltage at rest; raises `CarRefusesError` for one that no frame can say.

        Nobody touches the car for it: one that sleeps sleeps on, and says so when it is awake.
        """
        self._advance(now_s)
        self.body.set_resting(resting_v)
        self._note("supply", resting_v=resting_v)

    def show(self, path: str, value: Value | None, now_s: float) -> None:
        """Tell this value under a VSS path from now on, whatever is true; None: what is true."""
        self._advance(now_s)
        if value is None:
            self.shown.pop(path, None)
        else:
            self.shown[path] = value
        self._note("shows", path=path, value=self.value_of(path))

    def rouse(self, now_s: float) -> None:
        """Wake the car as a person does who walks up to it."""
        self._touch(now_s)

    def sleep(self, now_s: float) -> None:
        """Put the bus to sleep now; raises `CarRefusesError` while it drives or charges."""
        self._advance(now_s)
        if self.body.is_charging or self.body.ignition is not Ignition.OFF:
            raise CarRefusesError("the car stays awake while it drives or charges")
        self._fall_asleep()

    def set_fault(self, fault: CarFault, now_s: float, *, is_on: bool) -> None:
        """Let something break, or mend it."""
        self._advance(now_s)
        (self._faults.add if is_on else self._faults.discard)(fault)
        self._units.break_by(self._faults)
        self.diagnostics.break_by(self._faults)
        self._muted = self._messages.with_path(*muted_endings(self._faults))
        self._note("fault" if is_on else "mended", fault=fault.value)

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _may_sleep(self) -> bool:
        if not self.lock.is_on or self._units.is_moving:
            return False
        return self.body.ignition is Ignition.OFF and not self.body.is_charging

    def _advance(self, now_s: float) -> None:
        """Let the physical car, the locks and the car's own sleep come to `now_s`; time never goes back."""
        before_s, now_s = self._now_s, max(now_s, self._now_s)
        self._now_s = now_s
        # Differences of whole microseconds add up to the same however often the car is asked; those of floats do not.
        elapsed_s = (round(now_s * 1e6) - round(before_s * 1e6)) / 1e6
        body = self.body
        was_driving, was_charging = body.is_driving, body.is_charging
        if not self._may_sleep:
            self._active_at_s = now_s
        body.advance(elapsed_s * self.time_compression)
        for name, fields in self._units.advance(now_s):
            self._note(name, **fields)
        if was_driving and not body.is_driving:
            self._note("drive_ended", odometer_m=round(body.odometer_m, 1))
        if was_charging and body.is_full:
            self._note("charge_ended")
        if self._wakes_at_s is not None and self._wakes_at_s <= now_s:
            self._wake()
        elif now_s >= self._active_at_s + self._sleep_after_s and not self.is_asleep and self._may_sleep:
            self._fall_asleep()

    def _touch(self, now_s: float) -> None:
        """A person at the car: it wakes, and stays awake for a while."""
        self._advance(now_s)
        self._active_at_s = now_s
        self._rouse()

    def _rouse(self) -> None:
        if self.is_asleep and self._wakes_at_s is None:
            self._wakes_at_s = self._now_s + WAKE_DELAY_S

    def _wake(self) -> None:
        self._wakes_at_s = None
        self._awake_since_s = self._active_at_s = self._now_s
        self._units.forget_counters()
        self._rhythm.begin(self._now_s)
        self._note("woke")

    def _fall_asleep(self) -> None:
        if not self.is_asleep:
            self._note("slept")
        self._awake_since_s = self._wakes_at_s = None
        self._rhythm.stop()
        self.diagnostics.fall_asleep()

    def _send_due(self) -> list[Frame]:
        frames: list[Frame] = []
        for name in self._rhythm.take_due(self._now_s):
            if CarFault.BUS_SILENT not in self._faults and name not in self._muted:
                frames += self._frames(name)
        answers = self.diagnostics.step(self._now_s)
        frames += answers if CarFault.BUS_SILENT not in self._faults else ()
        self.frames_sent += len(frames)
        return frames

    def _frames(self, message: str) -> list[Frame]:
        """One on each bus that has the message."""
        page, counter = self._rhythm.count(message, is_counting=CarFault.COUNTER_STUCK not in self._faults)
        frame = self._messages.encode(
            message,
            self._messages.values(message, page, self.value_of, self._word_of),
            at_s=self._now_s,
            counter=counter,
            is_measured=self._awake_since_s is not None and self._now_s - self._awake_since_s >= MEASURING_S,
            is_checksum_wrong=CarFault.CHECKSUM_WRONG in self._faults,
        )
        return [frame, *(frame._replace(bus=bus) for bus in self._messages.also_on(message))]

    def _word_of(self, path: str) -> str | None:
        return None if path in self.shown else word(path, self)

    def _note(self, name: str, **fields: object) -> None:
        self._events.append(CarEvent(name, self._now_s, fields))
