"""A broker that does what no real one does: each connection follows a script, packet by packet or byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import mqtt5
from mqtt5 import Packet

WAIT_S = 10.0

AnyPacket = TypeVar("AnyPacket", bound=Packet)


class Peer:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = bytearray()

    async def expect(self, kind: type[AnyPacket]) -> AnyPacket:
        """The next packet, which must be of this kind."""
        packet = await self.receive()
        assert isinstance(packet, kind), packet
        return packet

    async def receive(self) -> Packet | None:
        """The next packet, None once the agent has closed the connection."""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    with memoryview(self._buffer) as view:
                        packet, size = mqtt5.read(view)
                except IndexError:
                    if not (received := await self._reader.read(65536)):
                        return None
                    self._buffer += received
                    continue
                del self._buffer[:size]
                return packet

    async def send(self, packet: Packet) -> None:
        await self.send_bytes(packet.write())

    async def send_bytes(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    async def accept(self) -> mqtt5.ConnectPacket:
        """Let the agent connect and subscribe to what it wants."""
        connect = await self.expect(mqtt5.ConnectPacket)
        await self.send(mqtt5.ConnAckPacket())
        subscribe = await self.expect(mqtt5.SubscribePacket)
        granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(subscribe.topic_filters)
        await self.send(mqtt5.SubAckPacket(subscribe.packet_id, granted))
        return connect

    async def until_closed(self) -> None:
        while await self.receive() is not None:
            pass

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def scripted_broker(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve `script` to each connection on a loopback port; what a script raises fails the test."""
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await script(peer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001 - told to the test below
            failures.append(error)
        finally:
            peer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
    assert not failures, failures
