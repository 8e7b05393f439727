"""A full bus for as long as one likes, and every frame accounted for: what was sent is the sum of the counters.

    python -m tests.soak.full_load --seconds 3600

4,000 frames a second of 60 ids on vcan, received by the agent's adapter in three ways at once: the kernel watches six
of them, every frame of the six is read, every frame of all is read with the newest of an id standing for those before
it (conflation). The bus does not wait for them, and now and then nothing is read for a while, so that something is
lost; a command's attention comes and goes. Where the host has no CAN, all of it runs in user-mode Linux. Progress on
stderr, the account as one line of JSON on stdout; exit status 1 if a frame is not accounted for, or memory or open
files grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from agent.adapters.can_bus import CanBus
from agent.loading import load_profile
from agent.model.reception import MessageId, Watch
from agent.profiles.watches import watches
from tests.benchmarks.bus_profile import FIRST_ID, IDS, WANTED, write_profile
from tests.benchmarks.full_bus import FRAMES_PER_CHANGE, FRAMES_PER_S
from tests.benchmarks.machine import HERE, in_guest
from tests.soak.footprint import footprint, growth, is_flat
from tests.support.can_listener import CanListener, running_bus
from tests.support.uml import find_compiler

CHANNEL = "vcan0"
LOOK_S = 0.1
ATTENTION_S = (5.0, 2.0)
"""A command's attention begins so often, and lasts so long."""

STALL_EVERY_S = 7.0
STALL_S = 0.8
"""So often nothing is read for so long: three times what the buffers are made for."""

FOOTPRINTS = 12
SETTLED_SHARE = 0.25
"""Memory is compared from here on: what a process needs at work it has taken by then."""

GROWN_BYTES_MAX = 2e6
"""What a burst once took the process keeps, and the machine's other work makes bursts."""

GROWN_BLOCKS_MAX = 2000
"""Fewer than the frames of half a second: a piece kept of every thousandth frame would be more within ten minutes."""

SENT_IDS = [(FIRST_ID + number, False) for number in range(IDS)]
WANTED_IDS = SENT_IDS[: len(WANTED)]


