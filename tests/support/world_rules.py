"""The figures and nouns that the judge of a simulated world goes by, written down apart from the program's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

from agent.command.envelope import CommandPayload, Result
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.frame import Frame
from agent.model.reading import Quality
from agent.model.records import OutboxStored
from agent.uplink.wire import as_historical
from tests.support.pair import vehicle
from tests.support.ways import Way
from tests.support.world_station import Wish
from tests.support.world_truths import DRIVE_ENABLED, IGNITION, LOCKED, SPEED

CONFIRMATIONS: Final = 2
WATCHING_S_MAX: Final = 2 * 3.0
"""The feedback window, which begins only when that of a command before it has ended."""

SPEED_FRESHNESS_S: Final = 0.5
IGNITION_FRESHNESS_S: Final = 2.0
"""As the demo hatchback's profile has it, and the figures above."""

READBACK_S: Final = 1.5
"""After a start the bus gets so long to show what an interrupted command left behind."""

MS_S: Final = 0.001
"""Session time is told in whole milliseconds."""

SLACK_S: Final = 1.0
"""Between an engine's timer and its being asked."""

DRIFT_S: Final = 0.05
"""Two clocks that are 80 ppm wrong, over the longest life of a command."""

MAPPING_LAG_MS_MAX: Final = 10_100
"""A backend may think the session ten seconds younger than it is (protocol section 2.3), and never older."""

TARGETS: Final = {
    Action.UNLOCK: (LOCKED, False),
    Action.LOCK: (LOCKED, True),
    Action.ENABLE_DRIVE: (DRIVE_ENABLED, True),
    Action.DISABLE_DRIVE: (DRIVE_ENABLED, False),
}
"""What each action is to bring about. Of the one that is missing the car tells nothing."""

MAY_BE_GIVEN_BACK: Final = {
    SPEED: 0.0,
    IGNITION: "OFF",
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": False,
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen": False,
    "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen": False,
    "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen": False,
    "Vehicle.Body.Trunk.Rear.IsOpen": False,
}
"""What the car must say, all of it and freshly, for a rental to end."""

QUESTIONS: Final = (Action.REPORT, Action.CHECK_RETURN)

_REQUESTS: Final = (
    (Action.UNLOCK, "LockRequest", "Unlock"),
    (Action.LOCK, "LockRequest", "Lock"),
    (Action.ENABLE_DRIVE, "DriveRequest", "Release"),
    (Action.DISABLE_DRIVE, "DriveRequest", "Engage"),
    (Action.LOCATE, "LocateRequest", "FlashAndHorn"),
)

_TOLD: Final = {Action.UNLOCK: "0430010001000000", Action.LOCK: "0430010000000000"}
"""Of the car whose doors are worked by requests: the frames that ask for each, and the one that opens a session."""
_SESSION: Final = "0210C00000000000"
_UNIT_ID: Final = 0x740
QUESTION: Final = (_UNIT_ID, False, bytes.fromhex("0322C0DE00000000"))
ANSWER_ID: Final = 0x760
"""It is asked for a value too, which it does not know and refuses; no command is needed for that."""

IN_FLIGHT_S: Final = 1.0
"""For so long a request without an answer keeps everybody from asking on that bus (the agent waits no less)."""

BUTTONS: Final = {"fob_unlock": Action.UNLOCK, "fob_lock": Action.LOCK}
PRESS_S: Final = (0.3, 0.2)
"""Of the car whose doors are worked by relays: which line asks for what; how long it is closed, and the pause."""

Outcome = tuple[Stage, Reason, Executed]
CommandBytes = tuple[bytes, bytes]
"""One command by its id and the first eight bytes of its digest."""


