"""`carshare-agent decode` on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import EXIT_DONE

if TYPE_CHECKING:
    from agent.orders import AddCommand
    from agent.profiles.schema import Profile

LoadProfile = Callable[[Path], "Profile"]


def add_decode_command(add: AddCommand, load: LoadProfile) -> None:
    """Give the car's command line `decode`."""
    decode = add(
        "decode",
        lambda options: _decode(options, load),
        "Decode a recorded log to readings, one JSON object a line.",
        "carshare-agent decode dbc/demo_hatchback dbc/demo_hatchback/drive.log",
    )
    decode.add_argument("profile", type=Path, metavar="PROFILE_DIR")
    decode.add_argument(
        "log", type=Path, metavar="LOG", help="CRTD, SavvyCAN or any format python-can reads, plain, .gz or .xz"
    )
    decode.add_argument("--bus", metavar="NAME", help="the profile's bus of all frames (default: the log's channel)")
    which = decode.add_mutually_exclusive_group()
    which.add_argument(
        "--latest", action="store_true", help="only the last reading of each path, at the end of the log"
    )
    which.add_argument("--all", action="store_true", help="every reading, not only changes")


def _decode(options: argparse.Namespace, load: LoadProfile) -> int:
    profile = load(options.profile)
    for document in _readings(profile, options):
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        if sys.stdout.isatty():
            sys.stdout.flush()
    return EXIT_DONE


def _readings(profile: Profile, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    from agent.adapters.log_reader import read_log
    from agent.replay import Replay

    replay = Replay(profile, bus=options.bus, is_every_reading=options.all)
    if options.latest:
        for _ in replay.run(read_log(options.log)):
            pass
        yield from replay.latest()
    else:
        yield from replay.run(read_log(options.log))
        yield from replay.never_received()
    if not replay.has_readings:
        sys.stderr.write(f"carshare-agent: no frame in {options.log} gave a reading of {profile.name}\n")
