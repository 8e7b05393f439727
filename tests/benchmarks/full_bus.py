"""What it costs to listen to a full bus: the agent beside the programs a user writes first and a C reader, on vcan.

    python -m tests.benchmarks.full_bus [--seconds N] [--rounds N] [--way NAME …] [--reception WORD] [--json]

4,000 frames a second of 60 ids, each with a counter that moves; 12 signals in six of them are wanted, and one changes
with every 400th frame. Every way listens by itself to the same traffic. Figures are processor time a frame that was
on the bus, the median of the rounds; where a program takes the processor from the bus, the bus waits for it, so that
nothing is lost and the figure stays one of a frame. The agent's is the larger of what the kernel counted and of its
event loop's time at work. `agent` reports nothing but the first values; `agent_whole` and `naive_whole` publish every
change to Mosquitto. Where the host has no CAN, all of it runs in user-mode Linux, where a system call costs a hundred
times what it does elsewhere: the ratios of one run are what counts.
Exit status: 0 done, 1 a program did not do its part, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from agent.bench.choices import CanChoice
from agent.bench.setup import make_folder
from agent.errors import EXIT_DONE, EXIT_FAILED
from tests.benchmarks.bus_profile import write_profile
from tests.support.mosquitto import free_port, mosquitto
from tests.support.process import Process
from tests.support.uml import GUEST_FAILED, ROOT, find_compiler

HERE = Path(__file__).resolve().parent
FRAMES_PER_S = 4000
FRAMES_PER_CHANGE = 400
READY_S = 60.0
AT_ONCE = ("chrt", "--fifo", "1")
"""Whatever listens has the processor until it waits again; the bus, which never waits, would get whole ticks else."""

SETTLE_S = 3.0
"""What a program still does once it is ready (its first readings, its first records) is none of a frame's cost."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to listen: its words for a person, and how many buses it listens to."""

    words: str
    buses: int = 1
    is_publishing: bool = False


WAYS = {
    "naive": Way("python-can asyncio notifier + cantools, every frame"),
    "naive_filtered": Way("the same with kernel id filters"),
    "c_reader": Way("a C program, blocking read of every frame"),
    "agent": Way("the agent, bus to readings"),
    "agent_2_buses": Way("the agent on two buses", buses=2),
    "agent_4_buses": Way("the agent on four buses", buses=4),
    "naive_whole": Way("python-can asyncio + cantools + aiomqtt", is_publishing=True),
    "agent_whole": Way("the whole agent, every change to the broker", is_publishing=True),
}

BOUNDS = {
    ("agent", "naive"): 400,
    ("agent", "naive_filtered"): 20,
    ("agent", "c_reader"): 20,
    ("agent_whole", "naive_whole"): 25,
}
"""(ours, theirs): ours costs at most this part of theirs."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a way cost: processor seconds, frames that were on one bus meanwhile, wanted changes."""

    processor_s: float
    frames: int
    changes: int

    @property
    def ns_a_frame(self) -> float:
        return 1e9 * self.processor_s / self.frames


