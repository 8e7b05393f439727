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
from dataclasses import replace
from pathlib import Path
from typing import get_args

from agent.adapters.daemon_thread import DaemonThread
from agent.adapters.outbox_schema import TELEMETRY, apply_telemetry, fetch_outbox, read_outbox
from agent.adapters.store_file import DeadStorageError, StoreFile, open_store_file
from agent.adapters.store_schema import (
    AUTHORITY,
    STORE_ID_BYTES,
    AuthorityContents,
    Schema,
    apply_authority,
    read_authority,
)
from agent.errors import StoreError
from agent.model.records import AuthorityRecord, OutboxFound, OutboxStored, Record, Recovered, TelemetryRecord

CLOSE_WAIT_S = 2.0
"""A sync takes up to a second on a tired card; one that takes longer at the end is not waited for (H92)."""

NUMBERS_AFTER_LOSS = 2**51
"""Where numbering goes on when it is not known what was given out; twice this is still exact in every JSON number."""


class Stores:
    """The stores of one car in one directory; `open` first, then `write`, `close` at the end.

    Storage that is dead at start is replaced by memory and said so (csa1 A12); one that dies later fails each write.
    The two files live and die apart: telemetry that cannot be kept stops no command.
    """

    def __init__(self, directory: Path, car: bytes) -> None:
        self._directory = directory
        self._car = car
        self._lock = -1
        self._failures: dict[Schema, str] = {}
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
            (outbox.sequence_last or 0) + 1,
        ]
        is_car_new = authority.sequence_next == 1
        if is_degraded or (self._authority is not None and self._authority.note):
            is_car_new = False
            # What the lost file had given out is not known: begin where no car ever comes to, each time elsewhere.
            given.append(NUMBERS_AFTER_LOSS + secrets.randbelow(NUMBERS_AFTER_LOSS))
        return Recovered(
            store_id=authority.store_id,
            journal=authority.journal,
            sessions=authority.sessions,
            trust=authority.trust,
            # A telemetry file may have outlived the authority file that reserved its numbers (SR-07).
            sequence_next=max(given),
            outbox=self._told_apart(outbox, is_car_new=is_car_new),
            is_degraded=is_degraded,
            notes=tuple(notes),
        )

    async def write(self, records: Sequence[Record]) -> None:
        """Make the records durable, all or none; StoreError if that cannot be promised.

        From then on always, for this file, unless it only was full: the kernel may have dropped what it could not
        write, and a sync that succeeds afterwards proves nothing.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, tuple(records))

    async def fetch(self, sequences: Sequence[int]) -> tuple[OutboxStored, ...]:
        """Records of the outbox as far as they are there; StoreError if the file cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._fetch, tuple(sequences))

    async def prove(self) -> None:
        """Return once the writer's thread is at work: not while a sync holds it up."""
        await asyncio.get_running_loop().run_in_executor(self._writer, int)

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
        authority = [record for record in records if isinstance(record, get_args(AuthorityRecord))]
        telemetry = [record for record in records if isinstance(record, get_args(TelemetryRecord))]
        if authority and telemetry:
            raise StoreError("records of both stores in one write, which no transaction covers")
        schema, file = (AUTHORITY, self._authority) if authority else (TELEMETRY, self._telemetry)
        if schema in self._failures:
            raise StoreError(f"{self._directory}: {schema.file_name} has failed before: {self._failures[schema]}")
        try:
            with self._opened(file).transaction() as connection:
                for record in authority:
                    apply_authority(connection, record)
                for record in telemetry:
                    apply_telemetry(connection, record)
        except (sqlite3.Error, OverflowError, StoreError) as error:
            if schema is AUTHORITY or getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
                self._failures[schema] = str(error)
            raise StoreError(f"{self._directory}: {schema.file_name}: {error}") from error

    def _fetch(self, sequences: Sequence[int]) -> tuple[OutboxStored, ...]:
        """In the writer's thread."""
        try:
            return fetch_outbox(self._opened(self._telemetry).connection, sequences)
        except sqlite3.Error as error:
            raise StoreError(f"{self._directory}: {TELEMETRY.file_name} cannot be read: {error}") from error

    def _opened(self, file: StoreFile | None) -> StoreFile:
        if file is None:
            raise StoreError(f"{self._directory}: the store is not open")
        return file

    def _told_apart(self, found: OutboxFound, *, is_car_new: bool) -> OutboxFound:
        """What no number of the outbox shows: that the car is new, or that the file is and the car is not."""
        return replace(
            found,
            sequence_last=0 if found.sequence_last is None and is_car_new else found.sequence_last,
            is_in_memory=self._telemetry is not None and self._telemetry.is_in_memory,
        )

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

    def _open_files(self, directory: Path | None) -> tuple[AuthorityContents, OutboxFound]:
        identity = {"car": self._car, "store_id": secrets.token_bytes(STORE_ID_BYTES)}
        self._authority, authority = open_store_file(directory, AUTHORITY, identity, read_authority)
        try:
            self._telemetry, outbox = open_store_file(directory, TELEMETRY, {"car": self._car}, read_outbox)
        except DeadStorageError as error:
            # Commands do not need it: they keep their durable journal, and events wait in memory.
            self._telemetry, outbox = open_store_file(None, TELEMETRY, {"car": self._car}, read_outbox)
            self._telemetry.note = f"{TELEMETRY.file_name}: cannot be used ({error}); memory takes its place"
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
