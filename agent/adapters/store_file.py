"""One SQLite file of a store: made, judged when found, set aside when it is not what was left there."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from agent.adapters.store_schema import Schema
from agent.errors import StoreError

Contents = TypeVar("Contents")

SET_ASIDE_MAX = 3
"""Damaged files kept for whoever looks into it; more would fill the card of a car whose card is failing."""

WAL_BYTES_MAX = 4 << 20
"""What SQLite leaves of its write-ahead log after a checkpoint; a thousand pages, its checkpoint interval."""

# A person looking at the file with the sqlite3 program must not end the agent at once.
_BUSY_WAIT_S = 5.0

_SYNCHRONOUS_FULL = 2

# SQLite's result codes (https://sqlite.org/rescode.html): the file is not what it should be …
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH})
# … or what it lies on cannot be used.
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


class DamagedFileError(Exception):
    """The file is not this car's store as it was left."""


class DeadStorageError(Exception):
    """The storage does not take or give what it should (read-only, full, failing)."""


class StoreFile:
    """One open file. `note` says why it was made anew, None if it was not."""

    def __init__(self, connection: sqlite3.Connection, note: str | None, *, is_in_memory: bool = False) -> None:
        self.connection = connection
        self.note = note
        self.is_in_memory = is_in_memory

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything within, durable at the end, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


def open_store_file(
    directory: Path | None,
    schema: Schema,
    identity: Mapping[str, bytes],
    read: Callable[[sqlite3.Connection], Contents],
) -> tuple[StoreFile, Contents]:
    """Open the file in `directory`, or make it, or set aside what is wrong with it and make it anew (H82, H83).

    `identity` is a new file's, and its `car` the only one whose file is taken; `read` may raise ValueError for rows
    that make no sense.  Without a directory the file is made in memory.  StoreError if it is of a newer version, in
    use, or not durable; DeadStorageError if it cannot be used.
    """
    if directory is None:
        return _made(":memory:", schema, identity, read, None)
    path = directory / schema.file_name
    note = None
    try:
        if _is_there(path):
            try:
                return _found(path, schema, identity["car"], read)
            except DamagedFileError as damage:
                note = f"{schema.file_name} {damage}; set aside as {_set_aside(path).name} and made anew"
        # Made first, so that it never is anybody's but ours; SQLite gives its log the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return _made(path, schema, identity, read, note)
    except OSError as error:
        raise DeadStorageError(error.strerror or str(error)) from error
    except DamagedFileError as damage:
        # A file made just now that is damaged already: this storage keeps nothing.
        raise DeadStorageError(f"{schema.file_name} {damage}") from damage


