"""What no agent of this kind can do without, as bare calls: one signature check, one synced commit, one send."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

import can
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNED_BYTES = 160
"""What the signature of a command covers: its payload, the header and the context of COSE."""

ROW_BYTES = 120
"""An intent's row: hash, ids, counter, deadline, times."""

FRAME_ID = 0x7FE
"""An id nobody on the bench listens to."""


@dataclass(frozen=True, slots=True)
class FloorTimes:
    """Seconds each of the three took, done one after the other."""

    signature_s: float
    commit_s: float
    send_s: float

    @property
    def total_s(self) -> float:
        return self.signature_s + self.commit_s + self.send_s


class Floor:
    """A context manager. The database lies in `directory`, beside the agent's own and with the same settings."""

    def __init__(self, directory: Path, *, interface: str, channel: str) -> None:
        self._path = directory / "floor.sqlite3"
        self._interface = interface
        self._channel = channel
        key = Ed25519PrivateKey.generate()
        self._key = key.public_key()
        self._signed = bytes(SIGNED_BYTES)
        self._signature = key.sign(self._signed)

    def __enter__(self) -> Self:
        self._database = sqlite3.connect(self._path, isolation_level=None)
        with closing(self._database.execute("PRAGMA journal_mode = WAL")):
            self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE intent (row BLOB)")
        self._bus = can.Bus(interface=self._interface, channel=self._channel, ignore_config=True, can_filters=[])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._bus.shutdown()

    def measure(self) -> FloorTimes:
        """One round of the three."""
        row = bytes(ROW_BYTES)
        message = can.Message(arbitration_id=FRAME_ID, data=bytes(8), is_extended_id=False)
        begun_s = perf_counter()
        self._key.verify(self._signature, self._signed)
        verified_s = perf_counter()
        self._database.execute("INSERT INTO intent VALUES (?)", (row,))
        committed_s = perf_counter()
        self._bus.send(message)
        return FloorTimes(verified_s - begun_s, committed_s - verified_s, perf_counter() - committed_s)
