"""The car's commands for joining a fleet: `provision` and `accept`.

What they do is imported when it is asked for: certificates are no business of an agent that starts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import EXIT_DONE
from agent.orders import AddCommand

if TYPE_CHECKING:
    from agent.profiles.schema import Profile


def add_enrolment_commands(add: AddCommand, load_profile: Callable[[Path], Profile]) -> None:
    """Give the car's command line `provision` and `accept`."""
    provisioning = add(
        "provision",
        _provision,
        "Make this car's keys, and the request that an operator enrols it by.",
        "carshare-agent provision /etc/carshare-agent",
    )
    provisioning.add_argument("directory", type=Path, metavar="DIR")
    provisioning.add_argument(
        "--standalone", action="store_true", help="draw the car's id here, for a car without a fleet (keys add-car)"
    )

    def accept_work(options: argparse.Namespace) -> int:
        return _accept(options, load_profile(options.profile))

    accepting = add(
        "accept",
        accept_work,
        "Take the operator's answer: certificate, trust bundle, and a first configuration.",
        "carshare-agent accept demo.answer.json /etc/carshare-agent --profile dbc/demo_hatchback",
    )
    accepting.add_argument("answer", type=Path, metavar="ANSWER.json", help="as `carshare-backend enroll` wrote it")
    accepting.add_argument("directory", type=Path, metavar="DIR", help="where `provision` put the car's keys")
    accepting.add_argument("--profile", type=Path, required=True, metavar="PROFILE_DIR", help="the vehicle's profile")


def _provision(options: argparse.Namespace) -> int:
    from agent.provisioning import REQUEST_FILE, provision

    request = provision(options.directory, is_standalone=options.standalone)
    command = "keys add-car NAME request.json" if options.standalone else "enroll request.json --name NAME"
    _tell(
        request,
        f"wrote vehicle.key and tls.key, which stay on the car, and {options.directory / REQUEST_FILE}",
        f"next, at the operator's: carshare-backend {command}",
    )
    return EXIT_DONE


def _accept(options: argparse.Namespace, profile: Profile) -> int:
    from agent.acceptance import CONFIGURATION_FILE, accept

    accepted = accept(options.answer, options.directory, profile, options.profile)
    _tell(
        asdict(accepted),
        f"wrote {options.directory / CONFIGURATION_FILE} and what it names; set the channel of each bus in it",
        "buses listen only until `carshare-agent doctor` says how to let them send",
        "compare fleet and roots with what the operator's `carshare-backend bundle show` prints",
    )
    return EXIT_DONE


def _tell(document: Mapping[str, object], *advice: str) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stderr.writelines(f"{line}\n" for line in advice)
