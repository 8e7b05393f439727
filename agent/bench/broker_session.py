"""One client of the bench broker: its connection, its subscriptions and what is in flight to it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    ConnectPacket,
    DisconnectPacket,
    DisconnectReasonCode,
    Packet,
    PingReqPacket,
    PingRespPacket,
    PubAckPacket,
    PubAckReasonCode,
    PublishPacket,
    QoS,
    RetainHandling,
    SubAckPacket,
    SubAckReasonCode,
    SubscribePacket,
    TopicFilter,
    UnsubAckPacket,
    UnsubAckReasonCode,
    UnsubscribePacket,
)

from agent.bench.broker_faults import BrokerFaults
from agent.bench.broker_outflow import Outflow
from agent.bench.broker_wire import PACKET_BYTES_MAX, PacketCutter, ProtocolBreachError, Publication
from agent.bench.topic_filter import is_valid_filter, is_valid_topic, matches

CONNECT_TIMEOUT_S = 5.0  # a stranger who says nothing must not hold one of the few connections
SUBSCRIPTIONS_MAX = 64  # the agent has 2, a backend a handful for each car
RECEIVE_MAX = 64  # announced in CONNACK; every PUBLISH is decided at once, so none is held
READ_BYTES = 64 * 1024

# The codec's enums (mqtt5 0.8) can be compared by `is` and `==` only, whatever its stubs say: hence the int(…) below.


class Router(Protocol):
    """What a session asks of the broker it belongs to."""

    faults: BrokerFaults

    def admit(self, session: BrokerSession) -> None:
        """Take the session in under its client id, ending another one of that id."""

    def route(self, publication: Publication) -> PubAckReasonCode:
        """Store (if retained) and deliver a message; the answer is what its publisher hears."""

    def retained_under(self, pattern: str) -> list[Publication]:
        """Retained messages a new subscriber is to get."""

    def note(self, event: str, **fields: object) -> None:
        """Tell who watches the bench."""


class BrokerSession:
    """A client from CONNECT to the end of its connection; the session ends with it (expiry 0, said in CONNACK)."""

    def __init__(self, router: Router, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client_id = ""
        self.subscriptions: dict[str, TopicFilter] = {}
        self._router = router
        self._reader = reader
        self._writer = writer
        self._connect: ConnectPacket | None = None
        self._is_will_due = True
        self._is_ended = False
        self._outflow = Outflow(writer, router.faults, on_dropped=self._note_dropped, on_overflow=self._cut_too_slow)

    async def run(self) -> None:
        """Serve the client until either side ends it; its will, if still due, is published then."""
        try:
            await self._serve()
        except ProtocolBreachError as breach:
            self._router.note("client_breach", client_id=self.client_id, problem=str(breach))
            self.end(breach.reason_code)
        except TimeoutError:
            self._router.note("client_silent", client_id=self.client_id)
            self.end(DisconnectReasonCode.KEEP_ALIVE_TIMEOUT)
        finally:
            self.end(None)
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    def end(self, reason_code: DisconnectReasonCode | None, *, is_abrupt: bool = False) -> None:
        """Close the connection, saying why if there is a reason; at most once."""
        if self._is_ended:
            return
        self._is_ended = True
        if is_abrupt:
            self.abort()
        else:
            if reason_code is not None and self._connect is not None and not self._router.faults.is_frozen:
                self._writer.write(DisconnectPacket(reason_code=reason_code).write())
            self._writer.close()
        if self._connect is not None:
            self._router.note("client_gone", client_id=self.client_id, will=self._will is not None)
        if self._will is not None:
            self._router.route(self._will)

    def abort(self) -> None:
        """Break the connection, sent or not."""
        self._writer.transport.abort()

    def deliver(self, publication: Publication) -> None:
        """Send a live message if a subscription asks for it: one copy, at the highest of the QoS granted."""
        wanted = [
            subscription
            for pattern, subscription in self.subscriptions.items()
            if matches(pattern, publication.topic)
            and not (subscription.no_local and publication.publisher == self.client_id)
        ]
        if wanted:
            is_retained = publication.source.retain and any(one.retain_as_published for one in wanted)
            qos_max = max(int(one.max_qos) for one in wanted)
            self._outflow.enqueue(publication, is_retained=is_retained, qos_max=qos_max)

    def release(self) -> None:
        """Let out what a frozen link held back."""
        self._outflow.release()

    @property
    def _will(self) -> Publication | None:
        if self._connect is None or self._connect.will is None or not self._is_will_due:
            return None
        return Publication.from_will(self._connect.will, self.client_id, asyncio.get_running_loop().time())

    async def _serve(self) -> None:
        cutter = PacketCutter()
        timeout_s: float | None = CONNECT_TIMEOUT_S
        while not self._is_ended:
            await self._router.faults.thawed.wait()
            if (packet := cutter.next_packet()) is not None:
                if isinstance(packet, DisconnectPacket):
                    self._is_will_due = packet.reason_code is not DisconnectReasonCode.NORMAL_DISCONNECTION
                    return
                self._take(packet)
                keep_alive_s = self._connect.keep_alive if self._connect else 0
                timeout_s = 1.5 * keep_alive_s or None  # MQTT 5 §3.1.2.10; 0 turns it off
                continue
            try:
                async with asyncio.timeout(timeout_s):
                    received = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if self._router.faults.is_frozen:  # a frozen link says nothing, this too
                    continue
                raise
            except ConnectionError:
                return
            if not received:
                return
            cutter.feed(received)

    def _take(self, packet: Packet) -> None:
        if self._connect is None:
            if not isinstance(packet, ConnectPacket):
                raise ProtocolBreachError(DisconnectReasonCode.PROTOCOL_ERROR, "first packet is not CONNECT")
            self._open(packet)
            return
        match packet:
            case PublishPacket():
                self._publish(packet)
            case PubAckPacket():
                self._outflow.acknowledge(packet.packet_id)
            case SubscribePacket():
                self._subscribe(packet)
            case UnsubscribePacket():
                codes = [
                    UnsubAckReasonCode.SUCCESS
                    if self.subscriptions.pop(pattern, None)
                    else UnsubAckReasonCode.NO_SUBSCRIPTION_EXISTED
                    for pattern in packet.patterns
                ]
                self._outflow.write(UnsubAckPacket(packet.packet_id, codes).write())
            case PingReqPacket():
                self._outflow.write(PingRespPacket().write())
            case _:
                raise ProtocolBreachError(DisconnectReasonCode.PROTOCOL_ERROR, f"unexpected {type(packet).__name__}")

    def _open(self, packet: ConnectPacket) -> None:
        refusal = None
        if packet.authentication_method is not None:
            refusal = ConnAckReasonCode.BAD_AUTHENTICATION_METHOD
        elif packet.will is not None and packet.will.qos is QoS.EXACTLY_ONCE:
            refusal = ConnAckReasonCode.QUALITY_NOT_SUPPORTED
        elif packet.will is not None and not _are_valid(packet.will.topic, packet.will.response_topic):
            refusal = ConnAckReasonCode.TOPIC_NAME_INVALID
        if refusal is not None:
            self._outflow.write(ConnAckPacket(reason_code=refusal).write())
            self._is_will_due = False
            self.end(None)
            return
        self._connect = packet
        self._outflow.open(packet)
        self.client_id = packet.client_id or f"bench-{id(self):x}"
        self._router.admit(self)
        self._outflow.write(
            ConnAckPacket(
                session_expiry_interval=0,
                assigned_client_id=None if packet.client_id else self.client_id,
                receive_max=RECEIVE_MAX,
                max_qos=QoS.AT_LEAST_ONCE,
                max_packet_size=PACKET_BYTES_MAX,
                subscription_id_available=False,
                shared_subscription_available=False,
                user_properties=[("broker", "carshare-bench: for tests and demonstrations only")],
            ).write()
        )
        self._router.note("client_connected", client_id=self.client_id)

    def _publish(self, packet: PublishPacket) -> None:
        if packet.qos is QoS.EXACTLY_ONCE:
            raise ProtocolBreachError(DisconnectReasonCode.QOS_NOT_SUPPORTED, "QoS 2")
        if packet.topic_alias is not None:
            raise ProtocolBreachError(DisconnectReasonCode.TOPIC_ALIAS_INVALID, "topic alias; none was granted")
        if not _are_valid(packet.topic, packet.response_topic):
            raise ProtocolBreachError(DisconnectReasonCode.TOPIC_NAME_INVALID, f"topic {packet.topic!r}")
        faults = self._router.faults
        if faults.is_refused(packet.topic):
            code = PubAckReasonCode.NOT_AUTHORIZED
        elif faults.is_swallowed(packet.topic):
            code = PubAckReasonCode.SUCCESS
        else:
            now_s = asyncio.get_running_loop().time()
            code = self._router.route(Publication.from_packet(packet, self.client_id, now_s))
        if packet.packet_id is not None and not faults.takes_puback():
            self._outflow.write(PubAckPacket(packet.packet_id, reason_code=code).write())

    def _subscribe(self, packet: SubscribePacket) -> None:
        if packet.subscription_id is not None:
            raise ProtocolBreachError(DisconnectReasonCode.SUBSCRIPTION_IDS_NOT_SUPPORTED, "subscription identifier")
        codes, granted = [], []
        for wanted in packet.topic_filters:
            code = self._grant(wanted)
            codes.append(code)
            if int(code) < SubAckReasonCode.UNSPECIFIED_ERROR.value:
                is_new = wanted.pattern not in self.subscriptions
                self.subscriptions[wanted.pattern] = wanted
                granted.append((wanted, is_new))
        self._outflow.write(SubAckPacket(packet.packet_id, codes).write())
        for wanted, is_new in granted:
            if wanted.retain_handling is RetainHandling.SEND_ALWAYS or (
                is_new and wanted.retain_handling is RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS
            ):
                for publication in self._router.retained_under(wanted.pattern):
                    self._outflow.enqueue(publication, is_retained=True, qos_max=int(wanted.max_qos))

    def _grant(self, wanted: TopicFilter) -> SubAckReasonCode:
        if wanted.pattern.startswith("$share/"):
            return SubAckReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not is_valid_filter(wanted.pattern):
            return SubAckReasonCode.TOPIC_FILTER_INVALID
        if wanted.pattern in self._router.faults.refused_topics:
            return SubAckReasonCode.NOT_AUTHORIZED
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX and wanted.pattern not in self.subscriptions:
            return SubAckReasonCode.QUOTA_EXCEEDED
        if wanted.max_qos is QoS.AT_MOST_ONCE:
            return SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE
        return SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE

    def _note_dropped(self, topic: str) -> None:
        self._router.note("delivery_dropped", client_id=self.client_id, topic=topic)

    def _cut_too_slow(self) -> None:
        self._router.note("client_too_slow", client_id=self.client_id)
        self.end(None, is_abrupt=True)


def _are_valid(topic: str, response_topic: str | None) -> bool:
    """Whether a message may be routed; the codec reads topics it would refuse to write again."""
    return is_valid_topic(topic) and (response_topic is None or is_valid_topic(response_topic))
