"""One connection to the broker (MQTT 5), with the two faults of aiomqtt 2.5.1 mended that matter here.

aiomqtt reports a refused PUBACK as success, and drops deliveries once its queue is full.  `Connection` keeps the
PUBACK's reason, and hands each delivery over at once, before the broker is told that it arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.backend.files import require_own
from agent.backend.settings import BrokerAddress, is_loopback
from agent.errors import ConfigurationError, LinkError
from agent.model.events import Delivery
from agent.model.quick_dataclass import dataclass

# An answer of the broker (CONNACK, SUBACK, PUBACK) takes a round trip; what takes longer than this never comes.
ANSWER_WAIT_S = 5.0
FAREWELL_WAIT_S = 1.0

# TCP and TLS are given 5 s by paho; the CONNACK comes a round trip after them.
SET_UP_WAIT_S = 8.0

# The largest thing a car sends is its retained snapshot: about 150 bytes a path, up to a few hundred paths.
PACKET_BYTES_MAX = 64 * 1024
RECEIVE_MAX = 32

# About 5 KB of topics in one SUBSCRIBE.
FILTERS_AT_ONCE_MAX = 100

# Reason 0x10 of a PUBACK: taken, but nobody is subscribed.
_NO_MATCHING_SUBSCRIBERS = 0x10

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class NotConnectedError(LinkError):
    """The message did not leave: there is no connection."""


class RefusedError(LinkError):
    """The broker answered that it does not take the message, or does not grant the subscription."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic of a car. Retained ones bring what the broker keeps, the others only what comes from now on."""

    topic: str
    is_retained: bool


class Connection(aiomqtt.Client):
    """Lives for one attempt: nothing that waits in the library outlasts the connection it waited for.

    `kept_s` asks the broker to keep the session so long for the next connection of this client; then nothing is
    acknowledged but by `acknowledge`.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        tls: ssl.SSLContext | None,
        on_delivery: Callable[[Delivery], None],
        *,
        kept_s: int | None = None,
    ) -> None:
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = kept_s or 0
        connect.ReceiveMaximum = RECEIVE_MAX
        connect.MaximumPacketSize = PACKET_BYTES_MAX
        super().__init__(
            address.host,
            address.port,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=kept_s is None,
            properties=connect,
            keepalive=address.keep_alive_s,
            # Bounded by `asyncio.timeout` here instead: aiomqtt's own way, `asyncio.wait_for`, can swallow a
            # cancellation on Python 3.11 when the answer comes in the same turn of the loop.
            timeout=math.inf,
            tls_context=tls,
            # Nagle's algorithm on both ends costs 89 ms a request, off on both 1.4 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            logger=_log,
        )
        self._is_kept = kept_s is not None
        if self._is_kept:
            self._client.manual_ack_set(True)
        self._hand_over = on_delivery
        self._is_entering = False
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}

    async def __aenter__(self) -> Connection:
        self._is_entering = True
        try:
            async with _answer_in_time("CONNECT", SET_UP_WAIT_S):
                await super().__aenter__()
        except BaseException:
            # aiomqtt leaves the socket open when the broker accepts it and then says nothing.
            self._client.disconnect()
            raise
        finally:
            self._is_entering = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(LinkError):
            async with _answer_in_time("DISCONNECT", FAREWELL_WAIT_S):
                await super().__aexit__(kind, error, traceback)

    async def publish_confirmed(
        self, topic: str, payload: bytes, expiry_s: int | None, *, is_retained: bool = False
    ) -> bool:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        publication = self._client.publish(topic, payload, 1, is_retained, properties)
        if publication.rc != 0:
            raise NotConnectedError("The connection to the broker was lost.")
        answer = asyncio.get_running_loop().create_future()
        self._answers[publication.mid] = answer
        try:
            async with _answer_in_time("PUBLISH"):
                reason: ReasonCode = await answer
        finally:
            del self._answers[publication.mid]
        if reason.is_failure:
            raise RefusedError(f"The broker refused a message to {topic}: {reason}.")
        return bool(reason.value != _NO_MATCHING_SUBSCRIBERS)

    async def subscribe_all(self, subscriptions: Sequence[Subscription]) -> None:
        for start in range(0, len(subscriptions), FILTERS_AT_ONCE_MAX):
            filters = [(one.topic, _options(one)) for one in subscriptions[start : start + FILTERS_AT_ONCE_MAX]]
            async with _answer_in_time("SUBSCRIBE"):
                reasons = await self.subscribe(filters)
            for (topic, _), reason in zip(filters, reasons, strict=True):
                if isinstance(reason, ReasonCode) and reason.is_failure:
                    raise RefusedError(f"The broker refused a subscription to {topic}: {reason}.")

    async def unsubscribe_all(self, topics: Sequence[str]) -> None:
        for start in range(0, len(topics), FILTERS_AT_ONCE_MAX):
            async with _answer_in_time("UNSUBSCRIBE"):
                await self.unsubscribe(list(topics[start : start + FILTERS_AT_ONCE_MAX]))

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker of a kept session that a delivery of this connection was taken."""
        if self._is_kept and not self._disconnected.done():
            self._client.ack(delivery.delivery_id, qos=1)

    def fail_waiting(self) -> None:
        """The connection has ended: whoever waits for a PUBACK learns it now, not after the time-out."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LinkError("the connection was lost before it answered"))

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if (answer := self._answers.get(mid)) is not None and not answer.done():
            answer.set_result(reason_code)

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        self._hand_over(Delivery(message.topic, bytes(message.payload), message.retain, message.mid))

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        # aiomqtt waits for its time-out if the broker hangs up instead of answering CONNECT, as one does that
        # does not accept the client's certificate.
        if self._is_entering and not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("it hung up during the connection's set-up"))
        if not self._connected.cancelled():  # after a time-out or a cancellation nobody waits, and aiomqtt would trip
            super()._on_disconnect(client, userdata, flags, reason_code, properties)


@contextlib.asynccontextmanager
async def _answer_in_time(packet: str, within_s: float = ANSWER_WAIT_S) -> AsyncIterator[None]:
    """`LinkError` if the broker's answer takes longer, or aiomqtt finds the connection broken meanwhile."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError:
        raise LinkError(f"it did not answer {packet} within {within_s:g} s") from None
    except aiomqtt.MqttError as error:
        raise LinkError(str(error)) from error


def tls_context(address: BrokerAddress) -> ssl.SSLContext | None:
    """TLS 1.3 trusting the pinned CA alone; None for a plain connection, which only loopback may be."""
    if address.ca_file is None:
        if not is_loopback(address.host):
            raise ConfigurationError(f"A plain connection to {address.host} is not allowed; set ca_file.")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=address.ca_file)
    except OSError as error:
        raise ConfigurationError(f"ca_file {address.ca_file} cannot be used: {error.strerror or error}") from None
    if address.certificate_file is not None and address.key_file is not None:
        require_own(address.key_file)
        try:
            context.load_cert_chain(address.certificate_file, address.key_file)
        except OSError as error:
            raise ConfigurationError(
                f"certificate_file {address.certificate_file} and key_file {address.key_file} cannot be used: "
                f"{error.strerror or error}"
            ) from None
    return context


def _options(subscription: Subscription) -> SubscribeOptions:
    retain_handling = (
        SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if subscription.is_retained else SubscribeOptions.RETAIN_DO_NOT_SEND
    )
    return SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=retain_handling)
