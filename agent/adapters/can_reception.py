"""Who receives what on a SocketCAN bus: the kernel watches most messages, a raw socket gives every frame of the others.

The raw socket also has the error frames, and what a command under way attends to.  Where the kernel cannot watch,
every wanted frame is read: that costs more and tells the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from agent.adapters.bcm_message import Watched
from agent.adapters.bcm_socket import NotWatched
from agent.adapters.can_broadcast import Broadcast
from agent.adapters.can_echo import Echoes, Ids
from agent.adapters.can_port import lost_messages
from agent.adapters.can_raw import RawSocket
from agent.adapters.can_source import FrameCounts
from agent.adapters.journal import write_log
from agent.model.effects import Level, Log
from agent.model.events import FramesLost
from agent.model.quick_dataclass import dataclass
from agent.model.reception import MessageId, Watch, WatchNews


@dataclass(frozen=True, slots=True)
class Watching:
    """What the kernel is to watch on a bus (nothing: every wanted frame is read), who gets its news, and who is told
    of what was lost."""

    watches: Sequence[Watch]
    on_news: Callable[[WatchNews], None]
    on_lost: Callable[[FramesLost], None]


class Reception:
    """The kernel's part in one bus, over all the times it is opened."""

    def __init__(
        self, bus: str, watching: Watching, wanted: Ids, counts: FrameCounts, echoes: Echoes, *, buffer_bytes: int
    ) -> None:
        self._name = bus
        self._watching = watching
        self._wanted = wanted
        self._counts = counts
        self._echoes = echoes
        self._is_attending = False
        self._buffer_bytes = buffer_bytes
        self._attended: frozenset[MessageId] = frozenset()
        self._bus: RawSocket | None = None
        self._broadcast: Broadcast | None = None
        self._lost_before = (0, 0)
        self._statistics_before: dict[tuple[int, bool], Watched] = {}

    @property
    def raw_ids(self) -> Ids:
        """What the raw socket is to give, where the kernel watches the rest; during a command also our own."""
        watched = {watch.message for watch in self._watching.watches} - self._attended
        return self._with_echoes(self._wanted - {(each.arbitration_id, each.is_extended_id) for each in watched})

    def begin(self, bus: RawSocket, channel: str, on_ready: Callable[[], None]) -> None:
        """Have the kernel watch beside `bus`, which was opened with `raw_ids`; BusError if the interface failed."""
        self._bus, self._lost_before = bus, (0, 0)
        self._echoes.begin(bus, channel)
        if not self._watching.watches:
            bus.let_in(self._with_echoes(self._wanted))
            return
        try:
            self._broadcast = Broadcast(
                self._name,
                channel,
                self._watching.watches,
                buffer_bytes=self._buffer_bytes,
                on_ready=on_ready,
                on_news=self._count_and_pass_on,
                counts=self._counts,
            )
        except NotWatched as refusal:
            if self._counts.unwatched == 0:
                write_log(Log(Level.WARNING, "kernel_does_not_watch", {"bus": self._name, "detail": str(refusal)}))
            self._counts.unwatched += 1
            bus.let_in(self._with_echoes(self._wanted))
            return
        # A command may have begun while the bus was being opened.
        bus.let_in(self.raw_ids)
        self._broadcast.hurry(is_hurried=self._is_attending)
        self._broadcast.attend(self._attended)

    def end(self) -> None:
        """The bus is being closed."""
        self.count_lost()
        self._echoes.end()
        self._bus = None
        if self._broadcast is not None:
            # The kernel forgets them with the socket, or with an interface that was taken away.
            self._statistics_before = self.statistics()
            self._broadcast.close()
            self._broadcast = None
            self._watching.on_news(WatchNews(self._name, [watch.message for watch in self._watching.watches]))

    def take(self, messages_max: int) -> None:
        """Pass on what the kernel picked out; BusError once the interface has failed."""
        if self._broadcast is not None:
            self._broadcast.take(messages_max)

    def attend(self, messages: Collection[MessageId], messages_max: int) -> None:
        """See `CanBus.attend`."""
        self._attended = frozenset(message for message in messages if message.bus == self._name)
        self._is_attending = bool(messages)
        if self._bus is None:
            return
        broadcast = self._broadcast
        # In this order no frame falls between the two: for a moment both give it.
        self._bus.let_in(self._with_echoes(self._wanted) if broadcast is None else self.raw_ids)
        if broadcast is not None:
            broadcast.take(messages_max)
            broadcast.hurry(is_hurried=self._is_attending)
            broadcast.attend(self._attended)

    def watch_afresh(self, message: MessageId) -> None:
        """See `CanBus.watch_afresh`."""
        if self._broadcast is not None:
            self._broadcast.watch_afresh([message])

    def tell_lost(self) -> None:
        """Say what was lost since the last time."""
        if (lost := self.count_lost()) > 0:
            self._watching.on_lost(FramesLost(self._name, lost))

    def statistics(self) -> dict[tuple[int, bool], Watched]:
        """See `CanBus.statistics`."""
        found = dict(self._statistics_before)
        for key, watched in ({} if self._broadcast is None else self._broadcast.statistics()).items():
            found[key] = found.get(key, _NOTHING) + watched
        return found

    def count_lost(self) -> int:
        """How much the kernel had no room for since this was asked last."""
        if self._bus is None:
            return 0
        frames = lost_messages(self._bus.socket)
        changes = 0 if self._broadcast is None else self._broadcast.count_lost()
        before, self._lost_before = self._lost_before, (frames, changes)
        self._counts.lost_changes += changes - before[1]
        new = frames + changes - sum(before)
        self._counts.lost += new
        return new

    def _with_echoes(self, ids: Ids) -> Ids:
        return ids | self._echoes.ids if self._is_attending and self._echoes.are_due else ids

    def _count_and_pass_on(self, news: WatchNews) -> None:
        self._counts.received += len(news.changes)
        self._counts.changes += len(news.changes)
        self._watching.on_news(news)


_NOTHING = Watched(0, 0)
