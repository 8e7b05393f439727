"""From the start of the process to its first value, to being up and to taking commands; and what it occupies then.

    python -m tests.benchmarks.start_up [--machine NAME] [--rounds N] [--profile-only] [--json]

The agent and the program a user writes first (python-can, cantools, aiomqtt) start in turn on the bus of `full_bus`,
with Mosquitto beside them; the median of the rounds counts. The agent starts twice in each round: first without a plan
of its profile, then with the one that left behind, as at every start of an installed car but the first. Then each
library is imported by itself, to show its share, and a profile of 500 messages is compiled and recalled in turn: the
least of each counts. Machines: `tests/benchmarks/machine.py`; `--profile-only` needs none. By `--machine counted` a
start takes the time of its instructions, and files are read from memory: ratios that can be repeated anywhere.
Exit status: 0 done, 1 a program did not do its part, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import compileall
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, process_time
from typing import Any

from agent.errors import EXIT_DONE
from agent.profiles.parse import parse_profile
from agent.profiles.recall import Program, Sources, recalled, sealed
from agent.profiles.schema import Profile
from tests.benchmarks.bus_profile import LARGE_MESSAGES, large_profile
from tests.benchmarks.bus_programs import LIBRARIES
from tests.benchmarks.full_bus import READY_S, WAYS, Bench, positive
from tests.benchmarks.machine import add_machine_option, in_guest
from tests.support.mosquitto import mosquitto
from tests.support.process import Process, until
from tests.support.uml import ROOT

MEMORY_MB_MAX = 60
"""What the agent may occupy."""

SETTLED_S = 5.0
"""After its start a program occupies what it will."""

ALL = "import agent.app, agent.cli, agent.adapters.mqtt_link, agent.profiles.parse"

ALL_WORDS = "the agent's own modules and all of these"

_SAY_MEMORY = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"


def share(statement: str, code: Path, *, times: int = 3) -> dict[str, float]:
    """What a Python process that does no more than this takes: milliseconds (the least of so many) and megabytes."""
    spans_s, kilobytes = [], 0
    for _ in range(times):
        begun_s = monotonic()
        command = [sys.executable, "-c", f"{statement}; {_SAY_MEMORY}"]
        kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=code).stdout)
        spans_s.append(monotonic() - begun_s)
    return {"ms": round(1000 * min(spans_s)), "mb": round(kilobytes / 1024, 1)}


STARTS = {"naive_whole": ("naive_whole",), "agent_whole": ("agent_first", "agent_whole")}
"""The program's starts in each round, one after the other in the same folder."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a program: milliseconds to each mark, what was imported by then, and megabytes once settled."""

    figures: Mapping[str, float]
    imported: Mapping[str, frozenset[str]]


def installed_code(folder: Path) -> Path:
    """The agent and these programs with their bytecode beside them, as an installed package has it.

    A checkout may be without, and would be compiled at every start.
    """
    programs = Path("tests") / "benchmarks" / "bus_programs.py"
    shutil.copytree(ROOT / "agent", folder / "agent")
    (folder / programs).parent.mkdir(parents=True)
    shutil.copy(ROOT / programs, folder / programs)
    if not compileall.compile_dir(folder, quiet=1):
        raise RuntimeError(f"{folder}: cannot be compiled")
    return folder


def starts(bench: Bench, program: str, folder: Path, code: Path) -> dict[str, Start]:
    """The program's starts by their names."""
    folder.mkdir()
    with mosquitto(folder) as broker:
        command = bench.command(program, WAYS[program], folder, broker.port)
        return {name: _start(name, command, folder, code) for name in STARTS[program]}


def _start(name: str, command: Sequence[str], folder: Path, code: Path) -> Start:
    is_agent = name.startswith("agent")
    wanted = {"first_reading", "commands"} if is_agent else {"first_reading"}
    begun_s = monotonic()
    with Process(name, [*command, *(["--marks"] if is_agent else [])], folder, {"PYTHONPATH": str(code)}) as process:
        process.until(lambda: _marks(process).keys() >= wanted, within_s=READY_S, what="it has begun")
        until(lambda: monotonic() - begun_s > SETTLED_S, within_s=2 * SETTLED_S, what="it has settled")
        marks = _marks(process)
        figures = {f"{mark}_ms": float(round(1000 * (at_s - begun_s))) for mark, (at_s, _) in marks.items()}
        figures["mb"] = round(process.memory_bytes() / 2**20, 1)
        process.kill()
    return Start(figures, {mark: libraries for mark, (_, libraries) in marks.items()})


def _marks(process: Process) -> dict[str, tuple[float, frozenset[str]]]:
    lines = (line.split(" ") for line in process.stdout().splitlines() if line.startswith("mark "))
    return {words[1]: (float(words[2]), frozenset(words[3].split(","))) for words in lines}


