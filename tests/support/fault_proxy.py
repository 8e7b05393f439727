"""A TCP proxy on loopback between one end and the broker, with the faults of a bad network at the turn of a switch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Way(Enum):
    """Which way bytes travel."""

    TO_BROKER = "to_broker"
    FROM_BROKER = "from_broker"


def packet_types(chunk: bytes) -> list[int]:
    """Types of the MQTT packets that a chunk begins with, as far as they are whole."""
    types, at = [], 0
    while at + 2 <= len(chunk):
        length, shift, head = 0, 0, at + 1
        while head < len(chunk):
            length |= (chunk[head] & 0x7F) << shift
            shift += 7
            head += 1
            if not chunk[head - 1] & 0x80:
                break
        types.append(chunk[at] >> 4)
        at = head + length
    return types


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


class FaultProxy:
    """Forwards every connection to `target_port`; an async context manager, listening on `port` from the start on.

    `swallowed`: bytes that way are read and thrown away.  `delay_s`: every chunk waits so long, both ways.
    `rewrite`: what a chunk becomes on its way.  `is_refusing`: a new connection is closed at once.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.connections = 0
        self.is_refusing = False
        self.swallowed: set[Way] = set()
        self.delay_s = 0.0
        self.rewrite: Callable[[Way, bytes], bytes] | None = None
        self._gate = _open_gate()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection on both sides at once, without a word."""
        for client, broker in tuple(self._open.items()):
            client.transport.abort()
            broker.transport.abort()

    def cut_from_broker(self) -> None:
        """Half-open: the broker's side is gone, the client's stands, takes everything and answers nothing."""
        self.swallowed.add(Way.TO_BROKER)
        for broker in self._open.values():
            broker.transport.abort()

    def inject(self, raw: bytes) -> None:
        """Say to every client what the broker never said."""
        for client in self._open:
            client.write(raw)

    def stall(self) -> None:
        """Let nothing through, either way, and keep every connection; what is sent waits."""
        self._gate.clear()

    def resume(self) -> None:
        """No fault from here on."""
        self._gate.set()
        self.swallowed.clear()
        self.delay_s = 0.0
        self.rewrite = None
        self.is_refusing = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the test is over
        finally:
            self._tasks.discard(task)
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            return
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self.target_port)
        self.connections += 1
        self._open[writer] = to_broker
        back = asyncio.create_task(self._carry(Way.FROM_BROKER, from_broker, writer, is_end_passed_on=True))
        try:
            await self._carry(Way.TO_BROKER, reader, to_broker, is_end_passed_on=False)
        finally:
            back.cancel()
            to_broker.transport.abort()

    async def _carry(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_end_passed_on: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._gate.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if way in self.swallowed:
                    continue
                if self.rewrite is not None:
                    chunk = self.rewrite(way, chunk)
                writer.write(chunk)
                await writer.drain()
        # The end of a connection that was made half-open is not passed on: that is what half-open means.
        if is_end_passed_on and Way.TO_BROKER not in self.swallowed:
            writer.close()