class Reader:
    """One way of receiving; `account` says what became of the frames it wanted."""

    def __init__(self, name: str, bus: CanBus, listener: CanListener, ids: Sequence[tuple[int, bool]]) -> None:
        self.name, self.bus, self._listener, self._ids = name, bus, listener, ids
        self.attended: list[MessageId] = []

    def look(self) -> None:
        """As the application does; what came is not kept."""
        self.bus.confirm()
        self._listener.frames_so_far()
        self._listener.changes_so_far()
        self._listener.news.clear()
        self._listener.taken.clear()

    def account(self, sent: int) -> dict[str, object]:
        """`sent` frames were on the bus, in the order of their ids."""
        wanted = sum(sent // IDS + (number - FIRST_ID < sent % IDS) for number, _ in self._ids)
        counts, conflated = self.bus.counts, self.bus.left_out().total()
        watched = self.bus.statistics().values()
        came, told = sum(each.came for each in watched), sum(each.told for each in watched)
        read = counts.received - counts.changes
        if watched:
            is_right = (came, told) == (wanted, counts.changes + counts.doubled + counts.lost_changes)
        else:
            is_right = wanted == read + conflated + counts.lost
        return {
            "wanted": wanted,
            "watched": came,
            "told": told,
            "changes": counts.changes,
            "doubled": counts.doubled,
            "lost_changes": counts.lost_changes,
            "read": read,
            "conflated": conflated,
            "lost": counts.lost,
            "unwanted": counts.unwanted,
            "is_right": is_right and not counts.unwanted,
        }


class FullLoad:
    """One run."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._prints = [footprint()]

    async def go(self) -> dict[str, object]:
        profile = load_profile(write_profile(self._folder / "profile", buses=1, is_reporting=False))
        watched = watches(profile, "bus0")
        async with AsyncExitStack() as stack:
            readers = [
                await self._reader(stack, "kernel", watched, WANTED_IDS),
                await self._reader(stack, "frames", (), WANTED_IDS),
                await self._reader(stack, "all", (), SENT_IDS, is_conflating=True),
            ]
            words = [str(FRAMES_PER_S), str(self._seconds), str(FRAMES_PER_CHANGE), CHANNEL]
            before = _interface_frames()
            load = await asyncio.create_subprocess_exec(
                self._folder / "bus_load",
                *words,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"BUS_DOES_NOT_WAIT": "1"},
            )
            await self._listen(readers, watched, load)
            told, _ = await load.communicate()
            sent, changes = (int(word) for word in told.split())
            await _drain(readers)
            accounts = {reader.name: reader.account(sent) for reader in readers}
            by_interface = _interface_frames() - before
        flat = self._prints[int(SETTLED_SHARE * len(self._prints)) :]
        return {
            "seconds": round(self._seconds),
            "sent": sent,
            "per_second": round(sent / self._seconds),
            "by_interface": by_interface,
            "changes": changes,
            **accounts,
            "footprint": growth(flat),
            "is_right": by_interface == sent
            and all(account["is_right"] for account in accounts.values())
            and is_flat(flat, grown_bytes_max=GROWN_BYTES_MAX, grown_blocks_max=GROWN_BLOCKS_MAX),
        }

    async def _reader(
        self,
        stack: AsyncExitStack,
        name: str,
        watched: Sequence[Watch],
        ids: Sequence[tuple[int, bool]],
        *,
        is_conflating: bool = False,
    ) -> Reader:
        listener = CanListener()
        bus = await stack.enter_async_context(
            running_bus(
                listener,
                interface="socketcan",
                channel=CHANNEL,
                watches=watched,
                wanted_ids=ids,
                conflatable_ids=ids if is_conflating else (),
                bus="bus0",
            )
        )
        return Reader(name, bus, listener, ids)

    async def _listen(
        self, readers: Sequence[Reader], watched: Sequence[Watch], load: asyncio.subprocess.Process
    ) -> None:
        """Look at what comes until the bus is still again."""
        began_s = time.monotonic()
        attention_s, is_attending, stall_s, print_s = ATTENTION_S[0], False, STALL_EVERY_S, 0.0
        ending = asyncio.ensure_future(load.wait())
        while not ending.done():
            await asyncio.wait((ending,), timeout=LOOK_S)
            for reader in readers:
                reader.look()
            now_s = time.monotonic() - began_s
            if now_s >= attention_s:
                is_attending = not is_attending
                attention_s = now_s + ATTENTION_S[is_attending]
                readers[0].bus.attend([each.message for each in watched] if is_attending else [])
            if now_s >= stall_s:
                stall_s = now_s + STALL_EVERY_S
                time.sleep(STALL_S)  # noqa: ASYNC251 - nothing is read meanwhile, which is what is wanted
            if now_s >= print_s:
                print_s += self._seconds / FOOTPRINTS
                self._prints.append(footprint())
                _show_progress(now_s, self._seconds)


async def _drain(readers: Sequence[Reader]) -> None:
    """Take what is still in the sockets, and what the throttle holds."""
    still, before = 0, [-1]
    while still < 10:
        await asyncio.sleep(LOOK_S)
        for reader in readers:
            reader.look()
        now = [reader.bus.counts.received for reader in readers]
        still, before = (still + 1 if now == before else 0), now


def _interface_frames() -> int:
    """What the interface itself counted as received."""
    return int(Path("/sys/class/net", CHANNEL, "statistics/rx_packets").read_text())


def _show_progress(done_s: float, all_s: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done_s:.0f} of {all_s:.0f} s")


def soak(seconds: float) -> dict[str, object]:
    """The whole run, on this kernel's vcan0."""
    with tempfile.TemporaryDirectory(prefix="full-load-") as name:
        folder = Path(name)
        compiler = find_compiler() or "cc"
        subprocess.run([compiler, "-O2", "-o", folder / "bus_load", HERE / "bus_load.c"], check=True)
        return asyncio.run(FullLoad(folder, seconds).go())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.full_load",
        description="A full bus on vcan, and every frame accounted for.",
        epilog="example:\n  python -m tests.soak.full_load --seconds 3600\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=3600.0, metavar="N", help="for how long (3600)")
    options = parser.parse_args(arguments)
    if options.seconds <= 0:
        parser.error("argument --seconds: a number above 0")
    words = sys.argv[1:] if arguments is None else arguments
    if (status := in_guest("tests.soak.full_load", words, seconds_max=options.seconds + 600.0)) is not None:
        return status
    account = soak(options.seconds)
    sys.stdout.write(json.dumps(account) + "\n")
    return 0 if account["is_right"] else 1


if __name__ == "__main__":
    sys.exit(main())
