"""The two durable stores, `authority` and `telemetry`: SQLite in WAL mode with `synchronous=FULL`, read back.

One writer thread, one transaction a `write`, all records or none.  A failed write is fatal to whoever asked: the
kernel may have dropped the dirty pages, so that trying the same sync again proves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.store_rows import (
    AUTHORITY_SCHEMA,
    TELEMETRY_SCHEMA,
    read_journal,
    read_outbox,
    store_of,
    write_record,
)
from agent.errors import StoreError
from agent.model.records import Record, Recovered

SCHEMA_VERSION = 1

# Damaged files are kept for whoever wants to look, but not for ever.
SET_ASIDE_MAX = 4


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the two files."""

    name: str
    schema: tuple[str, ...]
    application_id: int


_KINDS = (_Kind("authority", AUTHORITY_SCHEMA, 0x43534131), _Kind("telemetry", TELEMETRY_SCHEMA, 0x43535431))


class _Unusable(Exception):  # noqa: N818 - a finding, handled within this module
    """The file is not a store of ours that can be read; the text says why."""


class Stores:
    """Both files in `directory`, for the car whose 8-byte id is `car`. Call `open`, then `write`, then `close`."""

    def __init__(self, directory: Path, car: bytes) -> None:
        self._directory = directory
        self._car = car
        self._connections: dict[str, sqlite3.Connection] = {}
        self._lock_file: int | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    def open(self) -> Recovered:
        """Lock, open or make both files, and read what they hold.

        Raises StoreError if another agent has them or a newer one made them.  A file that is damaged or another
        car's is set aside and made anew with a new store id; where nothing can be written at all the stores are
        held in memory and said to be degraded (csa1 A12).
        """
        notes: list[str] = []
        is_degraded = False
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            for kind in _KINDS:
                self._connections[kind.name] = self._open_file(kind, notes)
        except OSError as error:
            self._close_connections()
            notes.append(f"{self._directory} cannot be written ({error}); journal and outbox are kept in memory only")
            is_degraded = True
            for kind in _KINDS:
                self._connections[kind.name] = self._prepared(
                    sqlite3.connect(":memory:", check_same_thread=False), kind
                )
        return self._recover(tuple(notes), is_degraded=is_degraded)

    async def write(self, records: Sequence[Record]) -> None:
        """Make the records durable, all or none; they belong to one store. Raises StoreError, after which: stop."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, tuple(records))

    def close(self) -> None:
        """Finish what is being written and let go of both files."""
        self._writer.shutdown(wait=True)
        self._close_connections()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    # --- opening ------------------------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        path = self._directory / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError(
                f"{self._directory} is in use by another agent; two agents on one car would act twice"
            ) from None
        self._lock_file = descriptor

    def _open_file(self, kind: _Kind, notes: list[str]) -> sqlite3.Connection:
        path = self._directory / f"{kind.name}.sqlite3"
        if path.exists():
            try:
                return self._existing(path, kind)
            except _Unusable as finding:
                aside = self._set_aside(path)
                notes.append(f"{path.name} was {finding}; it was set aside as {aside.name} and made anew")
        return self._made_anew(path, kind)

    def _existing(self, path: Path, kind: _Kind) -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            _configure(connection)
            version = _single(connection, "PRAGMA user_version")
            if _single(connection, "PRAGMA application_id") != kind.application_id:
                raise _Unusable("not a store of this agent")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{path} was made by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
                    "install that version again, or move the file away to begin with an empty store"
                )
            if (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise _Unusable(f"damaged ({verdict})")
            car = connection.execute("SELECT value FROM meta WHERE name = 'car'").fetchone()
            if car is None or bytes(car[0]) != self._car:
                raise _Unusable("the store of another car")
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and "readonly" in str(error):
                raise OSError(str(error)) from error
            raise _Unusable(f"damaged ({error})") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _made_anew(self, path: Path, kind: _Kind) -> sqlite3.Connection:
        path.touch(mode=0o600)
        try:
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            _configure(connection)
            return self._prepared(connection, kind)
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error

    def _prepared(self, connection: sqlite3.Connection, kind: _Kind) -> sqlite3.Connection:
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        for statement in kind.schema:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('car', ?)", (self._car,))
        connection.execute("INSERT INTO meta VALUES ('store', ?)", (secrets.token_bytes(8),))
        connection.execute(f"PRAGMA application_id = {kind.application_id}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        return connection

    def _set_aside(self, path: Path) -> Path:
        """Move a file (and what SQLite keeps beside it) out of the way; the oldest such file gives place."""
        earlier = sorted(self._directory.glob(f"{path.name}.damaged-*"), key=lambda found: found.stat().st_mtime_ns)
        for found in earlier[: max(0, len(earlier) - SET_ASIDE_MAX + 1)]:
            found.unlink()
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
        return aside

    def _close_connections(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    # --- reading ------------------------------------------------------------------------------------------------

    def _recover(self, notes: tuple[str, ...], *, is_degraded: bool) -> Recovered:
        authority, telemetry = self._connections["authority"], self._connections["telemetry"]
        store_id = bytes(authority.execute("SELECT value FROM meta WHERE name = 'store'").fetchone()[0])
        reserved = authority.execute("SELECT value FROM meta WHERE name = 'sequence_upto'").fetchone()
        outbox = read_outbox(telemetry)
        # A journal made anew beside an old outbox must not give its numbers again.
        highest = max((record.sequence for record in outbox), default=0)
        return Recovered(
            store_id=store_id,
            journal=read_journal(authority),
            sessions=frozenset(bytes(row[0]) for row in authority.execute("SELECT sid FROM sessions")),
            sequence_next=max(1 if reserved is None else int(reserved[0]), highest + 1),
            outbox=outbox,
            is_degraded=is_degraded,
            notes=notes,
        )

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, records: tuple[Record, ...]) -> None:
        names = {store_of(record) for record in records}
        if len(names) != 1:
            raise StoreError("records of both stores in one write cannot be kept or lost together")
        connection = self._connections[names.pop()]
        try:
            connection.execute("BEGIN IMMEDIATE")
            for record in records:
                write_record(connection, record)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise StoreError(f"cannot write to {self._directory}: {error}") from error


def _configure(connection: sqlite3.Connection) -> None:
    """WAL and a sync at every commit, both read back: SQLite accepts settings in silence and may not follow them."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal" or _single(connection, "PRAGMA synchronous") != _SYNCHRONOUS_FULL:
        raise StoreError(f"the store cannot be made power-safe here: journal mode {mode}, or synchronous is not FULL")


_SYNCHRONOUS_FULL = 2


def _single(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
