"""What it costs to listen to a full bus: the agent beside the programs a user writes first and a C reader, on vcan.

    python -m tests.benchmarks.full_bus [--machine NAME] [--seconds N] [--rounds N] [--way NAME …] [--json]

4,000 frames a second of 60 ids, each with a counter that moves; 12 signals in six of them are wanted, and one changes
with every 400th frame (`agent_half`: with every 800th). Every way listens by itself to the same traffic; of several
buses each carries as much, and the wanted changes are as many as on one. Figures are processor time a frame that was on
one bus, the median of the rounds, ways taken in turn. `agent` has a broker and tells it the first values alone;
`agent_whole` and `naive_whole` publish every change.

`--machine counted` and `emulated` have a kernel that counts exactly, thread by thread, for every way alike; the bus
sleeps from frame to frame. In user-mode Linux, and wherever a kernel counts by ticks, little work is not seen at all or
looks much too large: there a program takes the processor from the bus, which waits for it, the agent's figure is the
larger of the kernel's and of its event loop's time at work, and the ratios prove nothing. The output says which it was.
Exit status: 0 done, 1 a program did not do its part, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from agent.bench.choices import CanChoice
from agent.bench.setup import make_folder
from agent.errors import EXIT_DONE
from tests.benchmarks.bus_profile import write_profile
from tests.benchmarks.bus_report import Cost, summary, table
from tests.benchmarks.machine import Places, add_machine_option, in_guest, interfaces, programs_folder
from tests.benchmarks.processor import busy_s, spent_s, wakes
from tests.support.mosquitto import free_port, mosquitto
from tests.support.process import Process
from tests.support.uml import ROOT

FRAMES_PER_S = 4000
FRAMES_PER_CHANGE = 400
READY_S = 60.0

SETTLE_S = 3.0
"""What a program still does once it is ready (its first readings, its first records) is none of a frame's cost."""

STEADY_SHARE = 0.1
ALONE_S = 3.0

COUNTED_WORDS = {
    True: "processor time as the scheduler counts it, all threads, by the nanosecond",
    False: "processor time by clock ticks: of short work it says nothing, and these ratios prove nothing;\n"
    "--machine counted counts exactly",
}

WARM = "import agent.app, agent.cli, agent.adapters.mqtt_link, can.interfaces.socketcan, cantools, aiomqtt"
"""So that the first program to start waits for no disk."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to listen: its words for a person, and how many buses it listens to."""

    words: str
    buses: int = 1
    frames_per_change: int = FRAMES_PER_CHANGE
    is_publishing: bool = False
    is_steady: bool = False
    """Each frame costs it the same, so that a tenth of the time is enough; others also do something now and then."""


WAYS = {
    "naive": Way("python-can asyncio notifier + cantools, every frame", is_steady=True),
    "naive_filtered": Way("the same with kernel id filters", is_steady=True),
    "c_reader": Way("a C program, blocking read of every frame", is_steady=True),
    "agent": Way("the agent, bus to readings"),
    "agent_half": Way("the agent, half the wanted changes", frames_per_change=2 * FRAMES_PER_CHANGE),
    "agent_2_buses": Way("the agent on two buses", buses=2),
    "agent_4_buses": Way("the agent on four buses", buses=4),
    "naive_whole": Way("python-can asyncio + cantools + aiomqtt", is_publishing=True, is_steady=True),
    "agent_whole": Way("the whole agent, every change to the broker", is_publishing=True),
}


