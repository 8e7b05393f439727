"""What was made durable and what the bound forced out, noted beside the store so that `kill -9` cannot undo it.

Sixteen bytes an entry, appended with one system call: what `write` has taken is in the kernel's hands, and outlives
the process.  It is noted after the store's commit, so a kill between the two leaves at most one commit unnoted.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from agent.model.records import OutboxRemoved, OutboxStored, Record

_ENTRY = struct.Struct("<QQ")


class Fate(IntEnum):
    """What an entry says of a sequence number."""

    STORED = 1
    FORCED_OUT = 2
    ACKNOWLEDGED = 3


class LedgerWriter:
    """The agent's side: told of each commit."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def committed(self, records: Sequence[Record]) -> None:
        """Note the records of one commit. Removals beside a new record made room for it; others were acknowledged."""
        stored = [record.sequence for record in records if isinstance(record, OutboxStored)]
        entries = [(Fate.STORED, sequence) for sequence in stored]
        why_removed = Fate.FORCED_OUT if stored else Fate.ACKNOWLEDGED
        entries += [
            (why_removed, sequence)
            for record in records
            if isinstance(record, OutboxRemoved)
            for sequence in record.sequences
        ]
        if entries:
            os.write(self._file, b"".join(_ENTRY.pack(*entry) for entry in entries))


@dataclass(slots=True)
class Ledger:
    """The judge's side: everything noted so far."""

    stored: set[int] = field(default_factory=set)
    forced_out: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    given_twice: set[int] = field(default_factory=set)
    _offset: int = 0

    def read_on(self, path: Path) -> None:
        """Take in what was noted since the last time."""
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            raw = file.read()
        whole = len(raw) - len(raw) % _ENTRY.size
        self._offset += whole
        for fate, sequence in _ENTRY.iter_unpack(raw[:whole]):
            if fate == Fate.FORCED_OUT:
                self.forced_out.add(sequence)
            elif fate == Fate.ACKNOWLEDGED:
                self.acknowledged.add(sequence)
            elif sequence in self.stored:
                self.given_twice.add(sequence)
            else:
                self.stored.add(sequence)
