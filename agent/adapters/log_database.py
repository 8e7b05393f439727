"""python-can's logs in SQLite, read by ourselves: a file of a stranger's must not have its own way with the reader.

python-can 4.6.1 opens it to be written, takes a number in the place of the data for so many zero bytes, and follows a
view wherever it leads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import can

from agent.adapters.log_frame import LogFaultError, frame_of
from agent.model.frame import Frame

# A row has some hundred bytes, a page at most 64 KiB.
_VALUE_BYTES_MAX = 1 << 16

_ROWS = "SELECT ts, arbitration_id, extended, remote, error, dlc, data FROM messages"


def frames_in_database(path: Path) -> Iterator[Frame]:
    """Frames of the table `messages`. Raises LogFaultError for what is no frame, sqlite3.Error for a damaged file."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES_MAX)
        connection.execute("PRAGMA trusted_schema = OFF")
        found = connection.execute("SELECT type FROM sqlite_schema WHERE name = 'messages'").fetchone()
        if found != ("table",):
            raise LogFaultError("there is no table 'messages' in it")
        for timestamp, arbitration_id, extended, remote, error, dlc, data in connection.execute(_ROWS):
            if type(timestamp) not in (float, int) or type(data) not in (bytes, type(None)):
                raise LogFaultError(f"a row with the time {timestamp!r:.40} and data of type {type(data).__name__}")
            message = can.Message(
                timestamp=timestamp,
                arbitration_id=arbitration_id,
                is_extended_id=bool(extended),
                is_remote_frame=bool(remote),
                is_error_frame=bool(error),
                dlc=dlc,
                data=data,
            )
            if (frame := frame_of(message)) is not None:
                yield frame
