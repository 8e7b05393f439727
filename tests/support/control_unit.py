"""A control unit that answers one question, and the demo hatchback with a poll for it."""

from __future__ import annotations

from functools import cache

from agent.model.frame import Frame
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.profiles.shipped import files, profile_text

CYCLES = "Vehicle.Carshare.IgnitionCycles"
REQUEST_ID, RESPONSE_ID = 0x740, 0x760
REQUEST, FLOW_CONTROL = bytes.fromhex("0322C0DE00000000"), bytes.fromhex("3000050000000000")
PERIOD_S = 10.0
POLL = f"""
[[polls]]
name = "cycles"
request_id = {REQUEST_ID:#x}
response_id = {RESPONSE_ID:#x}
service = 0x22
identifier = 0xC0DE
period_s = {PERIOD_S}
lengths = [8]
[[polls.values]]
path = "{CYCLES}"
byte = 4
bits = 32
"""


@cache
def asked_car() -> Profile:
    """The demo hatchback, which is asked for its ignition cycles too."""
    parsed = parse_profile(profile_text("demo_hatchback") + POLL, files("demo_hatchback"), source="profile.toml")
    assert isinstance(parsed, Profile), parsed
    return parsed


class ControlUnit:
    """Answers in two frames, the second after flow control; `cycles` is what it says."""

    def __init__(self, cycles: int) -> None:
        self.cycles = cycles
        self.requests_s: list[float] = []

    def hear(self, frame: Frame, now_s: float) -> list[Frame]:
        """What it puts on the bus when it hears `frame`."""
        payload = bytes.fromhex("62C0DE") + bytes(4) + self.cycles.to_bytes(4, "big")
        if frame.arbitration_id != REQUEST_ID:
            return []
        if frame.data == REQUEST:
            self.requests_s.append(now_s)
            return [Frame(frame.bus, RESPONSE_ID, bytes([0x10, len(payload)]) + payload[:6], now_s)]
        if frame.data == FLOW_CONTROL:
            return [Frame(frame.bus, RESPONSE_ID, b"\x21" + payload[6:], now_s)]
        return []
