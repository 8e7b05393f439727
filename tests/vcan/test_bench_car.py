"""The virtual car on a real kernel's CAN interface."""

from __future__ import annotations

import subprocess
import time

import can
import pytest

from agent.bench.vehicle import demo_folder, load_vehicle
from agent.model.command import Action
from tests.support.bench_car import BenchCar

pytestmark = pytest.mark.vcan

VCAN = ("--interface", "socketcan", "--channel", "vcan0")
TIMEOUT_S = 10.0

PROFILE, DATABASES = load_vehicle(demo_folder())
DATABASE = DATABASES["body"]


def next_frame(bus: can.BusABC, message: str) -> can.Message:
    """The next frame of that DBC message, within a bound."""
    ends_at_s = time.monotonic() + TIMEOUT_S
    while (received := bus.recv(max(0.0, ends_at_s - time.monotonic()))) is not None:
        if received.arbitration_id == DATABASE.messages[message].arbitration_id:
            return received
    raise AssertionError(f"no {message} within {TIMEOUT_S} s")


def test_it_sleeps_wakes_and_obeys_what_comes_over_vcan() -> None:
    recipe = PROFILE.recipes[Action.UNLOCK]
    assert recipe.wake is not None
    wake, request = recipe.wake.frames[0], recipe.frames[0]
    assert request.checksum is not None
    data = request.checksum.field.insert(request.data, request.checksum.compute(request.data))
    with can.Bus(channel="vcan0", interface="socketcan") as bus, BenchCar(*VCAN) as car:
        assert bus.recv(0.3) is None
        bus.send(can.Message(arbitration_id=wake.arbitration_id, data=wake.data, is_extended_id=True))
        next_frame(bus, "LockStatus")
        bus.send(can.Message(arbitration_id=request.arbitration_id, data=data, is_extended_id=False))
        assert car.event("lock_request") | {"at_s": 0} == {
            "event": "lock_request",
            "at_s": 0,
            "count": 1,
            "request": "unlock",
        }
        assert car.event("lock_moved")["state"] == "Unlocked"


def test_it_goes_on_sending_when_its_interface_is_up_again() -> None:
    with BenchCar(*VCAN, "--awake") as car:
        try:
            subprocess.run(["ip", "link", "set", "vcan0", "down"], check=True, timeout=10)
            car.event("send_failed")
        finally:
            subprocess.run(["ip", "link", "set", "vcan0", "up"], check=True, timeout=10)
        with can.Bus(channel="vcan0", interface="socketcan") as bus:
            next_frame(bus, "MotionStatus")
