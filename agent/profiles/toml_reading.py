"""`profile.toml` as text to its tables, with every fault of key and type; what is sound is read all the same.

A faulty value is told, left out and, where the table cannot do without it, the table with it.  So the faults that only
show against the DBC and VSS are found in the same pass, and nothing is told twice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath, PureWindowsPath
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.faults import Fault
from agent.profiles import vss
from agent.profiles.findings import Findings, expected_of
from agent.profiles.toml_model import DATABASE_FILES_MAX, ProfileTable

TEXT_CHARACTERS_MAX = 1 << 20  # a profile of a thousand signals has a tenth of that

_STAND_INS = {"format": 1, "name": "unnamed", "title": "untitled", "vss": vss.RELEASE}
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
    is_first_round = True
    for _ in range(_ROUNDS_MAX):
        try:
            return ProfileTable.model_validate(document)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            if is_first_round:
                _tell(findings, details, document)
            _leave_out(details, document)
            is_first_round = False
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
    misspelt: set[_Path] = set()
    for detail in sorted(details, key=lambda detail: detail["type"] != "extra_forbidden"):
        path, given = _existing(detail["loc"], document)
        if detail["type"] == "extra_forbidden":
            known = _keys_at(path[:-1])
            misspelt |= {(*path[:-1], key) for key in get_close_matches(str(path[-1]), known)}
            findings.add(path, "unknown key", expected_of(known, str(path[-1])))
        elif detail["type"] == "missing":
            path = (*path, str(detail["loc"][-1]))
            if path not in misspelt:
                findings.add(path, "missing", "a value; there is no default")
        elif len(detail["loc"]) > len(path):  # a member of a union, told once for all its members
            findings.add(path, f"{_shown(given)} does not fit", "true or false, a number or a text")
        else:
            findings.add(path, f"{_shown(given)} does not fit", detail["msg"].removeprefix("Input should be "))
        findings.settle(path)
    for path in misspelt:
        findings.settle(path)


def _leave_out(details: Iterable[ErrorDetails], document: Any) -> None:
    """Take the faulty values out of the document, and the tables that miss one."""
    for detail in sorted(details, key=lambda detail: detail["type"] == "missing"):
        path, _ = _existing(detail["loc"], document)
        if len(path) == 1 and path[0] in _STAND_INS:
            document[path[0]] = _STAND_INS[str(path[0])]
        elif not path:
            document.update({key: value for key, value in _STAND_INS.items() if key not in document})
        else:
            holder: Any = document
            for part in path[:-1]:
                holder = holder[part]
            if len(path) == 2:
                holder[path[1]] = None  # a table of its own keeps its place, so that its neighbours keep theirs
            else:
                del holder[path[-1]]


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


_SHOWN_BITS_MAX = 128  # Python refuses to write out integers of some thousand digits


def _shown(given: object) -> str:
    if isinstance(given, int) and given.bit_length() > _SHOWN_BITS_MAX:
        return f"a number of {given.bit_length()} bits"
    return f"{given!r:.60}" if isinstance(given, str | int | float | bool) else f"a {type(given).__name__}"


def _line_in(message: str) -> int:
    words = message.replace(",", " ").replace(")", " ").split()
    return int(words[words.index("line") + 1]) if "line" in words[:-1] else 0
