"""The `telemetry` file of the store: the outbox, what was given up of it, and how the last run ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from agent.adapters.store_schema import Schema
from agent.errors import StoreError
from agent.model.records import (
    GivenUp,
    OutboxFound,
    OutboxHeld,
    OutboxRemoved,
    OutboxStored,
    Priority,
    RunNoted,
    Span,
    TelemetryRecord,
)

_OUTBOX_STATE = """
CREATE TABLE outbox_state (
    sequence_last INTEGER,
    boot_id TEXT NOT NULL DEFAULT '',
    has_ended INTEGER NOT NULL DEFAULT 0,
    running_s INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO outbox_state DEFAULT VALUES;
CREATE TABLE given_up (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    unused INTEGER NOT NULL
) STRICT;
"""

# Version 1 knew no age, and of priorities only 0 for events and 1 for samples.
_UPGRADE_1 = (
    """
ALTER TABLE outbox ADD COLUMN made_s INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET priority = priority * 2 + 1;
"""
    + _OUTBOX_STATE
)

TELEMETRY = Schema(
    file_name="telemetry.sqlite3",
    application_id=0x63736102,
    version=2,
    pages_max=40_960,  # 160 MiB: an outbox of 64 MiB, its overhead, and room to move
    tables="""
CREATE TABLE identity (
    car BLOB NOT NULL CHECK (length(car) = 8),
    start_count INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY,
    priority INTEGER NOT NULL,
    payload BLOB NOT NULL,
    made_s INTEGER NOT NULL DEFAULT 0
) STRICT;
"""
    + _OUTBOX_STATE,
    upgrades={1: _UPGRADE_1},
)


def apply_telemetry(connection: sqlite3.Connection, record: TelemetryRecord) -> None:
    """Write one record within the open transaction; StoreError if its number is another's."""
    match record:
        case OutboxStored(sequence, priority, payload, made_s):
            # The very same record again is one whose first write failed without a word on what became of it.
            cursor = connection.execute(
                "INSERT INTO outbox (sequence, priority, payload, made_s) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (sequence) DO UPDATE SET made_s = excluded.made_s WHERE payload = excluded.payload",
                (sequence, int(priority), payload, made_s),
            )
            if cursor.rowcount != 1:
                raise StoreError(f"number {sequence} given twice")
        case OutboxRemoved(sequences):
            # What was removed can no longer show how far the numbers had come.
            connection.execute(
                "UPDATE outbox_state SET sequence_last = max(ifnull(sequence_last, 0), ?)", (max(sequences, default=0),)
            )
            connection.executemany("DELETE FROM outbox WHERE sequence = ?", ((number,) for number in sequences))
        case GivenUp(spans):
            connection.execute("DELETE FROM given_up")
            connection.executemany(
                "INSERT INTO given_up (first, last, count, unused) VALUES (?, ?, ?, ?)",
                ((span.first, span.last, span.count, span.unused) for span in spans),
            )
        case RunNoted(boot_id, has_ended, running_s):
            connection.execute(
                "UPDATE outbox_state SET boot_id = ?, has_ended = ?, running_s = ?", (boot_id, has_ended, running_s)
            )


def read_outbox(connection: sqlite3.Connection) -> OutboxFound:
    """What waits for the broker, in the order of its numbers, without its payloads; ValueError if it makes no sense."""
    held = tuple(
        OutboxHeld(*row)
        for row in connection.execute(
            "SELECT sequence, priority, length(payload), made_s FROM outbox ORDER BY sequence"
        )
    )
    if unknown := {record.priority for record in held} - set(Priority):
        raise ValueError(f"records of priority {', '.join(map(str, sorted(unknown)))}")
    ((sequence_last, boot_id, has_ended, running_s),) = connection.execute(
        "SELECT sequence_last, boot_id, has_ended, running_s FROM outbox_state"
    )
    highest = [number for number in (sequence_last, held[-1].sequence if held else None) if number is not None]
    return OutboxFound(
        held,
        tuple(
            Span(*row) for row in connection.execute("SELECT first, last, count, unused FROM given_up ORDER BY first")
        ),
        max((running_s, *(record.made_s for record in held))),
        max(highest, default=None),
        RunNoted(boot_id, bool(has_ended), running_s) if boot_id else None,
    )


def fetch_outbox(connection: sqlite3.Connection, sequences: Sequence[int]) -> tuple[OutboxStored, ...]:
    """These records with their payloads, as far as they are there, in the order of their numbers."""
    marks = ", ".join("?" * len(sequences))
    rows = connection.execute(
        f"SELECT sequence, priority, payload, made_s FROM outbox WHERE sequence IN ({marks}) ORDER BY sequence",  # noqa: S608 - marks only
        sequences,
    )
    return tuple(OutboxStored(*row) for row in rows)
