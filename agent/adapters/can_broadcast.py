"""Reception by the kernel's CAN broadcast manager: it compares each frame with the last one, and gives the changes.

That a message goes on coming without a change is told by nothing but silence: the kernel speaks up when one has not
come for its time-out.  So whoever finds this socket empty knows that each message last told of as there has come
within its time-out (`seen`).  That holds only if nothing was lost on the way and the kernel's timers ran: after a
message lost to a full buffer, and after a suspend, in which they stand still, everything is asked for afresh.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from agent.adapters.bcm_message import MESSAGE_BYTES_MAX, Watched, parse, parse_statistics, rx_setup
from agent.adapters.can_edge import arrival_s
from agent.adapters.can_port import bus_error, lost_messages
from agent.adapters.can_raw import ANCILLARY_BYTES, SO_TIMESTAMPNS, timestamp_s
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s, wall_offset_s
from agent.errors import BusError
from agent.model.frame import Frame
from agent.model.reception import MessageId, Seen, Watch

PROTOCOL = getattr(socket, "CAN_BCM", 2)

KERNEL_STATISTICS = Path("/proc/net/can-bcm")

# What is seen is told so often at most: well under the time-outs, which are half a freshness.
SEEN_INTERVAL_S = 0.05
_SEEN_SHARE = 0.25

# Boot time runs on in a suspend and monotonic time does not; read one after the other they differ by less than this.
_SUSPENDED_S = 0.05


# The interface is not there, or down: the bus has failed. Whatever else the kernel says, it cannot watch for us.
_INTERFACE_FAILED = frozenset({errno.ENODEV, errno.ENXIO, errno.ENETDOWN})


class NotWatched(BusError):  # noqa: N818 - not a failure of the bus: another way of receiving is taken
    """The kernel has no broadcast manager for us, and why."""


class Broadcast:
    """The watched messages of one open interface. `take` gives their changes to `on_change`, in order of arrival.

    `on_ready` is called in the event loop when there is something to take.  NotWatched if the kernel cannot do it,
    BusError if the interface has failed.
    """

    def __init__(
        self,
        channel: str,
        watches: Sequence[Watch],
        *,
        buffer_bytes: int,
        on_ready: Callable[[], None],
        on_change: Callable[[Frame], None],
        counts: FrameCounts,
    ) -> None:
        self._counts = counts
        self._place = f"broadcast manager on {channel}"
        self._watches = {watch.message: watch for watch in watches}
        self._by_id = {(each.arbitration_id, each.is_extended_id): each for each in self._watches}
        self._on_change = on_change
        self._live: set[MessageId] = set()
        self._attended: frozenset[MessageId] = frozenset()
        self._failure: BusError | None = None
        self._lost_before = 0
        self._refreshing: asyncio.TimerHandle | None = None
        shortest_s = min((watch.timeout_s for watch in watches if watch.timeout_s), default=1.0)
        self._seen_interval_s = min(SEEN_INTERVAL_S, _SEEN_SHARE * shortest_s)
        self._refresh_s_min = min((watch.refresh_s for watch in watches if watch.refresh_s), default=None)
        self._seen_at_s = self._empty_at_s = self._arrived_at_s = boot_s()
        self._offset_s = wall_offset_s()
        self._suspended_s = suspended_s()
        self._socket = self._opened(channel, buffer_bytes)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, on_ready)
        self._refresh_later()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def take(self, messages_max: int) -> None:
        """Take in what the kernel has told; BusError once the interface has failed."""
        if self._failure is not None:
            raise self._failure
        # Read once for all that waits: what comes meanwhile counts as older than it is, by as long as this takes.
        now_s, offset_s = boot_s(), wall_offset_s(self._offset_s)
        for _ in range(messages_max):
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(MESSAGE_BYTES_MAX, ANCILLARY_BYTES)
            except BlockingIOError:
                self._empty_at_s, self._offset_s = now_s, offset_s
                return
            except OSError as error:
                raise bus_error(self._place, error) from error
            self._told(packet, ancillary, offset_s, now_s)

    def seen(self) -> tuple[Seen, ...]:
        """The messages that go on coming without a change, each with a time at which it was still there.

        Nothing if the socket holds something untaken, and nothing if it was asked a moment ago.
        """
        now_s = boot_s()
        if self._poll.poll(0):
            return ()
        lost, slept_s = self.lost, suspended_s()
        if lost != self._lost_before or abs(slept_s - self._suspended_s) > _SUSPENDED_S:
            self._lost_before, self._suspended_s = lost, slept_s
            self.watch_afresh(self._watches)
            return ()
        if now_s - self._seen_at_s < self._seen_interval_s:
            return ()
        self._seen_at_s = now_s
        return tuple(Seen(message, now_s - self._watches[message].timeout_s) for message in self._live - self._attended)

    @property
    def lost(self) -> int:
        """Messages of the kernel for which there was no room in the socket's buffer."""
        return lost_messages(self._socket)

    def statistics(self) -> dict[tuple[int, bool], Watched]:
        """What the kernel says of each message of which a frame came; nothing if it does not say."""
        try:
            return parse_statistics((KERNEL_STATISTICS / str(os.fstat(self._socket.fileno()).st_ino)).read_text())
        except OSError:
            return {}

    def attend(self, messages: Collection[MessageId]) -> None:
        """These are received frame by frame elsewhere from now on; those no longer among them are watched afresh."""
        before, self._attended = self._attended, frozenset(messages) & self._watches.keys()
        self.watch_afresh(before - self._attended)

    def watch_afresh(self, messages: Collection[MessageId]) -> None:
        """Have the next frame of each given, whatever it holds; until then nothing is said to be seen of it."""
        for message in messages:
            if (watch := self._watches.get(message)) is not None:
                self._live.discard(message)
                try:
                    self._socket.send(rx_setup(watch))
                except OSError as error:
                    # Told by the next `take`: whoever asks here has nothing to do with the interface.
                    self._failure = bus_error(self._place, error)

    def _opened(self, channel: str, buffer_bytes: int) -> socket.socket:
        try:
            opened = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, PROTOCOL)
        except OSError as error:
            raise NotWatched(f"the kernel has no CAN broadcast manager (module can-bcm): {error}") from error
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            opened.connect((channel,))
            for watch in self._watches.values():
                opened.send(rx_setup(watch))
        except OSError as error:
            opened.close()
            if error.errno in _INTERFACE_FAILED:
                raise bus_error(self._place, error) from error
            raise NotWatched(f"{self._place}: {error}") from error
        except BaseException:
            opened.close()
            raise
        return opened

    def _told(self, packet: bytes, ancillary: list[tuple[int, int, bytes]], offset_s: float, now_s: float) -> None:
        heard = parse(packet)
        message = None if heard is None else self._by_id.get((heard.arbitration_id, heard.is_extended_id))
        if heard is None or message is None:
            self._counts.unwanted += 1
            return
        if message in self._attended:
            self._counts.doubled += heard.data is not None
            return
        watch = self._watches[message]
        if heard.data is None:
            self._live.discard(message)
            return
        self._arrived_at_s = arrival_s(
            timestamp_s(ancillary),
            offset_s=offset_s,
            offset_before_s=self._offset_s,
            # A change held back by the throttle has the time of a frame that may have come before we looked last.
            earliest_s=max(self._empty_at_s - watch.throttle_s, self._arrived_at_s),
            now_s=now_s,
        )
        if watch.timeout_s:
            self._live.add(message)
        self._on_change(
            Frame(message.bus, heard.arbitration_id, heard.data, self._arrived_at_s, heard.is_extended_id, heard.is_fd)
        )
        self.watch_afresh(watch.units_of)

    def _refresh_later(self) -> None:
        if self._refresh_s_min is not None:
            self._refreshing = self._loop.call_later(self._refresh_s_min, self._refresh)

    def _refresh(self) -> None:
        self.watch_afresh([each for each in self._watches if self._watches[each].refresh_s])
        self._refresh_later()


def suspended_s() -> float:
    """For how long the computer slept since it was booted, and the kernel's time-outs stood still."""
    return boot_s() - time.monotonic()
