"""The bench's main job: a folder for this run, then the screen or a script on a running bench."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from agent.backend.terminal import Terminal
from agent.bench.bench import BenchOptions, running_bench
from agent.bench.car import CarFault
from agent.bench.ride import Ride, StepFailedError, missing_for
from agent.bench.screen import Screen
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from agent.model.quick_dataclass import dataclass

LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class RunOptions:
    """As asked for on the command line; `folder` None: one of its own, removed at the end unless it is of use."""

    script: str | None
    broker: str
    faults: Sequence[CarFault]
    profile: Path | None
    folder: Path | None


async def run(options: RunOptions) -> int:
    """Run the bench to its end; returns the exit status."""
    with _own_folder(options.folder) as folder, _logging_to(folder / "agent.log") as stderr:
        bench_options = BenchOptions(folder, options.profile or demo_folder(), options.broker, options.faults)
        if options.script is None:
            return await _screen(bench_options, stderr)
        return await _ride(bench_options, stderr)


async def _screen(options: BenchOptions, stderr: TextIO) -> int:
    print(f"starting; keys, configurations and logs of this run: {options.folder}", file=stderr, flush=True)
    async with running_bench(options) as bench:
        print(f"in a second terminal: {bench.folder.backend_command('unlock')}", file=stderr, flush=True)
        with Terminal(sys.stdin.fileno(), sys.stdout) as terminal:
            await Screen(bench, terminal).run()
        print("ending …", file=stderr, flush=True)
    return EXIT_DONE


async def _ride(options: BenchOptions, stderr: TextIO) -> int:
    failure: StepFailedError | None = None
    profile, _ = load_vehicle(options.profile)
    if missing := missing_for(profile):
        raise ConfigurationError(
            f"the script ride cannot be ridden with {options.profile}, which has no {', '.join(missing)}; "
            "leave --script out, or try its car alone: carshare-bench car --profile"
        )
    async with running_bench(options) as bench:
        try:
            await Ride(bench, _say).run()
        except StepFailedError as error:
            failure = error
    if failure is None:
        return EXIT_DONE
    _say(failure.line)
    print(f"carshare-bench: {failure}; got {json.dumps(failure.line)}", file=stderr)
    _show_tail(options.folder / "agent.log", stderr)
    return EXIT_FAILED


def _say(line: Mapping[str, object]) -> None:
    print(json.dumps(line, allow_nan=False), flush=True)


@contextlib.contextmanager
def _own_folder(asked: Path | None) -> Iterator[Path]:
    """A folder that only this user can enter: the one asked for, which stays, or one in the temporary folder."""
    if asked is None:
        folder = Path(tempfile.mkdtemp(prefix="carshare-bench-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        asked.mkdir(mode=0o700, parents=True, exist_ok=False)
    except FileExistsError:
        raise ConfigurationError(
            f"{asked} is there already; --folder must name a new one: keys are not reused"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{asked}: cannot be made: {error.strerror}") from error
    yield asked.resolve()


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[TextIO]:
    """Send what the agent logs to a file: the screen is a picture, and a script's errors are its own."""
    stderr = sys.stderr
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as log, contextlib.redirect_stderr(log):
        yield stderr


def _show_tail(log: Path, stderr: TextIO) -> None:
    lines = log.read_text(errors="replace").splitlines()
    if lines:
        print(f"the agent's last {min(len(lines), LOG_TAIL_LINES)} of {len(lines)} log lines:", file=stderr)
    for line in lines[-LOG_TAIL_LINES:]:
        print(f"  {line}", file=stderr)
