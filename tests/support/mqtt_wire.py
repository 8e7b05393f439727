"""A client that speaks MQTT 5 packet by packet, for what a well-behaved library hides or would not do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import TracebackType

import mqtt5
from mqtt5 import Packet

TIMEOUT_S = 5.0


class WireClient:
    """One TCP connection to a broker on loopback; every receive is bounded in time."""

    def __init__(self, port: int, *, is_reading: bool = True, context: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._context = context
        self._is_reading = is_reading
        self._buffer = bytearray()
        self._packet_id = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> WireClient:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        # `limit`: a client that does not read must stop its transport early.
        limit = 2**16 if self._is_reading else 2**10
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, limit=limit, ssl=self._context
        )

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    async def send_bytes(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    async def send(self, packet: Packet) -> None:
        await self.send_bytes(packet.write())

    async def receive(self) -> Packet | None:
        """The next packet, None at the end of the connection."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    with memoryview(self._buffer) as view:
                        packet, size = mqtt5.read(view)
                except IndexError:
                    try:
                        received = await self._reader.read(65_536)
                    except (ConnectionError, ssl.SSLError):
                        return None
                    if not received:
                        return None
                    self._buffer += received
                    continue
                del self._buffer[:size]
                return packet

    async def is_quiet(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while: bounded waiting for what must not happen."""
        if self._buffer:
            return False
        try:
            async with asyncio.timeout(seconds):
                self._buffer += await self._reader.read(65_536)
        except TimeoutError:
            return True
        return False

    async def connect(
        self,
        client_id: str,
        *,
        clean_start: bool = True,
        session_expiry_interval: int = 0,
        keep_alive: int = 0,
        receive_max: int = 65_535,
        max_packet_size: int | None = None,
        will: mqtt5.Will | None = None,
    ) -> mqtt5.ConnAckPacket:
        await self.send(
            mqtt5.ConnectPacket(
                client_id,
                clean_start=clean_start,
                session_expiry_interval=session_expiry_interval,
                keep_alive=keep_alive,
                receive_max=receive_max,
                max_packet_size=max_packet_size,
                will=will,
            )
        )
        packet = await self.receive()
        assert isinstance(packet, mqtt5.ConnAckPacket)
        assert packet.reason_code is mqtt5.ConnAckReasonCode.SUCCESS
        return packet

    async def subscribe(self, pattern: str) -> mqtt5.SubAckReasonCode:
        await self.send(
            mqtt5.SubscribePacket(self._next_id(), [mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE)])
        )
        packet = await self.receive()
        assert isinstance(packet, mqtt5.SubAckPacket)
        return packet.reason_codes[0]

    async def is_turned_away(self, client_id: str) -> bool:
        """Whether the broker ends the connection instead of accepting it."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.send(mqtt5.ConnectPacket(client_id))
        answer = await self.receive()
        return answer is None or (
            isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code is not mqtt5.ConnAckReasonCode.SUCCESS
        )

    async def arrivals_before_pong(self) -> list[str]:
        """Topics of what the broker had for us before it answered this: acknowledged, and all there will be."""
        await self.send(mqtt5.PingReqPacket())
        topics: list[str] = []
        while not isinstance(packet := await self.receive(), mqtt5.PingRespPacket):
            assert packet is not None, "the broker ended the connection"
            if isinstance(packet, mqtt5.PublishPacket):
                topics.append(packet.topic)
                if packet.qos is mqtt5.QoS.AT_LEAST_ONCE:
                    await self.acknowledge(packet)
        return topics

    async def publish(
        self, topic: str, payload: bytes, *, is_retained: bool = False, is_answer_awaited: bool = True
    ) -> mqtt5.PubAckReasonCode:
        """Publish at QoS 1; the broker's answer, or what would be a good one if none is awaited."""
        await self.send(
            mqtt5.PublishPacket(
                topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=is_retained, packet_id=self._next_id()
            )
        )
        if not is_answer_awaited:
            return mqtt5.PubAckReasonCode.SUCCESS
        packet = await self.receive()
        assert isinstance(packet, mqtt5.PubAckPacket)
        return packet.reason_code

    async def receive_publish(self) -> mqtt5.PublishPacket:
        packet = await self.receive()
        assert isinstance(packet, mqtt5.PublishPacket)
        return packet

    async def receive_disconnect(self) -> mqtt5.DisconnectReasonCode:
        packet = await self.receive()
        assert isinstance(packet, mqtt5.DisconnectPacket)
        return packet.reason_code

    async def acknowledge(self, publication: mqtt5.PublishPacket) -> None:
        assert publication.packet_id is not None
        await self.send(mqtt5.PubAckPacket(publication.packet_id))

    def _next_id(self) -> int:
        self._packet_id += 1
        return self._packet_id
