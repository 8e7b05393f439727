"""What must survive a power cut, in two SQLite files: opened, judged, written by one thread, one transaction a write.

WAL with `synchronous=FULL`: measured, it lost nothing acknowledged at 73 crash points, where NORMAL lost some at 31
of 60. Both settings belong to the connection, so they are read back and a store that does not have them is refused.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

from agent.adapters.store_schema import (
    AUTHORITY,
    SCHEMA_VERSION,
    STORE_ID_BYTES,
    TELEMETRY,
    Schema,
    apply_authority,
    apply_telemetry,
    read_journal,
    read_outbox,
    read_sessions,
)
from agent.errors import StoreError
from agent.model.records import AuthorityRecord, Record, Recovered, TelemetryRecord

SET_ASIDE_MAX = 3
"""Damaged files kept for whoever looks into it; more would fill the card of a car whose card is failing."""

_BUSY_WAIT_S = 5.0

# SQLite result codes (https://sqlite.org/rescode.html): the file is not what it should be …
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH})
# … or it cannot be used, which is the card's fault and not the file's.
_DEAD = frozenset(
    {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOLFS,
    }
)


class _DamagedError(Exception):
    """This file is not this car's store as it was left."""


class _DeadError(Exception):
    """The storage does not keep what it is given (read-only, full, failing)."""


class Stores:
    """The stores of one car in one directory; `open` first, then `write`, `close` at the end.

    Storage that is dead at start is replaced by memory and said so (csa1 A12); one that dies later fails each write.
    """

    def __init__(self, directory: Path, car: bytes) -> None:
        self.is_degraded = False
        self._directory = directory
        self._car = car
        self._lock = -1
        self._notes: list[str] = []
        self._failure: str | None = None
        self._authority: sqlite3.Connection | None = None
        self._telemetry: sqlite3.Connection | None = None
        # One thread: SQLite's syncs block for seconds on a tired card, and writes must not overtake each other.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    def open(self) -> Recovered:
        """Open or make both files and return what they hold.

        StoreError if another agent uses them, if a newer version wrote them, or if SQLite does not give the
        durability asked for.
        """
        try:
            self._take_directory()
            self._authority = self._open_file(AUTHORITY)
            self._telemetry = self._open_file(TELEMETRY)
            self._sync_directory()
        except (_DeadError, OSError) as error:
            self._release()
            self.is_degraded = True
            self._notes.append(f"{self._directory}: storage cannot be used ({error}); memory takes its place")
            self._authority = self._make(AUTHORITY, None)
            self._telemetry = self._make(TELEMETRY, None)
        except StoreError:
            self._release()
            raise
        return self._recovered(self._authority, self._telemetry)

    async def write(self, records: Sequence[Record]) -> None:
        """Make the records durable, all or none; StoreError if that cannot be promised, and from then on always."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, tuple(records))

    def close(self) -> None:
        """Wait for the write under way, close the files and let another agent have them."""
        self._writer.shutdown(wait=True)
        self._release()

    def _write(self, records: Sequence[Record]) -> None:
        if self._failure is not None:
            # The kernel may have dropped what it could not write: a sync that succeeds now proves nothing.
            raise StoreError(f"the store has failed before: {self._failure}")
        if self._authority is None or self._telemetry is None:
            raise StoreError("the store is not open")
        try:
            authority = [record for record in records if isinstance(record, get_args(AuthorityRecord))]
            telemetry = [record for record in records if isinstance(record, get_args(TelemetryRecord))]
            if authority and telemetry:
                raise StoreError("records of both stores in one write, which no transaction covers")
            connection = self._authority if authority else self._telemetry
            with _transaction(connection):
                for record in authority:
                    apply_authority(connection, record)
                for record in telemetry:
                    apply_telemetry(connection, record)
        except (sqlite3.Error, OverflowError, StoreError) as error:
            self._failure = str(error)
            raise StoreError(f"{self._directory}: {error}") from error

    def _take_directory(self) -> None:
        """Make the directory and lock it, itself: that works on a read-only card too, and leaves no file behind."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{self._directory}: another agent uses this store; stop it, or give this one its own store.directory"
            ) from None
        except OSError as error:
            raise StoreError(f"{self._directory}: this file system has no locks ({error.strerror})") from None
        self._directory.chmod(0o700)
        if not os.access(self._directory, os.W_OK):
            raise _DeadError(os.strerror(errno.EACCES))