def measure(rounds: int) -> dict[str, Any]:
    """Medians of the programs, what the agent imported by when, and the share of each library."""
    found: dict[str, list[Start]] = {}
    with tempfile.TemporaryDirectory(prefix="start-up-") as name:
        bench, code = Bench(Path(name), None), installed_code(Path(name) / "code")
        with bench.background_load():
            for number in range(rounds):
                for program in STARTS:
                    for start, one in starts(bench, program, Path(name) / f"{program}{number}", code).items():
                        found.setdefault(start, []).append(one)
                        print(f"{start}: {dict(one.figures)}", file=sys.stderr, flush=True)
        # Where time is counted exactly, once is as good as three times; all of it was read by the programs above.
        times = 1 if bench.places.is_exact else 3
        statements = {"pass": "pass", **{library: f"import {library}" for library in LIBRARIES}, ALL_WORDS: ALL}
        alone = {words: share(statement, code, times=times) for words, statement in statements.items()}
    programs = {
        name: {key: median(run.figures[key] for run in runs) for key in runs[0].figures} for name, runs in found.items()
    }
    last = found["agent_whole"][-1].imported
    imported = {library: _when(library, last) for library in LIBRARIES}
    return {"programs": programs, "libraries": alone, "imported": imported, **measure_profile()}


def _when(library: str, imported: Mapping[str, frozenset[str]]) -> str:
    if library in imported["first_reading"]:
        return "before the first value"
    return "before commands" if library in imported["commands"] else "not imported"


def measure_profile(rounds: int = 5) -> dict[str, Any]:
    """Milliseconds to compile a large profile from its DBC, and to recall it from the plan kept of it."""
    sources = Sources(*large_profile())
    program = Program("benchmark", bytes(32))
    profile = parse_profile(sources.profile_text, sources.files, source="profile.toml")
    assert isinstance(profile, Profile), profile
    content = sealed(profile, sources, program)
    assert isinstance(content, bytes), content

    def compile_it() -> object:
        return parse_profile(sources.profile_text, sources.files, source="profile.toml")

    def recall_it() -> object:
        return recalled(content, sources, program)

    spans_s: dict[str, list[float]] = {"compiled": [], "recalled": []}
    for _ in range(rounds):
        for words, way in (("compiled", compile_it), ("recalled", recall_it)):
            begun_s = process_time()
            assert way() == profile
            spans_s[words].append(process_time() - begun_s)
    figures: dict[str, float] = {f"{words}_ms": round(1000 * min(spans), 1) for words, spans in spans_s.items()}
    return {"profile": {"messages": LARGE_MESSAGES, "plan_bytes": len(content), **figures}}


def table(document: Mapping[str, Any]) -> str:
    """The document for a person."""
    naive, agent, first = (document["programs"][name] for name in ("naive_whole", "agent_whole", "agent_first"))
    of_first = "its very first start:"
    lines = [
        f"first value: user's program {naive['first_reading_ms']:.0f} ms, the agent {agent['first_reading_ms']:.0f} ms",
        f"  {of_first} {first['first_reading_ms']:.0f} ms",
        f"ready for commands: {agent['commands_ms']:.0f} ms (wanted: {2 * naive['first_reading_ms']:.0f})",
        f"  {of_first} {first['commands_ms']:.0f} ms",
        f"memory: user's program {naive['mb']:.1f} MB, the agent {agent['mb']:.1f} MB (wanted: {MEMORY_MB_MAX})",
        f"  {of_first} {first['mb']:.1f} MB",
        "by itself".ljust(48) + "ms".rjust(8) + "MB".rjust(8) + "  in the agent's start",
    ]
    for library, row in document["libraries"].items():
        when = document["imported"].get(library, "")
        lines.append(
            (library.ljust(48) + f"{row['ms']:.0f}".rjust(8) + f"{row['mb']:.1f}".rjust(8) + f"  {when}").rstrip()
        )
    return "\n".join([*lines, profile_line(document)])


def profile_line(document: Mapping[str, Any]) -> str:
    """What a large profile takes, for a person."""
    row = document["profile"]
    return (
        f"a profile of {row['messages']} messages: compiled {row['compiled_ms']} ms,"
        f" recalled {row['recalled_ms']} ms from {row['plan_bytes']} bytes (libraries loaded before)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.start_up",
        description="The agent's start and memory beside those of the program a user writes first.",
        epilog="example:\n  python -m tests.benchmarks.start_up --rounds 3\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive(int), default=5, metavar="N", help="starts of each (5)")
    parser.add_argument("--profile-only", action="store_true", help="only compile and recall a large profile")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    add_machine_option(parser)
    options = parser.parse_args(arguments)
    if options.profile_only:
        document = measure_profile()
        print(json.dumps(document) if options.json else profile_line(document))
        return EXIT_DONE
    words = sys.argv[1:] if arguments is None else arguments
    if (status := in_guest("tests.benchmarks.start_up", words, machine=options.machine)) is not None:
        return status
    document = measure(int(options.rounds))
    print(json.dumps(document) if options.json else table(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