class Bench:
    """Interfaces, programs and files of one run."""

    def __init__(self, folder: Path, reception: str | None) -> None:
        self.places = Places()
        self._folder = folder
        self._programs = programs_folder(folder)
        self._reception = reception
        self._runs = 0
        self._alone_s: dict[int, float] = {}
        subprocess.run([sys.executable, "-c", WARM], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})

    def run(self, name: str, seconds: float) -> Cost:
        """Start the way's program, let it listen to the bus, and see what that cost."""
        self._runs += 1
        way, folder = WAYS[name], self._folder / f"run{self._runs}"
        folder.mkdir()
        seconds *= STEADY_SHARE if way.is_steady else 1.0
        alone_s_a_frame = self._alone_s_a_frame(way)
        # An agent that finds no broker looks for one again and again, at times drawn by lot.
        with mosquitto(folder) if way.is_publishing or name.startswith("agent") else nullcontext() as broker:
            port = free_port() if broker is None else broker.port
            command = [*self.places.listener, *self.command(name, way, folder, port)]
            with Process(name, command, folder, {"PYTHONPATH": str(ROOT)}) as process:
                process.until(lambda: _is_ready(name, process), within_s=READY_S, what="it listens")
                self._load(way, min(SETTLE_S, seconds))
                before_s, slept, busy_before_s = self._processor_s(name, process), wakes(process.pid), busy_s()
                frames, changes = self._load(way, seconds)
                after_s, busy_after_s = self._processor_s(name, process), busy_s()
                slept = wakes(process.pid) - slept
                process.kill()
        machine_s = None
        if alone_s_a_frame is not None and busy_before_s is not None and busy_after_s is not None:
            machine_s = busy_after_s - busy_before_s - frames * alone_s_a_frame
        return Cost(after_s - before_s, frames, changes, seconds, slept, machine_s)

    def _alone_s_a_frame(self, way: Way) -> float | None:
        """What the machine does for a frame with nobody listening; None if this kernel cannot tell."""
        if not self.places.is_exact or (before_s := busy_s()) is None:
            return None
        if way.buses not in self._alone_s:
            frames, _ = self._load(way, ALONE_S)
            self._alone_s[way.buses] = ((busy_s() or 0.0) - before_s) / frames
        return self._alone_s[way.buses]

    @contextmanager
    def background_load(self) -> Iterator[None]:
        """The bus is full meanwhile, for an hour at most. It waits for nobody: a program that starts is busy long."""
        words = self._bus_words(WAYS["agent"], 3600.0)
        environ = self.places.bus_environ | {"BUS_SLEEPS": "1"}
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environ) as load:
            try:
                yield
            finally:
                load.kill()

    def command(self, name: str, way: Way, folder: Path, port: int) -> list[str]:
        if name == "c_reader":
            return [str(self._programs / "bus_reader"), "vcan0"]
        profile = write_profile(folder / "profile", buses=way.buses, is_reporting=way.is_publishing)
        programs = [sys.executable, "-m", "tests.benchmarks.bus_programs"]
        if name.startswith("agent"):
            # Where the kernel counts exactly, to watch the loop would be part of what is counted.
            watched = [] if self.places.is_exact else ["--watched"]
            return [*programs, "agent", str(self._configuration(folder, profile, way, port)), *watched]
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
        rest = rest.replace("keep_alive_s = 5\n", "")  # that of the bench is for who unplugs its broker
        files.agent_toml.write_text(f"{head}{tables}[broker]{rest}")
        return files.agent_toml

    def _load(self, way: Way, seconds: float) -> tuple[int, int]:
        words = self._bus_words(way, seconds)
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=self.places.bus_environ)
        frames, changes = done.stdout.split()
        return int(frames), int(changes)

    def _bus_words(self, way: Way, seconds: float) -> list[str | Path]:
        figures = (str(FRAMES_PER_S), str(seconds), str(way.frames_per_change))
        names = (f"vcan{bus}" for bus in range(way.buses))
        return [*self.places.bus, self._programs / "bus_load", *figures, *names]

    def _processor_s(self, name: str, process: Process) -> float:
        """As the kernel counts it; where that is by ticks, of the agent the larger of that and of its loop's own."""
        counted_s = spent_s(process.pid)
        if self.places.is_exact or not name.startswith("agent"):
            return counted_s
        told = len(process.stdout().splitlines())
        os.kill(process.pid, signal.SIGUSR1)
        process.until(lambda: len(process.stdout().splitlines()) > told, within_s=READY_S, what="it counts")
        return max(counted_s, float(process.stdout().splitlines()[-1]))


def _is_ready(name: str, process: Process) -> bool:
    if name.startswith("agent"):
        return '"bus_changed"' in process.said()
    return "ready" in process.stdout()


def measure(ways: Sequence[str], *, seconds: float, rounds: int, reception: str | None) -> dict[str, object]:
    """Each way once a round, one after the other; what that cost."""
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
    measured = (
        f"{FRAMES_PER_S:,} frames a second on each bus, a wanted change with every {FRAMES_PER_CHANGE}th; "
        f"{rounds} rounds, in each the agent's ways {seconds:g} s and the others {STEADY_SHARE * seconds:g} s; "
        f"Linux {platform.release()}, processors: {os.cpu_count()}"
    )
    return summary(costs, COUNTED_WORDS[bench.places.is_exact], measured)


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
    parser.add_argument(
        "--seconds",
        type=positive(float),
        default=30.0,
        metavar="N",
        help="of the agent's ways; of others, whose frames all cost the same, a tenth (30)",
    )
    parser.add_argument("--rounds", type=positive(int), default=3, metavar="N", help="of all ways (3)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only these (default: all)")
    parser.add_argument("--reception", metavar="WORD", help="the key of that name in agent.toml (default: left out)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    add_machine_option(parser)
    options = parser.parse_args(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    if (status := in_guest("tests.benchmarks.full_bus", words, machine=options.machine)) is not None:
        return status
    document = measure(
        options.way or list(WAYS), seconds=options.seconds, rounds=int(options.rounds), reception=options.reception
    )
    print(json.dumps(document) if options.json else table(document, {name: way.words for name, way in WAYS.items()}))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
