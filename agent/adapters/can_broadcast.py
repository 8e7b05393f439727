"""Reception by the kernel's CAN broadcast manager: it compares each frame with the last one, and gives the changes.

That a message goes on coming without a change is told by nothing but silence: the kernel speaks up when one has not
come for its time-out.  So whoever finds this socket empty knows that each message last told of as there has come
within its time-out.  That holds only if nothing was lost on the way and the kernel's timers ran: after a message lost
to a full buffer, and after a suspend, in which they stand still, everything is asked for afresh.

To wake for a change costs more than to take it in, and a moving car has hundreds a second.  So those that follow one
within `GATHER_S` are taken together, each with its own time: sooner where they are so many that there might be no room
for them, and at once while a command is under way.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Sequence

from agent.adapters.bcm_message import EXTENDED, KIND_BYTES, MESSAGE_BYTES_MAX, Watched, parse, rx_setup
from agent.adapters.bcm_socket import open_watching, statistics_of
from agent.adapters.beat import next_beat_s
from agent.adapters.can_edge import CLOCK_STEP_S, GATHER_S, arrival_s
from agent.adapters.can_port import KERNEL_FRAME_BYTES, bus_error, lost_messages
from agent.adapters.can_raw import ANCILLARY_BYTES, timestamp_s
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s, wall_offset_s
from agent.errors import BusError
from agent.model.frame import Frame
from agent.model.reception import GoesOn, MessageId, Watch, WatchNews

# Where nothing changes it is made sure so often that nothing waits: of what stops it is then known until when it came.
ASK_S = 1.0

# Gathering begins with twice the gap between two, or this, and grows while what comes meanwhile fills the least part of
# the room there is for it.
_GATHER_S_MIN = 0.01
_ROOM_SHARE = 8

_tuple = tuple.__new__  # what a named tuple's own constructor calls in the end, at half its price

# Boot time runs on in a suspend and monotonic time does not; read one after the other they differ by less than this.
_SUSPENDED_S = 0.05


# Kinds of messages whose meaning is kept, for each watch: it changes, or is silent, and its frames have one length.
_KINDS_A_WATCH = 4

# What a kind of message says: of which watch (None: of none), and where the bytes of its frame are (None: it is gone).
_Kind = tuple["Watch | None", "slice | None", bool]


class Broadcast:
    """The watched messages of one open interface. `take` gives `on_news` what the kernel told of them.

    `on_ready` is called in the event loop when there is something to take.  NotWatched if the kernel cannot do it,
    BusError if the interface has failed.
    """

    def __init__(
        self,
        bus: str,
        channel: str,
        watches: Sequence[Watch],
        *,
        buffer_bytes: int,
        on_ready: Callable[[], None],
        on_news: Callable[[WatchNews], None],
        counts: FrameCounts,
    ) -> None:
        self._bus = bus
        self._counts = counts
        self._place = f"broadcast manager on {channel}"
        self._watches = {watch.message: watch for watch in watches}
        self._by_can_id = {
            watch.message.arbitration_id | (EXTENDED if watch.message.is_extended_id else 0): watch for watch in watches
        }
        self._kinds: dict[bytes, _Kind] = {}
        self._on_ready = on_ready
        self._on_news = on_news
        self._changes: list[Frame] = []
        self._silent: list[MessageId] = []
        self._units_of: list[MessageId] = []
        self._live: set[MessageId] = set()
        self._is_live_told = True
        self._attended: frozenset[MessageId] = frozenset()
        self._failure: BusError | None = None
        self.lost = 0
        self._taken = 0
        self._is_empty = True
        self._is_hurried = self._is_closed = False
        self._gather_s = _GATHER_S_MIN
        self._came_at_s = float("-inf")
        self._gathering: asyncio.TimerHandle | None = None
        self._asking: asyncio.TimerHandle | None = None
        self._refreshing: asyncio.TimerHandle | None = None
        self._refresh_s_min = min((watch.refresh_s for watch in watches if watch.refresh_s), default=None)
        self._empty_at_s = self._arrived_at_s = boot_s()
        self._offset_s = wall_offset_s()
        self._suspended_s = suspended_s(boot_s())
        self._socket = open_watching(channel, self._place, watches, buffer_bytes)
        # So that what waits is never older than what has to be fresh may be.
        slowest_s = min((watch.timeout_s or watch.refresh_s for watch in watches), default=GATHER_S)
        self._gather_s_max = min(GATHER_S, slowest_s)
        self._room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // KERNEL_FRAME_BYTES
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._come)
        self._refresh_later()

    def close(self) -> None:
        """Watch nothing any more."""
        self._is_closed = True
        for timer in (self._refreshing, self._gathering, self._asking):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def take(self, messages_max: int) -> None:
        """Take in what the kernel has told, and tell it on; BusError once the interface has failed."""
        if self._failure is not None:
            raise self._failure
        # Read once for all that waits: what comes meanwhile counts as older than it is, by as long as this takes.
        now_s = boot_s()
        slept_s, offset_s = suspended_s(now_s), wall_offset_s(self._offset_s, now_s)
        self._is_empty = False
        is_clock_steady = abs(offset_s - self._offset_s) <= CLOCK_STEP_S
        receive, kind_of, last_s = self._socket.recvmsg, self._kinds.get, max(self._arrived_at_s, self._empty_at_s)
        try:
            for _ in range(messages_max):
                packet, ancillary, _, _ = receive(MESSAGE_BYTES_MAX, ANCILLARY_BYTES)
                self._taken += 1
                watch, payload, is_fd = kind_of(packet[:KIND_BYTES]) or self._kind_of(packet)
                if watch is None:
                    self._counts.unwanted += 1
                elif self._attended and watch.message in self._attended:
                    self._counts.doubled += payload is not None
                elif payload is None:
                    self._timed_out(watch.message)
                else:
                    stamp_s = timestamp_s(ancillary)
                    at_s = stamp_s - offset_s
                    # Nearly always one comes after the other, and no clock was set: as `arrival_s` would say.
                    if not (is_clock_steady and last_s <= at_s <= now_s):
                        # One held back by the throttle has the time of its frame, which may be before the last look.
                        earliest_s = max(self._empty_at_s - watch.throttle_s, self._arrived_at_s)
                        at_s = arrival_s(stamp_s, offset_s, self._offset_s, earliest_s, now_s)
                    self._arrived_at_s, last_s = at_s, max(at_s, last_s)
                    if (message := watch.message) not in self._live and watch.timeout_s:
                        self._live.add(message)
                        self._is_live_told = False
                    bus, number, is_extended_id = message
                    self._changes.append(_tuple(Frame, (bus, number, packet[payload], at_s, is_extended_id, is_fd)))
                    if watch.units_of:
                        self._units_of += watch.units_of
        except BlockingIOError:
            self._empty_at_s, self._offset_s, self._is_empty = now_s, offset_s, True
        except OSError as error:
            raise bus_error(self._place, error) from error
        finally:
            self._tell(now_s, slept_s)

    def count_lost(self) -> int:
        """Messages of the kernel for which there was no room in the socket's buffer, all of them so far."""
        if (lost := lost_messages(self._socket)) != self.lost:
            self.lost = lost
            self.watch_afresh(self._watches)
        return lost

    def statistics(self) -> dict[tuple[int, bool], Watched]:
        """What the kernel says of each message of which a frame came; nothing if it does not say."""
        return statistics_of(self._socket)

    def attend(self, messages: Collection[MessageId]) -> None:
        """These are received frame by frame elsewhere from now on; those no longer among them are watched afresh."""
        before, self._attended = self._attended, frozenset(messages) & self._watches.keys()
        self._silent += self._attended - before
        self._is_live_told = False
        self.watch_afresh(before - self._attended)

    def hurry(self, *, is_hurried: bool) -> None:
        """Gather nothing from now on, or as before."""
        self._is_hurried = is_hurried
        if is_hurried and self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
            self._loop.add_reader(self._socket, self._come)

    def watch_afresh(self, messages: Collection[MessageId]) -> None:
        """Have the next frame of each given, whatever it holds; until then it does not go on, as far as is known."""
        for message in messages:
            if (watch := self._watches.get(message)) is not None:
                self._live.discard(message)
                self._silent.append(message)
                self._is_live_told = False
                try:
                    self._socket.send(rx_setup(watch))
                except OSError as error:
                    # Told by the next `take`: whoever asks here has nothing to do with the interface.
                    self._failure = bus_error(self._place, error)
        if self._silent:
            silent, self._silent = self._silent, []
            self._on_news(WatchNews(self._bus, silent))

    def _come(self) -> None:
        """There is something: it is taken at once; and if it does not come alone, what follows is taken together."""
        self._taken = 0
        self._on_ready()
        before_s, self._came_at_s = self._came_at_s, self._loop.time()
        gap_s = self._came_at_s - before_s
        if gap_s < self._gather_s_max and not (self._is_hurried or self._is_closed):
            self._loop.remove_reader(self._socket)
            self._gather_s = max(gap_s, _GATHER_S_MIN)
            self._gather()
        else:
            self._ask_later()

    def _gathered(self) -> None:
        self._taken = 0
        self._on_ready()
        if self._is_closed or self._is_hurried:
            return
        if self._taken:
            self._gather()
        else:
            self._gathering = None
            self._loop.add_reader(self._socket, self._come)
            self._ask_later()

    def _ask_later(self) -> None:
        if self._asking is None and self._live and not self._is_closed:
            self._asking = self._loop.call_later(ASK_S, self._ask)

    def _ask(self) -> None:
        self._asking = None
        self._on_ready()
        self._ask_later()

    def _gather(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._taken * _ROOM_SHARE < self._room:
            self._gather_s = min(2 * self._gather_s, self._gather_s_max)
        else:
            self._gather_s = max(self._gather_s / 4, _GATHER_S_MIN)
        now_s = self._loop.time()
        if not self._is_empty:
            at_s = now_s  # what one turn left is taken in the next
        elif self._gather_s < self._gather_s_max:
            at_s = now_s + self._gather_s  # whole: by what came in a part of it too much would seem to have room
        else:
            at_s = next_beat_s(now_s, self._gather_s)
        self._gathering = self._loop.call_at(at_s, self._gathered)

    def _kind_of(self, packet: bytes) -> _Kind:
        """What all of the kernel's messages say that are of the kind of this one."""
        heard = parse(packet)
        if heard is None or (watch := self._by_can_id.get(heard.can_id)) is None:
            return None, None, False
        payload = None if heard.data is None else slice(KIND_BYTES, KIND_BYTES + len(heard.data))
        kind = watch, payload, heard.is_fd
        if len(self._kinds) < _KINDS_A_WATCH * len(self._watches):
            self._kinds[packet[:KIND_BYTES]] = kind
        return kind

    def _tell(self, now_s: float, slept_s: float) -> None:
        """All that was taken; and if nothing is left, that all is known. `slept_s` is `suspended_s` at `now_s`."""
        known_at_s = going_on = None
        if self._is_empty:
            before = self.lost
            if abs(slept_s - self._suspended_s) > _SUSPENDED_S:
                self._suspended_s = slept_s
                self.watch_afresh(self._watches)
            elif self.count_lost() == before:
                known_at_s = now_s
                if not self._is_live_told:
                    self._is_live_told = True
                    live = sorted(self._live - self._attended)
                    going_on = [GoesOn(message, self._watches[message].timeout_s) for message in live]
        changes, silent = self._changes, self._silent
        self._changes, self._silent = [], []
        self._on_news(_tuple(WatchNews, (self._bus, silent, known_at_s, changes, going_on)))
        if self._units_of:
            # What the changes hold may change what these mean, which have to be given again for that.
            units_of, self._units_of = self._units_of, []
            self.watch_afresh(units_of)

    def _timed_out(self, message: MessageId) -> None:
        self._live.discard(message)
        self._silent.append(message)
        self._is_live_told = False

    def _refresh_later(self) -> None:
        if self._refresh_s_min is not None:
            self._refreshing = self._loop.call_later(self._refresh_s_min, self._refresh)

    def _refresh(self) -> None:
        self.watch_afresh([each for each in self._watches if self._watches[each].refresh_s])
        self._refresh_later()


def suspended_s(now_s: float) -> float:
    """For how long the computer slept since it was booted, and the kernel's time-outs stood still; `now_s` is just
    read."""
    return now_s - time.monotonic()
