"""A car whose doors are worked by its body controller, told to by diagnostic requests; and an agent beside it."""

from __future__ import annotations

import heapq
from functools import cache

from agent.bench.car import VirtualCar
from agent.model.frame import Frame
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.support.control_unit import POLL
from tests.support.disk import Disk
from tests.support.pair import FOLDER, Pair, Remains, vehicle

REQUEST_ID, RESPONSE_ID = 0x740, 0x760
"""Those of the poll of `control_unit` too: one control unit that is asked and told things."""

SESSION, LOCK, UNLOCK = bytes.fromhex("10C0"), bytes.fromhex("30010000"), bytes.fromhex("30010001")
POLLED = bytes.fromhex("22C0DE")
LATENCY_S = 0.02
SESSION_S = 5.0
"""S3 of ISO 14229-2: nobody asked for so long, the session closes by itself."""

CONDITIONS_NOT_CORRECT, BUSY, PENDING, NOT_IN_SESSION = 0x22, 0x21, 0x78, 0x7F

EXCHANGE = """exchange = { bus = "body", request_id = 0x740, response_id = 0x760, requests = [
  { send = [0x10, 0xC0] },
  { send = [0x30, 0x01, 0x00, %s], answer = [0x70, 0x01, 0x00, %s], times = TIMES, pause_s = 0.05 },
] }
"""


def talking_text(*, has_feedback: bool = True, times: int = 2, repeats_max: int = 2, has_poll: bool = False) -> str:
    """`profile.toml` of the demo car, its doors worked by requests in place of frames."""
    text = (FOLDER / "profile.toml").read_text()
    for word, number in (("Unlock", "0x01"), ("Lock", "0x00")):
        frames = f'frames = [ {{ bus = "body", message = "LockRequest", values = {{ Request = "{word}" }} }} ]\n'
        old = f"{frames}repeats_max = 10\ninterval_s = 0.1\n"
        assert text.count(old) == 1
        exchange = (EXCHANGE % (number, number)).replace("TIMES", str(times))
        text = text.replace(old, f"{exchange}repeats_max = {repeats_max}\ninterval_s = 1.0\n")
    if not has_feedback:
        for asked in ("false", "true"):
            path = "Vehicle.Carshare.CentralLock.IsLocked"
            fed = f'feedback = [ {{ path = "{path}", equals = {asked}, confirmations = 2 }} ]'
            assert fed in text
            text = text.replace(fed, "feedback = []")
    return text + (POLL if has_poll else "")


@cache
def talking_profile(
    *, has_feedback: bool = True, times: int = 2, repeats_max: int = 2, has_poll: bool = False
) -> Profile:
    """That car."""
    text = talking_text(has_feedback=has_feedback, times=times, repeats_max=repeats_max, has_poll=has_poll)
    parsed = parse_profile(text, {path.name: path.read_bytes() for path in FOLDER.glob("*.dbc")}, source="profile.toml")
    assert isinstance(parsed, Profile), parsed
    return parsed


class TalkingCar(VirtualCar):
    """`heard` are the payloads of all requests, with their times. What it says to each kind can be set."""

    def __init__(self, *, is_asleep: bool, is_locked: bool) -> None:
        profile, database = vehicle()
        super().__init__(profile, database, now_s=1000.0, is_asleep=is_asleep, is_locked=is_locked, sleep_after_s=1e9)
        self.bus = profile.buses[0].name
        self.heard: list[tuple[float, bytes]] = []
        self.actuations = 0
        self.refusals: dict[bytes, list[int]] = {}
        """By the request: the codes it is refused with, one after the other; then it is obeyed."""
        self.silent_to: set[bytes] = set()
        self.said_besides: dict[bytes, bytes] = {}
        """By the request: what somebody says on its identifier meanwhile."""
        self.latency_s = LATENCY_S
        self.session_until_s = 0.0
        self._answers: list[tuple[float, bytes]] = []

    def receive(self, frame: Frame, now_s: float) -> None:
        if frame.arbitration_id != REQUEST_ID:
            super().receive(frame, now_s)
            return
        payload = frame.data[1 : 1 + frame.data[0]]
        self.heard.append((now_s, payload))
        if (foreign := self.said_besides.get(payload)) is not None:
            self._say(now_s, foreign)
        if payload in self.silent_to:
            return
        codes = self.refusals.get(payload, [])
        if codes:
            self._say(now_s, bytes([0x7F, payload[0], codes.pop(0)]))
            return
        if payload == SESSION:
            self.session_until_s = now_s + SESSION_S
            self._say(now_s, b"\x50\xc0")
        elif payload in (LOCK, UNLOCK):
            if now_s > self.session_until_s:
                self._say(now_s, bytes([0x7F, 0x30, NOT_IN_SESSION]))
                return
            self.session_until_s = now_s + SESSION_S
            self.actuations += self.lock.is_locked is not (payload == LOCK) and not self.lock.is_moving
            self.press_key_fob(now_s, is_locked=payload == LOCK)
            self._say(now_s, bytes([0x70]) + payload[1:])
        elif payload == POLLED:
            self._say(now_s, bytes([0x7F, 0x22, 0x31]))

    def say_later(self, at_s: float, payload: bytes) -> None:
        heapq.heappush(self._answers, (at_s, payload))

    def _say(self, now_s: float, payload: bytes) -> None:
        self.say_later(now_s + self.latency_s, payload)

    def step(self, now_s: float) -> list[Frame]:
        frames = super().step(now_s)
        while self._answers and self._answers[0][0] <= now_s:
            at_s, payload = heapq.heappop(self._answers)
            frames.append(Frame(self.bus, RESPONSE_ID, (bytes([len(payload)]) + payload).ljust(8, b"\0"), at_s))
        return sorted(frames, key=lambda frame: frame.received_at_s)


class TalkingPair(Pair):
    """An agent at such a car."""

    car: TalkingCar

    def __init__(self, profile: Profile | None = None, *, is_asleep: bool = False, is_locked: bool = True) -> None:
        car = TalkingCar(is_asleep=is_asleep, is_locked=is_locked)
        super().__init__(profile=profile or talking_profile(), remains=Remains(1000.0, car, Disk(), 0))

    @property
    def requests(self) -> list[bytes]:
        """The payloads of all requests that reached the control unit, in their order."""
        return [payload for _, payload in self.car.heard]
