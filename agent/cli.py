"""The command line of the car: run, check, decode, status, doctor, profile, provision, decommission, clock-reset.

What a command does is loaded when it is asked for: an agent that starts waits for nothing of the others, and is not
looked through for garbage while it is loaded.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.errors import EXIT_DONE, EXIT_FAILED, AgentError, ConfigurationError

if TYPE_CHECKING:
    from agent.config import Config
    from agent.doctor.configured import Configured

CONFIG_DEFAULT = "/etc/carshare-agent/agent.toml"

_EXAMPLES = """examples:
  carshare-agent check dbc/demo_hatchback
  carshare-agent decode dbc/demo_hatchback dbc/demo_hatchback/drive.log --latest
  carshare-agent run --config /etc/carshare-agent/agent.toml
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status (0 done, 1 failed, 2 wrong use or bad configuration)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    is_for_run = given[:1] == ["run"]
    options = _parser(is_for_run=is_for_run).parse_args(given)
    if not is_for_run:
        import logging

        # It warns of twins in a DBC file, which are told as faults.
        logging.getLogger("cantools").setLevel(logging.ERROR)
    try:
        status: int = options.work(options)
    except AgentError as error:
        print(f"carshare-agent: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    return status


def _run(options: argparse.Namespace) -> int:
    # Nothing that is made at start is garbage: looking through it again and again takes a tenth of the time.
    # `run_agent` looks again once it has started.
    gc.disable()
    from agent.starting import run_until_signalled

    return run_until_signalled(options.config)


def _check(options: argparse.Namespace) -> int:
    from agent.loading import load_profile

    if options.config is None and not options.profiles:
        raise ConfigurationError("nothing to check: name profile folders, or --config FILE")
    problems = []
    for directory in options.profiles:
        try:
            profile = load_profile(directory)
        except ConfigurationError as error:
            problems.append(str(error))
            continue
        actions = ", ".join(action.name.lower() for action in profile.recipes) or "none"
        print(f"{directory}: ok: {len(profile.messages)} messages, {len(profile.paths)} paths, actions: {actions}")
    if options.config is not None:
        found = _configured(options.config)
        problems += found.problems
        if not problems and found.config is not None and found.profile is not None:
            print(f"{options.config}: ok: car {found.config.car.id}, profile {found.profile.name}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return EXIT_DONE


def _configured(path: Path, is_elsewhere: Callable[[Path], bool] = lambda key: False) -> Configured:
    """All of a configuration that can be read, and all that is wrong with it and the files it names.

    Keys for which `is_elsewhere` says so are not asked for.
    """
    from agent.config import check_against_profile
    from agent.loading import interface_faults, key_records, listed, load_config, load_profile

    config = profile = None
    problems: list[str] = []
    try:
        config, text = load_config(path)
        if faults := interface_faults(config, text, source=str(path)):
            problems.append(listed(faults))
        problems += _file_problems(config, path.parent, is_elsewhere)
        profile = load_profile(path.parent / config.car.profile)
        key_records(config, text, source=str(path))
        if faults := check_against_profile(config, profile, text, source=str(path)):
            raise ConfigurationError(listed(faults))
    except ConfigurationError as error:
        problems.append(str(error))
    from agent.doctor.configured import Configured

    return Configured(path, config, profile, tuple(problems))


def _file_problems(config: Config, directory: Path, is_elsewhere: Callable[[Path], bool]) -> list[str]:
    """What `run` would refuse about the files and addresses the configuration names."""
    from agent.adapters.dial import require_loopback, tls_context
    from agent.adapters.files import key_path, read_document, read_key_file
    from agent.model.records import RecoveredTrust
    from agent.trusting import beginning

    def credentials() -> None:
        broker = config.broker
        if broker.ca_file is None:
            if not broker.allow_unencrypted_network:
                require_loopback(broker.host)
        else:
            certificate = None if broker.certificate_file is None else directory / broker.certificate_file
            key = None if broker.key_file is None else key_path(directory, broker.key_file)
            if key is not None and is_elsewhere(key):
                certificate = key = None
            tls_context(directory / broker.ca_file, certificate, key)

    def bundle() -> None:
        if config.trust is not None:
            path = directory / config.trust.bundle_file
            if isinstance(begun := beginning(RecoveredTrust(), read_document(path)), str):
                raise ConfigurationError(f"{path}: {begun}")

    def vehicle_key() -> None:
        key = key_path(directory, config.car.key_file)
        if not is_elsewhere(key):
            read_key_file(key)

    problems = []
    for look in (vehicle_key, credentials, bundle):
        try:
            look()
        except ConfigurationError as error:
            problems.append(str(error))
    return problems


def _status(options: argparse.Namespace) -> int:
    from agent.adapters.status_socket import read_status
    from agent.loading import load_config

    socket = options.socket
    if socket is None:
        config, _ = load_config(options.config)
        socket = options.config.parent / config.status.socket
    print(json.dumps(read_status(socket), indent=None if options.json else 2, ensure_ascii=False))
    return EXIT_DONE


def _parser(*, is_for_run: bool = False) -> argparse.ArgumentParser:
    """Of every command; of `run` alone, an agent that starts need not load the others."""
    parser = argparse.ArgumentParser(
        prog="carshare-agent",
        description="In-car agent for shared vehicles: CAN to state, signed commands to verified locks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, work: object, summary: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}\n",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(work=work)
        return command

    run = add("run", _run, "Run the agent until it is told to stop.", "carshare-agent run --config agent.toml")
    run.add_argument(
        "--config", type=Path, default=Path(CONFIG_DEFAULT), metavar="FILE", help=f"default: {CONFIG_DEFAULT}"
    )
    if is_for_run:
        return parser

    from agent.doctor.command import add_doctor_command
    from agent.enrolment import add_enrolment_commands
    from agent.loading import load_config, load_profile
    from agent.orders import add_order_commands
    from agent.profile_tools.command import add_profile_command
    from agent.profile_tools.decode_command import add_decode_command

    check = add(
        "check", _check, "Check profiles and the configuration; list every fault.", "carshare-agent check dbc/*/"
    )
    check.add_argument("--config", type=Path, metavar="FILE")
    check.add_argument("profiles", type=Path, nargs="*", metavar="PROFILE_DIR")

    add_decode_command(add, load_profile)

    status = add("status", _status, "Show what a running agent knows.", "carshare-agent status --config agent.toml")
    status.add_argument("--config", type=Path, default=Path(CONFIG_DEFAULT), metavar="FILE")
    status.add_argument(
        "--socket", type=Path, metavar="PATH", help="the agent's status socket (default: as configured)"
    )
    status.add_argument("--json", action="store_true", help="one line instead of indented")
    add_doctor_command(add, _configured, CONFIG_DEFAULT)
    add_profile_command(add, load_profile)
    add_enrolment_commands(add, load_profile)
    add_order_commands(add, lambda path: load_config(path)[0], CONFIG_DEFAULT)
    return parser
