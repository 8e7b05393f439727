"""What a SQLite file of the store is, and the `authority` one: its tables, and records to and from rows.

`authority` holds what safety rests on (commands carried out, sessions given out, numbers reserved, the trust bundle
and the time floor), `telemetry` (`outbox_schema.py`) what waits for the broker; they are apart so that a full or
damaged outbox cannot stop a command.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.errors import StoreError
from agent.model.command import Executed, Reason, Stage
from agent.model.quick_dataclass import dataclass
from agent.model.records import (
    AuthorityRecord,
    BundleTaken,
    Done,
    FloorRaised,
    FloorReset,
    Intent,
    JournalEntry,
    JournalPruned,
    RecoveredTrust,
    ResultDelivered,
    SequenceReserved,
    SessionStarted,
    Tombstone,
)

JOURNAL_ROWS_MAX = 20_000
"""Ten commands a minute for a day and a third; the engine prunes by age long before (csa1 A8)."""

SESSIONS_MAX = 10_000
"""One for each start of the agent: three a day for nine years. The oldest go first, and that is remembered."""

STORE_ID_BYTES = 8

RESETS_MAX = 1_000
"""Clock resets are years apart. When there are so many no further one is obeyed, for its id could not be kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One file: `application_id` marks it as ours (SQLite file format §1.3.12), `pages_max` bounds it (4 KiB each).

    `version` is the file's `user_version`; `upgrades` has the statements that lead from each earlier one to the next.
    """

    file_name: str
    application_id: int
    version: int
    pages_max: int
    tables: str
    upgrades: Mapping[int, str] = field(default_factory=dict)


_TRUST_TABLES = """
CREATE TABLE bundle (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT;
CREATE TABLE tombstone (
    id INTEGER PRIMARY KEY,
    kid BLOB NOT NULL UNIQUE CHECK (length(kid) = 4),
    operator INTEGER NOT NULL,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    role INTEGER NOT NULL
) STRICT;
CREATE TABLE floor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    unix_s INTEGER NOT NULL
) STRICT;
CREATE TABLE clock_reset (
    order_id BLOB NOT NULL PRIMARY KEY CHECK (length(order_id) = 16)
) STRICT;
INSERT INTO floor (id, unix_s) VALUES (1, 0);
"""


AUTHORITY = Schema(
    file_name="authority.sqlite3",
    application_id=0x63736101,
    version=2,
    pages_max=16_384,  # 64 MiB: 20,000 commands with the largest results take half of it
    tables="""
