"""The link to the MQTT 5 broker: one connection after another, each a fresh client, with nothing hidden.

aiomqtt 2.5.1 under it leaves out what a car needs; `_Link` adds it: acknowledgement after the decision, refusals of
PUBACK and SUBACK told, a broken or lying broker noticed, and no queue but the bounded ones here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.adapters.dial import dial, require_loopback, tls_context
from agent.errors import ConfigurationError, LinkError
from agent.model.effects import Publish
from agent.model.events import BrokerDown, BrokerUp, Delivery, LinkEvent, Published

PACKET_BYTES_MAX = 8 * 1024
"""Maximum Packet Size we announce and hold the broker to: commands are below 1 KiB."""

RECEIVE_MAX = 8
"""Unacknowledged deliveries at once: a person sends one command, a few operators a few."""

UNACKNOWLEDGEABLE_MAX = 64
"""QoS 0 deliveries waiting for the engine; nothing tells a broker to slow down there, so the rest is dropped."""

PUBLISHES_MAX = 64
"""Publications handed over and unanswered; the durable outbox is the queue, this only fills the line."""

BACK_OFF_S_MIN = 1.0
BACK_OFF_S_MAX = 300.0
"""Full jitter between these: a fleet must not come back to a restarted broker in the same second."""

STABLE_S = 60.0
"""A connection that lasted so long was a good one; shorter ones keep the back-off growing (H61)."""

CONNECT_WAIT_S = 20.0
"""Name, TCP and TLS over a bad mobile link."""

ANSWER_WAIT_S = 10.0
"""CONNACK and SUBACK take a round trip; one that takes longer never comes."""

RESUBSCRIBE_S = 300.0
"""Topics the broker refused are asked for again so often (H64)."""

_DISCONNECT_WAIT_S = 1.0

_silent = logging.getLogger("agent.adapters.broker.paho")
"""paho logs what it receives; what an unknown sender wrote does not belong in our log."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and who vouches for it. Without `ca_file` the connection is plain, to this machine only."""

    host: str
    port: int = 8883
    keep_alive_s: int = 60
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter, subscribed at QoS 1. The defaults are for events: nothing retained is wanted (csa1 A6)."""

    topic_filter: str
    retain_handling: int = 2
    is_retain_as_published: bool = True


class Broker:
    """Keeps one connection to the broker; `run` does the work and calls `on_delivery` and `on_event`.

    `will` is (topic, payload), retained: the broker publishes it however the connection ends, also when we end it.
    Deliveries are acknowledged by `acknowledge` alone.  `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: tuple[str, bytes],
        subscriptions: Sequence[Subscription],
        on_delivery: Callable[[Delivery], None],
        on_event: Callable[[LinkEvent], None],
        jitter: Callable[[], float] = random.SystemRandom().random,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._subscriptions = tuple(subscriptions)
        self._on_delivery = on_delivery
        self._on_event = on_event
        self._jitter = jitter
        self._delivery_ids = itertools.count(1)
        self._link: _Link | None = None
        self._dropped_before = 0
        # A wrong file is a person's mistake and told at once; later it may be a certificate being renewed.
        self._make_context()

    @property
    def dropped_count(self) -> int:
        """QoS 0 deliveries dropped because too many came at once."""
        return self._dropped_before + (self._link.dropped_count if self._link else 0)

    async def run(self) -> None:
        """Connect and serve until cancelled, again and again; every end of a connection is told as `BrokerDown`."""
        failures = 0
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await self._connect_and_serve()
            except (LinkError, ConfigurationError, aiomqtt.MqttError, OSError, TimeoutError) as error:
                self._on_event(BrokerDown(str(error) or type(error).__name__))
            if asyncio.get_running_loop().time() - began_s > STABLE_S:
                failures = 0
            await asyncio.sleep(self._jitter() * min(BACK_OFF_S_MIN * 2.0**failures, BACK_OFF_S_MAX))
            failures = min(failures + 1, 16)

    def publish(self, effect: Publish) -> str | None:
        """Hand a message over at QoS 1: None if taken (then `Published` follows, given a token), else why not."""
        if self._link is None:
            return "not connected"
        return self._link.publish_soon(effect)

    def acknowledge(self, delivery_id: int) -> None:
        """Acknowledge a delivery; of no effect if its connection has ended."""
        if self._link is not None:
            self._link.acknowledge(delivery_id)

    async def flush(self, within_s: float) -> bool:
        """Wait until everything handed over has been answered; False if that took longer, or the connection ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._link is not None and not self._link.is_settled.is_set():
                    await self._link.is_settled.wait()
        return self._link is not None and self._link.is_settled.is_set()

    async def _connect_and_serve(self) -> None:
        settings = self._settings
        async with asyncio.timeout(CONNECT_WAIT_S):
            connection = await dial(settings.host, settings.port, self._make_context())
        link = _Link(connection, settings, self._client_id, self._will, self._delivery_ids)
        try:
            await link.open()
            refused = await link.ask_for(self._subscriptions)
            if refused and len(refused) == len(self._subscriptions):
                raise LinkError("the broker refuses every subscription: " + _listed(refused))
            self._link = link
            self._on_event(BrokerUp(_refusals(refused)))
            await self._serve(link, refused)
        finally:
            self._link = None
            self._dropped_before += link.dropped_count
            link.is_settled.set()
            for token in link.unanswered():
                self._on_event(Published(token, "connection lost"))
            await link.end()

    async def _serve(self, link: _Link, refused: dict[Subscription, str]) -> None:
        """Pass on what the link brings until it breaks (LinkError)."""
        asking: asyncio.Task[dict[Subscription, str]] | None = None
        loop = asyncio.get_running_loop()
        ask_at_s = loop.time() + RESUBSCRIBE_S
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ask_at_s - loop.time() if refused and asking is None else None):
                        await link.has_news.wait()
                link.has_news.clear()
                for news in link.take_news():
                    if isinstance(news, Delivery):
                        self._on_delivery(news)
                    else:
                        self._on_event(news)
                link.send_waiting()
                link.raise_if_ended()
                if asking is not None and asking.done():
                    before, refused, asking = refused, asking.result(), None
                    if refused != before:
                        self._on_event(BrokerUp(_refusals(refused)))
                if refused and asking is None and loop.time() >= ask_at_s:
                    ask_at_s = loop.time() + RESUBSCRIBE_S
                    asking = asyncio.create_task(link.ask_for(tuple(refused)), name="broker-subscribe")
                    asking.add_done_callback(lambda _: link.has_news.set())
        finally:
            if asking is not None:
                asking.cancel()

    def _make_context(self) -> ssl.SSLContext | None:
        settings = self._settings
        if settings.ca_file is None:
            require_loopback(settings.host)
            return None
        return tls_context(settings.ca_file, settings.certificate_file, settings.key_file)
