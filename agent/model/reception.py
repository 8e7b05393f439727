"""What the kernel is asked to watch for us on a bus, in the terms of its broadcast manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass


class MessageId(NamedTuple):
    """One message on one bus; an extended id and a standard one of the same number are two.

    A tuple for its price: each change is looked up by it several times, and a dataclass computes its hash in Python.
    """

    bus: str
    arbitration_id: int
    is_extended_id: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """A message of which the kernel gives only the frames that change a bit of `masks`, in payload order.

    One mask: the wanted bits.  More of them: the first holds the bits of the selector, each further one a value of the
    selector in those bits and the bits wanted under that value in the others.

    `timeout_s`: after so long without any frame the kernel says that the message is gone; 0 for a message with a
    selector, of which no page can be timed: it is set up afresh every `refresh_s`, which gives each page once more.
    `throttle_s`: changes come no oftener; not above the time-out, so that a value held back is never older than that.
    `units_of` are messages whose values change their meaning with this one's.
    """

    message: MessageId
    is_fd: bool
    masks: tuple[bytes, ...]
    timeout_s: float
    throttle_s: float = 0.0
    refresh_s: float = 0.0
    units_of: tuple[MessageId, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeating:
    """A message whose frames say all they have to say in the bits of `mask`, which is as long as they are at least.

    Of those that repeat the one before in these bits the newest is given `every_s`, the others are left out.
    """

    message: MessageId
    mask: bytes
    every_s: float


class GoesOn(NamedTuple):
    """A message that comes at least every `within_s`, with the wanted bits last told; it is said if it stops."""

    message: MessageId
    within_s: float


class WatchNews(NamedTuple):
    """What the kernel told of the messages it watches on a bus, to be taken in in this order.

    `silent` are messages of which nobody will say any more that they stop: they have, or must come anew first.  Until
    `known_at_s` (boot time; None: as before) everything is told that had stopped by then.  `changes` are frames in
    order of their arrival.  `going_on` are all messages that go on coming, None if they are the same as before.
    """

    bus: str
    silent: Sequence[MessageId] = ()
    known_at_s: float | None = None
    changes: Sequence[Frame] = ()
    going_on: Sequence[GoesOn] | None = None
