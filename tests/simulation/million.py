"""Worlds full of faults, one after another, until so many commands were signed and judged.

    python -m tests.simulation.million --commands 1000000 --seed 1

World S, world S+1, … are lived by as many processes as there are processors, and counted in that order, so that the
same arguments always do the same.  A world that breaks a rule is printed with its last steps and with the command
that lives it again; exit status 1.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from multiprocessing import get_context

from tests.support.world import World
from tests.support.world_memory import begin_process

WORLDS_A_TASK = 4
TASKS_WAITING = 3
"""For each process: enough that none waits, few enough that little is thrown away at the end."""

COLLECT_EVERY = 4
"""Tasks between two collections: what a world leaves is in cycles, and looking for it at every turn costs a tenth."""

_tasks = count(1)
"""Of this process."""


@dataclass(frozen=True, slots=True)
class Lived:
    """One world at its end. `failure` is what broke, in words, None if nothing did."""

    seed: int
    digest: str
    counts: Counter[str]
    failure: str | None = None


@dataclass(slots=True)
class Report:
    """All worlds together; `digest` is theirs in order."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    digest: str = ""
    failure: str | None = None

    @property
    def commands(self) -> int:
        return self.counts["command signed"]

    def words(self) -> str:
        rate = self.commands / max(self.seconds, 1e-9)
        hours = self.counts["virtual seconds"] / 3600
        first = (
            f"{self.commands} commands in {self.counts['world']} worlds: {hours:.1f} h of virtual time lived in "
            f"{self.seconds:.0f} s, {rate:.0f} commands a second; trace {self.digest[:16]}"
        )
        kinds: dict[str, list[str]] = {}
        for name, number in sorted(self.counts.items()):
            kind, _, rest = name.partition(" ")
            if rest and kind != "virtual":
                kinds.setdefault(kind, []).append(f"{rest} {number}")
        lines = [f"  {kind}: {', '.join(numbers)}" for kind, numbers in kinds.items()]
        return "\n".join([first, *lines])


def replay_command(seed: int) -> str:
    """What lives exactly this world again."""
    return f"python -m tests.simulation.million --seed {seed} --commands 1"


def live(seed: int, kind: type[World] = World) -> Lived:
    """Live one world to its end, or to the rule it breaks."""
    world = kind(seed)
    failure = None
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 - whatever escapes the agent is what is looked for
        failure = (
            f"{world.trace.words()}\n{traceback.format_exc()}\nworld {seed}: {type(error).__name__}: {error}\n"
            f"to live it again: {replay_command(seed)}"
        )
    world.count("world")
    return Lived(seed, world.trace.digest, world.trace.counts, failure)


def simulate(commands: int, seed: int, processes: int) -> Report:
    """Live worlds from `seed` on until `commands` were signed, or one fails."""
    report, digest, began_s = Report(), sha256(), time.monotonic()
    worlds = _lived(seed) if processes == 1 else _lived_by_many(seed, processes)
    for lived in worlds:
        report.counts += lived.counts
        digest.update(lived.digest.encode())
        report.failure = lived.failure
        if report.failure is not None or report.commands >= commands:
            break
    worlds.close()
    report.seconds, report.digest = time.monotonic() - began_s, digest.hexdigest()
    return report


def _lived(seed: int) -> Generator[Lived, None, None]:
    for number in count(seed):
        yield live(number)


def _lived_by_many(seed: int, processes: int) -> Generator[Lived, None, None]:
    """The same in the same order, worked at by several processes."""
    starts = count(seed, WORLDS_A_TASK)
    waiting: deque[Future[list[Lived]]] = deque()
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin_process)
    try:
        while True:
            while len(waiting) < processes * TASKS_WAITING:
                waiting.append(pool.submit(_live_some, next(starts)))
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _live_some(start: int) -> list[Lived]:
    some = [live(seed) for seed in range(start, start + WORLDS_A_TASK)]
    if next(_tasks) % COLLECT_EVERY == 0:
        gc.collect()
    return some


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.million", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--commands", type=int, default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first world; default: 1")
    parser.add_argument("--processes", type=int, metavar="P", help="default: one for each processor")
    wanted = parser.parse_args(arguments)
    # One world is lived at once; for more, starting other processes pays.
    processes = wanted.processes or (1 if wanted.commands < 1000 else os.cpu_count() or 1)
    report = simulate(wanted.commands, wanted.seed, processes)
    if report.failure is not None:
        print(report.failure)
    print(report.words())
    return 1 if report.failure is not None else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
