"""Programs that listen to the full bus: what a user writes first, and the agent with an eye on what it costs.

    python -m tests.benchmarks.bus_programs naive CHANNEL DBC [--filtered] [--broker PORT]
    python -m tests.benchmarks.bus_programs agent CONFIG [--marks] [--watched]

Each says `ready` once it listens, and with `--marks` when it had its first value (the agent also when it could be given
commands), as `mark NAME SECONDS LIBRARIES` by the monotonic clock, with those it had imported by then. On SIGUSR1 the
agent that is `--watched` writes how many seconds its event loop has been at work: of a process that is awake for a
thousandth of the time the kernel's own count, by ticks, says too little.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import json
import os
import selectors
import signal
import sys
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

WANTED_IDS = tuple(range(0x100, 0x106))
LIBRARIES = ("asyncio", "sqlite3", "ssl", "can", "cantools", "aiomqtt", "pydantic", "cryptography", "cbor2")
"""Those whose share of a start is told."""


async def naive(channel: str, dbc: Path, *, is_filtered: bool, broker_port: int | None) -> None:
    """python-can's asyncio notifier and cantools; each change of a wanted signal is published if there is a broker."""
    import aiomqtt
    import can
    import cantools

    database: Any = cantools.database.load_file(dbc)
    filters = [{"can_id": wanted, "can_mask": 0x7FF, "extended": False} for wanted in WANTED_IDS]
    known: dict[str, object] = {}
    changes: asyncio.Queue[tuple[str, object]] = asyncio.Queue()

    def on_message(message: can.Message) -> None:
        values = database.decode_message(message.arbitration_id, message.data)
        if not _marked:
            mark("first_reading")
        if message.arbitration_id in WANTED_IDS:
            for name, value in values.items():
                if not name.startswith("Counter") and known.get(name) != value:
                    known[name] = value
                    changes.put_nowait((name, value))

    with can.Bus(interface="socketcan", channel=channel, can_filters=filters if is_filtered else None) as bus:
        notifier = can.Notifier(bus, [on_message], loop=asyncio.get_running_loop())
        try:
            if broker_port is None:
                print("ready", flush=True)
                while True:
                    await changes.get()
            async with aiomqtt.Client("127.0.0.1", broker_port) as client:
                print("ready", flush=True)
                while True:
                    name, value = await changes.get()
                    await client.publish(f"car/{name}", json.dumps(value), qos=1)
        finally:
            notifier.stop()


class WatchedSelector(selectors.DefaultSelector):
    """Counts the time from a return of `select` to its next call, less what reading the clock for that takes."""

    clock_s = min(-perf_counter() + perf_counter() for _ in range(100))
    busy_s = 0.0
    _returned_at_s: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._returned_at_s is not None:
            WatchedSelector.busy_s += perf_counter() - self._returned_at_s - self.clock_s
        ready = super().select(timeout)
        self._returned_at_s = perf_counter()
        return ready


def mark(name: str) -> None:
    """Say once that this was reached."""
    if name not in _marked:
        _marked.add(name)
        imported = ",".join(library for library in LIBRARIES if library in sys.modules)
        print(f"mark {name} {monotonic():.6f} {imported}", flush=True)


_marked: set[str] = set()


def _mark_agent() -> None:
    """Have the agent say when it reached what a user waits for."""
    from agent.engine import Engine
    from agent.model.events import BrokerUp, BusChanged, LinkEvent
    from agent.model.frame import Frame
    from agent.model.reception import WatchNews

    receive_frame, receive_watched = Engine.receive_frame, Engine.receive_watched
    receive_link = Engine.receive_link

    def first_heard() -> None:
        mark("first_reading")
        Engine.receive_frame, Engine.receive_watched = receive_frame, receive_watched  # type: ignore[method-assign]

    def marked_frame(self: Engine, frame: Frame, now_s: float) -> bool:
        is_news = receive_frame(self, frame, now_s)
        if is_news:
            first_heard()
        return is_news

    def marked_watched(self: Engine, news: WatchNews, now_s: float) -> None:
        receive_watched(self, news, now_s)
        if news.changes:
            first_heard()

    def marked_link(self: Engine, event: LinkEvent, now_s: float) -> None:
        receive_link(self, event, now_s)
        if isinstance(event, BusChanged):
            mark("bus_open")
        if isinstance(event, BrokerUp):
            mark("commands")

    Engine.receive_frame = marked_frame  # type: ignore[method-assign]
    Engine.receive_watched = marked_watched  # type: ignore[method-assign]
    Engine.receive_link = marked_link  # type: ignore[method-assign]


def agent(config: Path, *, is_marked: bool, is_watched: bool) -> int:
    """`carshare-agent run`, with its loop watched if that `is_watched`."""
    if is_marked:
        _mark_agent()
    if is_watched:
        selectors.DefaultSelector = WatchedSelector  # type: ignore[misc] # what asyncio makes its loop with
        signal.signal(signal.SIGUSR1, lambda *_: os.write(1, f"{WatchedSelector.busy_s:.6f}\n".encode()))
    from agent.cli import main

    return main(["run", "--config", str(config)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bus_programs")
    programs = parser.add_subparsers(required=True, dest="program")
    users = programs.add_parser("naive")
    users.add_argument("channel")
    users.add_argument("dbc", type=Path)
    users.add_argument("--filtered", action="store_true")
    users.add_argument("--broker", type=int)
    agents = programs.add_parser("agent")
    agents.add_argument("config", type=Path)
    agents.add_argument("--marks", action="store_true")
    agents.add_argument("--watched", action="store_true")
    options = parser.parse_args()
    if options.program == "agent":
        return agent(options.config, is_marked=options.marks, is_watched=options.watched)
    asyncio.run(naive(options.channel, options.dbc, is_filtered=options.filtered, broker_port=options.broker))
    return 0


if __name__ == "__main__":
    sys.exit(main())
