"""The subcommands of `carshare-backend` for a fleet: `fleet init`, `enroll`, `rotate`, `revoke`, `bundle`, orders."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.config import ACTIONS

OVERLAP_DAYS_MAX = 3650
_UNIX_S_MAX = 2**53 - 1

Commands = argparse._SubParsersAction  # what `add_subparsers` returns has no public name


class Adder(Protocol):
    """Makes the function that adds a subcommand by its name, summary and example."""

    def __call__(
        self, commands: Commands[argparse.ArgumentParser], prefix: str = ""
    ) -> Callable[[str, str, str], argparse.ArgumentParser]: ...


def add_fleet_commands(commands: Commands[argparse.ArgumentParser], adder: Adder) -> None:
    """Add them all; the namespace has `command` as for the other subcommands."""
    _fleet(commands, adder)
    add = adder(commands)
    enroll = add(
        "enroll",
        "make a car a car of the fleet: check its request, give it an id and a certificate, write its answer",
        "carshare-backend --config fleet/backend.toml enroll request.json --name demo",
    )
    enroll.add_argument("request", type=Path, metavar="REQUEST.json", help="as `carshare-agent provision` wrote it")
    enroll.add_argument("--name", metavar="NAME", help="what to call the car (default: its id)")
    enroll.add_argument("--answer", type=Path, metavar="FILE", help="what the car needs (default: NAME.answer.json)")
    rotate = add(
        "rotate",
        "make a new command key beside the present one; with --switch, put it in use",
        "carshare-backend rotate --overlap-days 30 --root root-1.key --root root-2.key\n"
        "carshare-backend rotate --switch",
    )
    rotate.add_argument(
        "--overlap-days", type=_days, default=30, metavar="N", help="how long the old key stays good (default: 30)"
    )
    _roots(rotate)
    rotate.add_argument("--switch", action="store_true", help="sign with the new key from now on; asks every car first")
    rotate.add_argument(
        "--anyway", action="store_true", help="with --switch: even if some cars do not answer to it yet"
    )
    _wait(rotate)
    _revoke(commands, adder)
    _bundle(commands, adder)
    order = add(
        "decommission",
        "write the order for a car to delete its keys and its memory",
        "carshare-backend decommission demo --root root-1.key --root root-2.key",
    )
    _order(order)
    reset = add(
        "clock-reset",
        "write the order that sets the time floor of a car back",
        "carshare-backend clock-reset demo --from 4102444800 --to 1790000000 --root root-1.key --root root-2.key",
    )
    _order(reset)
    for name, words in (
        ("--from", "the floor the car has, as its own clock-reset tells it"),
        ("--to", "the new floor"),
    ):
        reset.add_argument(name, dest=f"{name[2:]}_unix_s", type=_unix_s, required=True, metavar="UNIX_S", help=words)


def _fleet(commands: Commands[argparse.ArgumentParser], adder: Adder) -> None:
    fleet = commands.add_parser("fleet", help="begin a fleet", description="Fleets.")
    init = adder(fleet.add_subparsers(required=True, metavar="COMMAND"), prefix="fleet ")(
        "init",
        "make a fleet: roots, certificate authority, the broker's files, command key, first bundle, configuration",
        "carshare-backend fleet init fleet --operator 1 --broker broker.example.org",
    )
    init.add_argument("directory", type=Path, metavar="DIR", help="a new folder")
    init.add_argument("--operator", type=operator_number, required=True, metavar="N", help="operator number")
    init.add_argument("--name", type=operator_name, default="", help='name for people (default: "Operator N")')
    init.add_argument(
        "--broker",
        type=_broker,
        default=("localhost", 8883),
        metavar="HOST[:PORT]",
        help="where cars reach the broker; its certificate is made for this name (default: localhost:8883)",
    )
    init.add_argument(
        "--actions",
        type=_actions,
        default=("unlock", "lock", "report"),
        metavar="LIST",
        help=f"what the command key may ask for (default: unlock,lock,report); of {','.join(ACTIONS)}",
    )


def _revoke(commands: Commands[argparse.ArgumentParser], adder: Adder) -> None:
    revoke = commands.add_parser("revoke", help="revoke a key, or a car", description="Revocation.")
    add = adder(revoke.add_subparsers(required=True, metavar="COMMAND"), prefix="revoke ")
    key = add(
        "key",
        "revoke a key: the draft of a bundle in which it is not good any more",
        "carshare-backend revoke key c0de0001 --root root-1.key --root root-2.key",
    )
    key.add_argument("kid", type=_kid, metavar="KID", help="id of the key, as `bundle show` prints it")
    _roots(key)
    car = add(
        "car",
        "revoke a car: its certificate, and its vehicle key",
        "carshare-backend --config fleet/backend.toml revoke car demo\n"
        "carshare-backend --config fleet/backend.toml revoke car demo --receipt demo.receipt",
    )
    car.add_argument("car", metavar="CAR", help="name of the car in the configuration")
    car.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="what the car signed at its decommissioning; checked first",
    )


def _bundle(commands: Commands[argparse.ArgumentParser], adder: Adder) -> None:
    bundle = commands.add_parser("bundle", help="show, sign and publish trust bundles", description="Trust bundles.")
    add = adder(bundle.add_subparsers(required=True, metavar="COMMAND"), prefix="bundle ")
    show = add(
        "show",
        "show a bundle, a draft or an order, and how many roots have signed it",
        "carshare-backend bundle show\ncarshare-backend bundle show bundle.draft --json",
    )
    show.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: the bundle in force, and its draft")
    sign = add(
        "sign",
        "sign a draft or an order as a root; needs nothing but the file and the root's key",
        "carshare-backend bundle sign bundle.draft --root root-2.key",
    )
    sign.add_argument("file", type=Path, metavar="FILE", help="gets the signatures; bring it from root to root")
    _roots(sign, is_required=True)
    publish = add(
        "publish",
        "put the draft in force, and leave the bundle with the broker for every car",
        "carshare-backend bundle publish --wait 30",
    )
    _wait(publish)


def _order(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("car", metavar="CAR", help="name of the car in the configuration")
    _roots(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: CAR.decom, CAR.reset)")


def _roots(parser: argparse.ArgumentParser, *, is_required: bool = False) -> None:
    parser.add_argument(
        "--root",
        dest="roots",
        type=Path,
        action="append",
        required=is_required,
        default=None if is_required else [],
        metavar="FILE",
        help="key file of a root that signs now; once for each" + ("" if is_required else " (default: none signs yet)"),
    )


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        dest="wait_s",
        type=_wait_s,
        default=10.0,
        metavar="S",
        help="seconds for cars to answer (default: 10)",
    )


def operator_number(text: str) -> int:
    """An operator's number from a command line."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 2**31 - 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no operator number; expected 1 to {2**31 - 1}")
    return int(text)


def operator_name(text: str) -> str:
    """An operator's name: cars carry it in their bundle, which has room for 64 bytes."""
    if not text.isprintable() or len(text.encode()) > 64:
        raise argparse.ArgumentTypeError("expected printable characters, up to 64 bytes")
    return text


def _broker(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]{1,5}))?", text)
    port = int(found["port"] or 8883) if found else 0
    if not found or not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no broker; expected a name or an address, and :PORT if not 8883")
    return found["host"].strip("[]"), port


def _actions(text: str) -> tuple[str, ...]:
    words = tuple(text.replace("-", "_").split(","))
    unknown = [word for word in words if word not in ACTIONS]
    if unknown or len(set(words)) != len(words):
        raise argparse.ArgumentTypeError(f"{text!r}: expected some of {','.join(ACTIONS)}, none twice")
    return words


def _kid(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no key id; expected 8 hexadecimal digits, see: bundle show")
    return bytes.fromhex(text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= OVERLAP_DAYS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r}: expected days, 0 to {OVERLAP_DAYS_MAX}")
    return int(text)


def _unix_s(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _UNIX_S_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected whole Unix seconds")
    return int(text)


def _wait_s(text: str) -> float:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 600):
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait; expected 1 to 600 seconds")
    return float(text)
