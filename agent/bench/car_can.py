"""A virtual car on python-can buses: vcan0, another interface, or python-can's in-process `virtual`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping

import can

from agent.bench.car import CarEvent, VirtualCar
from agent.bench.car_commands import perform
from agent.errors import BusError
from agent.model.frame import Frame

IDLE_S_MAX = 0.5  # a car that waits for nothing is still looked at: its physics may be changed from outside
SEND_TIMEOUT_S = 0.05  # a full transmit queue is told of, not waited for: the next cycle brings newer values
RECEIVE_POLL_S = 0.2  # how long the reading thread of a bus without a file descriptor takes to notice the end
FAILURES_MAX = 10  # failed readings in a row after which the interface counts as gone
FRAMES_A_TURN_MAX = 256  # a flooded bus must not keep the car from sending


class CarOnBus:
    """Runs a `VirtualCar` in real time. `on_event` gets what the car does, and `send_failed` when a bus refuses.

    `channels` has the channel of each bus of the car's profile, all of one python-can interface.
    """

    def __init__(
        self,
        car: VirtualCar,
        *,
        interface: str,
        channels: Mapping[str, str],
        on_event: Callable[[CarEvent], None],
    ) -> None:
        self.car = car
        self.opened = asyncio.Event()
        """Set once the car is on its buses."""
        self._interface = interface
        self._channels = channels
        self._on_event = on_event
        self._changed = asyncio.Event()
        self._is_sending = True
        self._is_closing = False
        self._failures = dict.fromkeys(channels, 0)

    @staticmethod
    def now_s() -> float:
        """The clock a car on a bus lives by."""
        return time.monotonic()

    def do(self, line: str) -> None:
        """Do what a command line says, now; raises `CarRefusesError`."""
        perform(self.car, line, self.now_s())
        self._changed.set()

    async def run(self) -> None:
        """Be the car until cancelled; raises `BusError` if a bus cannot be opened."""
        with contextlib.ExitStack() as opened:
            buses: dict[str, can.BusABC] = {}
            for name, channel in self._channels.items():
                buses[name] = bus = self._open(channel)
                opened.callback(bus.shutdown)
                opened.callback(self._start_reading(name, bus))
            opened.callback(self._close)
            self.opened.set()
            while True:
                self._changed.clear()
                for name, failures in self._failures.items():
                    if failures >= FAILURES_MAX:
                        raise BusError(f"the CAN interface {self._interface}:{self._channels[name]} is gone")
                self._step(buses)
                await self._wait()

    def _open(self, channel: str) -> can.BusABC:
        try:
            return can.Bus(channel=channel, interface=self._interface)
        except (can.CanError, OSError, ValueError, ImportError) as error:
            raise BusError(f"cannot open the CAN interface {self._interface}:{channel}: {error}") from error

    def _close(self) -> None:
        self._is_closing = True

    def _step(self, buses: Mapping[str, can.BusABC]) -> None:
        for frame in self.car.step(self.now_s()):
            self._send(buses[frame.bus], frame)
        for event in self.car.drain_events():
            self._on_event(event)

    async def _wait(self) -> None:
        next_s = self.car.next_step_at()
        wait_s = IDLE_S_MAX if next_s is None else min(next_s - self.now_s(), IDLE_S_MAX)
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _send(self, bus: can.BusABC, frame: Frame) -> None:
        try:
            bus.send(
                can.Message(
                    arbitration_id=frame.arbitration_id,
                    data=frame.data,
                    is_extended_id=frame.is_extended_id,
                    is_fd=frame.is_fd,
                ),
                timeout=SEND_TIMEOUT_S,
            )
        except can.CanError as error:
            if self._is_sending:  # told once, not for each frame
                self._on_event(CarEvent("send_failed", self.now_s(), {"problem": str(error)}))
            self._is_sending = False
        else:
            self._is_sending = True

    def _start_reading(self, name: str, bus: can.BusABC) -> Callable[[], None]:
        """Have frames given to the car; returns what stops that."""
        loop = asyncio.get_running_loop()
        try:
            descriptor = bus.fileno()
        except NotImplementedError:
            descriptor = -1
        if descriptor >= 0:
            loop.add_reader(descriptor, self._drain, name, bus)

            def stop_reading() -> None:
                loop.remove_reader(descriptor)

            return stop_reading
        thread = threading.Thread(target=self._read, args=(name, bus, loop), name=f"bench-car-{name}", daemon=True)
        thread.start()
        return thread.join

    def _drain(self, name: str, bus: can.BusABC) -> None:
        try:
            for _ in range(FRAMES_A_TURN_MAX):
                if (message := bus.recv(timeout=0)) is None:
                    break
                self._receive(name, message)
            self._failures[name] = 0
        except can.CanError as error:  # an interface that went down says so once, one that is gone at every turn
            self._failures[name] += 1
            self._on_event(CarEvent("receive_failed", self.now_s(), {"problem": str(error)}))
            if self._failures[name] >= FAILURES_MAX:
                asyncio.get_running_loop().remove_reader(bus.fileno())
                self._changed.set()

    def _read(self, name: str, bus: can.BusABC, loop: asyncio.AbstractEventLoop) -> None:
        while not self._is_closing:
            if (message := bus.recv(timeout=RECEIVE_POLL_S)) is not None:
                loop.call_soon_threadsafe(self._receive, name, message)

    def _receive(self, name: str, message: can.Message) -> None:
        if message.is_error_frame or message.is_remote_frame:
            return
        now_s = self.now_s()
        self.car.receive(
            Frame(
                name,
                message.arbitration_id,
                bytes(message.data),
                now_s,
                message.is_extended_id,
                message.is_fd,
            ),
            now_s,
        )
        self._changed.set()
