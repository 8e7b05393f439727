"""Faults no real broker makes on request: what a test or a person at the bench may ask of the bench broker."""

from __future__ import annotations

import asyncio
from dataclasses import field

from agent.bench.topic_filter import matches
from agent.model.quick_dataclass import dataclass


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class BrokerFaults:
    """Counters count down as faults happen; topics are filters.

    `pubacks_to_drop`: so many PUBACKs are not sent (the message itself is routed).
    `deliveries_to_duplicate`: so many QoS 1 deliveries are sent twice, the second with DUP.
    `refused_topics`: publishing there is answered `not authorized` (QoS 0: dropped), and so is subscribing to
    exactly that filter.
    `swallowed_topics`: publications there are acknowledged and go nowhere.
    """

    pubacks_to_drop: int = 0
    deliveries_to_duplicate: int = 0
    refused_topics: set[str] = field(default_factory=set)
    swallowed_topics: set[str] = field(default_factory=set)
    thawed: asyncio.Event = field(default_factory=_set_event)

    @property
    def is_frozen(self) -> bool:
        return not self.thawed.is_set()

    def freeze(self) -> None:
        """Keep every connection open and let nothing through, either way, until `thaw`."""
        self.thawed.clear()

    def thaw(self) -> None:
        self.thawed.set()

    def clear(self) -> None:
        """No fault from here on."""
        self.pubacks_to_drop = self.deliveries_to_duplicate = 0
        self.refused_topics.clear()
        self.swallowed_topics.clear()
        self.thaw()

    def is_refused(self, topic: str) -> bool:
        return any(matches(pattern, topic) for pattern in self.refused_topics)

    def is_swallowed(self, topic: str) -> bool:
        return any(matches(pattern, topic) for pattern in self.swallowed_topics)

    def takes_puback(self) -> bool:
        """Whether the PUBACK due now is lost."""
        if self.pubacks_to_drop == 0:
            return False
        self.pubacks_to_drop -= 1
        return True

    def duplicates_delivery(self) -> bool:
        """Whether the delivery due now is made twice."""
        if self.deliveries_to_duplicate == 0:
            return False
        self.deliveries_to_duplicate -= 1
        return True
