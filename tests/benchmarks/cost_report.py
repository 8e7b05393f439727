"""The figures of `command_cost` as a document and as a table for a person."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

Row = tuple[str, str]

_WORDS_WIDTH = 48

COMMAND_ROWS: tuple[Row, ...] = (
    ("total", "one accepted command, delivery to first frame"),
    ("decide", "  checked, decided, intent made"),
    ("hand_over", "  until the engine's task has it"),
    ("commit", "  intent durable, by the writer's thread"),
    ("to_frame", "  asked again, first frame sent"),
)
FLOOR_ROWS: tuple[Row, ...] = (
    ("total", "floor: the same three as bare calls"),
    ("signature", "  one signature check"),
    ("commit", "  one synced commit"),
    ("send", "  one send"),
)


class Command(Protocol):
    """Times of one command, in seconds."""

    delivered_s: float
    decided_s: float
    handed_over_s: float
    stored_s: float
    sent_s: float


class Bare(Protocol):
    """Times of one round of the floor, in seconds."""

    @property
    def signature_s(self) -> float: ...
    @property
    def commit_s(self) -> float: ...
    @property
    def send_s(self) -> float: ...


def summary(pairs: Sequence[tuple[Command, Bare]]) -> dict[str, Any]:
    """`spread_ms` of each step, how many times its floor a command costs at each, and how much more than its floor."""
    commands, floors = [command for command, _ in pairs], [floor for _, floor in pairs]

    def of_commands(span_s: Callable[[Command], float]) -> dict[str, float]:
        return spread_ms(map(span_s, commands))

    def of_floors(span_s: Callable[[Bare], float]) -> dict[str, float]:
        return spread_ms(map(span_s, floors))

    command = {
        "total": of_commands(lambda one: one.sent_s - one.delivered_s),
        "decide": of_commands(lambda one: one.decided_s - one.delivered_s),
        "hand_over": of_commands(lambda one: one.handed_over_s - one.decided_s),
        "commit": of_commands(lambda one: one.stored_s - one.handed_over_s),
        "to_frame": of_commands(lambda one: one.sent_s - one.stored_s),
    }
    floor = {
        "total": of_floors(lambda one: one.signature_s + one.commit_s + one.send_s),
        "signature": of_floors(lambda one: one.signature_s),
        "commit": of_floors(lambda one: one.commit_s),
        "send": of_floors(lambda one: one.send_s),
    }
    ratio = {
        name.removesuffix("_ms"): round(total_ms / floor["total"][name], 2)
        for name, total_ms in command["total"].items()
    }
    over = spread_ms(
        (one.sent_s - one.delivered_s) - (bare.signature_s + bare.commit_s + bare.send_s) for one, bare in pairs
    )
    return {"commands": len(pairs), "command": command, "floor": floor, "ratio": ratio, "over_floor": over}


def spread_ms(spans_s: Iterable[float]) -> dict[str, float]:
    """10th percentile, median, 90th and 99th percentile of a list that is not empty.

    A percentile is the value so many in a hundred do not exceed.  Below the tenth hardly anything disturbed the run.
    """
    ordered = sorted(spans_s)

    def percentile(hundredths: int) -> float:
        return ordered[-(-len(ordered) * hundredths // 100) - 1]

    found_s = {
        "p10_ms": percentile(10),
        "median_ms": statistics.median(ordered),
        "p90_ms": percentile(90),
        "p99_ms": percentile(99),
    }
    return {name: round(found * 1000, 3) for name, found in found_s.items()}


def machine_facts(folder: Path, bus: str) -> dict[str, str | int | float]:
    """What a reader must know to compare the figures with his own."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "file_system": _file_system(folder),
        "bus": bus,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cryptography": version("cryptography"),
    }


def table(document: Mapping[str, Any]) -> str:
    """The document for a person."""
    lines = [
        f"{document['commands']} commands, in milliseconds".ljust(_WORDS_WIDTH)
        + _columns("10 %", "median", "90 %", "99 %")
    ]
    for part, rows in (("command", COMMAND_ROWS), ("floor", FLOOR_ROWS)):
        for key, words in rows:
            figures = (f"{figure_ms:.2f}" for figure_ms in document[part][key].values())
            lines.append(words.ljust(_WORDS_WIDTH) + _columns(*figures))
    lines.append(
        "times the floor".ljust(_WORDS_WIDTH) + _columns(*(f"{ratio:.1f}" for ratio in document["ratio"].values()))
    )
    over = (f"{figure_ms:.2f}" for figure_ms in document["over_floor"].values())
    lines.append("milliseconds over the floor measured beside it".ljust(_WORDS_WIDTH) + _columns(*over))
    lines.append(", ".join(f"{key.replace('_', ' ')}: {fact}" for key, fact in document["machine"].items()))
    return "\n".join(lines)


def _columns(*words: str) -> str:
    return "".join(word.rjust(8) for word in words)


def _processor() -> str:
    """The kernel's name of the processor; on ARM it is the board's that tells more."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text().rstrip("\0")
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Type of the file system `folder` lies on; on `tmpfs` a synced commit costs nothing and proves nothing."""
    kinds = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted_at, kind, *_ = line.split()
        kinds[Path(mounted_at)] = kind
    return next(kinds[place] for place in (folder, *folder.parents) if place in kinds)
