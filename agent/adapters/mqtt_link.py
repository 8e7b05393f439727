"""One MQTT 5 connection on aiomqtt, with what a car needs and the library leaves out (measured on 2.5.1):

- a delivery is acknowledged when we say so; paho acknowledges as soon as its callback returns;
- a refused PUBACK and SUBACK is told; aiomqtt reports a refused PUBACK as success;
- nothing is dropped unseen: aiomqtt drops what its queue cannot hold, with a warning in a log;
- nothing is queued in the library: paho keeps what it could not send and sends it again after a reconnect, even
  with clean start. Hence one client object a connection, and never more in flight than the broker takes;
- the end of a connection is noticed in every phase, its reason told, and its socket closed;
- a connection on which nothing happens wakes the computer a few times a minute; aiomqtt looks at its keep-alive once a
  second.

aiomqtt has no public way to any of these, so this file uses the names it keeps to itself; no other does.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.adapters.beat import beat
from agent.adapters.link_errors import SessionKeptError, link_error
from agent.adapters.mqtt_shapes import Refused, Subscription
from agent.adapters.paho_socket import PahoSocket
from agent.errors import LinkError
from agent.model.effects import Publish
from agent.model.events import Delivery, Published

PACKET_BYTES_MAX = 8 * 1024
"""Maximum Packet Size we announce and hold the broker to: commands are below 1 KiB."""

RECEIVE_MAX = 8
"""Unacknowledged deliveries at once: a person sends one command, a few operators a few."""

UNACKNOWLEDGED_MAX = 256
"""Where the connection ends: Mosquitto 2.0.11 sends up to Receive Maximum more at each acknowledgement (seen), so
that while we are busy it may be over; this many are 2 MiB at most."""

LOOSE_MAX = 64
"""QoS 0 deliveries waiting for the engine; nothing tells a broker to slow down there, so more are dropped."""

PUBLISHES_MAX = 64
"""Publications handed over and unanswered; the durable outbox is the queue, this only fills the line."""

ANSWER_WAIT_S = 10.0
"""CONNACK and SUBACK take a round trip; one that takes longer never comes."""

_DISCONNECT_WAIT_S = 1.0

# What the keep-alive is looked at in, and never longer; a broker waits for half of one beyond it.
_KEEP_ALIVE_SHARE = 6
_KEEP_ALIVE_LOOK_S_MAX = 10.0

# Fixed header, topic length, packet id, properties with a message expiry.
_PUBLISH_OVERHEAD_BYTES = 5 + 2 + 2 + 1 + 5

# paho logs what it receives; what an unknown sender wrote does not belong in our log.
_silent = logging.getLogger("agent.adapters.mqtt_link.paho")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class MqttLink(aiomqtt.Client):
    """One connection over a socket that `dial` opened; never used again once ended.

    What the broker brings is taken with `take_news` after `has_news` was set; `is_settled` is set while nothing
    handed over waits for an answer.  `delivery_ids` gives numbers no other link gives.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        client_id: str,
        keep_alive_s: int,
        will: tuple[str, bytes],
        delivery_ids: Iterator[int],
    ) -> None:
        super().__init__(
            hostname="unused, the socket is connected",
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=keep_alive_s,
            properties=_connect_properties(),
            will=aiomqtt.Will(*will, qos=1, retain=True),
            max_inflight_messages=0,  # no limit of paho's, which would mean a queue of paho's
            timeout=ANSWER_WAIT_S,
            logger=_silent,
        )
        self.has_news = asyncio.Event()
        self.is_settled = asyncio.Event()
        self.is_settled.set()
        self.dropped_count = 0
        self.is_leaving = False
        self._wire = PahoSocket(connection, PACKET_BYTES_MAX)
        self._client._create_socket = lambda: self._wire  # type: ignore[method-assign]
        self._client.manual_ack_set(True)
        self._misc_loop = self._keep_alive  # type: ignore[method-assign]
        self._keep_alive_look_s = max(1.0, min(keep_alive_s / _KEEP_ALIVE_SHARE, _KEEP_ALIVE_LOOK_S_MAX))
        self._delivery_ids = delivery_ids
        self._news: deque[Delivery | Published | Refused] = deque()
        self._loose = 0
        self._unacknowledged: dict[int, int] = {}
        self._waiting: deque[Publish] = deque()
        self._under_way: dict[int, Publish] = {}
        self._in_flight_max = PUBLISHES_MAX
        self._packet_bytes_max = 1 << 28
        self._disconnected.add_done_callback(self._note_end)

    async def open(self) -> None:
        """Say CONNECT and wait for the broker's consent; LinkError with its reason if it does not give it."""
        self._client_connect()  # does not block: the socket is connected
        try:
            # Not aiomqtt's own waiting: asyncio.wait_for of Python 3.11 can swallow a cancellation.
            async with asyncio.timeout(ANSWER_WAIT_S):
                await asyncio.shield(self._connected)
        except TimeoutError:
            raise LinkError("the broker does not answer to the connection") from None
        except aiomqtt.MqttError as error:
            raise LinkError(f"the broker does not accept the connection: {error}") from None

    async def ask_for(self, subscriptions: Sequence[Subscription]) -> dict[Subscription, str]:
        """Subscribe; returns those the broker refused with its reasons. LinkError if it does not answer."""
        wishes = [
            (
                wish.topic_filter,
                SubscribeOptions(
                    qos=1, retainAsPublished=wish.is_retain_as_published, retainHandling=wish.retain_handling
                ),
            )
            for wish in subscriptions
        ]
        if not wishes:
            return {}
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                answers = await self.subscribe(wishes, timeout=math.inf)
        except TimeoutError:
            raise LinkError("the broker does not answer a subscription") from None
        except aiomqtt.MqttError as error:
            raise LinkError(f"the broker does not answer a subscription: {error}") from None
        if len(answers) != len(wishes):
            raise LinkError("the broker answers to other subscriptions than were asked for")
        reasons = zip(subscriptions, answers, strict=True)
        return {wish: str(reason) for wish, reason in reasons if isinstance(reason, ReasonCode) and reason.is_failure}

    def publish_soon(self, effect: Publish) -> str | None:
        """Hand over a message at QoS 1; None if it is taken, else why not."""
        if self._disconnected.done():
            return "connection lost"
        if len(self._waiting) + len(self._under_way) >= PUBLISHES_MAX:
            return "busy"
        size = len(effect.topic.encode()) + len(effect.payload) + _PUBLISH_OVERHEAD_BYTES
        if size > self._packet_bytes_max:
            return f"larger than the {self._packet_bytes_max} bytes the broker takes"
        self.is_settled.clear()
        self._waiting.append(effect)
        self.send_waiting()
        return None

    def send_waiting(self) -> None:
        """Send of what waits as much as the broker takes unacknowledged."""
        while self._waiting and len(self._under_way) < self._in_flight_max and not self._disconnected.done():
            effect = self._waiting.popleft()
            info = self._client.publish(
                effect.topic, effect.payload, qos=1, retain=effect.is_retained, properties=_publish_properties(effect)
            )
            self._under_way[info.mid] = effect

    def acknowledge(self, delivery_id: int) -> None:
        """Send the PUBACK of a delivery; of no effect for QoS 0, a second time, or once the connection ended."""
        if (mid := self._unacknowledged.pop(delivery_id, None)) is not None:
            self._client.ack(mid, qos=1)

    def take_news(self) -> Iterator[Delivery | Published | Refused]:
        """Deliveries and answers in the order they came."""
        while self._news:
            yield self._news.popleft()
        self._loose = 0

    def raise_if_ended(self) -> None:
        """LinkError with the reason once the connection has ended."""
        if self._disconnected.done():
            raise self._end_error()

    def give_up(self, reason: str) -> None:
        """Take the connection to be dead although it stands; the next `raise_if_ended` gives `reason`."""
        if not self._disconnected.done():
            self._disconnected.set_exception(LinkError(reason))

    def unanswered(self) -> list[int]:
        """Tokens of what was handed over and will never be answered now."""
        return [effect.token for effect in (*self._under_way.values(), *self._waiting) if effect.token is not None]

    async def end(self) -> None:
        """Close the connection, in order if it still stands; the broker publishes the will unless `is_leaving`."""
        try:
            await asyncio.sleep(0)  # the loop must have begun to watch the socket before it can stop
            if self._is_open() and not self._disconnected.done():
                words = "Normal disconnection" if self.is_leaving else "Disconnect with will message"
                self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, words))
                await asyncio.wait({self._disconnected}, timeout=_DISCONNECT_WAIT_S)
        finally:
            # aiomqtt leaves the socket open after an error, and the broker then takes us to be there still.
            self._client._sock_close()
            self._wire.close()

    def _is_open(self) -> bool:
        return self._connected.done() and not self._connected.cancelled() and self._connected.exception() is None

    def _end_error(self) -> LinkError:
        error = None if self._disconnected.cancelled() else self._disconnected.exception()
        if isinstance(error, LinkError):
            return error
        words = self._wire.fault or (str(error) if error else "") or "the broker closed the connection"
        return link_error(words, self._wire.fault)

    def _note_end(self, ended: asyncio.Future[None]) -> None:
        error = self._end_error()
        for answer in self._pending_subscribes.values():
            if not answer.done():
                answer.set_exception(error)
        self.has_news.set()

    async def _keep_alive(self) -> None:
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            await beat(self._keep_alive_look_s)

    # --- called by paho, in the event loop, from aiomqtt's reader -------------------------------------------------

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if flags.session_present and not self._connected.done():
            # We asked for a clean start; a broker that kept a session may also have kept commands in it (H62).
            words = "the broker kept a session although a clean start was asked for"
            self._connected.set_exception(SessionKeptError(words))
            return
        self._in_flight_max = min(PUBLISHES_MAX, getattr(properties, "ReceiveMaximum", PUBLISHES_MAX))
        self._packet_bytes_max = getattr(properties, "MaximumPacketSize", self._packet_bytes_max)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            # With TLS 1.3 a broker refuses a client certificate only now, after the handshake has ended for us.
            why = self._wire.fault or str(reason_code)
            words = f"the broker closed the connection before accepting it: {why}"
            self._connected.set_exception(link_error(words, self._wire.fault))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            raise LinkError("the broker sent a topic that is not UTF-8") from None
        if message.qos > 1:
            raise LinkError("the broker sent QoS 2, which was not asked for")
        if message.qos == 1 and len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            raise LinkError(f"the broker sent more than {UNACKNOWLEDGED_MAX} deliveries unacknowledged")
        if message.qos == 0:
            if self._loose >= LOOSE_MAX:
                self.dropped_count += 1
                return
            self._loose += 1
        delivery_id = next(self._delivery_ids)
        if message.qos == 1:
            self._unacknowledged[delivery_id] = message.mid
        self._news.append(Delivery(topic, bytes(message.payload), message.retain, delivery_id))
        self.has_news.set()

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if (effect := self._under_way.pop(mid, None)) is not None:
            refusal = str(reason_code) if reason_code.is_failure else None
            if effect.token is not None:
                self._news.append(Published(effect.token, refusal))
            elif refusal is not None:
                self._news.append(Refused(effect.topic, refusal))
        if not self._under_way and not self._waiting:
            self.is_settled.set()
        self.has_news.set()


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = RECEIVE_MAX
    properties.MaximumPacketSize = PACKET_BYTES_MAX
    return properties


def _publish_properties(effect: Publish) -> Properties | None:
    if effect.expiry_s is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = effect.expiry_s
    return properties
