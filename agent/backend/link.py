"""The backend's end of MQTT: one connection after another, and the subscriptions kept over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Callable, Iterable

import aiomqtt

from agent.backend.connection import (
    Connection,
    NotConnectedError,
    RefusedError,
    Subscription,
    tls_context,
)
from agent.backend.settings import BrokerAddress
from agent.errors import LinkError
from agent.model.events import Delivery

# Full jitter up to a doubling bound, so that many backends do not come back to a restarted broker in one second.
BACK_OFF_S_MIN = 0.5
BACK_OFF_S_MAX = 30.0

# Below paho's 20 in flight: more wait their turn here instead of inside the library.
PUBLISHES_AT_ONCE_MAX = 16


class Link:
    """Holds the connection. `on_delivery` is called for each publication before the broker is told that it arrived.

    `kept_s` as in `Connection`: then the broker is told by `delivering.acknowledge`.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        on_delivery: Callable[[Delivery], None],
        on_change: Callable[[bool, str], None],
        kept_s: int | None = None,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._on_delivery = on_delivery
        self._on_change = on_change
        self._tls = tls_context(address)
        self._kept_s = kept_s
        self._connection: Connection | None = None
        self._delivering: Connection | None = None
        self._wanted: dict[str, Subscription] = {}
        self._publishing = asyncio.Semaphore(PUBLISHES_AT_ONCE_MAX)

    async def run(self, first_attempt: asyncio.Future[None]) -> None:
        """Connect, and connect again after each loss, until cancelled.

        The first attempt decides: its outcome goes to `first_attempt`, and if it fails this returns, because a
        wrong address or certificate is better told at once than tried for ever.
        """
        failures = 0
        while True:
            began_s = asyncio.get_running_loop().time()
            detail = await self._connect_once(first_attempt)
            if not first_attempt.done():
                first_attempt.set_exception(LinkError(detail))
                return
            self._on_change(False, detail)
            # A connection that did not last counts as a failure too: a broker may accept it and throw it out again.
            lasted_s = asyncio.get_running_loop().time() - began_s
            failures = 1 if lasted_s > BACK_OFF_S_MAX else failures + 1
            bound_s = min(BACK_OFF_S_MAX, BACK_OFF_S_MIN * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311 - spreads load, hides nothing

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int | None, is_retained: bool = False) -> bool:
        """Publish at QoS 1 and wait for the PUBACK; whether anybody was subscribed, as far as the broker says.

        What is retained and has no expiry is kept by the broker until it is replaced.

        Raises `NotConnectedError` if the message did not leave, `RefusedError` if the broker did not take it, and
        plain `LinkError` if no answer came, so that it may have been delivered.
        """
        async with self._publishing:
            if self._connection is None:
                raise NotConnectedError("There is no connection to the broker.")
            return await self._connection.publish_confirmed(topic, payload, expiry_s, is_retained=is_retained)

    @property
    def delivering(self) -> Connection | None:
        """The connection that deliveries come by at this moment, which is the one to acknowledge them to."""
        return self._delivering

    async def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Have these topics delivered, now and after each reconnection; retained ones are asked for anew each time."""
        added = [one for one in subscriptions if one.is_retained or one.topic not in self._wanted]
        self._wanted.update({one.topic: one for one in added})
        if self._connection is None:
            return
        try:
            await self._connection.subscribe_all(added)
        except RefusedError:
            for one in added:  # else it would be refused after each reconnection too, and end that
                self._wanted.pop(one.topic, None)
            raise
        except LinkError:
            pass  # the connection is going; the next one begins with all subscriptions

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Stop the delivery of these topics."""
        dropped = [topic for topic in topics if self._wanted.pop(topic, None)]
        if self._connection is not None and dropped:
            with contextlib.suppress(LinkError):  # the connection is going, and its subscriptions with it
                await self._connection.unsubscribe_all(dropped)

    async def _connect_once(self, first_attempt: asyncio.Future[None]) -> str:
        """One connection from CONNECT to its end; why it ended, in words."""
        connection = Connection(self._address, self._client_id, self._tls, self._on_delivery, kept_s=self._kept_s)
        self._delivering = connection  # what the broker kept comes before its subscriptions are made anew
        try:
            async with connection:
                try:
                    await self._subscribe_again(connection)
                    self._connection = connection
                    if not first_attempt.done():
                        first_attempt.set_result(None)
                    self._on_change(True, "")
                    async for _ in connection.messages:  # yields nothing, raises at the end: deliveries pass elsewhere
                        pass
                finally:
                    self._connection = None
                    connection.fail_waiting()
        except (aiomqtt.MqttError, LinkError) as error:
            return f"The broker {self._address.host}:{self._address.port} cannot be used: {_words(error)}."
        return "The connection to the broker ended."

    async def _subscribe_again(self, connection: Connection) -> None:
        subscribed: set[str] = set()
        while missing := [one for topic, one in self._wanted.items() if topic not in subscribed]:
            await connection.subscribe_all(missing)
            subscribed.update(one.topic for one in missing)


def _words(error: Exception) -> str:
    """The innermost cause in words a person can act on."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return re.sub(r"^\[Errno \d+\] ", "", str(cause)).rstrip(".") or type(cause).__name__
