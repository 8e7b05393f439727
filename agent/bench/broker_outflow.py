"""What goes out to one client of the bench broker: flow control, bounds, and what a frozen link holds back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from mqtt5 import ConnectPacket

from agent.bench.broker_faults import BrokerFaults
from agent.bench.broker_wire import Publication

WAITING_MAX = 1000  # Mosquitto's own default for messages queued to one client
UNSENT_BYTES_MAX = 1 << 20  # a client that does not read is cut off, rather than buffered for
_PACKET_ID_MAX = 65_535


class Outflow:
    """Publications and answers on their way to one client, within its Receive Maximum and Maximum Packet Size.

    `on_dropped(topic)` is called for a delivery left out (too large, or `WAITING_MAX` reached), `on_overflow()`
    once more than `UNSENT_BYTES_MAX` wait for a client that does not read.
    """

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        faults: BrokerFaults,
        *,
        on_dropped: Callable[[str], None],
        on_overflow: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._faults = faults
        self._on_dropped = on_dropped
        self._on_overflow = on_overflow
        self._receive_max = 0
        self._packet_bytes_max: int | None = None
        self._packet_id = 0
        self._in_flight: set[int] = set()
        self._waiting: deque[tuple[Publication, bool]] = deque()
        self._held: deque[bytes] = deque()  # what a frozen link has not let out, bounded by UNSENT_BYTES_MAX
        self._held_bytes = 0

    def open(self, connect: ConnectPacket) -> None:
        """Take the client's limits from its CONNECT."""
        self._receive_max = connect.receive_max
        self._packet_bytes_max = connect.max_packet_size

    def write(self, encoded: bytes) -> None:
        """Send an encoded packet, or hold it while the link is frozen."""
        if self._writer.is_closing():
            return
        if self._faults.is_frozen:
            self._held.append(encoded)
            self._held_bytes += len(encoded)
        else:
            self._writer.write(encoded)
        if self._held_bytes + self._writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self._on_overflow()

    def release(self) -> None:
        """Let out what a frozen link held back."""
        while self._held and not self._writer.is_closing():
            self._writer.write(self._held.popleft())
        self._held_bytes = 0

    def enqueue(self, publication: Publication, *, is_retained: bool, qos_max: int) -> None:
        """Deliver a publication at the lower of its QoS and `qos_max`, now or when the client's window lets it."""
        if min(int(publication.source.qos), qos_max) == 0:
            self._send(publication, is_retained, None)
        elif len(self._waiting) >= WAITING_MAX:
            self._on_dropped(publication.topic)
        else:
            self._waiting.append((publication, is_retained))
            self._pump()

    def acknowledge(self, packet_id: int) -> None:
        """The client's PUBACK came; a number that is not in flight is left alone."""
        self._in_flight.discard(packet_id)
        self._pump()

    def _pump(self) -> None:
        while self._waiting and len(self._in_flight) < self._receive_max:
            publication, is_retained = self._waiting.popleft()
            self._packet_id = self._packet_id % _PACKET_ID_MAX + 1
            while self._packet_id in self._in_flight:  # ends: fewer are in flight than there are numbers
                self._packet_id = self._packet_id % _PACKET_ID_MAX + 1
            self._send(publication, is_retained, self._packet_id)

    def _send(self, publication: Publication, is_retained: bool, packet_id: int | None) -> None:
        now_s = asyncio.get_running_loop().time()
        if publication.is_expired(now_s):
            return
        first = publication.encode(is_retained=is_retained, packet_id=packet_id, is_duplicate=False, now_s=now_s)
        if self._packet_bytes_max is not None and len(first) > self._packet_bytes_max:
            self._on_dropped(publication.topic)  # MQTT 5 §3.1.2.11.4: as if it had been delivered
            return
        if packet_id is not None:
            self._in_flight.add(packet_id)
        self.write(first)
        if packet_id is not None and self._faults.duplicates_delivery():
            self.write(publication.encode(is_retained=is_retained, packet_id=packet_id, is_duplicate=True, now_s=now_s))
