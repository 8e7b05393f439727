"""`carshare-backend`: the operator's command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.backend import documents, fleet_commands, fleet_screen, publishing, trust_commands, words
from agent.backend.arguments import argument_parser
from agent.backend.client import Backend
from agent.backend.fleet import FleetPlan
from agent.backend.keys import car_table, make_key, operator_table, read_request
from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.registry import add_car, example_text, make_configuration
from agent.backend.settings import Operator, Settings, load_settings
from agent.backend.told import Told
from agent.backend.trust_commands import OrderFor
from agent.command.bundle import OperatorEntry
from agent.config import ACTIONS as ACTION_WORDS
from agent.errors import EXIT_DONE, EXIT_FAILED, EXIT_UNKNOWN, AgentError, ConfigurationError, LinkError
from agent.model.command import Action, Executed, Stage

# Every other end (executed_unverified, interrupted, no answer) leaves open what happened.
EXIT_BY_STAGE = {Stage.VERIFIED: EXIT_DONE, Stage.FAILED: EXIT_FAILED, Stage.REJECTED: EXIT_FAILED}

ACTIONS = {action.name.lower().replace("_", "-"): action for action in Action}

# A question has no target state, and nothing on the bus shows that a horn has sounded: the answer is all there is.
ENDS_UNVERIFIED = frozenset({Action.REPORT, Action.CHECK_RETURN, Action.LOCATE})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status (0 done, 1 failed, 2 wrong use, 3 not known)."""
    options = argument_parser().parse_args(arguments)
    perform: dict[str, Callable[[argparse.Namespace], int]] = {
        "keys new": _keys_new,
        "keys show": _keys_show,
        "keys add-car": _keys_add_car,
        "sample": _sample,
        "ping": lambda options: asyncio.run(_ping(options)),
        "watch": lambda options: asyncio.run(_watch(options)),
    }
    try:
        if options.command in FLEET_COMMANDS:
            return _told(FLEET_COMMANDS[options.command](options), options)
        if options.command in ACTIONS:
            return asyncio.run(_command(options))
        return perform[options.command](options)
    except LinkError as error:
        _tell(f"carshare-backend: {error}")
        return EXIT_UNKNOWN  # no answer, and nothing that could have been one
    except AgentError as error:
        _tell(f"carshare-backend: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        if options.command == "watch":
            return EXIT_DONE
        _tell("carshare-backend: stopped waiting; a command that was sent may still be carried out.")
        return EXIT_UNKNOWN
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def exit_status(result: CommandResult) -> int:
    """0 for what was verified, or answered where there is nothing to verify; else what is known of it."""
    is_known = result.stage is Stage.EXECUTED_UNVERIFIED and result.executed is not Executed.UNKNOWN
    if is_known and result.action in ENDS_UNVERIFIED:
        return EXIT_DONE
    return EXIT_UNKNOWN if result.stage is None else EXIT_BY_STAGE.get(result.stage, EXIT_UNKNOWN)


def _rotate(given: argparse.Namespace) -> Told:
    if not given.switch:
        if given.anyway:
            raise ConfigurationError("--anyway goes with --switch: it is about cars that do not answer to the new key")
        return trust_commands.rotate(given.config, given.roots, given.overlap_days)
    if given.roots:
        raise ConfigurationError("--switch signs nothing: it puts a key in use that cars have; leave --root away")
    return asyncio.run(publishing.switch(given.config, given.wait_s, is_forced=given.anyway))


FLEET_COMMANDS: dict[str, Callable[[argparse.Namespace], Told]] = {
    "fleet init": lambda given: fleet_commands.init(
        given.directory,
        FleetPlan(
            OperatorEntry(given.operator, given.name or f"Operator {given.operator}"),
            [ACTION_WORDS[word] for word in given.actions],
            *given.broker,
        ),
    ),
    "enroll": lambda given: fleet_commands.enroll(given.config, given.request, given.name, given.answer),
    "revoke car": lambda given: fleet_commands.revoke_one_car(given.config, given.car, given.receipt),
    "revoke key": lambda given: trust_commands.revoke_key(given.config, given.kid, given.roots),
    "rotate": _rotate,
    "bundle show": lambda given: trust_commands.show(given.config, given.file),
    "bundle sign": lambda given: trust_commands.sign(given.config, given.file, given.roots),
    "bundle publish": lambda given: asyncio.run(publishing.publish(given.config, given.wait_s)),
    "decommission": lambda given: trust_commands.decommission(
        given.config, OrderFor(given.car, given.roots, given.out)
    ),
    "clock-reset": lambda given: trust_commands.clock_reset(
        given.config,
        OrderFor(given.car, given.roots, given.out),
        from_unix_s=given.from_unix_s,
        to_unix_s=given.to_unix_s,
    ),
}


class WaitingLine:
    """One line on a terminal that says what is waited for; nothing where nobody watches."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self.is_heard = True
        """False while the last the broker said is that the car does not listen."""

    def show(self, progress: Progress) -> None:
        if progress.step is not Step.SENT_AGAIN:
            self.is_heard = progress.step is not Step.NOT_HEARD
        self._rewrite(words.progress_words(progress))

    def clear(self) -> None:
        self._rewrite("")

    def _rewrite(self, text: str) -> None:
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


async def _command(options: argparse.Namespace) -> int:
    settings = _settings(options, options.car)
    waiting = WaitingLine()
    try:
        async with Backend(settings) as backend:
            result = await backend.command(
                options.car, ACTIONS[options.command], timeout_s=options.timeout_s, on_progress=waiting.show
            )
    finally:
        waiting.clear()
    if options.is_json:
        _print(documents.line(documents.result_document(result)))
    else:
        _print(words.result_words(result, is_heard=waiting.is_heard))
    return exit_status(result)


async def _ping(options: argparse.Namespace) -> int:
    settings = _settings(options, options.car)
    async with Backend(settings) as backend:
        asked_at_s = time.monotonic()
        hello = await backend.ping(options.car, timeout_s=options.timeout_s)
        answered_in_s = time.monotonic() - asked_at_s
    if options.is_json:
        _print(documents.line(documents.hello_document(options.car, hello, answered_in_s)))
    else:
        _print(words.hello_words(options.car, hello, answered_in_s))
    return EXIT_UNKNOWN if hello is None else EXIT_DONE


async def _watch(options: argparse.Namespace) -> int:
    cars = (*options.cars, *options.more_cars)
    settings = load_settings(options.config)
    for car in cars:
        settings.car(car)
    await fleet_screen.watch(settings, cars, _print, is_json=options.is_json, is_lines=options.is_lines)
    return EXIT_DONE


def _keys_new(options: argparse.Namespace) -> int:
    folder: Path = options.directory
    key_file = folder / f"operator-{options.operator}.key"
    configuration = folder / "backend.toml"
    key = make_key(key_file)
    operator = Operator(options.operator, options.name or f"Operator {options.operator}", key)
    is_new = make_configuration(configuration, operator, key_file.name)
    _show_operator(operator, options)
    _tell(
        f"The secret key is in {key_file}: keep it to yourself. Each car's agent.toml needs the tables above.",
        f"Wrote {configuration}." if is_new else f"{configuration} was there already; set key_file in it yourself.",
        f"Next: carshare-backend --config {configuration} keys add-car NAME REQUEST.json",
    )
    return EXIT_DONE


def _keys_show(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    _show_operator(settings.operator, options)
    for car in settings.cars.values():
        if options.is_json:
            _print(documents.line(documents.car_document(car)))
        else:
            _tell(f"car {car.name}: id {car.id.hex()}")
    return EXIT_DONE


def _keys_add_car(options: argparse.Namespace) -> int:
    request = read_request(options.request)
    add_car(options.config, options.name, request)
    if options.is_json:
        _print(documents.line({"name": options.name, "id": request.car, "public_key": request.public_key}))
    else:
        _print(car_table(options.name, request).rstrip())
    _tell(f"Added to {options.config}. Try: carshare-backend --config {options.config} ping {options.name}")
    return EXIT_DONE


def _told(told: Told, options: argparse.Namespace) -> int:
    _print(documents.line(told.document) if options.is_json else told.text)
    _tell(*told.advice)
    return EXIT_DONE


def _sample(options: argparse.Namespace) -> int:
    _print(example_text().rstrip())
    return EXIT_DONE


def _settings(options: argparse.Namespace, car: str | None) -> Settings:
    settings = load_settings(options.config)
    if car is not None:
        settings.car(car)
    return settings


def _show_operator(operator: Operator, options: argparse.Namespace) -> None:
    if options.is_json:
        _print(documents.line(documents.operator_document(operator)))
    else:
        _print(operator_table(operator.number, operator.name, operator.key.public_key()).rstrip())


def _print(text: str) -> None:
    print(text, flush=True)


def _tell(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
