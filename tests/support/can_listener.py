"""What a `CanBus` tells, collected so that a test can wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from agent.adapters.can_bus import CanBus
from agent.adapters.can_reception import Watching
from agent.model.bus import BusSign
from agent.model.events import FramesLost
from agent.model.frame import BusState, Frame, SendRule
from agent.model.reception import GoesOn, Repeating, Watch, WatchNews

WAIT_S = 10.0


class CanListener:
    """Frames and states of one bus in the order they were told."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._changes: asyncio.Queue[Frame] = asyncio.Queue()
        self.news: list[WatchNews] = []
        self.going_on: list[GoesOn] = []
        self.lost = 0
        self._states: asyncio.Queue[BusState] = asyncio.Queue()
        self.taken: list[int] = []
        """How many frames waited to be asked for whenever the bus had given some."""

    def on_taken(self) -> None:
        self.taken.append(self._frames.qsize())

    def on_frame(self, frame: Frame) -> None:
        self._frames.put_nowait(frame)

    def on_watched(self, news: WatchNews) -> None:
        self.news.append(news)
        for frame in news.changes:
            self._changes.put_nowait(frame)
        self.going_on = [each for each in self.going_on if each.message not in news.silent]
        if news.going_on is not None:
            self.going_on = list(news.going_on)

    def on_lost(self, event: FramesLost) -> None:
        self.lost += event.count

    async def change(self) -> Frame:
        """The next frame that the kernel picked out; fails after a bounded wait."""
        return await asyncio.wait_for(self._changes.get(), WAIT_S)

    def changes_so_far(self) -> list[Frame]:
        """What the kernel picked out and was not asked for yet."""
        return [self._changes.get_nowait() for _ in range(self._changes.qsize())]

    def on_state(self, state: BusState, sign: BusSign) -> None:
        self._states.put_nowait(state)

    async def frame(self) -> Frame:
        """The next frame; fails after a bounded wait."""
        return await asyncio.wait_for(self._frames.get(), WAIT_S)

    async def state(self) -> BusState:
        """The next change of state; fails after a bounded wait."""
        return await asyncio.wait_for(self._states.get(), WAIT_S)

    async def until(self, wanted: BusState) -> None:
        """Wait until the bus says it is in `wanted`."""
        while await self.state() is not wanted:
            pass

    def frames_so_far(self) -> list[Frame]:
        """What has come and was not asked for yet."""
        return [self._frames.get_nowait() for _ in range(self._frames.qsize())]


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until `condition` holds; fails after a bounded wait."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - a condition nobody announces
            await asyncio.sleep(0)


@asynccontextmanager
async def running_bus(
    listener: CanListener,
    *,
    interface: str,
    channel: str,
    send_list: Sequence[SendRule] = (),
    wanted_ids: Sequence[tuple[int, bool]] = ((0x123, False),),
    is_fd: bool = False,
    conflatable_ids: Sequence[tuple[int, bool]] = (),
    repeating: Sequence[Repeating] = (),
    may_conflate: Callable[[], bool] = lambda: True,
    watches: Sequence[Watch] = (),
    bus: str = "body",
    first: BusState = BusState.UP,
) -> AsyncIterator[CanBus]:
    """A `CanBus` whose `run` is under way, and which has said that it is up, or what else comes `first`."""
    can_bus = CanBus(
        bus,
        interface=interface,
        channel=channel,
        bitrate_bps=500_000,
        is_fd=is_fd,
        send_list=send_list,
        wanted_ids=wanted_ids,
        on_frame=listener.on_frame,
        on_state=listener.on_state,
        on_taken=listener.on_taken,
        conflatable_ids=conflatable_ids,
        repeating=repeating,
        may_conflate=may_conflate,
        watching=Watching(watches, listener.on_watched, listener.on_lost),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(can_bus.run(), name="bus")
        await listener.until(first)
        yield can_bus
        running.cancel()
