"""Logs that are text: candump's, CRTD and SavvyCAN's by ourselves, the others by python-can; every line counted and
bounded.

python-can's candump reader takes most error frames for data frames (seen in 4.6.1: only bus errors are recognised).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, TextIO, cast

import can

from agent.adapters.log_crtd import frames_in_crtd
from agent.adapters.log_frame import LogFaultError, checked_data, checked_id, frame_of
from agent.adapters.log_savvycan import frames_in_savvycan, is_savvycan
from agent.model.frame import Frame

CRTD_SUFFIXES = (".crt", ".crtd")
TEXT_SUFFIXES = (".asc", *CRTD_SUFFIXES, ".csv", ".log", ".trc")

# A CAN FD frame takes 400 bytes in the most talkative of the formats, and remarks may be longer.
LINE_BYTES_MAX = 4096

# `(1436509052.249713) vcan0 044#2A366C2BBA`, `…12345678##1AABB` for CAN FD, `…123#R8` for a remote frame,
# and with `candump -x` a direction at the end.
_CANDUMP = re.compile(
    r"\((?P<time>\d{1,12}(?:\.\d{1,9})?)\)\s+(?P<channel>\S{1,64})\s+"
    r"(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(?:(?P<remote>[Rr][0-9A-Fa-f]?)|(?P<fd>#[0-9A-Fa-f])?(?P<data>(?:[0-9A-Fa-f]{2})*))"
    r"(?:\s+[RTrt])?"
)
_ERROR_FLAG = 0x2000_0000


class Lines(Iterator[str]):
    """The lines of a text, counted: python-can's readers take it for an open file.

    `number` is the line that is being read or was read last, from 1.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.number = 0
        self._file = file
        self._ahead: str | None = None

    def peek(self) -> str:
        """The next line, which is still the next after this; "" at the end."""
        if self._ahead is None:
            self._ahead = next(self, None)
        return self._ahead or ""

    def __next__(self) -> str:
        if (line := self._ahead) is not None:
            self._ahead = None
            return line
        self.number += 1
        raw = self._file.readline(LINE_BYTES_MAX)
        if not raw:
            raise StopIteration
        if not raw.endswith(b"\n") and raw.strip():
            if len(raw) == LINE_BYTES_MAX:
                raise LogFaultError(f"a line of more than {LINE_BYTES_MAX} bytes")
            # What is left of a cut line can still look like a frame, with other data.
            raise LogFaultError("the last line has no end, so the log was cut off (if not, end the line)")
        return raw.decode("utf-8", "replace")

    def close(self) -> None:
        """python-can closes what it reads at its end; the file's owner closes it in every case."""


def frames_in_text(suffix: str, lines: Lines) -> Iterator[Frame]:
    """Frames of a text log in the format of that suffix. Raises LogFaultError, and whatever python-can trips over."""
    if suffix == ".log":
        yield from filter(None, map(candump_frame, filter(None, map(str.strip, lines))))
        return
    if suffix in CRTD_SUFFIXES:
        yield from frames_in_crtd(lines)
        return
    if suffix == ".csv" and is_savvycan(lines.peek()):
        yield from frames_in_savvycan(next(lines), lines)
        return
    file = cast("TextIO", lines)
    reader: can.io.generic.MessageReader
    match suffix:
        case ".asc":
            reader = can.ASCReader(file)
        case ".csv":
            reader = can.CSVReader(file)
        case _:
            reader = can.TRCReader(file)
    yield from filter(None, map(frame_of, reader))


def candump_frame(line: str) -> Frame | None:
    """Frame in a line of `candump -L`; None for error and remote frames, LogFaultError for anything else."""
    match = _CANDUMP.fullmatch(line)
    if match is None:
        raise LogFaultError(f"{line[:60]!r} is not '(seconds) channel ID#DATA' as candump -L writes it")
    arbitration_id = int(match["id"], 16)
    if arbitration_id & _ERROR_FLAG or match["remote"]:
        return None
    is_extended_id, is_fd = len(match["id"]) == 8, match["fd"] is not None
    return Frame(
        bus=match["channel"],
        arbitration_id=checked_id(arbitration_id, is_extended_id=is_extended_id),
        data=checked_data(bytes.fromhex(match["data"]), is_fd=is_fd),
        received_at_s=float(match["time"]),
        is_extended_id=is_extended_id,
        is_fd=is_fd,
    )
