"""`profile.toml` as text to its tables, with every fault of key and type; what is sound is read all the same.

A faulty value is told, left out and, where the table cannot do without it, the table with it.  So the faults that only
show against the DBC and VSS are found in the same pass, and nothing is told twice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from agent.faults import Fault
from agent.model.table import checked, keys_at
from agent.profiles import vss
from agent.profiles.findings import Findings, expected_by, expected_of
from agent.profiles.toml_model import DATABASE_FILES_MAX, ProfileTable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

TEXT_CHARACTERS_MAX = 1 << 20  # a profile of a thousand signals has a tenth of that

# What takes the place of a faulty value so that the rest can be read; a profile with a fault is never used.
_STAND_INS: Mapping[str, Mapping[str, object]] = {
    "": {"format": 1, "name": "unnamed", "title": "untitled", "vss": vss.RELEASE},
    "buses": {"bitrate_bps": 500_000, "fd": True, "silent_after_s": 1.0},
    "polls": {"request_id": 0, "response_id": 1, "service": 0x22, "identifier": 0, "period_s": 60.0},
    "wake": {"tries_max": 1, "interval_s": 1.0, "settle_s": 0.0},
    "actions": {"repeats_max": 1, "interval_s": 1.0, "feedback": [], "preconditions": []},
}
# What a value of a signal means is said by these together: if one is faulty, the others cannot be judged.
_MEANING = frozenset({"unit", "unit_by", "choices", "invalid", "min", "max", "report"})

_ROUNDS_MAX = 4  # leave values out, then the tables that miss them, then what holds those

_Path = tuple[str | int, ...]


def read_tables(text: str, findings: Findings, source: str) -> ProfileTable | None:
    """The tables of a profile, faulty ones None; None for the whole if too little is left."""
    if len(text) > TEXT_CHARACTERS_MAX:
        findings.add((), f"a text of {len(text)} characters", f"at most {TEXT_CHARACTERS_MAX}")
        return None
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: also numbers and nesting without end
        findings.add_fault(Fault(source, "", _line_in(str(error)), f"not valid TOML: {error}"))
        return None
    from pydantic import ValidationError

    for round_number in range(_ROUNDS_MAX):
        try:
            return checked(ProfileTable, document)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            if round_number == 0:
                _tell(findings, details, document)
            for detail in details:
                _leave_out(detail, document)
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
    return tuple(dict.fromkeys(name for name in names if is_plain_name(name)))[:DATABASE_FILES_MAX]


def is_plain_name(name: str) -> bool:
    """Whether `name` names a file in the profile's own folder; nothing else is ever opened for a profile."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def _tell(findings: Findings, details: Iterable[ErrorDetails], document: Any) -> None:
    told: list[_Path] = []
    for detail in sorted(details, key=lambda detail: detail["type"] != "unexpected_keyword_argument"):
        path, given = _existing(detail["loc"], document)
        if detail["type"] == "unexpected_keyword_argument":
            known = keys_at(ProfileTable, path[:-1])
            findings.add(path, "unknown key", expected_of(known, str(path[-1])))
            told += [(*path[:-1], key) for key in get_close_matches(str(path[-1]), known)]  # which is meant by it
        elif detail["type"] == "missing":
            path = (*path, str(detail["loc"][-1]))
            if path not in told:
                findings.add(path, "missing", "a value; there is no default")
        elif len(detail["loc"]) > len(path):  # a member of a union, told once for all its members
            findings.add(path, f"{_shown(given)} does not fit", "true or false, a number or a text")
        else:
            findings.add(path, f"{_shown(given)} does not fit", expected_by(detail["msg"]))
        told.append(path)
    for path in told:
        findings.settle(path[:3])
        if path[:1] == ("signals",) and path[2:3] and path[2] in _MEANING:
            findings.settle(*((*path[:2], key) for key in _MEANING))


def _leave_out(detail: ErrorDetails, document: Any) -> None:
    """Take a faulty value out of the document or put a sound one in its place; failing that, its table is None."""
    path, _ = _existing(detail["loc"], document)
    if detail["type"] == "missing":
        path = (*path, str(detail["loc"][-1]))
    elif detail["type"] != "unexpected_keyword_argument":
        path = path[:3]
    holder: Any = document
    for part in path[:-1]:
        holder = holder[part]
    if holder is None:  # another fault of the same table took it out already
        return
    kind = str(path[0]) if len(path) == 3 else ""
    if len(path) in (1, 3) and path[-1] in _STAND_INS.get(kind, {}):
        holder[path[-1]] = _STAND_INS[kind][str(path[-1])]
    elif len(path) == 2 and path[0] != "unsupported":
        holder[path[-1]] = None
    elif detail["type"] == "missing":
        _leave_out_table(path[:-1], document)
    elif isinstance(holder, dict):
        holder.pop(path[-1], None)


def _leave_out_table(path: _Path, document: Any) -> None:
    """A table of its own keeps its place as None, so that its neighbours keep theirs; an inner one goes."""
    if len(path) >= 2:
        holder = document[path[0]]
        if len(path) == 2:
            holder[path[1]] = None
        elif isinstance(holder[path[1]], dict):
            holder[path[1]].pop(path[2], None)


def _existing(location: Sequence[str | int], document: Any) -> tuple[_Path, object]:
    """The part of pydantic's location that is in the document (it appends type names), and what stands there."""
    path: list[str | int] = []
    for part in location:
        is_key = isinstance(document, dict) and part in document
        is_index = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if not (is_key or is_index):
            break
        document = document[part]
        path.append(part)
    return tuple(path), document


_SHOWN_BITS_MAX = 128  # Python refuses to write out integers of some thousand digits


def _shown(given: object) -> str:
    if isinstance(given, int) and given.bit_length() > _SHOWN_BITS_MAX:
        return f"a number of {given.bit_length()} bits"
    return f"{given!r:.60}" if isinstance(given, str | int | float | bool) else f"a {type(given).__name__}"


def _line_in(message: str) -> int:
    words = message.replace(",", " ").replace(")", " ").split()
    return int(words[words.index("line") + 1]) if "line" in words[:-1] else 0