def require_durable(connection: sqlite3.Connection) -> None:
    """StoreError unless a commit on this connection survives a power cut (H81)."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if mode != "wal":
        raise StoreError(f"SQLite gives journal_mode {mode!r} here, expected 'wal'; use a local file system")
    if synchronous != _SYNCHRONOUS_FULL:
        raise StoreError(f"SQLite gives synchronous {synchronous}, expected {_SYNCHRONOUS_FULL} (FULL)")


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _found(
    path: Path, schema: Schema, car: bytes, read: Callable[[sqlite3.Connection], Contents]
) -> tuple[StoreFile, Contents]:
    if path.stat().st_size == 0:
        raise DamagedFileError("was empty")
    with _classified(), _closed_on_error(_connect(path, schema)) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application_id != schema.application_id:
            raise DamagedFileError("was no store of ours")
        if version > schema.version:
            raise StoreError(
                f"{path}: written by a newer version (schema {version}, this one knows {schema.version}); "
                "install that version, or move the file away and lose what it holds"
            )
        if _finding(connection) != "ok":
            # A page that the disk did not give is a finding too, told in words: only what can be read is damaged.
            _read_through(path)
            if (finding := _finding(connection)) != "ok":
                raise DamagedFileError(f"was damaged ({finding})")
        owners = [owner for (owner,) in connection.execute("SELECT car FROM identity LIMIT 2")]
        if owners != [car]:
            whose = "car " + owners[0].hex() if len(owners) == 1 else f"{len(owners)} cars"
            raise DamagedFileError(f"belonged to {whose}")
        _upgrade(connection, schema, version)
        try:
            contents = read(connection)
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"was damaged ({error})") from error
        found = StoreFile(connection, None)
        with found.transaction():
            # A card that is full or failing is found out now, while commands can still run on memory (csa1 A12).
            # It also makes durable what a killed run had written but not synced, which is believed from now on.
            # It must be a change: SQLite does not write what is the same.
            connection.execute("UPDATE identity SET start_count = start_count + 1")
        return found, contents


def _upgrade(connection: sqlite3.Connection, schema: Schema, version: int) -> None:
    """Bring a file of an earlier version to the present one, in one transaction: after a power cut it is either."""
    if version == schema.version:
        return
    if any(step not in schema.upgrades for step in range(version, schema.version)):
        raise DamagedFileError(f"had the unknown schema {version}")
    with StoreFile(connection, None).transaction():
        for step in range(version, schema.version):
            _execute_all(connection, schema.upgrades[step])
        connection.execute(f"PRAGMA user_version = {schema.version}")


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    """Several statements; unlike `executescript` this stays within the open transaction."""
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _finding(connection: sqlite3.Connection) -> str:
    """The first fault SQLite finds in the file, or "ok"."""
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return str(finding)


def _read_through(path: Path) -> None:
    """OSError if the disk does not give all of the file and its log."""
    for ending in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError), path.with_name(path.name + ending).open("rb") as file:
            while file.read(1 << 20):
                pass


def _made(
    path: Path | str,
    schema: Schema,
    identity: Mapping[str, bytes],
    read: Callable[[sqlite3.Connection], Contents],
    note: str | None,
) -> tuple[StoreFile, Contents]:
    with _classified(), _closed_on_error(_connect(path, schema)) as connection:
        made = StoreFile(connection, note, is_in_memory=path == ":memory:")
        with made.transaction():
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
            _execute_all(connection, schema.tables)
            columns, marks = ", ".join(identity), ", ".join("?" * len(identity))
            connection.execute(
                f"INSERT INTO identity ({columns}) VALUES ({marks})",  # noqa: S608 - names from our own code
                tuple(identity.values()),
            )
        return made, read(connection)


def _connect(path: Path | str, schema: Schema) -> sqlite3.Connection:
    # Used by one thread at a time: the one that opens, then the writer.
    connection = sqlite3.connect(path, timeout=_BUSY_WAIT_S, isolation_level=None, check_same_thread=False)
    with _closed_on_error(connection):
        if path != ":memory:":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            require_durable(connection)
        connection.execute(f"PRAGMA max_page_count = {schema.pages_max}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        connection.execute("PRAGMA trusted_schema = OFF")
    return connection


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise


@contextlib.contextmanager
def _classified() -> Iterator[None]:
    """SQLite's errors as what they mean for the store."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise DamagedFileError(f"was damaged ({error})") from error
        if code in _DEAD:
            raise DeadStorageError(str(error)) from error
        raise StoreError(f"the store cannot be opened: {error}") from error


def _set_aside(path: Path) -> Path:
    """Rename a file and its logs, keep the last `SET_ASIDE_MAX`, and return its new name."""
    prefix = f"{path.name}.damaged-"
    numbers = sorted(
        int(found.name.removeprefix(prefix))
        for found in path.parent.glob(prefix + "*")
        if found.name.removeprefix(prefix).isdecimal()
    )
    number = numbers[-1] + 1 if numbers else 1
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(path.with_name(f"{prefix}{number}{ending}"))
        for old in numbers[: max(len(numbers) + 1 - SET_ASIDE_MAX, 0)]:
            path.with_name(f"{prefix}{old}{ending}").unlink(missing_ok=True)
    return path.with_name(f"{prefix}{number}")
