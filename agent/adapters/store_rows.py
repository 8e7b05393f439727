"""Records as rows of the two stores, and rows as records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from agent.model.command import Executed, Reason, Stage
from agent.model.records import (
    Done,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxRemoved,
    OutboxStored,
    Record,
    ResultDelivered,
    SequenceReserved,
    SessionStarted,
)

# Sessions older than these are as good as unknown: their commands have been past their deadline for long.
SESSIONS_MAX = 1_000

AUTHORITY_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE journal (
        number INTEGER PRIMARY KEY, operator INTEGER NOT NULL, cid BLOB NOT NULL, digest BLOB NOT NULL,
        kid BLOB NOT NULL, action INTEGER NOT NULL, sid BLOB NOT NULL, counter INTEGER NOT NULL,
        deadline_ms INTEGER NOT NULL, accepted_at_unix_s INTEGER, stage INTEGER, reason INTEGER, executed INTEGER,
        result BLOB, sequence INTEGER, is_delivered INTEGER NOT NULL DEFAULT 0, UNIQUE (operator, cid))""",
    "CREATE TABLE sessions (number INTEGER PRIMARY KEY, sid BLOB NOT NULL)",
)

TELEMETRY_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, priority INTEGER NOT NULL, payload BLOB NOT NULL)",
)


def store_of(record: Record) -> str:
    """Which of the two stores keeps this record."""
    return "telemetry" if isinstance(record, OutboxStored | OutboxRemoved) else "authority"


def write_record(connection: sqlite3.Connection, record: Record) -> None:
    """Bring one record about, inside the caller's transaction."""
    _WRITERS[type(record)](connection, record)


def read_journal(connection: sqlite3.Connection) -> tuple[JournalEntry, ...]:
    """Every command of the journal, oldest first."""
    rows = connection.execute(
        "SELECT operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s,"
        " stage, reason, executed, result, sequence, is_delivered FROM journal ORDER BY number"
    )
    return tuple(_entry(row) for row in rows)


def read_outbox(connection: sqlite3.Connection) -> tuple[OutboxStored, ...]:
    """Every record of the outbox in order of its number."""
    rows = connection.execute("SELECT sequence, priority, payload FROM outbox ORDER BY sequence")
    return tuple(OutboxStored(sequence, priority, bytes(payload)) for sequence, priority, payload in rows)


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s = row[:9]
    stage, reason, executed, result, sequence, is_delivered = row[9:]
    intent = Intent(operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s)
    if stage is None:
        return JournalEntry(intent)
    done = Done(operator, cid, Stage(stage), Reason(reason), Executed(executed), result, sequence)
    return JournalEntry(intent, done, bool(is_delivered))


def _intent(connection: sqlite3.Connection, record: Intent) -> None:
    connection.execute(
        "INSERT INTO journal (operator, cid, digest, kid, action, sid, counter, deadline_ms, accepted_at_unix_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.operator,
            record.cid,
            record.digest,
            record.kid,
            record.action,
            record.sid,
            record.counter,
            record.deadline_ms,
            record.accepted_at_unix_s,
        ),
    )


def _done(connection: sqlite3.Connection, record: Done) -> None:
    changed = connection.execute(
        "UPDATE journal SET stage = ?, reason = ?, executed = ?, result = ?, sequence = ?"
        " WHERE operator = ? AND cid = ? AND stage IS NULL",
        (
            int(record.stage),
            int(record.reason),
            int(record.executed),
            record.result,
            record.sequence,
            record.operator,
            record.cid,
        ),
    ).rowcount
    if changed != 1:
        raise sqlite3.IntegrityError("the end of a command without its intent, or a second end")


def _delivered(connection: sqlite3.Connection, record: ResultDelivered) -> None:
    connection.execute(
        "UPDATE journal SET is_delivered = 1 WHERE operator = ? AND cid = ?", (record.operator, record.cid)
    )


def _session(connection: sqlite3.Connection, record: SessionStarted) -> None:
    connection.execute("INSERT INTO sessions (sid) VALUES (?)", (record.sid,))
    connection.execute("DELETE FROM sessions WHERE number <= (SELECT max(number) FROM sessions) - ?", (SESSIONS_MAX,))


def _reserved(connection: sqlite3.Connection, record: SequenceReserved) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('sequence_upto', ?)", (record.upto,))


def _pruned(connection: sqlite3.Connection, record: JournalPruned) -> None:
    for key in record.keys:
        # Of a session with a gap in its journal nothing can be said any more (csa1 A2): its label goes too.
        connection.execute(
            "DELETE FROM sessions WHERE sid = (SELECT sid FROM journal WHERE operator = ? AND cid = ?)", key
        )
        connection.execute("DELETE FROM journal WHERE operator = ? AND cid = ?", key)


def _stored(connection: sqlite3.Connection, record: OutboxStored) -> None:
    connection.execute("INSERT INTO outbox VALUES (?, ?, ?)", (record.sequence, record.priority, record.payload))


def _removed(connection: sqlite3.Connection, record: OutboxRemoved) -> None:
    connection.executemany("DELETE FROM outbox WHERE sequence = ?", [(sequence,) for sequence in record.sequences])


_WRITERS: Mapping[type[Record], Callable[[sqlite3.Connection, Any], None]] = {
    Intent: _intent,
    Done: _done,
    ResultDelivered: _delivered,
    SessionStarted: _session,
    SequenceReserved: _reserved,
    JournalPruned: _pruned,
    OutboxStored: _stored,
    OutboxRemoved: _removed,
}
