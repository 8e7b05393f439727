"""The whole agent without I/O: values and `now_s` in, effects out, in the order they must be performed.

       CAN bus                                                                MQTT broker
          │  ▲                      adapters/   (all I/O)                        ▲   │
    ══════╪══╪═════════════════════ engine.py  (no I/O) ═════════════════════════╪═══╪══════
          └──┼──► decode ──► state ──► policy.reporting ──► uplink ──────────────┘   │   telemetry.py
             │                 │                                                     │
             │                 ▼                                                     │
             └── recipe ◄── lifecycle ◄── policy.permits ◄── replay ◄── verify ◄─────┘   commanding.py, acting.py

Left to right is telemetry, right to left is a command.  Both cross the same vehicle state, which is what makes
an unlock permitted (does the car stand still, and is that knowledge fresh?) and verified (did the lock move?).

Times are boot-time seconds (they count suspend and nobody can set them); wall time only labels records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.ability import as_allowed
from agent.acting import Acting
from agent.answers import Answers
from agent.asking import Asking
from agent.command.verify import KeyRecord
from agent.commanding import Commanding
from agent.config import Config
from agent.ledger import Ledger
from agent.link_watch import LinkWatch
from agent.model.command import Reason
from agent.model.effects import Acknowledge, Effect, Level, Notify, Stop, WatchAfresh
from agent.model.events import (
    BrokerDown,
    BrokerUp,
    BusChanged,
    BusLooked,
    ClockSet,
    Delivery,
    Fetched,
    FrameEchoed,
    FrameNotSent,
    FramesCounted,
    FrameSent,
    FramesLost,
    LinkEvent,
    Published,
    StopAsked,
    Stored,
    StoreFailed,
)
from agent.model.frame import Frame
from agent.model.power import IgnitionLine, PowerFails, SupervisorFound, SupplyMeasured, Woken
from agent.model.reception import MessageId, WatchNews
from agent.model.records import Recovered, SessionStarted
from agent.pending import Pending
from agent.power import Power
from agent.presence import AnnouncedEnd, Presence
from agent.profiles.schema import Profile
from agent.returning import Returning
from agent.session import Session
from agent.telemetry import Telemetry
from agent.trusting import Beginning, Trusting


class Engine:
    """Feed it frames, deliveries, link events and time; perform its effects one by one, in order."""

    def __init__(
        self,
        profile: Profile,
        config: Config,
        recovered: Recovered,
        *,
        sid: bytes,
        vehicle_key: Ed25519PrivateKey,
        keys: Mapping[bytes, KeyRecord],
        now_s: float,
        boot_id: str = "",
        trust: Beginning | None = None,
        failed_starts: int = 0,
    ) -> None:
        """`keys` are those pinned by hand; with a trust bundle there are none, and `trust` has them. `failed_starts` is
        how often the supervisor had started the agent in vain before, if that is to be told.
        """
        profile = as_allowed(profile, config)
        self._pending = Pending(recovered.sequence_next)
        self._session = Session(sid, now_s)
        self._config = config
        pinned_to = [operator.number for operator in config.operators]
        self._trusting = Trusting(trust, self._pending, pinned=keys, operators=pinned_to, now_s=now_s)
        self._telemetry = Telemetry(
            profile,
            config,
            recovered,
            self._session,
            self._pending,
            now_s,
            operator=self._telemetry_operator(),
            boot_id=boot_id,
        )
        self._ledger = Ledger(recovered, sid)
        car = bytes.fromhex(config.car.id)
        self._answers = Answers(
            self._session,
            self._pending,
            car=car,
            key=vehicle_key,
            store_id=recovered.store_id,
            is_degraded=recovered.is_degraded,
            owed=self._ledger.undelivered(),
        )
        shared = (self._session, self._pending, self._telemetry, self._ledger, self._answers)
        returning = Returning(profile, config, self._telemetry)
        self._acting = Acting(profile, *shared, returning, now_s)
        buses = tuple(bus.name for bus in profile.buses)
        self._link_watch = LinkWatch(car, buses, self._session, self._pending, self._telemetry, now_s)
        self._commanding = Commanding(
            profile, car, self._trusting, *shared, self._acting, self._link_watch, returning, now_s
        )
        self._presence = Presence(car, self._session, self._pending)
        self._power = Power(
            profile,
            config.power,
            self._pending,
            self._telemetry,
            self._link_watch,
            lambda: self.is_commanding,
            now_s,
        )
        self._asking = Asking(profile, self._pending, self._telemetry, self._acting, now_s)
        self._has_failed = False
        self._is_degraded = recovered.is_degraded
        self._pending.persist(SessionStarted(sid))
        self._tell_start((*recovered.notes, *(() if trust is None else trust.notes)), failed_starts, now_s)

    def _tell_start(self, notes: Iterable[str], failed_starts: int, now_s: float) -> None:
        for note in notes:
            self._pending.log(Level.WARNING, "store_note", note=note)
            self._telemetry.tell("store", {"note": note}, now_s)
        failed = {"failed_starts": failed_starts} if failed_starts else {}
        self._telemetry.chronicle.started({"interrupted": self._acting.interrupted_count, **failed}, now_s)
        self._pending.add(Notify("running; broker not connected yet", is_ready=True))

    def receive_watched(self, news: WatchNews, now_s: float) -> None:
        """The kernel told what changed of what it watches, and what stopped; the rest went on as it was."""
        told, refused = self._telemetry.receive_watched(news, now_s)
        for frame in refused:
            # The kernel compares the next one with this one, and would keep the state it shows to itself.
            self._pending.add(WatchAfresh(MessageId(frame.bus, frame.arbitration_id, frame.is_extended_id)))
        if self._acting.command is not None:
            for frame, heard in zip(news.changes, told, strict=True):
                self._acting.frame_heard(frame, self._telemetry.readings_of(heard, frame), now_s)

    def receive_frame(self, frame: Frame, now_s: float) -> bool:
        """A frame came from a bus; whether that can have left anything to do, now or sooner than was known."""
        if self._asking.takes(frame, now_s):
            return True  # telemetry is not told: that somebody answers us does not say that the car is awake (SR-08)
        heard = self._telemetry.receive_frame(frame, now_s)
        if self._acting.command is None:
            return bool(heard[1])
        self._acting.frame_heard(frame, readings := self._telemetry.readings_of(heard, frame), now_s)
        if not readings and (message := self._telemetry.refused_message(frame)) is not None:
            self._acting.frame_refused(message)
        return True

    def receive_delivery(self, delivery: Delivery, now_s: float) -> None:
        """A publication came from the broker; it is acknowledged once what to do with it is decided and durable."""
        if self._link_watch.echo_returned(delivery):
            self._pending.add(Acknowledge(delivery.delivery_id))
        else:
            self._commanding.receive_delivery(delivery, now_s)

    def receive_link(self, event: LinkEvent, now_s: float) -> None:
        """The edge learned something about itself."""
        match event:
            case FrameSent(token) | FrameNotSent(token) | FrameEchoed(token) if token < 0:
                self._asking.frame_told(event, now_s)
            case FrameSent():
                self._acting.frame_sent(event, now_s)
            case FrameEchoed(token):
                self._acting.frame_echoed(token, now_s)
            case FrameNotSent(token, reason):
                self._acting.frame_not_sent(token, reason, now_s)
            case Stored(token):
                if self._trusting.stored(token, now_s):
                    self._trust_changed(now_s)
                elif not self._telemetry.stored(token, now_s):
                    self._acting.stored(token, now_s)
            case StoreFailed(token, detail):
                if not self._telemetry.store_failed(token, detail, now_s):
                    self._fail(detail, now_s)
            case Fetched(token, records):
                self._telemetry.fetched(token, records, now_s)
            case Published(token, refusal):
                self._published(token, refusal, now_s)
            case BrokerUp(refused):
                if refused:
                    self._pending.log(Level.WARNING, "subscriptions_refused", refused=", ".join(refused))
                self._link_watch.connected(refused, now_s)
                self._commanding.connected(now_s)
                self._answers.connected()
                self._presence.connected()
                self._telemetry.connected(now_s)
                lacking = f", {len(refused)} subscriptions refused" if refused else ""
                self._pending.add(Notify(f"running; broker connected{lacking}"))
            case BrokerDown(detail, end):
                self._link_watch.disconnected(end, detail, now_s)
                self._presence.disconnected()
                self._telemetry.disconnected()
                self._answers.disconnected()
                self._pending.log(Level.WARNING, "broker_down", detail=detail)
                self._pending.add(Notify("running; broker not connected"))
            case BusChanged():
                self._telemetry.bus_changed(event, now_s)
                self._acting.bus_changed(event, now_s)
            case BusLooked():
                self._telemetry.bus_looked(event, now_s)
            case FramesLost():
                self._telemetry.account.lost(event, now_s)
            case FramesCounted():
                self._telemetry.account.counted(event)
            case ClockSet():
                self._telemetry.clock_set(event, now_s)
            case SupervisorFound() | SupplyMeasured() | IgnitionLine() | PowerFails() | Woken():
                self._power.heard(event, now_s)
            case StopAsked(is_final):
                self._commanding.refuse_all(Reason.SHUTTING_DOWN)
                self._acting.stop(now_s, is_final=is_final)
                if is_final:
                    self._trusting.keep_floor(now_s)
                    self._telemetry.end(now_s)
                    self._presence.leave(AnnouncedEnd.ASLEEP if self._power.is_going_off else AnnouncedEnd.STOPPED)

    def may_send(self, token: int, now_s: float) -> bool:
        """Whether the frame of this `SendFrame` may still leave, now that all that came before it is known (SR-06)."""
        return (self._asking if token < 0 else self._acting).may_send(token, now_s)

    def handle_timer(self, now_s: float) -> None:
        """Time has passed; call when `next_timer` is reached, or oftener."""
        self._acting.handle_timer(now_s)
        self._answers.handle_timer(now_s)
        self._link_watch.handle_timer(now_s)
        self._power.handle_timer(now_s)
        self._telemetry.handle_timer(now_s)
        self._asking.handle_timer(now_s)
        self._trusting.handle_timer(now_s, is_awake=self._telemetry.is_any_awake(now_s))

    def next_timer(self) -> float:
        """Boot time at which `handle_timer` is wanted next; may lie in the past."""
        parts = (self._telemetry, self._acting, self._asking, self._power, self._answers, self._trusting)
        return min(self._link_watch.next_timer(), *(part.next_timer() for part in parts))

    def is_wanted_before(self, at_s: float) -> bool:
        """Whether what a bus told leaves something to do now, or brought `next_timer` before `at_s`."""
        if self._pending.has_effects or self._telemetry.next_timer() < at_s or self._asking.next_timer() < at_s:
            return True
        return self.is_commanding and self._acting.next_timer() < at_s

    def next_effect(self) -> Effect | None:
        """The next thing to do, None when there is nothing."""
        return self._pending.pop()

    @property
    def has_effects(self) -> bool:
        """Whether `next_effect` has something to do."""
        return self._pending.has_effects

    @property
    def operators(self) -> tuple[int, ...]:
        """Numbers of the operators whose messages are wanted; `Subscribe` tells when they change."""
        return self._trusting.operators

    @property
    def is_rooted(self) -> bool:
        """Whether trust bundles are wanted."""
        return self._trusting.is_rooted

    @property
    def is_commanding(self) -> bool:
        """Whether a command is under way (the process should not end now if it can wait)."""
        return self._acting.command is not None

    def status(self, now_s: float) -> Mapping[str, object]:
        """What `carshare-agent status` shows."""
        return {
            "sid": self._session.sid.hex(),
            "uptime_s": round(now_s - self._session.started_s, 1),
            "clock_trust": self._session.clock_trust.name.lower(),
            "commands": self._commanding.status(),
            "trust": self._trusting.status(now_s),
            "store": {"is_degraded": self._is_degraded},
            "link": self._link_watch.status(),
            "power": self._power.status(now_s),
            "asking": self._asking.status(),
            **self._telemetry.status(now_s),
        }

    def _trust_changed(self, now_s: float) -> None:
        self._telemetry.address(self._telemetry_operator())
        fields = {"version": self._trusting.version, "operators": list(self._trusting.operators)}
        self._telemetry.tell("trust", fields, now_s)
        self._commanding.trust_changed(now_s)

    def _telemetry_operator(self) -> int:
        """The one named in the configuration, as long as there is such an operator; else the first."""
        named = self._config.reporting.operator
        return named if named in self._trusting.operators and named is not None else self._trusting.operators[0]

    def _published(self, token: int, refusal: str | None, now_s: float) -> None:
        if (
            self._telemetry.published(token, refusal, now_s)
            or self._link_watch.published(token, refusal, now_s)
            or self._presence.published(token, refusal)
        ):
            return
        if (key := self._answers.published(token, refusal, now_s)) is not None:
            self._pending.persist(self._ledger.delivered(key))

    def _fail(self, detail: str, now_s: float) -> None:
        """A store did not keep its promise: nothing that relied on it is done, and the process starts afresh."""
        if self._has_failed:
            return
        self._has_failed = True
        self._pending.clear()
        self._pending.log(Level.ERROR, "store_failed", detail=detail)
        self._commanding.refuse_all(Reason.STORAGE)
        self._acting.store_failed(now_s)
        self._pending.add(Stop(f"store failed: {detail}"))
