"""`carshare-agent profile` on the command line: lint, coverage, draft, plot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.adapters.files import DATABASE_BYTES_MAX, PROFILE_FILE, read_bytes, read_profile_texts
from agent.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from agent.orders import AddCommand
    from agent.profile_tools.coverage import Coverage
    from agent.profile_tools.remark import Remark
    from agent.profiles.schema import Profile

LoadProfile = Callable[[Path], "Profile"]

_EXAMPLES = """examples:
  carshare-agent profile draft ride.log --bus can0 --dbc dbc/my_car/body.dbc
  carshare-agent profile lint dbc/my_car --log ride.log
  carshare-agent profile coverage dbc/my_car ride.log
  carshare-agent profile plot dbc/my_car ride.log Vehicle.Speed --output speed.png
"""

_BUS_HELP = "the bus of all frames, or CHANNEL=NAME for one channel of the log (again for another)"


def add_profile_command(add: AddCommand, load: LoadProfile) -> None:
    """Give the car's command line `profile` with its four subcommands."""
    profile = add("profile", None, "From a recording to a profile: draft, lint, coverage, plot.", "see below")
    profile.epilog = _EXAMPLES
    tools = profile.add_subparsers(required=True, metavar="TOOL")
    _add_lint(tools)
    _add_coverage(tools, load)
    _add_draft(tools)
    _add_plot(tools, load)


def _tool(
    tools: argparse._SubParsersAction[argparse.ArgumentParser], name: str, work: object, summary: str, example: str
) -> argparse.ArgumentParser:
    tool = tools.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tool.set_defaults(work=work)
    return tool


