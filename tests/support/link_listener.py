"""What a `Broker` tells, collected so that a test can wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from agent.adapters.broker import Broker, BrokerSettings, Subscription
from agent.model.events import BrokerDown, BrokerUp, Delivery, LinkEvent, Published
from agent.uplink.wire import presence_document

WAIT_S = 15.0

COMMANDS = "v1/7/0011223344556677/cmd"
RESULTS = "v1/7/0011223344556677/res"
PRESENCE = "v1/all/0011223344556677/presence"


class LinkListener:
    """Deliveries and events of one broker link in the order they were told."""

    def __init__(self) -> None:
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self._events: asyncio.Queue[LinkEvent] = asyncio.Queue()
        self.refusals: list[tuple[str, str]] = []

    def on_refused(self, kind: str, reason: str) -> None:
        self.refusals.append((kind, reason))

    def on_delivery(self, delivery: Delivery) -> None:
        self._deliveries.put_nowait(delivery)

    def on_event(self, event: LinkEvent) -> None:
        self._events.put_nowait(event)

    async def delivery(self) -> Delivery:
        return await asyncio.wait_for(self._deliveries.get(), WAIT_S)

    async def event(self) -> LinkEvent:
        return await asyncio.wait_for(self._events.get(), WAIT_S)

    async def up(self) -> BrokerUp:
        event = await self.event()
        assert isinstance(event, BrokerUp), event
        return event

    async def down(self) -> str:
        """The detail with which the link ended."""
        event = await self.event()
        assert isinstance(event, BrokerDown), event
        return event.detail

    async def published(self) -> Published:
        event = await self.event()
        assert isinstance(event, Published), event
        return event

    def has_deliveries(self) -> bool:
        return not self._deliveries.empty()


@asynccontextmanager
async def running_broker(
    listener: LinkListener,
    settings: BrokerSettings,
    *,
    subscriptions: Sequence[Subscription] = (Subscription(COMMANDS),),
    jitter: Callable[[], float] = lambda: 0.05,
    client_id: str = "0011223344556677",
    presence: str = PRESENCE,
) -> AsyncIterator[Broker]:
    """A `Broker` whose `run` is under way; whether it comes up is for the test to see."""
    broker = Broker(
        settings,
        client_id=client_id,
        will=(presence, presence_document(b"session1", is_online=False)),
        subscriptions=subscriptions,
        on_delivery=listener.on_delivery,
        on_event=listener.on_event,
        on_refused=listener.on_refused,
        jitter=jitter,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(broker.run(), name="broker")
        yield broker
        running.cancel()
