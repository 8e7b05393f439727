"""The virtual car by itself: commands on stdin, what it does as JSON Lines on stdout. For an agent run elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping

from agent.bench.car import CarEvent
from agent.bench.car_body import CarRefusesError
from agent.bench.car_can import CarOnBus
from agent.bench.car_commands import LINE_LENGTH_MAX, state
from agent.errors import EXIT_DONE


async def run_alone(car: CarOnBus, *, interface: str, channels: Mapping[str, str]) -> int:
    """Be the car until `quit` or cancelled; without stdin (its end) the car goes on."""
    quitting = asyncio.Event()

    def obey(line: str) -> None:
        command = line.strip()
        if command == "quit":
            quitting.set()
        elif command == "state":
            _tell("state", car.now_s(), state(car.car))
        else:
            try:
                car.do(command)
            except CarRefusesError as refusal:
                _tell("refused", car.now_s(), {"command": command[:LINE_LENGTH_MAX], "problem": str(refusal)})
            else:
                _tell("done", car.now_s(), {"command": command})

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(car.run(), name="bench-car")
        await car.opened.wait()
        _tell("ready", car.now_s(), {"interface": interface, "channels": channels, **state(car.car)})
        _read_lines(asyncio.get_running_loop(), obey)
        await quitting.wait()
        running.cancel()
    return EXIT_DONE


def tell(event: CarEvent) -> None:
    """One event of the car as a line on stdout."""
    _tell(event.name, event.at_s, event.fields)


def _tell(name: str, at_s: float, fields: Mapping[str, object]) -> None:
    print(json.dumps({"event": name, "at_s": round(at_s, 3), **fields}, allow_nan=False), flush=True)


def _read_lines(loop: asyncio.AbstractEventLoop, obey: Callable[[str], None]) -> None:
    """Read stdin in a thread: it may be a pipe, a terminal, a file or /dev/null, not all of which can be polled."""

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the car
            for text in sys.stdin:
                loop.call_soon_threadsafe(obey, text[:LINE_LENGTH_MAX])

    threading.Thread(target=read, name="bench-stdin", daemon=True).start()
