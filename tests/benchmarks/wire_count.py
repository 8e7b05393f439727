"""What crosses the wire, counted in two places that do not know each other.

`CountingProxy` stands between a car and the broker and counts what TLS made of it, in bytes and TCP segments.
`PacketTally` hears the MQTT packets before encryption and says which kind of message they belong to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Self

from agent.adapters.paho_socket import PahoSocket

CHUNK_BYTES = 65_536

SEGMENT_BYTES = 1_388
"""TCP payload of a packet: mobile networks carry 1,440 bytes of IP or a bit less; loopback would carry 65,483."""

HEADER_BYTES = 52
"""IPv4 without options (20) and TCP with time stamps (32)."""

BARE_PACKETS = 7
"""Packets without data of one connection: SYN, SYN-ACK, ACK, and FIN with ACK each way."""

TLS_RECORD_BYTES = 22
"""Of each record of TLS 1.3 beside what it carries: header 5, type 1, authentication tag 16."""

_SEGMENTS_IN_OUT = struct.Struct("=152xII")
"""`tcpi_data_segs_in` and `tcpi_data_segs_out` of Linux's struct tcp_info (linux/tcp.h, since 4.6)."""


@dataclass(slots=True)
class WireCount:
    """One car's traffic; `up` is from the car. Bytes are what TCP carries: TLS with all of its handshakes."""

    connections: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
    data_packets: int = 0

    @property
    def tls_bytes(self) -> int:
        return self.up_bytes + self.down_bytes

    @property
    def header_bytes(self) -> int:
        """Headers of all packets, each packet of data acknowledged by one of its own: at most so many are sent."""
        return HEADER_BYTES * (2 * self.data_packets + BARE_PACKETS * self.connections)

    @property
    def wire_bytes(self) -> int:
        return self.tls_bytes + self.header_bytes

    def document(self) -> dict[str, int]:
        return {
            **asdict(self),
            "tls_bytes": self.tls_bytes,
            "header_bytes": self.header_bytes,
            "wire_bytes": self.wire_bytes,
        }


class CountingProxy:
    """Forwards to `target_port` and counts; an async context manager. `cut` ends the connection, as a tunnel does."""

    def __init__(self, target_port: int) -> None:
        self.count = WireCount()
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        # Both ends keep to the smaller segment from here on, as behind a mobile network.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES + HEADER_BYTES - 40)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=listener)
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """The car loses its connection; the broker is told nothing more of it."""
        for car, broker in tuple(self._open.items()):
            car.transport.close()
            broker.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.count.connections += 1
        try:
            with contextlib.suppress(OSError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _serve(self, from_car: asyncio.StreamReader, to_car: asyncio.StreamWriter) -> None:
        connection: socket.socket = to_car.get_extra_info("socket").dup()
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._target_port)
        to_broker.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[to_car] = to_broker
        down = asyncio.create_task(self._carry(from_broker, to_car, "down_bytes"))
        try:
            await self._carry(from_car, to_broker, "up_bytes")
        finally:
            down.cancel()
            to_broker.transport.abort()
            answer = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_IN_OUT.size)
            self.count.data_packets += sum(_SEGMENTS_IN_OUT.unpack(answer))
            connection.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                setattr(self.count, way, getattr(self.count, way) + len(chunk))
                writer.write(chunk)
                await writer.drain()
        writer.close()


@dataclass(slots=True)
class Kind:
    """What one kind of message cost: MQTT packets with their acknowledgements, and their bytes before TLS."""

    messages: int = 0
    packets: int = 0
    mqtt_bytes: int = 0

    @property
    def tls_bytes(self) -> int:
        return self.mqtt_bytes + TLS_RECORD_BYTES * self.packets


_NAMES = {1: "connect", 2: "connect", 8: "connect", 9: "connect", 12: "keep-alive", 13: "keep-alive", 14: "connect"}
_PUBLISH, _PUBACK = 3, 4


@dataclass(slots=True)
class _Direction:
    buffer: bytearray = field(default_factory=bytearray)
    kind_of_id: dict[int, str] = field(default_factory=dict)


class PacketTally:
    """Bytes of MQTT by kind: the last level of the topic, the acknowledgements of a message with it."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}
        self._up, self._down = _Direction(), _Direction()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what the agent's adapter hands to TLS and takes from it."""
        real_send, real_recv = PahoSocket.send, PahoSocket.recv

        def send(wire: PahoSocket, buffer: bytes | bytearray) -> int:
            sent = real_send(wire, buffer)
            self._hear(self._up, self._down, bytes(buffer[:sent]))
            return sent

        def recv(wire: PahoSocket, size: int) -> bytes:
            received = real_recv(wire, size)
            self._hear(self._down, self._up, received)
            return received

        PahoSocket.send, PahoSocket.recv = send, recv  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            PahoSocket.send, PahoSocket.recv = real_send, real_recv  # type: ignore[method-assign]

    def cut(self) -> None:
        """A connection ended: what was begun on it is not finished on the next."""
        self._up, self._down = _Direction(), _Direction()

    def _hear(self, way: _Direction, back: _Direction, raw: bytes) -> None:
        way.buffer += raw
        while (size := _packet_size(way.buffer)) is not None and size <= len(way.buffer):
            packet = bytes(way.buffer[:size])
            del way.buffer[:size]
            self._count(way, back, packet)

    def _count(self, way: _Direction, back: _Direction, packet: bytes) -> None:
        packet_type = packet[0] >> 4
        body = packet[_header_size(packet) :]
        is_message = False
        if packet_type == _PUBLISH:
            length = int.from_bytes(body[:2])
            name = body[2 : 2 + length].decode().rsplit("/", 1)[-1]
            is_message = True
            if packet[0] & 0x06:
                way.kind_of_id[int.from_bytes(body[2 + length : 4 + length])] = name
        elif packet_type == _PUBACK:
            name = back.kind_of_id.pop(int.from_bytes(body[:2]), "other")
        else:
            name = _NAMES.get(packet_type, "other")
            is_message = packet_type in (1, 12)
        kind = self.kinds.setdefault(name, Kind())
        kind.messages += is_message
        kind.packets += 1
        kind.mqtt_bytes += len(packet)


def _header_size(packet: bytes | bytearray) -> int:
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 1


def _packet_size(buffer: bytearray) -> int | None:
    """Size of the packet that begins the buffer, None while its length is not whole (MQTT 5 §1.5.5)."""
    length = 0
    for at in range(1, min(len(buffer), 5)):
        length |= (buffer[at] & 0x7F) << 7 * (at - 1)
        if not buffer[at] & 0x80:
            return at + 1 + length
    return None
