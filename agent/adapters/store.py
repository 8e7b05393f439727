"""What must survive a power cut, in two SQLite files: opened and judged at start, written by one thread.

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
from concurrent.futures import Future
from pathlib import Path
from typing import get_args

from agent.adapters.daemon_thread import DaemonThread
from agent.adapters.store_file import DeadStorageError, StoreFile, open_store_file
from agent.adapters.store_schema import (
    AUTHORITY,
    STORE_ID_BYTES,
    TELEMETRY,
    AuthorityContents,
    apply_authority,
    apply_telemetry,
    read_authority,
    read_outbox,
)
from agent.errors import StoreError
from agent.model.records import AuthorityRecord, OutboxStored, Record, Recovered, TelemetryRecord

CLOSE_WAIT_S = 2.0
"""A sync takes up to a second on a tired card; one that takes longer at the end is not waited for (H92)."""

NUMBERS_AFTER_LOSS = 2**51
"""Where numbering goes on when it is not known what was given out; twice this is still exact in every JSON number."""


class Stores:
    """The stores of one car in one directory; `open` first, then `write`, `close` at the end.

    Storage that is dead at start is replaced by memory and said so (csa1 A12); one that dies later fails each write.
    """

    def __init__(self, directory: Path, car: bytes) -> None:
        self._directory = directory
        self._car = car
        self._lock = -1
        self._failure: str | None = None
        self._authority: StoreFile | None = None
        self._telemetry: StoreFile | None = None
        # One thread: SQLite's syncs block for seconds on a tired card, and writes must not overtake each other.
        self._writer = DaemonThread("store")
        self._closing: Future[None] | None = None

    def open(self) -> Recovered:
        """Open or make both files and return what they hold.

        StoreError if another agent uses them, if a newer version wrote them, or if SQLite does not give the
        durability asked for; everything else wrong with a file is a note, and the file made anew.
        """
        notes: list[str] = []
        is_degraded = False
        try:
            try:
                self._take_directory()
                authority, outbox = self._open_files(self._directory)
                self._sync_directory()
            except (DeadStorageError, OSError) as error:
                notes.append(f"{self._directory}: the storage cannot be used ({error}); memory takes its place")
                is_degraded = True
                self._close_files()
                authority, outbox = self._open_files(None)
        except BaseException:
            self._release()
            raise
        notes += [file.note for file in (self._authority, self._telemetry) if file is not None and file.note]
        given = [
            authority.sequence_next,
            *(entry.done.sequence + 1 for entry in authority.journal if entry.done is not None),
            *(record.sequence + 1 for record in outbox),
        ]
        if is_degraded or (self._authority is not None and self._authority.note):
            # What the lost file had given out is not known: begin where no car ever comes to, each time elsewhere.
            given.append(NUMBERS_AFTER_LOSS + secrets.randbelow(NUMBERS_AFTER_LOSS))
        return Recovered(
            store_id=authority.store_id,
            journal=authority.journal,
            sessions=authority.sessions,
            trust=authority.trust,
            # A telemetry file may have outlived the authority file that reserved its numbers (SR-07).
            sequence_next=max(given),
            outbox=outbox,
            is_degraded=is_degraded,
            notes=tuple(notes),
        )

    async def write(self, records: Sequence[Record]) -> None:
        """Make the records durable, all or none; StoreError if that cannot be promised, and from then on always."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, tuple(records))

    def close(self, within_s: float = CLOSE_WAIT_S) -> bool:
        """Finish the write under way, close the files and let another agent have them; blocks, at most so long.

        False if it takes longer, as closing syncs too.  It goes on then, and the directory is ours until it is done
        or the process has ended, which it can at any time: what was acknowledged is durable.
        """
        if self._closing is None:
            self._closing = self._writer.submit(self._release)
            self._writer.shutdown(wait=False)
        try:
            self._closing.result(within_s)
        except TimeoutError:
            return False
        return True

    def _write(self, records: Sequence[Record]) -> None:
        """In the writer's thread."""
        if self._failure is not None:
            # The kernel may have dropped what it could not write: a sync that succeeds now proves nothing.
            raise StoreError(f"{self._directory}: the store has failed before: {self._failure}")
        if self._authority is None or self._telemetry is None:
            raise StoreError(f"{self._directory}: the store is not open")
        authority = [record for record in records if isinstance(record, get_args(AuthorityRecord))]
        telemetry = [record for record in records if isinstance(record, get_args(TelemetryRecord))]
        if authority and telemetry:
            raise StoreError("records of both stores in one write, which no transaction covers")
        try:
            with (self._authority if authority else self._telemetry).transaction() as connection:
                for record in authority:
                    apply_authority(connection, record)
                for record in telemetry:
                    apply_telemetry(connection, record)
        except (sqlite3.Error, OverflowError, StoreError) as error:
            self._failure = str(error)
            raise StoreError(f"{self._directory}: {error}") from error

    def _take_directory(self) -> None:
        """Make the directory and lock it, itself: that works on a read-only card too, and leaves no file behind."""
        made = [folder for folder in (self._directory, *self._directory.parents) if not folder.is_dir()]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in made:
            sync_names(folder.parent)
        self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{self._directory} is in use by another agent; stop it, or give this one its own store.directory"
            ) from None
        except OSError as error:
            raise StoreError(f"{self._directory}: this file system has no locks ({error.strerror})") from None
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise DeadStorageError(os.strerror(errno.EACCES))
        if self._directory.stat().st_mode & 0o077:
            self._directory.chmod(0o700)

    def _open_files(self, directory: Path | None) -> tuple[AuthorityContents, tuple[OutboxStored, ...]]:
        identity = {"car": self._car, "store_id": secrets.token_bytes(STORE_ID_BYTES)}
        self._authority, authority = open_store_file(directory, AUTHORITY, identity, read_authority)
        self._telemetry, outbox = open_store_file(directory, TELEMETRY, {"car": self._car}, read_outbox)
        return authority, outbox

    def _sync_directory(self) -> None:
        os.fsync(self._lock)

    def _close_files(self) -> None:
        for file in (self._authority, self._telemetry):
            if file is not None:
                file.close()
        self._authority = self._telemetry = None

    def _release(self) -> None:
        self._close_files()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sync_names(directory: Path) -> None:
    """Names in a directory, those of new directories too, are durable only once it is synced itself."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