CREATE TABLE identity (
    car BLOB NOT NULL CHECK (length(car) = 8),
    start_count INTEGER NOT NULL DEFAULT 1,
    store_id BLOB NOT NULL CHECK (length(store_id) = 8),
    sequence_next INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    operator INTEGER NOT NULL,
    cid BLOB NOT NULL CHECK (length(cid) = 16),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    kid BLOB NOT NULL,
    action INTEGER NOT NULL,
    sid BLOB NOT NULL CHECK (length(sid) = 8),
    counter INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    accepted_at_unix_s INTEGER,
    stage INTEGER,
    reason INTEGER,
    executed INTEGER,
    result BLOB,
    sequence INTEGER,
    is_delivered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (operator, cid)
) STRICT;
CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    sid BLOB NOT NULL UNIQUE CHECK (length(sid) = 8)
) STRICT;
"""
    + _TRUST_TABLES,
    upgrades={1: _TRUST_TABLES},
)


def apply_authority(connection: sqlite3.Connection, record: AuthorityRecord) -> None:
    """Write one record within the open transaction; StoreError if it contradicts what is there."""
    match record:
        case Intent():
            _insert_intent(connection, record)
        case Done(operator, cid, stage, reason, executed, result, sequence):
            _one_row(
                connection.execute(
                    "UPDATE journal SET stage = ?, reason = ?, executed = ?, result = ?, sequence = ?"
                    " WHERE operator = ? AND cid = ? AND stage IS NULL",
                    (int(stage), int(reason), int(executed), result, sequence, operator, cid),
                ),
                record,
            )
        case ResultDelivered(operator, cid):
            _one_row(
                connection.execute(
                    "UPDATE journal SET is_delivered = 1 WHERE operator = ? AND cid = ?", (operator, cid)
                ),
                record,
            )
        case SessionStarted(sid):
            connection.execute("INSERT INTO session (sid) VALUES (?)", (sid,))
            connection.execute("DELETE FROM session WHERE id <= (SELECT max(id) FROM session) - ?", (SESSIONS_MAX,))
        case SequenceReserved(upto):
            connection.execute("UPDATE identity SET sequence_next = max(sequence_next, ?)", (upto,))
        case JournalPruned(keys):
            # Of a session that lost a command nothing may be said any more; without its label nothing is (A2).
            connection.executemany(
                "DELETE FROM session WHERE sid = (SELECT sid FROM journal WHERE operator = ? AND cid = ?)", keys
            )
            connection.executemany("DELETE FROM journal WHERE operator = ? AND cid = ?", keys)
        case BundleTaken(version, raw, tombstones, floor_unix_s):
            connection.execute("INSERT OR REPLACE INTO bundle (id, version, raw) VALUES (1, ?, ?)", (version, raw))
            connection.execute("DELETE FROM tombstone")
            connection.executemany(
                "INSERT INTO tombstone (kid, operator, public_key, role) VALUES (?, ?, ?, ?)",
                ((stone.kid, stone.operator, stone.public_key, stone.role) for stone in tombstones),
            )
            _raise_floor(connection, floor_unix_s)
        case FloorRaised(unix_s):
            _raise_floor(connection, unix_s)
        case FloorReset(order_id, unix_s):
            (count,) = connection.execute("SELECT count(*) FROM clock_reset").fetchone()
            if count >= RESETS_MAX:
                raise StoreError(f"{count} clock resets were carried out on this car, which is all there is room for")
            connection.execute("INSERT INTO clock_reset (order_id) VALUES (?)", (order_id,))
            connection.execute("UPDATE floor SET unix_s = ?", (unix_s,))


@dataclass(frozen=True, slots=True)
class AuthorityContents:
    """Everything the authority file holds; the journal oldest first."""

    store_id: bytes
    sequence_next: int
    journal: tuple[JournalEntry, ...]
    sessions: frozenset[bytes]
    trust: RecoveredTrust


def read_authority(connection: sqlite3.Connection) -> AuthorityContents:
    """The whole authority file; ValueError if a row makes no sense."""
    ((store_id, sequence_next),) = connection.execute("SELECT store_id, sequence_next FROM identity")
    rows = connection.execute(
        "SELECT operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s,"
        " stage, reason, executed, result, sequence, is_delivered FROM journal ORDER BY id"
    )
    return AuthorityContents(
        store_id,
        sequence_next,
        tuple(_entry(row) for row in rows),
        frozenset(sid for (sid,) in connection.execute("SELECT sid FROM session")),
        _read_trust(connection),
    )


def _read_trust(connection: sqlite3.Connection) -> RecoveredTrust:
    ((floor_unix_s,),) = connection.execute("SELECT unix_s FROM floor")
    version, raw = next(iter(connection.execute("SELECT version, raw FROM bundle")), (0, None))
    stones = connection.execute("SELECT kid, operator, public_key, role FROM tombstone ORDER BY id")
    resets = connection.execute("SELECT order_id FROM clock_reset")
    return RecoveredTrust(
        version,
        raw,
        tuple(Tombstone(*row) for row in stones),
        floor_unix_s,
        frozenset(order_id for (order_id,) in resets),
    )


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    intent = Intent(*row[:9])
    stage, reason, executed, result, sequence, is_delivered = row[9:]
    if stage is None:
        return JournalEntry(intent)
    if result is None or sequence is None:
        raise ValueError("a finished command without its result")
    done = Done(intent.operator, intent.cid, Stage(stage), Reason(reason), Executed(executed), result, sequence)
    return JournalEntry(intent, done, is_delivered=bool(is_delivered))


def _raise_floor(connection: sqlite3.Connection, unix_s: int) -> None:
    connection.execute("UPDATE floor SET unix_s = max(unix_s, ?)", (unix_s,))


def _insert_intent(connection: sqlite3.Connection, intent: Intent) -> None:
    (count,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    if count >= JOURNAL_ROWS_MAX:
        raise StoreError(f"the journal is full ({count} commands); it should have been pruned")
    connection.execute(
        "INSERT INTO journal (operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            intent.operator,
            intent.cid,
            intent.digest,
            intent.kid,
            intent.action,
            intent.sid,
            intent.counter,
            intent.deadline_ms,
            intent.accepted_at_unix_s,
        ),
    )


def _one_row(cursor: sqlite3.Cursor, record: object) -> None:
    if cursor.rowcount != 1:
        raise StoreError(f"{type(record).__name__} for a command that the journal does not hold, or holds as done")
