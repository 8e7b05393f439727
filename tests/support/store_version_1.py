"""A store as the first version of the agent left it: its tables word for word, and a life in them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from agent.model.records import JournalEntry
from tests.support.store_records import CAR, SID, done, intent

AUTHORITY_TABLES = """
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

STORE_ID = b"store--1"
SEQUENCE_NEXT = 1001
JOURNAL = (
    JournalEntry(intent(1), done(1), is_delivered=True),
    JournalEntry(intent(2), done(2)),
    JournalEntry(intent(3)),
)
SESSIONS = frozenset({SID, b"session2"})


def make_version_1(directory: Path) -> None:
    """Leave `authority.sqlite3` of schema 1 there, with three commands, two sessions and a block of numbers."""
    with contextlib.closing(sqlite3.connect(directory / "authority.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {0x63736101}")
        connection.execute("PRAGMA user_version = 1")
        connection.executescript(AUTHORITY_TABLES)
        connection.execute(
            "INSERT INTO identity (car, start_count, store_id, sequence_next) VALUES (?, 7, ?, ?)",
            (CAR, STORE_ID, SEQUENCE_NEXT),
        )
        for entry in JOURNAL:
            begun, end = entry.intent, entry.done
            connection.execute(
                "INSERT INTO journal VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    begun.operator,
                    begun.cid,
                    begun.digest,
                    begun.kid,
                    begun.action,
                    begun.sid,
                    begun.counter,
                    begun.deadline_ms,
                    begun.accepted_at_unix_s,
                    *((None,) * 5 if end is None else (end.stage, end.reason, end.executed, end.result, end.sequence)),
                    entry.is_delivered,
                ),
            )
        connection.executemany("INSERT INTO session (sid) VALUES (?)", [(sid,) for sid in sorted(SESSIONS)])