def _add_lint(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lint = _tool(
        tools,
        "lint",
        _lint,
        "Look for faults that `check` does not ask for. Ends with 1 if there are any; warnings are none.",
        "carshare-agent profile lint dbc/demo_hatchback --log dbc/demo_hatchback/drive.log",
    )
    lint.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a profile's folder, or a DBC file alone")
    lint.add_argument("--log", type=Path, action="append", default=[], metavar="LOG", help="a recording of the car")
    lint.add_argument("--bus", action="append", default=[], metavar="NAME", help=_BUS_HELP)
    lint.add_argument("--json", action="store_true", help="one JSON object a remark")


def _add_coverage(tools: argparse._SubParsersAction[argparse.ArgumentParser], load: LoadProfile) -> None:
    coverage = _tool(
        tools,
        "coverage",
        lambda options: _coverage(options, load),
        "Say what of a profile a recording holds, and what does not fit. Ends with 1 if an id means something else.",
        "carshare-agent profile coverage dbc/demo_hatchback dbc/demo_hatchback/drive.log",
    )
    coverage.add_argument("folder", type=Path, metavar="FOLDER")
    coverage.add_argument("logs", type=Path, nargs="+", metavar="LOG")
    coverage.add_argument("--bus", action="append", default=[], metavar="NAME", help=_BUS_HELP)
    coverage.add_argument("--json", action="store_true", help="one JSON document")


def _add_draft(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    draft = _tool(
        tools,
        "draft",
        _draft,
        "Show what a recording of an unknown bus looks like, and write a first DBC of it.",
        "carshare-agent profile draft dbc/demo_hatchback/drive.log --dbc /tmp/body.dbc",
    )
    draft.add_argument("log", type=Path, metavar="LOG")
    draft.add_argument("--bus", metavar="CHANNEL", help="only frames of this channel of the log")
    draft.add_argument("--dbc", type=Path, metavar="FILE", help="a new file, with one message for each id")
    draft.add_argument("--json", action="store_true", help="one JSON object an id")


def _add_plot(tools: argparse._SubParsersAction[argparse.ArgumentParser], load: LoadProfile) -> None:
    plot = _tool(
        tools,
        "plot",
        lambda options: _plot(options, load),
        "Draw signals over time; gaps are where nothing was known. Needs the extra [plot].",
        "carshare-agent profile plot dbc/demo_hatchback dbc/demo_hatchback/drive.log Vehicle.Speed --output speed.svg",
    )
    plot.add_argument("folder", type=Path, metavar="FOLDER")
    plot.add_argument("log", type=Path, metavar="LOG")
    plot.add_argument("paths", nargs="+", metavar="PATH", help="VSS paths of the profile")
    plot.add_argument("--output", type=Path, required=True, metavar="FILE", help=".svg or .png; written over")
    plot.add_argument("--bus", action="append", default=[], metavar="NAME", help=_BUS_HELP)


def _lint(options: argparse.Namespace) -> int:
    from agent.profile_tools.remark import Severity

    if options.log and len(options.folders) != 1:
        raise ConfigurationError("--log is a recording of one car: name one folder with it")
    remarks = [remark for folder in options.folders for remark in _lint_one(folder, options)]
    for remark in remarks:
        _write(json.dumps(remark.as_document(), ensure_ascii=False) if options.json else str(remark))
    faults = sum(remark.severity is Severity.FAULT for remark in remarks)
    sys.stderr.write(f"faults {faults}, warnings {len(remarks) - faults}\n")
    return EXIT_FAILED if faults else EXIT_DONE


def _lint_one(folder: Path, options: argparse.Namespace) -> list[Remark]:
    from agent.profile_tools.lint import lint_files, lint_heard, lint_profile
    from agent.profile_tools.remark import Remark, Severity
    from agent.profiles.parse import parse_profile

    if folder.is_file() and folder.name != PROFILE_FILE:
        if options.log:
            raise ConfigurationError(f"{folder}: a log is compared with a profile; name its folder")
        return lint_files(str(folder.parent), {folder.name: read_bytes(folder, DATABASE_BYTES_MAX)})
    text, files = read_profile_texts(folder)
    source = str(folder / PROFILE_FILE)
    remarks = lint_files(str(folder), files)
    profile = parse_profile(text, files, source=source)
    if isinstance(profile, list):
        told = {(remark.fault.source, remark.fault.line) for remark in remarks}
        return remarks + [Remark(Severity.FAULT, fault) for fault in profile if (fault.source, fault.line) not in told]
    remarks += lint_profile(source, text, profile)
    if options.log:
        remarks += lint_heard(source, text, _heard(profile, options.log, options.bus))
    return remarks


def _coverage(options: argparse.Namespace, load: LoadProfile) -> int:
    from agent.profile_tools.coverage_report import document, lines

    found = _heard(load(options.folder), options.logs, options.bus)
    if options.json:
        _write(json.dumps(document(found, [str(log) for log in options.logs]), ensure_ascii=False))
    else:
        _write_all(lines(found))
    if len(found.never_heard()) == len(found.messages):
        sys.stderr.write("carshare-agent: no id of the profile is in the logs: is it the right car and bus (--bus)?\n")
    return EXIT_FAILED if found.mismatches() else EXIT_DONE


def _draft(options: argparse.Namespace) -> int:
    from agent.adapters.files import write_new
    from agent.profile_tools.draft import Draft
    from agent.profile_tools.draft_report import dbc_text, documents, lines
    from agent.profile_tools.recording import frames_of

    draft = Draft()
    draft.hear(frame for frame in frames_of(options.log) if options.bus in (None, frame.bus))
    if not draft.ids:
        raise ConfigurationError(f"{options.log}: no frames" + (f" on {options.bus}" if options.bus else ""))
    if options.dbc is not None and len(draft.buses) > 1:
        raise ConfigurationError(f"--dbc holds one bus: name it, --bus {' or --bus '.join(draft.buses)}")
    if options.json:
        _write_all(json.dumps(document) for document in documents(draft))
    else:
        _write_all(lines(draft))
    if options.dbc is not None:
        try:
            write_new(options.dbc, dbc_text(draft.ids).encode(), 0o644)
        except FileExistsError:
            raise ConfigurationError(f"{options.dbc}: is there already, and may hold your work; name another") from None
        except OSError as error:
            raise ConfigurationError(f"{options.dbc}: cannot be written: {error.strerror}") from None
        sys.stderr.write(f"wrote {options.dbc}\n")
    return EXIT_DONE


def _plot(options: argparse.Namespace, load: LoadProfile) -> int:
    from agent.profile_tools.plot import SUFFIXES, draw, fill, series_for
    from agent.profile_tools.recording import Channels, Span, frames_of
    from agent.profiles.findings import expected_of
    from agent.replay import Replay

    if options.output.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"{options.output}: expected a name that ends with {' or '.join(SUFFIXES)}")
    profile = load(options.folder)
    series = series_for(profile, options.paths)
    if series is None:
        unknown = [path for path in options.paths if path not in profile.paths]
        hints = "; ".join(f"{path}: expected {expected_of(profile.paths, path)}" for path in unknown)
        raise ConfigurationError(f"{profile.name} has no such path: {hints}")
    replay, span = Replay(profile, bus=None, is_every_reading=False), Span()
    channels = Channels.of(profile, options.bus)
    fill(series, replay.run(span.watched(frames_of(options.log, channels))))
    if not replay.has_readings:
        raise ConfigurationError(f"{options.log}: no frame gave a reading of {profile.name}; is --bus right?")
    title = f"{profile.title} · {options.log.name}"
    try:
        draw(series, title=title, begin_s=span.begin_s, end_s=span.end_s, output=options.output)
    except OSError as error:
        raise ConfigurationError(f"{options.output}: cannot be written: {error.strerror}") from None
    sys.stderr.write(f"wrote {options.output}\n")
    return EXIT_DONE


def _heard(profile: Profile, logs: Sequence[Path], buses: Sequence[str]) -> Coverage:
    from agent.profile_tools.coverage import Coverage
    from agent.profile_tools.recording import Channels, frames_of

    channels = Channels.of(profile, buses)
    found = Coverage(profile)
    for log in logs:
        found.hear(frames_of(log, channels))
    return found


def _write_all(lines: Iterable[str]) -> None:
    for line in lines:
        _write(line)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
