"""The engine from left to right: frames to readings, to vehicle state, to what the backend is told."""

from __future__ import annotations

from collections.abc import Mapping

from agent import __version__
from agent.config import Config
from agent.decode.decoder import Decoder
from agent.model.command import Action
from agent.model.effects import Level
from agent.model.events import BusChanged, ClockSet
from agent.model.frame import BusState, Frame
from agent.model.reading import Quality, Reading
from agent.model.records import OutboxStored, Recovered
from agent.pending import Pending
from agent.policy.reporting import Reporter
from agent.profiles.schema import Profile
from agent.session import Session
from agent.state.tracker import Tracker
from agent.uplink import wire
from agent.uplink.outbox import IN_FLIGHT_MAX, PRIORITY_EVENT, PRIORITY_SAMPLE, Outbox

# How often stale values and silence are looked for: well under the tightest freshness anybody can read remotely.
SWEEP_INTERVAL_S = 0.5

# An event is told at once by itself; the snapshot it changes follows no oftener than this.
EVENT_STATE_INTERVAL_S = 1.0

# A broker that refuses a record (no right, no quota) is not asked again at once.
REFUSAL_PAUSE_S = 10.0


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
    ) -> None:
        self._profile = profile
        self._reporting = config.reporting
        self._operator = operator
        self._topics = wire.Topics(bytes.fromhex(config.car.id))
        self._session = session
        self._pending = pending
        self._decoder = Decoder(profile)
        self._tracker = Tracker(profile)
        rules = {signal.path: signal.report for message in profile.messages for signal in message.signals}
        self._reporter = Reporter(rules, batch_s=config.reporting.batch_s)
        self._outbox = Outbox(
            recovered.outbox,
            records_max=config.reporting.outbox_records_max,
            bytes_max=config.reporting.outbox_bytes_max,
        )
        self._silent_after_s = {bus.name: bus.silent_after_s for bus in profile.buses}
        self._heard_at_s: dict[str, float] = {}
        self._bus_state: dict[str, BusState] = {bus.name: BusState.DOWN for bus in profile.buses}
        self._awake_told: dict[str, bool] = {}
        self._stored_tokens: dict[int, int] = {}
        self._published_tokens: dict[int, int] = {}
        self._fresh_since: int = recovered.sequence_next
        self._is_connected = False
        self._state_at_s: float | None = None
        self._is_state_due = True
        self._is_event_due = False
        self._sweep_at_s = now_s
        self._hold_until_s = now_s

    # --- in -----------------------------------------------------------------------------------------------------

    def receive_frame(self, frame: Frame, now_s: float) -> tuple[Reading, ...]:
        """Fold one frame into the state; returns the readings it gave."""
        heard_at_s = self._heard_at_s.get(frame.bus, frame.received_at_s)
        self._heard_at_s[frame.bus] = max(heard_at_s, frame.received_at_s)
        readings = self._decoder.receive(frame)
        self._tracker.fold(readings)
        for reading in readings:
            # As it stands now: what waited in the kernel's buffer for long may be stale already (SR-05).
            self._reporter.observe(self._tracker.reading(reading.path, now_s), now_s)
        return readings

    def refused_message(self, frame: Frame) -> str | None:
        """Name of the message of a frame just received, if it was wanted and not believed."""
        message = self._decoder.message_of(frame)
        return message if message is not None and self._decoder.refused_last(message) else None

    def bus_changed(self, event: BusChanged) -> None:
        if self._bus_state.get(event.bus) is event.state:
            return
        self._bus_state[event.bus] = event.state
        level = Level.NOTICE if event.state is BusState.UP else Level.WARNING
        self._pending.log(level, "bus_changed", bus=event.bus, state=event.state.value)
        self._is_state_due = True

    def clock_set(self, event: ClockSet) -> None:
        self._session.clock_offset_s = event.offset_s
        self._session.clock_trust = event.trust

    def connected(self, now_s: float) -> None:
        """The link is up: say who is here, what this car can do, how it is, then what waited."""
        self._is_connected = True
        self._hold_until_s = now_s
        self._fresh_since = self._pending.sequence_last + 1
        publish = self._pending.publish
        publish(self._topics.presence, wire.presence_document(self._session.sid, is_online=True), is_retained=True)
        publish(self._topics.of(self._operator, "caps"), self._capabilities(), is_retained=True)
        self._tell_gap(now_s)
        self._publish_state(now_s)
        self._pump(now_s)

    def disconnected(self) -> None:
        self._is_connected = False
        self._published_tokens.clear()
        self._outbox.link_lost()

    def stored(self, token: int, now_s: float) -> bool:
        """A write came through; True if it was one of ours."""
        if (sequence := self._stored_tokens.pop(token, None)) is None:
            return False
        self._outbox.stored(sequence)
        self._pump(now_s)
        return True

    def published(self, token: int, refusal: str | None, now_s: float) -> bool:
        """The broker answered for an outbox record; True if it was one of ours."""
        if (sequence := self._published_tokens.pop(token, None)) is None:
            return False
        self._outbox.settled(sequence, is_acknowledged=refusal is None)
        if refusal is not None:
            if now_s >= self._hold_until_s:  # one line for all that were under way
                self._pending.log(Level.WARNING, "event_refused", sequence=sequence, refusal=refusal)
            self._hold_until_s = now_s + REFUSAL_PAUSE_S
        else:
            if removed := self._outbox.removals():
                self._pending.persist(removed)
            self._pump(now_s)
        return True

    def handle_timer(self, now_s: float) -> None:
        """Notice what grew stale or fell silent, and tell what is due."""
        due_at = self._reporter.next_due_at()
        if now_s >= self._sweep_at_s or (due_at is not None and now_s >= due_at):
            self._sweep_at_s = now_s + SWEEP_INTERVAL_S
            self._note_stale(now_s)
            self._notice_sleep(now_s)
            if self._is_connected and len(self._outbox) < IN_FLIGHT_MAX:
                self._tell_gap(now_s)
        due = self._reporter.due(now_s)
        if due.events:
            self._record("event", due.events, PRIORITY_EVENT, now_s)
        if due.samples:
            self._record("readings", due.samples, PRIORITY_SAMPLE, now_s)
        self._is_state_due = self._is_state_due or bool(due.samples)
        age_s = float("inf") if self._state_at_s is None else now_s - self._state_at_s
        is_time = age_s >= self._reporting.state_interval_s
        self._is_event_due = self._is_event_due or bool(due.events)
        is_event_time = self._is_event_due and age_s >= EVENT_STATE_INTERVAL_S
        if self._is_connected and (
            is_event_time or (self._is_state_due and is_time) or age_s >= self._reporting.heartbeat_s
        ):
            self._publish_state(now_s)
        self._pump(now_s)

    def next_timer(self) -> float:
        due_at = self._reporter.next_due_at()
        return self._sweep_at_s if due_at is None else min(self._sweep_at_s, due_at)

    def end(self, now_s: float) -> None:
        """Tell what waits and make removals durable, before the process ends."""
        self._note_stale(now_s)
        due = self._reporter.flush(now_s)
        if due.events:
            self._record("event", due.events, PRIORITY_EVENT, now_s)
        if due.samples:
            self._record("readings", due.samples, PRIORITY_SAMPLE, now_s)
        if removed := self._outbox.removals(is_forced=True):
            self._pending.persist(removed)
        self._pump(now_s)

    # --- asked by the command half ------------------------------------------------------------------------------

    def reading(self, path: str, now_s: float) -> Reading:
        return self._tracker.reading(path, now_s)

    def is_asleep(self, bus: str, now_s: float) -> bool:
        """No frame for the profile's time of silence: the bus sleeps, or was never heard."""
        heard_at_s = self._heard_at_s.get(bus)
        return heard_at_s is None or now_s - heard_at_s > self._silent_after_s[bus]

    def is_any_awake(self, now_s: float) -> bool:
        """Whether a bus of the profile is heard."""
        return any(not self.is_asleep(name, now_s) for name in self._bus_state)

    def address(self, operator: int) -> None:
        """Telemetry goes to this operator from now on."""
        self._operator = operator

    def state_of(self, bus: str) -> BusState:
        return self._bus_state[bus]

    def tell(self, name: str, fields: Mapping[str, object], now_s: float) -> None:
        """Put an event of the agent's own into the outbox."""
        sequence = self._pending.next_sequence()
        self._keep(sequence, PRIORITY_EVENT, wire.named_record(name, sequence, self._session.moment(now_s), fields))

    def state_wanted(self) -> None:
        """Publish the snapshot soon; however often this is asked, no oftener than events make it."""
        self._is_event_due = True

    def report_now(self, now_s: float) -> None:
        if self._is_connected:
            self._publish_state(now_s)

    def status(self, now_s: float) -> dict[str, object]:
        """For the local status socket."""
        return {
            "is_connected": self._is_connected,
            "outbox_records": len(self._outbox),
            "outbox_dropped": self._outbox.dropped_count,
            "buses": self._bus_words(now_s),
            "frames": {
                name: {
                    "received": counts.received,
                    "refused_length": counts.refused_length,
                    "refused_checksum": counts.refused_checksum,
                    "refused_counter": counts.refused_counter,
                }
                for name, counts in self._decoder.counts.items()
            },
            "readings": {
                path: wire.reading_document(reading, now_s, self._tracker.last_known(path))
                for path, reading in self._tracker.snapshot(now_s).items()
            },
        }

    # --- out ----------------------------------------------------------------------------------------------------

    def _record(self, kind: str, readings: tuple[Reading, ...], priority: int, now_s: float) -> None:
        sequence = self._pending.next_sequence()
        moment = self._session.moment(now_s)
        payload = wire.readings_record(kind, sequence, moment, self._profile.vss_release, readings, now_s)
        self._keep(sequence, priority, payload)

    def _keep(self, sequence: int, priority: int, payload: bytes) -> None:
        if records := self._outbox.add(OutboxStored(sequence, priority, payload)):
            self._stored_tokens[self._pending.persist(*records)] = sequence

    def _tell_gap(self, now_s: float) -> None:
        """Say how many records gave way since the last time; the gap's own record may make another give way."""
        if dropped := self._outbox.dropped_count:
            self._outbox.dropped_count = 0
            self.tell("gap", {"dropped": dropped}, now_s)

    def _pump(self, now_s: float) -> None:
        """Hand over what is durable; a record is never told before it is kept."""
        if not self._is_connected or now_s < self._hold_until_s:
            return
        for record in self._outbox.to_send():
            payload = record.payload if record.sequence >= self._fresh_since else wire.as_historical(record.payload)
            token = self._pending.publish_tracked(self._topics.of(self._operator, "evt"), payload)
            self._published_tokens[token] = record.sequence

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
            self._bus_words(now_s),
            now_s,
        )
        self._pending.publish(self._topics.of(self._operator, "state"), payload, is_retained=True)

    def _bus_words(self, now_s: float) -> dict[str, str]:
        return {
            name: state.value if state is not BusState.UP else "asleep" if self.is_asleep(name, now_s) else "awake"
            for name, state in self._bus_state.items()
        }

    def _note_stale(self, now_s: float) -> None:
        """A sample that waited is told as it stands now, not as it stood when it came (SR-05)."""
        for reading in self._tracker.snapshot(now_s).values():
            if reading.quality is Quality.STALE:
                self._reporter.observe(reading, now_s)

    def _notice_sleep(self, now_s: float) -> None:
        for name in self._bus_state:
            is_awake = not self.is_asleep(name, now_s)
            if self._awake_told.get(name, False) != is_awake:
                self._awake_told[name] = is_awake
                self.tell("bus_awake" if is_awake else "bus_asleep", {"bus": name}, now_s)
                self._is_state_due = True

    def _capabilities(self) -> bytes:
        actions = {
            action.name.lower(): "verified" if recipe.feedback else "executed_unverified"
            for action, recipe in self._profile.recipes.items()
        }
        if self._profile.return_conditions:
            actions[Action.CHECK_RETURN.name.lower()] = "executed_unverified"
        unsupported = {action.name.lower(): words for action, words in self._profile.unsupported.items()}
        return wire.capabilities_document(
            __version__, self._profile.name, self._profile.vss_release, actions, unsupported, self._profile.paths
        )
