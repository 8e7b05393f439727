"""Recorded logs as frames: every format python-can reads, CRTD and SavvyCAN's CSV, plain or compressed."""

from __future__ import annotations

import gzip
import lzma
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from agent.adapters.log_blf import frames_in_blf
from agent.adapters.log_database import frames_in_database
from agent.adapters.log_frame import LogFaultError
from agent.adapters.log_text import TEXT_SUFFIXES, Lines, frames_in_text
from agent.errors import ConfigurationError
from agent.model.frame import Frame

SUFFIXES = (*TEXT_SUFFIXES, ".blf", ".db")
"""Without `.mf4`: python-can needs asammdf for it, which has no wheel for the boards the agent runs on."""

_FORMATS = ", ".join(sorted(SUFFIXES)) + "; plain, .gz or .xz"

# A day of a full 500 kbit/s bus in text is some 15 GB; a log beyond this is a mistake or a decompression bomb.
UNPACKED_BYTES_MAX = 32 << 30

_WORDS_MAX = 200
"""Of what a library says of a fault: some quote all they had read."""

# What unpacking raises on a file that is cut off, damaged or not packed as its name says.
_UNREADABLE = (EOFError, OSError, lzma.LZMAError, zlib.error)


def read_log(path: Path) -> Iterator[Frame]:
    """Data frames of a log in its order; `bus` is the log's channel (empty if it has none), `received_at_s` its time.

    Error and remote frames are left out, and what a format's reader takes for a remark. A log that is cut off or
    garbled gives what was good before that, then ConfigurationError with the line where the format has lines.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in (".gz", ".xz") else ""
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in SUFFIXES:
        raise ConfigurationError(f"{path}: {suffix or 'a name without ending'} is no log format; expected {_FORMATS}")
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file")
    if suffix in TEXT_SUFFIXES:
        yield from _read_text(path, packing, suffix)
    elif suffix == ".blf":
        yield from _read_blf(path, packing)
    elif packing:
        yield from _read_unpacked_database(path, packing)
    else:
        yield from _read_database(path, path)


def _open(path: Path, packing: str) -> BinaryIO:
    if packing == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if packing == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    return path.open("rb")


def _read_text(path: Path, packing: str, suffix: str) -> Iterator[Frame]:
    number = 1
    try:
        with _open(path, packing) as file:
            lines = Lines(file)
            try:
                yield from frames_in_text(suffix, lines)
            finally:
                number = lines.number
    except Exception as error:  # noqa: BLE001 - python-can's readers raise whatever their parsing trips over
        raise _unreadable(path, number, error) from None


def _read_blf(path: Path, packing: str) -> Iterator[Frame]:
    try:
        with _open(path, packing) as file:
            yield from frames_in_blf(file)
    except Exception as error:  # noqa: BLE001 - as above
        raise _unreadable(path, 0, error) from None


def _read_database(path: Path, unpacked: Path) -> Iterator[Frame]:
    try:
        yield from frames_in_database(unpacked)
    except Exception as error:  # noqa: BLE001 - a row can hold any type in any place
        raise _unreadable(path, 0, error) from None


def _read_unpacked_database(path: Path, packing: str) -> Iterator[Frame]:
    """Unpack into a temporary file first: a database is read at any place."""
    with tempfile.TemporaryDirectory(prefix="carshare-agent-") as directory:
        unpacked = Path(directory) / "log.db"
        broken: ConfigurationError | None = None
        with _open(path, packing) as source, unpacked.open("wb") as target:
            try:
                _copy(path, source, target)
            except _UNREADABLE as error:
                broken = _unreadable(path, 0, error)
        try:
            yield from _read_database(path, unpacked)
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


def _unreadable(path: Path, line: int, error: Exception) -> ConfigurationError:
    place = f"{path}:{line}" if line else str(path)
    words = " ".join(str(error).split())[:_WORDS_MAX]
    match error:
        case LogFaultError():
            why = f"{words}; nothing is read from here on"
        case EOFError():
            why = "ends in the middle; it was cut off while it was written or copied"
        case lzma.LZMAError() | gzip.BadGzipFile() | zlib.error():
            why = f"is damaged or not compressed as its name says ({words})"
        case sqlite3.Error():
            why = f"is no database of a log, or a damaged one ({words})"
        case OSError():
            why = f"cannot be read: {error.strerror or words}"
        case _:
            why = f"is garbled or ends in the middle ({type(error).__name__}: {words})"
    return ConfigurationError(f"{place}: {why}")
