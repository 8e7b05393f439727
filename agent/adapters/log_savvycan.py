"""CSV as SavvyCAN and the GVRET firmware write it, told from other CSV by its first line.

    Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8
    166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,

Times are whole microseconds, or seconds with a decimal point, as some tools beside SavvyCAN write them; one file keeps
to one. Older files have no `Dir`. Bytes beyond `LEN` only fill the columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.adapters.log_frame import LogFaultError, checked_data, checked_id
from agent.model.frame import Frame

_COLUMNS = ("time stamp", "id", "extended")
_WITH_DIRECTION = (*_COLUMNS, "dir", "bus", "len")
_WITHOUT_DIRECTION = (*_COLUMNS, "bus", "len")

_MICROSECONDS = re.compile(r"\d{1,18}")
_SECONDS = re.compile(r"\d{1,12}\.\d{1,9}")
_ID = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{1,8}")
_BYTE = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{1,2}")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_STANDARD_ID_MAX = 0x7FF


def is_savvycan(first_line: str) -> bool:
    """Whether a CSV file that begins so is one of SavvyCAN's."""
    return _columns(first_line) is not None


def frames_in_savvycan(first_line: str, lines: Iterator[str]) -> Iterator[Frame]:
    """Frames of the lines after the first; `bus` is the log's number of it. Raises LogFaultError."""
    if (columns := _columns(first_line)) is None:
        raise LogFaultError("the first line does not name the columns 'Time Stamp,ID,Extended,Dir,Bus,LEN,D1,…'")
    is_in_seconds: bool | None = None
    for line in lines:
        if not (text := line.strip()):
            continue
        cells = [cell.strip() for cell in text.split(",")]
        is_in_seconds, time_s = _time(cells[0], is_in_seconds)
        yield _frame(cells, columns, time_s)


def _columns(first_line: str) -> int | None:
    """How many columns come before the bytes; None if it is another format."""
    names = tuple(name.strip().lower() for name in first_line.removeprefix("\ufeff").split(","))
    for known in (_WITH_DIRECTION, _WITHOUT_DIRECTION):
        if names[: len(known)] == known:
            return len(known)
    return None


def _time(cell: str, is_in_seconds: bool | None) -> tuple[bool, float]:
    if _SECONDS.fullmatch(cell):
        found, time_s = True, float(cell)
    elif _MICROSECONDS.fullmatch(cell):
        found, time_s = False, int(cell) / 1_000_000
    else:
        raise LogFaultError(f"{cell[:30]!r} is no time: whole microseconds, or seconds with a decimal point")
    if is_in_seconds is not None and found is not is_in_seconds:
        raise LogFaultError(
            f"{cell[:30]!r} is not in the unit of the lines before (microseconds, or seconds with a point)"
        )
    return found, time_s


def _frame(cells: list[str], columns: int, time_s: float) -> Frame:
    if len(cells) < columns:
        raise LogFaultError(f"{len(cells)} columns, at least {columns} are needed")
    identifier, extended, bus, length = cells[1], cells[2].lower(), cells[columns - 2], cells[columns - 1]
    if not _ID.fullmatch(identifier) or extended not in _TRUTHS:
        raise LogFaultError(f"'{identifier[:20]},{extended[:20]}' is no id in hexadecimal with true or false")
    if not bus.isdecimal() or not length.isdecimal() or len(bus) > 3 or len(length) > 2:
        raise LogFaultError(f"'{bus[:20]},{length[:20]}' is no bus with a number of bytes")
    words = cells[columns : columns + int(length)]
    if len(words) < int(length) or not all(map(_BYTE.fullmatch, words)):
        raise LogFaultError(f"{length} bytes in hexadecimal are announced, and are not there")
    arbitration_id = int(identifier, 16)
    # Some firmware never says true; SavvyCAN itself takes an id that needs more bits for one that has them.
    is_extended_id = _TRUTHS[extended] or arbitration_id > _STANDARD_ID_MAX
    is_fd = int(length) > 8
    return Frame(
        bus=bus,
        arbitration_id=checked_id(arbitration_id, is_extended_id=is_extended_id),
        data=checked_data(bytes(int(word, 16) for word in words), is_fd=is_fd),
        received_at_s=time_s,
        is_extended_id=is_extended_id,
        is_fd=is_fd,
    )
