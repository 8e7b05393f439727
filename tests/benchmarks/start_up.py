"""From the start of the process to its first value, to being up and to taking commands; and what it occupies then.

    python -m tests.benchmarks.start_up [--rounds N] [--json]

The agent and the program a user writes first (python-can, cantools, aiomqtt) start in turn on the bus of `full_bus`,
with Mosquitto beside them; the median of the rounds counts. Then each library is imported by itself, to show its share.
Where the host has no CAN, it runs in user-mode Linux.
Exit status: 0 done, 1 a program did not do its part, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import monotonic

from agent.errors import EXIT_DONE
from tests.benchmarks.full_bus import READY_S, WAYS, Bench, in_guest, positive
from tests.support.mosquitto import mosquitto
from tests.support.process import Process, until
from tests.support.uml import ROOT

LIBRARIES = ("asyncio", "sqlite3", "ssl", "can", "cantools", "aiomqtt", "pydantic", "cryptography", "cbor2")
MEMORY_MB_MAX = 60
"""What the agent may occupy."""

SETTLED_S = 5.0
"""After its start a program occupies what it will."""

_SAY_MEMORY = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"


def share(statement: str) -> dict[str, float]:
    """What a Python process that does no more than this takes: milliseconds (the least of three) and megabytes."""
    spans_s, kilobytes = [], 0
    for _ in range(3):
        begun_s = monotonic()
        command = [sys.executable, "-c", f"{statement}; {_SAY_MEMORY}"]
        kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
        spans_s.append(monotonic() - begun_s)
    return {"ms": round(1000 * min(spans_s)), "mb": round(kilobytes / 1024, 1)}


def start(bench: Bench, name: str, folder: Path) -> dict[str, float]:
    """One start of a program: milliseconds to each mark, and megabytes once it has settled."""
    wanted = {"first_reading", "commands"} if name.startswith("agent") else {"first_reading"}
    folder.mkdir()
    with mosquitto(folder) as broker:
        command = [*bench.command(name, WAYS[name], folder, broker.port)]
        command += ["--marks"] if name.startswith("agent") else []
        begun_s = monotonic()
        with Process(name, command, folder, {"PYTHONPATH": str(ROOT)}) as process:
            process.until(lambda: _marks(process).keys() >= wanted, within_s=READY_S, what="it has begun")
            until(lambda: monotonic() - begun_s > SETTLED_S, within_s=2 * SETTLED_S, what="it has settled")
            marks = {f"{mark}_ms": round(1000 * (at_s - begun_s)) for mark, at_s in _marks(process).items()}
            memory_mb = round(process.memory_bytes() / 2**20, 1)
            process.kill()
    return {**marks, "mb": memory_mb}


def _marks(process: Process) -> dict[str, float]:
    lines = (line.split() for line in process.stdout().splitlines() if line.startswith("mark "))
    return {words[1]: float(words[2]) for words in lines}


def measure(rounds: int) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """Medians of both programs, and the share of each library."""
    found: dict[str, list[dict[str, float]]] = {"naive_whole": [], "agent_whole": []}
    with tempfile.TemporaryDirectory(prefix="start-up-") as name:
        bench = Bench(Path(name), None)
        with bench.background_load():
            for number in range(rounds):
                for program, runs in found.items():
                    runs.append(start(bench, program, Path(name) / f"{program}{number}"))
                    print(f"{program}: {runs[-1]}", file=sys.stderr, flush=True)
    programs = {program: {key: median(run[key] for run in runs) for key in runs[0]} for program, runs in found.items()}
    alone = {"pass": share("pass")} | {library: share(f"import {library}") for library in LIBRARIES}
    alone["the agent's own modules and all of these"] = share("import agent.app, agent.profiles.parse")
    return {"programs": programs, "libraries": alone}


def table(document: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The document for a person."""
    naive, agent = document["programs"]["naive_whole"], document["programs"]["agent_whole"]
    lines = [
        f"first value: user's program {naive['first_reading_ms']:.0f} ms, the agent {agent['first_reading_ms']:.0f} ms",
        f"ready for commands: {agent['commands_ms']:.0f} ms (wanted: {2 * naive['first_reading_ms']:.0f})",
        f"memory: user's program {naive['mb']:.1f} MB, the agent {agent['mb']:.1f} MB (wanted: {MEMORY_MB_MAX})",
        "by itself".ljust(48) + "ms".rjust(8) + "MB".rjust(8),
    ]
    for library, row in document["libraries"].items():
        lines.append(library.ljust(48) + f"{row['ms']:.0f}".rjust(8) + f"{row['mb']:.1f}".rjust(8))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.start_up",
        description="The agent's start and memory beside those of the program a user writes first.",
        epilog="example:\n  python -m tests.benchmarks.start_up --rounds 3\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive(int), default=5, metavar="N", help="starts of each (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if (status := in_guest("tests.benchmarks.start_up", sys.argv[1:] if arguments is None else arguments)) is not None:
        return status
    document = measure(int(options.rounds))
    print(json.dumps(document) if options.json else table(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
