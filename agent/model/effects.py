"""What the engine asks for. `app.py` performs effects one by one, in order; that order is the safety argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum

from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.reception import MessageId
from agent.model.records import Record


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Put `frame` on its bus, but not after `not_after_s` (boot time). Answered by `FrameSent` or `FrameNotSent`."""

    frame: Frame
    token: int
    not_after_s: float


@dataclass(frozen=True, slots=True)
class PulseRelay:
    """Close and open a relay, but do not close it after `not_after_s` (boot time).

    Answered as a frame is, once the line is open again and its pause is over: `FrameSent` or `FrameNotSent`.
    """

    pulse: Pulse
    token: int
    not_after_s: float


@dataclass(frozen=True, slots=True)
class Attend:
    """Receive every frame of these messages from now on (none: no command needs them), the others as before."""

    messages: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class WatchAfresh:
    """A frame of this message was refused: its next one is wanted, even if the kernel finds nothing changed in it."""

    message: MessageId


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand a message to the broker at QoS 1. Answered by `Published` where `token` is not None."""

    topic: str
    payload: bytes
    is_retained: bool = False
    expiry_s: int | None = None
    token: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Acknowledge a delivery to the broker: what to do with it has been decided, and is durable if it must be."""

    delivery_id: int


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Give up the connection to the broker, which looks alive and is not, and make a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The end of this connection has been announced: close it, when it is closed, without the last will."""


@dataclass(frozen=True, slots=True)
class RequestPowerOff:
    """End the process in order, and once the store is closed have the supervisor cut the power `after_s` later."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the records durable, all or none, before the next effect. Answered by `Stored` or `StoreFailed`."""

    records: tuple[Record, ...]
    token: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read records of the outbox back. Answered by `Fetched` with those that are there."""

    sequences: tuple[int, ...]
    token: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Take messages of these operators from now on, and of no others; the connection may be begun anew for it."""

    operators: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the supervisor (systemd) one `key=value` line."""

    status: str
    is_ready: bool = False


class Level(IntEnum):
    """Syslog's severities, of which four are used."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the journal: an event name and fields; never a secret, never unauthenticated content."""

    level: Level
    event: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process with failure so that the supervisor starts it afresh."""

    reason: str


Effect = (
    SendFrame
    | PulseRelay
    | Attend
    | WatchAfresh
    | Publish
    | Acknowledge
    | Reconnect
    | Leave
    | RequestPowerOff
    | Persist
    | Fetch
    | Subscribe
    | Notify
    | Log
    | Stop
)
