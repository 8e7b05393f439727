"""The command line of `carshare-backend`: subcommands, options, and an example for each."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from agent import __version__
from agent.backend.fleet_arguments import add_fleet_commands, operator_name, operator_number

_STATUS = """exit status: 0 verified (report, check-return, locate, ping: answered), 1 failed or rejected,
2 wrong use or configuration, 3 not verified, interrupted, or no answer: what happened is not known, unless the text
says so"""

_OVERVIEW = f"""A fleet, and its first car:
  carshare-backend fleet init fleet --operator 1 --broker broker.example.org
  carshare-backend --config fleet/backend.toml enroll request.json --name demo
  carshare-backend --config fleet/backend.toml unlock demo

One car without a fleet, its keys pinned by hand:
  carshare-backend keys new ops --operator 1               (prints what the car's agent.toml needs)
  carshare-backend --config ops/backend.toml keys add-car demo request.json

{_STATUS}"""


def argument_parser() -> argparse.ArgumentParser:
    """The parser; the namespace has `command` ("unlock", "keys new", …), `config`, `is_json` and what it names."""
    parser = argparse.ArgumentParser(
        prog="carshare-backend",
        description="Unlock and lock shared cars, and watch them. Answers count only if the car signed them.",
        epilog=_OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"carshare-backend {__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("backend.toml"),
        metavar="FILE",
        help="configuration (default: backend.toml here); `carshare-backend sample` shows every key",
    )
    parser.add_argument("--json", dest="is_json", action="store_true", help="JSON Lines on standard output")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = _adder(commands)
    for name, summary in (
        ("unlock", "unlock a car, and say whether it was verified"),
        ("lock", "lock a car, and say whether it was verified"),
        ("report", "have a car report its state, signed"),
        ("check-return", "ask a car whether a rental could end now: doors, windows, ignition, as far as it knows"),
        ("locate", "have a car show where it is, by its lights or horn"),
        ("enable-drive", "let a car be driven"),
        ("disable-drive", "keep a car from being driven; refused unless it stands with its ignition off"),
    ):
        _car(add(name, summary, f"carshare-backend {name} demo\ncarshare-backend {name} demo --json --timeout 20"))
    ping = add("ping", "ask a car whether it is there", "carshare-backend ping demo")
    ping.add_argument("car", metavar="CAR", help="name of the car in the configuration")
    _timeout(ping, default_s=10.0, words="default: 10")
    watch = add(
        "watch",
        "show cars live, one line each, until interrupted; without a terminal what they tell, line by line",
        "carshare-backend watch\ncarshare-backend watch --car demo --lines\n"
        "carshare-backend watch --json | jq -c 'select(.type == \"presence\")'",
    )
    watch.add_argument("cars", metavar="CAR", nargs="*", help="names of cars in the configuration (default: all)")
    watch.add_argument("--car", dest="more_cars", metavar="CAR", action="append", default=[], help="the same")
    watch.add_argument(
        "--lines", dest="is_lines", action="store_true", help="on a terminal too: what cars tell, line by line"
    )
    add("sample", "print a sample configuration with every key explained", "carshare-backend sample > backend.toml")
    _keys(commands)
    add_fleet_commands(commands, _adder)
    return parser


def _keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser("keys", help="make and show keys, register cars", description="Keys and cars.")
    add = _adder(keys.add_subparsers(required=True, metavar="COMMAND"), prefix="keys ")
    new = add(
        "new",
        "make a command key and a first configuration, and print what the cars need to know of it",
        'carshare-backend keys new ops --operator 1 --name "Demo operator"',
    )
    new.add_argument("directory", type=Path, metavar="DIR", help="folder for key and configuration; made if missing")
    new.add_argument("--operator", type=operator_number, required=True, metavar="N", help="operator number")
    new.add_argument("--name", type=operator_name, default="", help='name for people (default: "Operator N")')
    add("show", "print what the cars need to know of the command key, and the known cars", "carshare-backend keys show")
    car = add(
        "add-car",
        "register a car from the request its agent made",
        "carshare-backend --config ops/backend.toml keys add-car demo request.json",
    )
    car.add_argument("name", metavar="NAME", help="what to call the car")
    car.add_argument("request", type=Path, metavar="REQUEST.json", help="as `carshare-agent provision` wrote it")


def _adder(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], prefix: str = ""
) -> Callable[[str, str, str], argparse.ArgumentParser]:
    """Adds a subcommand; `--config` and `--json` may stand before or after its name."""

    def add(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        indented = "\n".join("  " + line for line in example.splitlines())
        parser = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n{indented}\n\n{_STATUS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(command=prefix + name)
        parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="configuration")
        parser.add_argument(
            "--json", dest="is_json", action="store_true", default=argparse.SUPPRESS, help="JSON on standard output"
        )
        return parser

    return add


def _car(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("car", metavar="CAR", help="name of the car in the configuration")
    _timeout(parser, default_s=None, words="default: what the command may take")


def _timeout(parser: argparse.ArgumentParser, *, default_s: float | None, words: str) -> None:
    parser.add_argument(
        "--timeout", dest="timeout_s", type=_seconds, default=default_s, metavar="S", help=f"seconds to wait ({words})"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait; expected more than 0 and up to 600 seconds")
    return seconds