class Bench:
    """Interfaces, programs and files of one run."""

    def __init__(self, folder: Path, reception: str | None) -> None:
        self._folder = folder
        self._reception = reception
        self._runs = 0
        for name in ("bus_load", "bus_reader"):
            subprocess.run([find_compiler() or "cc", "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)

    def run(self, name: str, seconds: float) -> Cost:
        """Start the way's program, let it listen to the bus, and see what that cost."""
        self._runs += 1
        way, folder = WAYS[name], self._folder / f"run{self._runs}"
        folder.mkdir()
        with mosquitto(folder) if way.is_publishing else nullcontext() as broker:
            port = free_port() if broker is None else broker.port
            command = [*AT_ONCE, *self.command(name, way, folder, port)]
            with Process(name, command, folder, {"PYTHONPATH": str(ROOT)}) as process:
                process.until(lambda: _is_ready(name, process), within_s=READY_S, what="it listens")
                self._load(way.buses, SETTLE_S)
                before_s = _processor_s(name, process)
                frames, changes = self._load(way.buses, seconds)
                spent_s = [after - before for before, after in zip(before_s, _processor_s(name, process), strict=True)]
                process.kill()
        return Cost(max(spent_s), frames, changes)

    @contextmanager
    def background_load(self) -> Iterator[None]:
        """The bus is full meanwhile, for an hour at most."""
        words = [str(FRAMES_PER_S), "3600", str(FRAMES_PER_CHANGE), "vcan0"]
        with subprocess.Popen([self._folder / "bus_load", *words], stdout=subprocess.DEVNULL) as load:
            try:
                yield
            finally:
                load.kill()

    def command(self, name: str, way: Way, folder: Path, port: int) -> list[str]:
        if name == "c_reader":
            return [str(self._folder / "bus_reader"), "vcan0"]
        profile = write_profile(folder / "profile", buses=way.buses, is_reporting=way.is_publishing)
        programs = [sys.executable, "-m", "tests.benchmarks.bus_programs"]
        if name.startswith("agent"):
            return [*programs, "agent", str(self._configuration(folder, profile, way, port))]
        further = ["--filtered"] if name == "naive_filtered" else []
        further += ["--broker", str(port)] if way.is_publishing else []
        return [*programs, "naive", "vcan0", str(profile / "bus0.dbc"), *further]

    def _configuration(self, folder: Path, profile: Path, way: Way, port: int) -> Path:
        can = CanChoice("bus0", "socketcan", "vcan0", "")
        files = make_folder(folder / "bench", profile=profile, can=can, broker_host="127.0.0.1", broker_port=port)
        reception = "" if self._reception is None else f'reception = "{self._reception}"\n'
        tables = "".join(f'[buses.bus{bus}]\nchannel = "vcan{bus}"\n{reception}\n' for bus in range(way.buses))
        head, _, rest = files.agent_toml.read_text().partition("[buses.bus0]")
        # A snapshot every half second is for a person who watches the bench; this car tells its changes.
        rest = rest.partition("[broker]")[2].replace("state_interval_s = 0.5", "state_interval_s = 300.0")
        rest = rest.replace("interval_s = 0.5, heartbeat_s = 5.0", "interval_s = 0.0, heartbeat_s = 600.0")
        files.agent_toml.write_text(f"{head}{tables}[broker]{rest}")
        return files.agent_toml

    def _load(self, buses: int, seconds: float) -> tuple[int, int]:
        words = [str(FRAMES_PER_S), str(seconds), str(FRAMES_PER_CHANGE), *(f"vcan{bus}" for bus in range(buses))]
        done = subprocess.run([self._folder / "bus_load", *words], check=True, capture_output=True, text=True)
        frames, changes = done.stdout.split()
        return int(frames), int(changes)


def _is_ready(name: str, process: Process) -> bool:
    if name.startswith("agent"):
        return '"bus_changed"' in process.said()
    return "ready" in process.stdout()


def _processor_s(name: str, process: Process) -> list[float]:
    """By the kernel's count, and of the agent by its loop's own."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    counted = [(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")]
    if name.startswith("agent"):
        told = len(process.stdout().splitlines())
        os.kill(process.pid, signal.SIGUSR1)
        process.until(lambda: len(process.stdout().splitlines()) > told, within_s=READY_S, what="it counts")
        counted.append(float(process.stdout().splitlines()[-1]))
    return counted


def summary(costs: dict[str, list[Cost]]) -> dict[str, object]:
    """Nanoseconds a frame of each way, and the ratios that are bounded, each with its least and most."""
    spread = {name: _spread([cost.ns_a_frame for cost in runs]) for name, runs in costs.items()}
    ratios = {
        f"{theirs}/{ours}": {
            "times": round(float(spread[theirs]["median"]) / max(float(spread[ours]["median"]), 1.0), 1),
            "bound": bound,
        }
        for (ours, theirs), bound in BOUNDS.items()
        if ours in spread and theirs in spread
    }
    frames = {name: [cost.frames for cost in runs] for name, runs in costs.items()}
    return {"ns_a_frame": spread, "frames": frames, "ratios": ratios}


def _spread(figures: Sequence[float]) -> dict[str, int]:
    return {"least": round(min(figures)), "median": round(median(figures)), "most": round(max(figures))}


def table(document: dict[str, object]) -> str:
    """The document for a person."""
    spread, ratios = document["ns_a_frame"], document["ratios"]
    assert isinstance(spread, dict)
    assert isinstance(ratios, dict)
    lines = [
        "processor time a frame on the bus, ns".ljust(60) + "".join(w.rjust(10) for w in ("least", "median", "most"))
    ]
    for name, figures in spread.items():
        cells = "".join(f"{figure:,}".rjust(10) for figure in figures.values())
        lines.append(f"{name}: {WAYS[name].words}".ljust(60) + cells)
    for pair, ratio in ratios.items():
        lines.append(f"{pair}: {ratio['times']:,} times (wanted: {ratio['bound']})")
    return "\n".join(lines)


def in_guest(module: str, arguments: Sequence[str], *, seconds_max: float = 3600.0) -> int | None:
    """Run the module in user-mode Linux and return its exit status; None if this kernel has vcan itself."""
    if has_can():
        return None
    command = [sys.executable, "-m", module, *arguments]
    guest = [sys.executable, "-m", "tests.support.uml", "--timeout", str(round(seconds_max)), *command]
    status = subprocess.run(guest).returncode
    return EXIT_FAILED if status == GUEST_FAILED else status


def has_can() -> bool:
    """Whether this kernel has vcan."""
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError:
        return False
    return Path("/sys/class/net/vcan0").exists()


@contextmanager
def interfaces(count: int) -> Iterator[None]:
    """vcan0 is there; the others are made and removed again."""
    made = [f"vcan{number}" for number in range(1, count) if not Path(f"/sys/class/net/vcan{number}").exists()]
    try:
        for name in made:
            subprocess.run(["ip", "link", "add", "dev", name, "type", "vcan"], check=True)
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "link", "del", "dev", name], check=False)


def measure(ways: Sequence[str], *, seconds: float, rounds: int, reception: str | None) -> dict[str, list[Cost]]:
    """Each way once a round, one after the other."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    with (
        tempfile.TemporaryDirectory(prefix="full-bus-") as folder,
        interfaces(max(WAYS[name].buses for name in ways)),
    ):
        bench = Bench(Path(folder), reception)
        for _ in range(rounds):
            for name in ways:
                costs[name].append(bench.run(name, seconds))
                print(f"{name}: {costs[name][-1].ns_a_frame:,.0f} ns a frame", file=sys.stderr, flush=True)
    return costs


def positive(convert: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        if (found := convert(text)) <= 0:
            raise ValueError(text)
        return found

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.full_bus",
        description="The cost of listening to a full bus, the agent beside others.",
        epilog="example:\n  python -m tests.benchmarks.full_bus --way naive --way agent --rounds 1\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=positive(float), default=20.0, metavar="N", help="of each way (20)")
    parser.add_argument("--rounds", type=positive(int), default=3, metavar="N", help="of all ways (3)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only these (default: all)")
    parser.add_argument("--reception", metavar="WORD", help="the key of that name in agent.toml (default: left out)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if (status := in_guest("tests.benchmarks.full_bus", sys.argv[1:] if arguments is None else arguments)) is not None:
        return status
    costs = measure(
        options.way or list(WAYS), seconds=options.seconds, rounds=int(options.rounds), reception=options.reception
    )
    document = summary(costs)
    print(json.dumps(document) if options.json else table(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
