"""The agent's computer in a simulated world: process, disk, CAN interface and clocks, and all that befalls them.

Effects are performed as `app.py` performs them: one by one, in order, each to its end before the next; while a write
to the disk takes its time, frames and deliveries go on reaching the engine, and its timers wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from agent.config import Config
from agent.engine import Engine
from agent.model.command import Reason
from agent.model.effects import (
    Acknowledge,
    Effect,
    Fetch,
    Level,
    Log,
    Persist,
    Publish,
    PulseRelay,
    Reconnect,
    SendFrame,
    Stop,
)
from agent.model.events import (
    BusChanged,
    ClockSet,
    ClockTrust,
    Delivery,
    Fetched,
    FrameNotSent,
    FrameSent,
    LinkEvent,
    StopAsked,
    Stored,
    StoreFailed,
)
from agent.model.frame import BusState, Frame
from agent.model.records import TelemetryRecord
from tests.support.pair import VEHICLE_KEY, config
from tests.support.relay_pair import LINES
from tests.support.world_disk import StampedQueue, WorldDisk
from tests.support.world_keys import AGENT_KEYS
from tests.support.world_trace import BrokenRuleError

if TYPE_CHECKING:
    from tests.support.world import World
    from tests.support.world_rules import Sending

# What a kernel's socket buffer holds of a bus whose reader is stopped.
FRAMES_WAITING_MAX: Final = 400

STOP_GRACE_S: Final = 8.0
STORE_ERRORS: Final = {"store_failed", "telemetry_not_stored"}
CLOCK_TRUSTS: Final = tuple(ClockTrust)


@cache
def agent_config() -> Config:
    """The configuration of `tests.support.pair`, read once; a car without lines to pulse has no use for its relays."""
    return replace(config(), relays=dict(LINES))


class Computer:
    """`engine` is None while the process is down. Faults are switched by `tests.support.world_script`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._profile = world.profile
        self.disk = WorldDisk()
        self.engine: Engine | None = None
        self.sid = b""
        self.started_s = 0.0
        self.starts = 0
        self.bus_state = BusState.UP
        self.send_fault: Reason | None = None
        self.effects_until_crash: int | None = None
        self.stall_s = 0.0
        self.is_store_broken = False
        self.has_telemetry_failed = False
        self.clock_offset_s = 1.7e9
        self._queue = StampedQueue(deque(), self._clock)
        self._writing: Persist | None = None
        self._pulsing: PulseRelay | None = None
        self._is_frozen = False
        self._frames_kept = False
        self._waiting: list[Frame | Delivery | LinkEvent | Persist] = []
        self._is_performing = False
        self._timer_s: float | None = None

    @property
    def is_held_up(self) -> bool:
        """Whether it can do nothing for its deadlines now: down, frozen, or waiting for its disk or a relay."""
        return self.engine is None or self._is_frozen or self._is_waiting

    @property
    def _is_waiting(self) -> bool:
        return self._writing is not None or self._pulsing is not None

    def next_timer(self) -> float:
        """When `run_timer` is wanted; worked out anew only after the engine was told or asked something."""
        if self.is_held_up:
            return float("inf")
        if self._timer_s is None and self.engine is not None:
            self._timer_s = self.engine.next_timer()
        return float("inf") if self._timer_s is None else self._timer_s

    def _clock(self) -> float:
        return self._world.now_s

    # --- process ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The supervisor starts the agent."""
        if self.engine is not None:
            return
        world = self._world
        self.starts += 1
        self._timer_s = None
        self.has_telemetry_failed = False
        self.sid = world.chance.randbytes(8)
        self.started_s = world.now_s
        world.mark("start", self.sid)
        world.judge.started(self.sid, world.now_s)
        self.engine = Engine(
            self._profile,
            agent_config(),
            self.disk.recover(),
            sid=self.sid,
            vehicle_key=VEHICLE_KEY,
            keys=AGENT_KEYS,
            now_s=world.now_s,
        )
        self._queue = self.engine._pending._effects = StampedQueue(self.engine._pending._effects, self._clock)
        self.tell(BusChanged("body", self.bus_state))
        if world.chance.random() < 0.5:
            self.tell(ClockSet(self.clock_offset_s, world.chance.choice(CLOCK_TRUSTS)))
        world.broker.car_started()

    def crash(self, down_s: float) -> None:
        """The process, or its power, goes without a word. A write under way is on the disk whole or not at all."""
        if self.engine is None:
            return
        world = self._world
        world.mark("crash")
        world.count("crash")
        writing, self._writing = self._writing, None
        if writing is not None and world.chance.random() < 0.5:
            self._make_durable(writing)
        self._go_down(down_s)

    def _go_down(self, down_s: float) -> None:
        self.engine = self._pulsing = None
        self._is_frozen = False
        self._waiting.clear()
        self.effects_until_crash = None
        self._world.broker.car_gone()
        self._world.after(down_s, self.start)

    def stop(self) -> None:
        """SIGTERM: first no more is accepted, then what runs is broken off, then the process ends and starts anew."""
        if self.engine is None or self._is_frozen:
            return
        engine = self.engine
        self._world.mark("stop")
        self.tell(StopAsked(is_final=False))
        patience_s = self._world.chance.uniform(0.0, STOP_GRACE_S)
        self._world.after(patience_s, self._break_off, engine)

    def _break_off(self, engine: Engine) -> None:
        if self.engine is engine:
            self.tell(StopAsked(is_final=True))
            self._world.after(1.0, self._end, engine)

    def _end(self, engine: Engine) -> None:
        if self.engine is engine:
            self.crash(self._world.chance.uniform(0.2, 1.0))

    # --- what it is told ----------------------------------------------------------------------------------------

    def freeze(self, *, frames_kept: bool) -> None:
        """Suspend (frames are lost) or a stopped event loop (frames wait in the kernel). Boot time runs on."""
        self._is_frozen, self._frames_kept = True, frames_kept
        self._world.mark("freeze", about=frames_kept)

    def thaw(self) -> None:
        if not self._is_frozen:
            return
        self._is_frozen = False
        self._world.mark("thaw")
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            if isinstance(event, Persist):
                self._written(event)
            else:
                self.tell(event)
        self.run_timer()

    def hear(self, frame: Frame) -> None:
        """A frame is on the bus."""
        if self.engine is None or self.bus_state not in (BusState.UP, BusState.ERROR_PASSIVE):
            return
        if not self._is_frozen or (self._frames_kept and len(self._waiting) < FRAMES_WAITING_MAX):
            self.tell(frame)

    def stamped(self, frame: Frame) -> Frame:
        """The frame with the time at which the kernel took it in."""
        return frame

    def tell(self, event: Frame | Delivery | LinkEvent) -> None:
        """Something for the engine; it waits while the computer is frozen, and is lost while the agent is down."""
        engine, now_s = self.engine, self._world.now_s
        if engine is None:
            return
        if self._is_frozen:
            self._waiting.append(event)
            return
        self._timer_s = None
        if isinstance(event, Frame):
            self._world.judge.heard(event)
            engine.receive_frame(self.stamped(event), now_s)
        elif isinstance(event, Delivery):
            self._world.mark("delivery", event.payload, event.topic)
            engine.receive_delivery(event, now_s)
        else:
            self._world.mark(type(event).__name__, about=event)
            engine.receive_link(event, now_s)
        if self._world.is_eager and not self._is_waiting:
            engine.handle_timer(now_s)
        self.perform()

    def run_timer(self) -> None:
        """The engine's time has come. `app.py` asks it oftener, which `is_eager` worlds do too."""
        if self.engine is not None and not self.is_held_up:
            self._timer_s = None
            self.engine.handle_timer(self._world.now_s)
            self.perform()

    # --- what it does -------------------------------------------------------------------------------------------

    def perform(self) -> None:
        """Perform effects until there is none, or one takes its time."""
        if self._is_performing:  # an answer given within an effect: the loop outside goes on with what it brings
            return
        self._is_performing = True
        try:
            while not self.is_held_up and (engine := self.engine) is not None:
                if self.effects_until_crash == 0 and self._queue:
                    self.crash(self._world.chance.uniform(0.1, 3.0))
                    return
                if (effect := engine.next_effect()) is None:
                    return
                if self.effects_until_crash is not None:
                    self.effects_until_crash -= 1
                self._perform(effect)
        finally:
            self._is_performing = False

    def _perform(self, effect: Effect) -> None:
        world = self._world
        match effect:
            case Persist():
                self._persist(effect)
            case Fetch(sequences, token):
                self.tell(Fetched(token, self.disk.outbox.fetch(sequences)))
            case SendFrame():
                self._send(effect)
            case PulseRelay():
                self._pulse(effect)
            case Publish():
                world.mark("publish", effect.payload, effect.topic)
                world.judge.published(effect)
                world.broker.take_from_car(effect)
            case Acknowledge(delivery_id):
                world.broker.acknowledge(delivery_id)
            case Reconnect():
                world.after(0.0, world.broker.disconnect)
            case Log(level, event) if level <= Level.ERROR and event not in STORE_ERRORS:
                raise BrokenRuleError(f"the agent reports an error of its own: {effect}")
            case Stop(reason):
                world.mark("exit", about=reason)
                self._writing = None
                self._go_down(world.chance.uniform(0.5, 2.0))

    def _persist(self, effect: Persist) -> None:
        world, stall_s = self._world, self.stall_s
        world.mark("persist", about=effect.records)
        world.judge.asked_to_persist(effect.records, self._queue.asked_at_s)
        if stall_s == 0.0 and world.is_disk_slow:
            stall_s = world.chance.choice((0.0, 0.0, 0.002, 0.02))
        self._writing = effect
        if stall_s == 0.0:
            self._written(effect)
        else:
            world.after(stall_s, self._written, effect)

    def _written(self, effect: Persist) -> None:
        if self._writing is not effect:
            return  # of a process that is no more
        if self._is_frozen:
            # As in `app.py`, no effect is performed before the engine knows what became of the write.
            self._waiting.append(effect)
            return
        self._writing = None
        if self.is_store_broken:
            # Only what is telemetry goes on in memory; after any other write that failed nothing is told any more.
            self.has_telemetry_failed |= all(isinstance(record, TelemetryRecord) for record in effect.records)
            # An error at the sync says nothing of what is on the disk.
            if self._world.chance.random() < 0.3:
                self._make_durable(effect)
            self.tell(StoreFailed(effect.token, "input/output error"))
        else:
            self._make_durable(effect)
            self.tell(Stored(effect.token))

    def _make_durable(self, effect: Persist) -> None:
        self.disk.write(effect.records)
        self._world.judge.durable(effect.records)

    def _send(self, effect: SendFrame) -> None:
        world = self._world
        world.mark("send", effect.frame.data, effect.token)
        sending = world.judge.asked_to_send(effect.frame, self._queue.asked_at_s)
        assert self.engine is not None
        if world.now_s > effect.not_after_s or not self.engine.may_send(effect.token, world.now_s):
            self.tell(FrameNotSent(effect.token, Reason.EXPIRED))  # as `adapters/can_bus.py` has it
        elif self.bus_state is BusState.BUS_OFF:
            self.tell(FrameNotSent(effect.token, Reason.BUS_OFF))
        elif self.bus_state in (BusState.DOWN, BusState.GONE):
            self.tell(FrameNotSent(effect.token, Reason.CAN_DOWN))
        elif self.send_fault is not None:
            # Nobody can be sure of a frame that timed out.
            if self.send_fault is Reason.TIMEOUT and world.chance.random() < 0.3:
                self._put_on_bus(effect.frame, sending)
            self.tell(FrameNotSent(effect.token, self.send_fault))
        else:
            self._put_on_bus(effect.frame, sending)
            self.tell(FrameSent(effect.token, world.now_s))

    def _put_on_bus(self, frame: Frame, sending: Sending) -> None:
        self._world.judge.frame_left(sending)
        self._world.car.receive(frame, self._world.now_s)

    def _pulse(self, effect: PulseRelay) -> None:
        """As `adapters/relays.py` has it; what the line itself can do wrong comes with the faults of sending."""
        world = self._world
        world.mark("pulse", about=effect.pulse)
        sending = world.judge.asked_to_pulse(effect.pulse, self._queue.asked_at_s)
        assert self.engine is not None
        if world.now_s > effect.not_after_s or not self.engine.may_send(effect.token, world.now_s):
            self.tell(FrameNotSent(effect.token, Reason.EXPIRED))
        elif self.send_fault is Reason.CAN_DOWN:
            self.tell(FrameNotSent(effect.token, Reason.CAN_DOWN))  # the line cannot be had
        else:
            self._pulsing = effect
            world.judge.frame_left(sending)
            world.car.press_key_fob(world.now_s, is_locked=effect.pulse.line == "fob_lock")
            world.after(effect.pulse.pulse_s, self._opened, effect, sending)

    def _opened(self, effect: PulseRelay, sending: Sending) -> None:
        if self._pulsing is effect:
            self._world.judge.line_opened(sending)
            now_s = self._world.now_s
            # A line that does not do as it is told leaves it open what happened.
            is_done = self.send_fault is None
            told = FrameSent(effect.token, now_s) if is_done else FrameNotSent(effect.token, Reason.INTERNAL)
            self._world.after(effect.pulse.pause_s if is_done else 0.0, self._pulsed, effect, told)

    def _pulsed(self, effect: PulseRelay, told: FrameSent | FrameNotSent) -> None:
        if self._pulsing is effect:
            self._pulsing = None
            self.tell(told)
