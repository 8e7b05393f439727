"""`carshare-bench`: the whole on one machine (`run`), or the virtual car alone (`car`)."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path

from agent import __version__
from agent.bench.car import SLEEP_AFTER_S, CarFault, VirtualCar
from agent.bench.car_commands import USAGE
from agent.errors import EXIT_WRONG_USE, AgentError

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 128 + signal.SIGTERM

_EXAMPLES = """examples:
  carshare-bench run                                   a live picture; keys to drive, lock and break things
  carshare-bench run --script ride                     unattended; JSON Lines; exit status 0 if all came out right
  carshare-bench run --script ride --fault lock_ignores
  carshare-bench car --channel vcan0                   only the car, for an agent of your own
  carshare-bench car --profile dbc/my_car              the car that a profile describes: its frames, its requests
"""

_CAR_COMMANDS = "commands on standard input, one a line:\n" + "".join(
    f"  {usage}\n" for usage in (*USAGE.values(), "state", "quit")
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status (0 done, 1 failed, 2 wrong use)."""
    options = _parser().parse_args(arguments)
    try:
        status: int = asyncio.run(_until_terminated(options.work(options)))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except asyncio.CancelledError:
        return EXIT_TERMINATED
    except AgentError as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        if (cause := _agent_error_in(group)) is None:
            raise
        return _refuse(cause)
    return status


async def _until_terminated(work: Coroutine[None, None, int]) -> int:
    """Let SIGTERM and SIGHUP end the work in order, as Ctrl-C does: terminal restored, broker ended, folder removed."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def _refuse(error: AgentError) -> int:
    print(f"carshare-bench: {error}", file=sys.stderr)
    return error.exit_status


def _agent_error_in(group: BaseExceptionGroup[BaseException]) -> AgentError | None:
    """The first error that is meant for a person, however deep task groups have wrapped it."""
    for error in group.exceptions:
        found = _agent_error_in(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, AgentError):
            return found
    return None


async def _run(options: argparse.Namespace) -> int:
    # The whole agent and backend: half a second of imports that the car alone can do without.
    from agent.backend.terminal import is_interactive
    from agent.bench.run import RunOptions, run

    if options.script is None and not is_interactive():
        print(
            "carshare-bench: there is no terminal to draw on; for an unattended run: carshare-bench run --script ride",
            file=sys.stderr,
        )
        return EXIT_WRONG_USE
    return await run(RunOptions(options.script, options.broker, options.fault, options.profile, options.folder))


async def _car(options: argparse.Namespace) -> int:
    from agent.bench.car_alone import run_alone, tell
    from agent.bench.car_can import CarOnBus
    from agent.bench.choices import choose_channels
    from agent.bench.vehicle import demo_folder, load_vehicle

    profile, databases = load_vehicle(options.profile or demo_folder())
    channels = choose_channels([bus.name for bus in profile.buses], options.channel)
    model = VirtualCar(
        profile,
        databases,
        now_s=CarOnBus.now_s(),
        is_asleep=not options.awake,
        is_locked=not options.unlocked,
        sleep_after_s=options.sleep_after_s,
        time_compression=options.time_compression,
        relock_after_s=options.relock_after_s,
    )
    car = CarOnBus(model, interface=options.interface, channels=channels, on_event=tell)
    for fault in options.fault:
        car.do(f"fault {fault}")
    return await run_alone(car, interface=options.interface, channels=channels)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="carshare-bench",
        description="A virtual car, a broker, the agent and a backend on one machine. For trying out and testing only.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run everything together",
        description="Run virtual car, broker, agent and backend together, with a live picture or a script.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.set_defaults(work=_run)
    run.add_argument("--script", choices=["ride"], help="run unattended: JSON Lines on standard output, then end")
    run.add_argument(
        "--broker",
        choices=["auto", "embedded", "mosquitto"],
        default="auto",
        help="MQTT broker (default: auto, which is Mosquitto where it is installed)",
    )
    run.add_argument(
        "--folder", type=Path, metavar="DIR", help="new folder for keys, configurations and logs, kept afterwards"
    )
    _shared(run)
    car = commands.add_parser(
        "car",
        help="run the virtual car alone",
        description="Run the virtual car alone on a CAN interface; JSON Lines of what it does on standard output.",
        epilog=f"{_CAR_COMMANDS}\nexample:\n  echo 'drive 2' | carshare-bench car --channel vcan0 --unlocked\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    car.set_defaults(work=_car)
    car.add_argument("--interface", default="socketcan", help="python-can's interface (default: socketcan)")
    car.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="[BUS=]CHANNEL",
        help="its channel, of a profile with several buses each with its name (default: vcan0, and vcan1 for the next)",
    )
    car.add_argument("--awake", action="store_true", help="begin awake (default: asleep)")
    car.add_argument("--unlocked", action="store_true", help="begin unlocked (default: locked)")
    car.add_argument(
        "--sleep-after",
        dest="sleep_after_s",
        type=_positive,
        default=SLEEP_AFTER_S,
        metavar="S",
        help=f"seconds after which a car left alone, locked, falls asleep (default: {SLEEP_AFTER_S:g})",
    )
    car.add_argument(
        "--relock-after",
        dest="relock_after_s",
        type=_positive,
        metavar="S",
        help="lock again by itself so long after it was unlocked, if nobody opens a door (default: it does not)",
    )
    car.add_argument(
        "--time-compression",
        type=_positive,
        default=1.0,
        metavar="N",
        help="how many times faster than the clock driving and charging run (default: 1)",
    )
    _shared(car)
    return parser


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", type=Path, metavar="DIR", help="profile folder (default: the demo hatchback)")
    parser.add_argument(
        "--fault",
        action="append",
        type=CarFault,
        choices=list(CarFault),
        default=[],
        help="something that is wrong with the car from the start; may be given more than once",
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