@cache
def frames_allowed(way: Way) -> dict[tuple[int, bool, bytes], Action | None]:
    """SR-01: every frame that may ever leave, put together by the DBC's names; the action it asks for, None: wake-up
    or session."""
    profile, databases = vehicle()
    body = databases["body"]

    def frame(message: str, payload: bytes) -> tuple[int, bool, bytes]:
        spec = body.messages[message]
        return bits(Frame("body", spec.arbitration_id, payload, 0.0, spec.is_extended_id))

    allowed: dict[tuple[int, bool, bytes], Action | None] = {
        frame("WakeRequest", body.encode("WakeRequest", {"Wake": 1, "WakeReason": "DoorCommand"})): None
    }
    if way is Way.REQUESTS:
        allowed[_UNIT_ID, False, bytes.fromhex(_SESSION)] = None
        allowed |= {(_UNIT_ID, False, bytes.fromhex(data)): action for action, data in _TOLD.items()}
    for action, message, word in _REQUESTS:
        if way is not Way.FRAMES and message == "LockRequest":
            continue
        checksum = profile.recipes[action].frames[0].checksum
        assert checksum is not None
        for counter in range(16):
            payload = body.encode(message, {"Request": word, "RequestCounter": counter, "RequestCrc": 0})
            allowed[frame(message, checksum.field.insert(payload, checksum.compute(payload)))] = action
    return allowed


def is_given_back_rightly(result: Result) -> bool:
    """Whether the signed evidence shows that the rental may end: every condition, met and fresh at that moment."""
    shown = {piece.path: piece for piece in result.evidence}
    return shown.keys() == MAY_BE_GIVEN_BACK.keys() and all(
        shown[path].quality is Quality.OK
        and shown[path].value == wanted
        and shown[path].age_ms <= 1000 * (SPEED_FRESHNESS_S if path == SPEED else IGNITION_FRESHNESS_S)
        for path, wanted in MAY_BE_GIVEN_BACK.items()
    )


def is_refused_rightly(result: Result) -> bool:
    """Whether the evidence of a refused return begins with what forbids it: a value that does, or none."""
    if not result.evidence:
        return False
    decisive = result.evidence[0]
    is_met = decisive.quality is Quality.OK and decisive.value == MAY_BE_GIVEN_BACK.get(decisive.path)
    return not is_met and (decisive.value is not None) == (result.reason in _FORBIDDEN)


_FORBIDDEN = (Reason.MOVING, Reason.IGNITION_ON, Reason.DOOR_OPEN)


def tells(record: OutboxStored, payload: bytes) -> bool:
    """Whether a publication is that record, told at once or after a time without connection."""
    return payload in (record.payload, as_historical(record.payload))


def bits(frame: Frame) -> tuple[int, bool, bytes]:
    """What of a frame is seen on the bus."""
    return frame.arbitration_id, frame.is_extended_id, frame.data


@dataclass(frozen=True, slots=True)
class Signed:
    """One command as a station signed it: the only bytes there will ever be of it."""

    payload: CommandPayload
    kid: bytes
    digest: bytes
    wish: Wish
    until_s: float
    """When nobody waits for it any more, and no frame of it may leave."""


@dataclass(slots=True)
class Acted:
    """What became of the command frames of one command."""

    sid: bytes
    left_first_s: float
    left_last_s: float
    seen: list[tuple[float, float, bool | None]] = field(default_factory=list)
    """Frames the car sent after our first one: when the agent heard it, when it was sent, and whether it shows the
    asked state (True), the other (False), or none."""
    was_shown_early: bool = False
    """The asked state was shown while a line was closed, which proves nothing and may have been our doing."""

    def shown(self, by_s: float) -> int:
        """How many show the asked state, of those heard by then."""
        return sum(is_asked is True for heard_at_s, _, is_asked in self.seen if heard_at_s <= by_s)

    def other_at_s(self, by_s: float) -> float:
        """When the last of them was sent, if it shows the other state."""
        last = [one for one in self.seen if one[0] <= by_s][-1:]
        return last[0][1] if last and last[0][2] is False else float("-inf")


@dataclass(frozen=True, slots=True)
class Sending:
    """A frame the agent asked to send, and for which command."""

    cid: bytes
    is_action: bool
    is_request: bool = False
    """One that a control unit answers."""
