"""Recorded logs as frames, in every format python-can reads, plain or compressed.

candump's own format is read here, line by line: python-can's reader takes most error frames for data frames
(seen in 4.6.1: only bus errors are recognised), and a person needs the number of the line that is wrong.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, BinaryIO, cast

import can

from agent.errors import ConfigurationError
from agent.model.frame import Frame

SUFFIXES = (".asc", ".blf", ".csv", ".db", ".log", ".trc")
"""Without `.mf4`: python-can needs asammdf for it, which has no wheel for the boards the agent runs on."""

_FORMATS = ", ".join(SUFFIXES) + "; plain, .gz or .xz"

# A day of a full 500 kbit/s bus in text is some 15 GB; a log beyond this is a mistake or a decompression bomb.
UNPACKED_BYTES_MAX = 32 << 30

# `(1436509052.249713) vcan0 044#2A366C2BBA`, `…12345678##1AABB` for CAN FD, `…123#R8` for a remote frame,
# and with `candump -x` a direction at the end.
_CANDUMP = re.compile(
    r"\((?P<time>\d{1,12}(?:\.\d{1,9})?)\)\s+(?P<channel>\S{1,64})\s+"
    r"(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(?:(?P<remote>[Rr][0-9A-Fa-f]?)|(?P<fd>#[0-9A-Fa-f])?(?P<data>(?:[0-9A-Fa-f]{2})*))"
    r"(?:\s+[RTrt])?"
)
_ERROR_FLAG = 0x2000_0000
_LINE_CHARS_MAX = 512
_DATA_BYTES_MAX = 8
_FD_DATA_BYTES_MAX = 64


class _LineError(ValueError):
    """The text of one line is wrong."""


# What reading raises on a file that is cut off, damaged or not packed as its name says.
_UNREADABLE = (_LineError, EOFError, OSError, lzma.LZMAError, zlib.error)


def read_log(path: Path) -> Iterator[Frame]:
    """Data frames of a log in its order; `bus` is the log's channel (empty if it has none), `received_at_s` its time.

    Error and remote frames are left out. A log that is cut off or garbled gives what was good before that, then
    ConfigurationError with the line where the format has lines.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in (".gz", ".xz") else ""
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in SUFFIXES:
        raise ConfigurationError(f"{path}: {suffix or 'a name without ending'} is no log format; expected {_FORMATS}")
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file")
    if suffix == ".log":
        yield from _read_candump(path, packing)
    elif packing:
        yield from _read_unpacked(path, packing, suffix)
    else:
        yield from _read_by_library(path, path)


def _open(path: Path, packing: str) -> BinaryIO:
    if packing == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if packing == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    return path.open("rb")


def _read_candump(path: Path, packing: str) -> Iterator[Frame]:
    number = 0
    try:
        with _open(path, packing) as file:
            while raw := file.readline(_LINE_CHARS_MAX):
                number += 1
                line = raw.decode("ascii", "replace").strip()
                if not line:
                    continue
                if not raw.endswith(b"\n"):
                    # What is left of a cut line can still look like a frame, with other data.
                    raise _LineError("the last line has no end, so the log was cut off (if not, end the line)")
                if (frame := candump_frame(line)) is not None:
                    yield frame
    except _UNREADABLE as error:
        raise _unreadable(path, number if isinstance(error, _LineError) else number + 1, error) from None


def candump_frame(line: str) -> Frame | None:
    """Frame in a line of `candump -L`; None for error and remote frames, ValueError for anything else."""
    match = _CANDUMP.fullmatch(line)
    if match is None:
        raise _LineError(f"{line[:60]!r} is not '(seconds) channel ID#DATA' as candump -L writes it")
    arbitration_id = int(match["id"], 16)
    if arbitration_id & _ERROR_FLAG or match["remote"]:
        return None
    is_extended_id = len(match["id"]) == 8
    if arbitration_id > (0x1FFF_FFFF if is_extended_id else 0x7FF):
        raise _LineError(f"{match['id']} is no {29 if is_extended_id else 11}-bit id")
    data, is_fd = bytes.fromhex(match["data"]), match["fd"] is not None
    if len(data) > (bytes_max := _FD_DATA_BYTES_MAX if is_fd else _DATA_BYTES_MAX):
        raise _LineError(f"{len(data)} bytes of data, at most {bytes_max} fit")
    return Frame(match["channel"], arbitration_id, data, float(match["time"]), is_extended_id, is_fd)


def _read_unpacked(path: Path, packing: str, suffix: str) -> Iterator[Frame]:
    """Unpack into a temporary file first: the other formats are binary, or their readers want a file's name."""
    with tempfile.TemporaryDirectory(prefix="carshare-agent-") as directory:
        unpacked = Path(directory) / f"log{suffix}"
        broken: ConfigurationError | None = None
        with _open(path, packing) as source, unpacked.open("wb") as target:
            try:
                _copy(path, source, target)
            except _UNREADABLE as error:
                broken = _unreadable(path, 0, error)
        try:
            yield from _read_by_library(path, unpacked)
        except ConfigurationError as error:
            raise broken or error from None
        if broken is not None:
            raise broken


def _copy(path: Path, source: IO[bytes], target: IO[bytes]) -> None:
    left = UNPACKED_BYTES_MAX
    while part := source.read(1 << 20):
        if (left := left - len(part)) < 0:
            raise ConfigurationError(f"{path}: more than {UNPACKED_BYTES_MAX} bytes once unpacked")
        if shutil.disk_usage(Path(tempfile.gettempdir())).free < len(part):
            raise ConfigurationError(f"{path}: no room to unpack it in {tempfile.gettempdir()}; unpack it by hand")
        target.write(part)


def _read_by_library(path: Path, unpacked: Path) -> Iterator[Frame]:
    try:
        with closing(_Messages(unpacked)) as messages:
            for message in messages:
                if not message.is_error_frame and not message.is_remote_frame:
                    yield _frame(message)
    except Exception as error:  # noqa: BLE001 - python-can's readers raise whatever their parsing trips over
        raise _unreadable(path, 0, error) from None


class _Messages(Iterable[can.Message]):
    """python-can's reader for one file, closed with it."""

    def __init__(self, path: Path) -> None:
        self._reader = can.LogReader(path)

    def __iter__(self) -> Iterator[can.Message]:
        return iter(self._reader)

    def close(self) -> None:
        self._reader.stop()


def _frame(message: can.Message) -> Frame:
    return Frame(
        bus="" if message.channel is None else str(message.channel),
        arbitration_id=message.arbitration_id,
        data=bytes(message.data),
        received_at_s=message.timestamp,
        is_extended_id=message.is_extended_id,
        is_fd=message.is_fd,
    )


def _unreadable(path: Path, line: int, error: Exception) -> ConfigurationError:
    place = f"{path}:{line}" if line else str(path)
    match error:
        case _LineError():
            why = f"{error}; nothing is read from here on"
        case EOFError():
            why = "ends in the middle; it was cut off while it was written or copied"
        case lzma.LZMAError() | gzip.BadGzipFile() | zlib.error():
            why = f"is damaged or not compressed as its name says ({error})"
        case OSError():
            why = f"cannot be read: {error.strerror or error}"
        case _:
            why = f"is garbled or ends in the middle ({type(error).__name__}: {error})"
    return ConfigurationError(f"{place}: {why}")
