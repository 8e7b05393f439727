"""`doctor` listens on a kernel's CAN: it tells frames from errors, and never sends one."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.doctor.checks.bus import HeardFacts
from agent.doctor.listening import listen
from tests.support.plans import ARBITRATION_ID, SPEED, message_plan, profile_of, signal_plan

pytestmark = pytest.mark.vcan

PROFILE = profile_of(
    message_plan(signal_plan(SPEED)),
    message_plan(signal_plan("Vehicle.TraveledDistance"), name="Missing", arbitration_id=0x7AB),
)
ERROR, REMOTE, EXTENDED = 0x20000000, 0x40000000, 0x80000000
INTERVAL_S = 0.02


def frame(identifier: int, data: bytes = bytes(8)) -> bytes:
    return struct.pack("=IB3x8s", identifier, len(data), data)


def raw_socket() -> socket.socket:
    can = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    can.bind(("vcan0",))
    return can


@contextmanager
def bus_with(*frames: bytes) -> Iterator[socket.socket]:
    """The frames again and again on vcan0, and a socket that hears what anybody else sends there."""
    over = threading.Event()
    with raw_socket() as sender, raw_socket() as witness:
        sender.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        witness.setblocking(False)

        def send() -> None:
            while not over.wait(INTERVAL_S):
                for each in frames:
                    sender.send(each)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            yield witness
        finally:
            over.set()
            sending.join()


def heard(seconds: float = 0.5) -> HeardFacts:
    found = listen({"body": "vcan0"}, PROFILE, seconds)["body"]
    assert isinstance(found, HeardFacts), found
    return found


def test_frames_are_told_from_errors_and_the_profiles_from_others() -> None:
    fd = struct.pack("=IBB2x64s", 0x321, 64, 0, bytes(64))
    strangers = [frame(ARBITRATION_ID | EXTENDED), frame(0x7AB | REMOTE), fd]
    with bus_with(frame(ARBITRATION_ID), *strangers, frame(ERROR | 0x80)):
        facts = heard()
    assert facts.believed == {"Status"}
    assert facts.refused == frozenset()
    assert facts.errors >= 5
    assert facts.frames == pytest.approx(4 * facts.errors, abs=4)


def test_message_that_is_too_short_is_heard_and_refused() -> None:
    with bus_with(frame(ARBITRATION_ID, b"")):
        facts = heard()
    assert facts.believed == frozenset()
    assert facts.refused == {"Status"}


def test_listening_sends_nothing_and_silence_is_heard_as_such() -> None:
    """SR-01, SR-08."""
    with bus_with() as witness:
        facts = heard(0.2)
        with pytest.raises(BlockingIOError):
            witness.recv(16)
    assert (facts.frames, facts.errors) == (0, 0)


def test_interface_that_is_not_there_keeps_no_other_from_being_heard() -> None:
    with bus_with(frame(ARBITRATION_ID)):
        found = listen({"gateway": "can987", "body": "vcan0"}, PROFILE, 0.3)
    assert found["gateway"] == "can987 cannot be listened to: No such device"
    assert isinstance(found["body"], HeardFacts)
    assert found["body"].frames >= 3
