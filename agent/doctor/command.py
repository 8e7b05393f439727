"""`carshare-agent doctor` on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.doctor.checks.finding import Finding, Verdict
from agent.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from agent.doctor.configured import Load
    from agent.orders import AddCommand

LISTEN_S = 5.0
"""Twice the slowest message that cars send all the time; what is sent in one state only wants --listen-s."""

_NAME_COLUMNS = 22


def add_doctor_command(add: AddCommand, load: Load, config_default: str) -> None:
    """Give the car's command line `doctor`."""
    doctor = add(
        "doctor",
        lambda options: _doctor(options, load),
        "Check an installed car and say what is missing. As root; sends nothing.",
        "carshare-agent doctor --config agent.toml",
    )
    doctor.add_argument(
        "--config", type=Path, default=Path(config_default), metavar="FILE", help=f"default: {config_default}"
    )
    doctor.add_argument(
        "--listen-s",
        type=_seconds,
        default=LISTEN_S,
        metavar="SECONDS",
        help=f"how long the buses are listened to; default: {LISTEN_S:g}",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object a finding: name, verdict, found, advice")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0 and at most 3600")
    return seconds


def _doctor(options: argparse.Namespace, load: Load) -> int:
    from agent.doctor.examination import examine

    if sys.stderr.isatty():
        sys.stderr.write(f"looking, and listening for {options.listen_s:g} s …\n")
    return report(
        examine(options.config, load, listen_s=options.listen_s), is_json=options.json, write=sys.stdout.write
    )


def report(findings: Iterable[Finding], *, is_json: bool, write: Callable[[str], object]) -> int:
    """Write findings as they come; the exit status."""
    counts: Counter[Verdict] = Counter()
    for finding in findings:
        counts[finding.verdict] += 1
        write(f"{json.dumps(asdict(finding), ensure_ascii=False) if is_json else _in_words(finding)}\n")
    if not is_json:
        write(f"{', '.join(f'{verdict} {counts[verdict]}' for verdict in Verdict)}\n")
    return EXIT_FAILED if counts[Verdict.FAULT] else EXIT_DONE


def _in_words(finding: Finding) -> str:
    """A line for what was found, and the advice below it, to be read and to be copied."""
    first, *others = finding.found.splitlines() or [""]
    lines = [f"{finding.verdict:8} {finding.name:{_NAME_COLUMNS}} {first}"]
    lines += [f"{'':{_NAME_COLUMNS + 9}} {line}" for line in others]
    return "\n".join([*lines, *(f"    {line}" for line in finding.advice.splitlines())])
