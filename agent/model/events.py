"""What the edge tells the engine besides frames and deliveries (`Engine.receive_link`)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from agent.model.bus import BusLook, BusSign
from agent.model.command import Reason
from agent.model.frame import BusState
from agent.model.power import IgnitionLine, PowerFails, SupervisorFound, SupplyMeasured, Woken
from agent.model.quick_dataclass import dataclass
from agent.model.reception import MessageId
from agent.model.records import OutboxStored


@dataclass(frozen=True, slots=True)
class Delivery:
    """One inbound publication. `delivery_id` is what `Acknowledge` names."""

    topic: str
    payload: bytes
    is_retained: bool
    delivery_id: int


@dataclass(frozen=True, slots=True)
class BusChanged:
    """An interface is in another state, and what showed it; None: nothing is known beyond the state."""

    bus: str
    state: BusState
    sign: BusSign | None = None


@dataclass(frozen=True, slots=True)
class BusLooked:
    """What is counted of a bus, looked at every few seconds and before a `BusChanged`."""

    bus: str
    look: BusLook


@dataclass(frozen=True, slots=True)
class FramesLost:
    """The kernel had no room for so many frames of this bus, or messages about them, since this was told last."""

    bus: str
    count: int


@dataclass(frozen=True, slots=True)
class FramesCounted:
    """What became of frames of this bus at the edge since start.

    `counts` by what it was, `left_out` by message: those that changed nothing, or gave way to a newer one.
    """

    bus: str
    counts: Mapping[str, int]
    left_out: Mapping[MessageId, int]


@dataclass(frozen=True, slots=True)
class FrameSent:
    """A driver took the frame at `at_s` (boot time, read after the call returned).

    `is_echo_due`: `FrameEchoed` follows once another node has acknowledged it.
    """

    token: int
    at_s: float
    is_echo_due: bool = False


@dataclass(frozen=True, slots=True)
class FrameEchoed:
    """A frame that left came back from the driver at `at_s`: it was on the wire, and another node acknowledged it."""

    token: int
    at_s: float


@dataclass(frozen=True, slots=True)
class FrameNotSent:
    """The frame did not leave: can_down, bus_off, expired (held back), timeout (no room), internal (not on list)."""

    token: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Stored:
    token: int


@dataclass(frozen=True, slots=True)
class StoreFailed:
    token: int
    detail: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records asked for by `Fetch`, in the order of their numbers; one that cannot be read is not among them."""

    token: int
    records: tuple[OutboxStored, ...]


@dataclass(frozen=True, slots=True)
class BrokerUp:
    """Connected and subscribed, but for the topics in `refused` (each with the broker's reason)."""

    refused: tuple[str, ...] = ()


class LinkEnd(StrEnum):
    """Why there is no link, as far as it makes a difference to what is done about it."""

    LOST = "lost"
    SESSION_KEPT = "session_kept"
    """The broker kept a session although a clean start was asked for: it may have kept commands in it (H62)."""
    CERTIFICATE_REFUSED = "certificate_refused"
    """The broker does not take this car's certificate (expired, revoked, unknown), which only a person mends (H66)."""


@dataclass(frozen=True, slots=True)
class BrokerDown:
    """No connection, or no longer: `detail` for a person."""

    detail: str
    end: LinkEnd = LinkEnd.LOST


@dataclass(frozen=True, slots=True)
class Published:
    """The broker's answer to one `Publish`: `refusal` is None on success, else why (also: connection lost)."""

    token: int
    refusal: str | None


class ClockTrust(IntEnum):
    """csa1 time states."""

    FLOOR_ONLY = 0
    ESTIMATED = 1
    ATTESTED = 2


@dataclass(frozen=True, slots=True)
class ClockSet:
    """Unix time = boot time + `offset_s`, as far as `trust` goes."""

    offset_s: float
    trust: ClockTrust


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The supervisor asks us to end (SIGTERM): accept nothing new, and break off what runs if `is_final`."""

    is_final: bool


LinkEvent = (
    BusChanged
    | BusLooked
    | FramesLost
    | FramesCounted
    | FrameSent
    | FrameEchoed
    | FrameNotSent
    | Stored
    | StoreFailed
    | Fetched
    | BrokerUp
    | BrokerDown
    | Published
    | ClockSet
    | StopAsked
    | SupervisorFound
    | SupplyMeasured
    | IgnitionLine
    | PowerFails
    | Woken
)
