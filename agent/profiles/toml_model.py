"""`profile.toml` as tables: its keys and their types, before anything is looked up in a DBC.

The format is described key by key in `dbc/README.md`.  Every table refuses keys it does not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from agent.faults import Fault
from agent.profiles.findings import Findings, expected_of

TEXT_BYTES_MAX = 1 << 20  # a profile of a thousand signals has a tenth of that
DATABASE_FILES_MAX = 32

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Raw = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
Scalar = bool | Raw | float | str


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class BusTable(_Table):
    dbc: list[Text] = Field(min_length=1, max_length=DATABASE_FILES_MAX)
    bitrate_bps: int = Field(ge=10_000, le=1_000_000)
    fd: bool = False
    silent_after_s: Seconds
    listen_only: bool = False


class ChecksumTable(_Table):
    algorithm: Text
    signal: Text


class CounterTable(_Table):
    signal: Text
    step_max: int = Field(ge=1)


class MessageTable(_Table):
    bus: Text | None = None
    message: Text
    freshness_s: Seconds | None = None
    checksum: ChecksumTable | None = None
    counter: CounterTable | None = None


class UnitByTable(_Table):
    message: Text
    signal: Text
    units: dict[str, str] = Field(min_length=1)


class ReportTable(_Table):
    deadband: float = Field(default=0.0, ge=0.0)
    interval_s: float = Field(default=1.0, ge=0.0, le=86_400)
    event: bool | None = None


class SignalTable(_Table):
    path: Text
    bus: Text | None = None
    message: Text
    signal: Text
    unit: str | None = None
    invalid: list[Raw] = []
    min: float | None = None
    max: float | None = None
    freshness_s: Seconds | None = None
    choices: dict[str, Scalar] | None = Field(default=None, min_length=1)
    unit_by: UnitByTable | None = None
    report: ReportTable = ReportTable()


class FrameTable(_Table):
    bus: Text | None = None
    message: Text
    values: dict[str, Scalar] = {}


class WakeTable(_Table):
    bus: Text | None = None
    frames: list[FrameTable] = Field(min_length=1, max_length=16)
    tries_max: int = Field(ge=1, le=200)
    interval_s: float = Field(ge=0.005, le=10.0)
    settle_s: float = Field(ge=0.0, le=30.0)


class PreconditionTable(_Table):
    path: Text
    reason: Text
    equals: Scalar | None = None
    min: float | None = None
    max: float | None = None
    unknown: Text | None = None
    stale: Text | None = None


class FeedbackTable(_Table):
    path: Text
    equals: Scalar
    confirmations: int = Field(default=1, ge=1, le=100)


class ActionTable(_Table):
    """`feedback` and `preconditions` have no default: that there are none is a statement about the car."""

    frames: list[FrameTable] = Field(min_length=1, max_length=16)
    repeats_max: int = Field(ge=1, le=100)
    interval_s: float = Field(ge=0.005, le=10.0)
    wake: Text | None = None
    feedback: list[FeedbackTable] = Field(max_length=8)
    feedback_window_s: float | None = Field(default=None, gt=0.0, le=30.0)
    preconditions: list[PreconditionTable] = Field(max_length=32)


class ProfileTable(_Table):
    """A whole `profile.toml`, format 1."""

    format: Literal[1]
    name: Word
    title: Text
    vss: Text
    buses: dict[Word, BusTable] = Field(min_length=1, max_length=8)
    messages: list[MessageTable] = []
    signals: list[SignalTable] = Field(min_length=1)
    wake: dict[str, WakeTable] = {}
    actions: dict[str, ActionTable] = {}
    unsupported: dict[str, Text] = {}


def read_tables(text: str, findings: Findings, source: str) -> ProfileTable | None:
    """The tables of a profile, or None with every fault of key and type in `findings`."""
    if len(text) > TEXT_BYTES_MAX:
        findings.add((), f"a text of {len(text)} characters", f"at most {TEXT_BYTES_MAX}")
        return None
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: also numbers and nesting without end
        findings.add_fault(Fault(source, "", _line_in(str(error)), f"not valid TOML: {error}"))
        return None
    try:
        return ProfileTable.model_validate(document)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            _add(findings, detail, document)
        return None


def named_files(profile_text: str) -> tuple[str, ...]:
    """File names the profile asks for beside itself, as far as the text can be read; never a path."""
    try:
        buses = tomllib.loads(profile_text).get("buses")
    except (ValueError, RecursionError):
        return ()
    tables = buses.values() if isinstance(buses, dict) else ()
    listed = (table.get("dbc") for table in tables if isinstance(table, dict))
    names = (name for names in listed if isinstance(names, list) for name in names if isinstance(name, str))
    return tuple(dict.fromkeys(name for name in names if is_plain_name(name)))[: DATABASE_FILES_MAX * 8]


def is_plain_name(name: str) -> bool:
    """Whether `name` names a file in the profile's own folder; nothing else is ever opened for a profile."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def _add(findings: Findings, detail: ErrorDetails, document: Mapping[str, object]) -> None:
    path, given = _existing(detail["loc"], document)
    kind = detail["type"]
    if kind == "extra_forbidden":
        findings.add(path, "unknown key", expected_of(_keys_at(path[:-1]), str(path[-1])))
    elif kind == "missing":
        findings.add((*path, str(detail["loc"][-1])), "missing", "a value; there is no default")
    elif detail["loc"][-1:] == ("[key]",):
        findings.add(path, "not a name", "lower-case letters, digits and _, beginning with a letter")
    elif len(detail["loc"]) > len(path):  # a member of a union, told once for all its members
        findings.add(path, f"{_shown(given)} does not fit", "true or false, a number or a text")
    else:
        findings.add(path, f"{_shown(given)} does not fit", detail["msg"].removeprefix("Input should be "))


def _existing(location: Sequence[str | int], document: object) -> tuple[tuple[str | int, ...], object]:
    """The part of pydantic's location that is in the document (it appends type names), and what stands there."""
    path: list[str | int] = []
    for part in location:
        is_key = isinstance(document, dict) and part in document
        is_index = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if not (is_key or is_index):
            break
        document = document[part]  # type: ignore[index]
        path.append(part)
    return tuple(path), document


def _keys_at(path: Sequence[str | int]) -> list[str]:
    """The keys of the table at `path`."""
    kind: object = ProfileTable
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = get_args(kind)[-1]
        if get_origin(kind) is not None and NoneType in get_args(kind):
            kind = next(member for member in get_args(kind) if member is not NoneType)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _shown(given: object) -> str:
    if isinstance(given, int) and given.bit_length() > _SHOWN_BITS_MAX:
        return f"a number of {given.bit_length()} bits"
    return f"{given!r:.60}" if isinstance(given, str | int | float | bool) else f"a {type(given).__name__}"


_SHOWN_BITS_MAX = 128  # Python refuses to write out integers of some thousand digits


def _line_in(message: str) -> int:
    words = message.replace(",", " ").replace(")", " ").split()
    return int(words[words.index("line") + 1]) if "line" in words[:-1] else 0
