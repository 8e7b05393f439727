"""The engine from left to right: frames to readings, to vehicle state, to what the backend is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.accounting import Accounting
from agent.bus_watch import BusWatch
from agent.chronicle import Chronicle
from agent.config import Config
from agent.forwarding import Forwarding
from agent.lookout import Lookout
from agent.model.bus import BusHealth
from agent.model.events import BusChanged, BusLooked, ClockSet
from agent.model.frame import Frame
from agent.model.reading import Heard, Reading
from agent.model.reception import WatchNews
from agent.model.records import OutboxStored, Priority, Recovered
from agent.model.use import VehicleUse
from agent.observing import Observing
from agent.pending import Pending
from agent.policy.event_cap import EventCap
from agent.policy.reporting import Reporter
from agent.profiles.schema import Profile
from agent.session import Session
from agent.uplink import wire
from agent.uplink.capabilities import capabilities_of

# An event is told at once by itself; the snapshot it changes, ten times as long, follows no oftener than this: whoever
# comes and goes by a car makes a dozen events in a minute.
EVENT_STATE_INTERVAL_S = 60.0


class Telemetry:
    """Vehicle state and its way to the backend."""

    def __init__(
        self,
        profile: Profile,
        config: Config,
        recovered: Recovered,
        session: Session,
        pending: Pending,
        now_s: float,
        *,
        operator: int,
        boot_id: str = "",
    ) -> None:
        self._profile = profile
        self._reporting = config.reporting
        self._operator = operator
        self._topics = wire.Topics(bytes.fromhex(config.car.id))
        self._session = session
        self._pending = pending
        self._observing = Observing(profile)
        self._tracker = self._observing.tracker
        # Of every frame that is read: looked up once.
        self._hear, self._take = self._observing.decoder.hear, self._tracker.hear
        cap = EventCap()
        self._reporter = Reporter(
            profile.report_rules,
            batch_s=config.reporting.batch_s,
            paces={use: config.reporting.pace(use) for use in VehicleUse},
            cap=cap,
        )
        self._forwarding = Forwarding(
            self._topics.of(self._operator, "evt"),
            recovered.outbox,
            config.reporting,
            session,
            pending,
            boot_id=boot_id,
            now_s=now_s,
        )
        self.chronicle = Chronicle(profile, self._tracker, cap, self._forwarding, session)
        self.account = Accounting(profile, self._observing.decoder.counts, self.chronicle)
        self._power: Mapping[str, str] = {"step": "normal", "supply": "unknown"}
        self._buses = BusWatch(profile, self.chronicle, pending, now_s)
        self._is_connected = False
        self._state_at_s: float | None = None
        # As of the last timer: whoever wants one sooner has something to be done, which is followed by one.
        self._next_state_at_s = float("inf")
        self._is_state_due = True
        self._is_event_due = False
        self._lookout = Lookout(
            profile, self._observing, self._reporter, self.account, self._buses, self._forwarding.next_at, now_s
        )

    # --- in -----------------------------------------------------------------------------------------------------

    def receive_watched(self, news: WatchNews, now_s: float) -> tuple[list[Heard], list[Frame]]:
        """Fold in what the kernel told of a bus; see `Observing.receive_watched`."""
        told, refused = self._observing.receive_watched(news, self._lookout.observe, now_s)
        bus, silent, known_at_s, changes, going_on = news
        within_s = self._observing.within_s(bus)
        if changes:
            if self._buses.heard(bus, changes[-1].received_at_s):
                self._lookout.look_by(now_s)
        elif known_at_s is not None and within_s is not None:
            self._buses.heard(bus, known_at_s - within_s)
        if silent or refused or going_on is not None:
            # What is not said to go on has to be looked after.
            self._buses.goes_on(bus, is_so=within_s is not None)
            self._lookout.look_by(now_s)
        return told, refused

    def receive_frame(self, frame: Frame, now_s: float) -> Heard:
        """Fold one frame into the state; returns what it told. Of what it did not change there is nothing to report."""
        at_s = frame[3]
        if self._buses.heard(frame[0], at_s):
            self._lookout.look_by(now_s)  # whoever waited for a bus that was silent has something to do
        heard = self._hear(frame)
        self._take(heard, at_s)
        if heard[1]:
            self._lookout.observe(heard[1], now_s)
        return heard

    def readings_of(self, heard: Heard, frame: Frame) -> tuple[Reading, ...]:
        """See `Observing.readings_of`."""
        return self._observing.readings_of(heard, frame)

    def refused_message(self, frame: Frame) -> str | None:
        """See `Observing.refused_message`."""
        return self._observing.refused_message(frame)

    def answered(self, readings: Sequence[Reading], now_s: float) -> None:
        """A control unit answered; unlike a frame of the car's own that does not make its bus heard (SR-08)."""
        self._tracker.answer(readings)
        self._lookout.observe(readings, now_s)

    def not_answered(self, paths: Iterable[str], reason: str, now_s: float) -> None:
        """It did not: what there is of these paths grows old, and says why."""
        self._tracker.excuse(paths, reason, now_s)
        self._lookout.look_by(now_s)

    def bus_changed(self, event: BusChanged, now_s: float) -> None:
        """An interface says that it is in another state."""
        self._buses.changed(event, now_s)
        self._lookout.look_by(now_s)

    def bus_looked(self, event: BusLooked, now_s: float) -> None:
        """An interface was looked at."""
        self._buses.looked(event, now_s)

    def clock_set(self, event: ClockSet, now_s: float) -> None:
        self._session.clock_offset_s = event.offset_s
        self._session.clock_trust = event.trust
        self.chronicle.clock(event, now_s)

    def connected(self, now_s: float) -> None:
        """The link is up: say what this car can do, how it is, then what waited."""
        self._is_connected = True
        caps = capabilities_of(self._profile)
        self._pending.publish(self._topics.of(self._operator, "caps"), caps, is_retained=True)
        self._publish_state(now_s)
        self._forwarding.connected(now_s)

    def disconnected(self) -> None:
        self._is_connected = False
        self._forwarding.disconnected()

    def stored(self, token: int, now_s: float) -> bool:
        """A write came through; True if it was one of ours."""
        return self._forwarding.stored(token, now_s)

    def store_failed(self, token: int, detail: str, now_s: float) -> bool:
        """A write did not come through; True if it was one of ours, which stops nothing else."""
        return self._forwarding.store_failed(token, detail, now_s)

    def published(self, token: int, refusal: str | None, now_s: float) -> bool:
        """The broker answered for an outbox record; True if it was one of ours."""
        return self._forwarding.published(token, refusal, now_s)

    def fetched(self, token: int, records: tuple[OutboxStored, ...], now_s: float) -> None:
        """Records of the outbox were read back."""
        self._forwarding.fetched(token, records, now_s)

    def handle_timer(self, now_s: float) -> None:
        """Notice what grew stale or fell silent, and tell what is due."""
        has_looked = self._lookout.look_if_due(now_s)
        has_events, has_samples = self._tell_due(now_s)
        if has_looked:
            self._lookout.looked(now_s)
        self._is_state_due = self._is_state_due or has_samples or self._buses.take_news()
        self._is_event_due = self._is_event_due or has_events
        if now_s >= self._state_at():
            self._publish_state(now_s)
        self._forwarding.handle_timer(now_s)
        self._next_state_at_s = self._state_at()

    def next_timer(self) -> float:
        return min(self._lookout.next_at(), self._next_state_at_s)

    def _state_at(self) -> float:
        """When the next snapshot is to be published, if nothing comes to be told."""
        if not self._is_connected:
            return float("inf")
        if self._state_at_s is None:
            return float("-inf")
        waits_s = self._reporting.table(self._lookout.pace_use).heartbeat_s
        if self._is_state_due:
            waits_s = min(waits_s, self._reporting.state_interval_s)
        if self._is_event_due:
            waits_s = min(waits_s, EVENT_STATE_INTERVAL_S, self._reporting.state_interval_s)
        return self._state_at_s + waits_s

    def end(self, now_s: float) -> None:
        """Tell what waits and make removals durable, before the process ends."""
        self._lookout.observe_all(now_s)
        self._tell_due(now_s, is_last=True)
        self._forwarding.end(now_s)

    # --- asked by the command half ------------------------------------------------------------------------------

    def reading(self, path: str, now_s: float) -> Reading:
        return self._tracker.reading(path, now_s)

    def is_asleep(self, bus: str, now_s: float) -> bool:
        """No frame for the profile's time of silence: the bus sleeps, or was never heard."""
        return self._buses.is_asleep(bus, now_s)

    def is_any_awake(self, now_s: float) -> bool:
        """Whether a bus of the profile is heard."""
        return self._buses.is_any_awake(now_s)

    @property
    def use(self) -> VehicleUse:
        """What the car is used for, as it was last looked at."""
        return self._lookout.use

    @property
    def is_in_use(self) -> bool:
        """Whether the car drives or charges."""
        return self.use in (VehicleUse.DRIVING, VehicleUse.CHARGING)

    def address(self, operator: int) -> None:
        """Telemetry goes to this operator from now on."""
        self._operator = operator
        self._forwarding.address(self._topics.of(operator, "evt"))

    def state_of(self, bus: str) -> BusHealth:
        """How a bus is, as far as that has stood."""
        return self._buses.state_of(bus)

    def shown_by(self, bus: str) -> BusHealth:
        """How a bus is by its last sign alone."""
        return self._buses.shown_by(bus)

    def tell(self, name: str, fields: Mapping[str, object], now_s: float) -> int:
        """Put an event of the agent's own into the outbox; returns its number."""
        return self.chronicle.tell(name, fields, now_s)

    def shed(self, *, is_shedding: bool) -> None:
        """Tell no oftener than of a sleeping car from now on, or as the car is used again."""
        self._lookout.shed(is_shedding=is_shedding)
        self._is_event_due = True

    def power_is(self, power: Mapping[str, str]) -> None:
        """Where on the ladder the car stands, for the next snapshot."""
        self._power = power

    def state_wanted(self) -> None:
        """Publish the snapshot soon; however often this is asked, no oftener than events make it."""
        self._is_event_due = True

    def report_now(self, now_s: float) -> None:
        if self._is_connected:
            self._publish_state(now_s)

    def status(self, now_s: float) -> dict[str, object]:
        """For the local status socket."""
        return {
            **self._forwarding.status(),
            "use": self.use.value,
            "buses": self._buses.words(now_s),
            "bus_health": self._buses.status(now_s),
            **self.account.status(),
            "readings": {
                path: wire.reading_document(reading, now_s, self._tracker.last_known(path))
                for path, reading in self._tracker.snapshot(now_s).items()
            },
        }

    # --- out ----------------------------------------------------------------------------------------------------

    def _tell_due(self, now_s: float, *, is_last: bool = False) -> tuple[bool, bool]:
        """Tell what is due (all that waits, if it is the last time); returns whether there were events, and samples."""
        due = self._reporter.flush(now_s) if is_last else self._reporter.due(now_s)
        for change in due.events:
            self.chronicle.changed(change, now_s)
        if due.samples:
            fields = {"vss": self._profile.vss_release, "readings": wire.reading_rows(due.samples, now_s)}
            self._forwarding.tell("readings", fields, now_s, Priority.SAMPLE)
        self.chronicle.tell_suppressed(now_s, is_last=is_last)
        self.account.tell_due(now_s, is_last=is_last)
        return bool(due.events), bool(due.samples)

    def _publish_state(self, now_s: float) -> None:
        self._state_at_s = now_s
        self._is_state_due = self._is_event_due = False
        readings = self._tracker.snapshot(now_s)
        payload = wire.state_document(
            self._session.moment(now_s),
            self._profile.vss_release,
            self._session.sid,
            readings,
            {path: self._tracker.last_known(path) for path in readings},
            self._buses.words(now_s),
            now_s,
            use=self.use.value,
            power=self._power,
        )
        self._pending.publish(self._topics.of(self._operator, "state"), payload, is_retained=True)
