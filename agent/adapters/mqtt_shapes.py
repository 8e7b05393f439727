"""What is asked of a broker and what it refuses, by itself: the library behind `mqtt_link` is loaded later."""

from __future__ import annotations

from agent.model.quick_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter, subscribed at QoS 1. The defaults are for commands: nothing retained is wanted (csa1 A6)."""

    topic_filter: str
    retain_handling: int = 2
    is_retain_as_published: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker's refusal of a publication without a token."""

    topic: str
    reason: str
