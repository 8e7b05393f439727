"""The ports by machine: a second adapter, the bench's virtual car on it, error frames, a broker that goes away."""

from __future__ import annotations

import queue
import socket
import struct
import time
from typing import Any

import can

from tests.support.bench_car import BenchCar
from tests.support.mosquitto import Mosquitto

from bench_file import Channel

CAN_ERR_FLAG = 0x2000_0000
CAN_ERR_BUSOFF, CAN_ERR_RESTARTED = 0x40, 0x100


class AdapterPeer:
    """A python-can bus."""

    def __init__(self, channel: Channel) -> None:
        self._bus = can.Bus(interface=channel.interface, channel=channel.channel)

    def send(self, message: can.Message) -> None:
        self._bus.send(message, timeout=1.0)

    def receive(self, within_s: float) -> can.Message | None:
        ends_at_s = time.monotonic() + within_s
        while (message := self._bus.recv(max(0.0, ends_at_s - time.monotonic()))) is not None:
            if not message.is_error_frame:
                return message
        return None

    def close(self) -> None:
        self._bus.shutdown()


class VirtualLock:
    """The lock of the bench's virtual car, which tells on a channel of its own when its motors have moved."""

    is_timed = True

    def __init__(self, car: BenchCar) -> None:
        self._car = car

    def is_locked(self) -> bool:
        return bool(self._car.state()["lock"] == "Locked")

    def moved_at_s(self, within_s: float) -> float | None:
        try:
            event: dict[str, Any] = self._car.event("lock_moved", within_s=within_s)
        except queue.Empty:
            return None
        return float(event["at_s"])


class VirtualIgnition:
    def __init__(self, car: BenchCar) -> None:
        self._car = car

    def on(self) -> None:
        self._car.say("ignition on")
        self._car.event("switched_on")

    def off(self) -> None:
        self._car.say("ignition off")
        self._car.event("switched_off")


class ErrorFrames:
    """What a controller in bus-off makes the kernel say, on an interface that has no controller (vcan)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel.channel

    def begin(self) -> None:
        self._send(CAN_ERR_BUSOFF)

    def end(self) -> None:
        self._send(CAN_ERR_RESTARTED)

    def _send(self, error_class: int) -> None:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
            raw.bind((self._channel,))
            raw.send(struct.pack("=IB3x8s", CAN_ERR_FLAG | error_class, 8, bytes(8)))


class BrokerLink:
    """A broker that is gone, for a modem that is."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker

    def down(self) -> None:
        self._broker.stop()

    def up(self) -> None:
        self._broker.start()
