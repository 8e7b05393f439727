"""What the fleet's CA has issued and revoked: an append-only file, one JSON object a line.

It is what keeps a car id from being given twice, and what the revocation list is made of.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.backend.files import read_file
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

# 10,000 cars with ten certificates each are 15 MB.
_BYTES_MAX = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate: `subject` is its common name (of a car: the id in hex), `revoked_at` None while it is good."""

    serial: int
    subject: str
    revoked_at: datetime.datetime | None = None


def note_issued(path: Path, serial: int, subject: str) -> None:
    """Write down a certificate; before it is given to anybody, so that none is out there that cannot be revoked."""
    _append(path, {"event": "issued", "serial": f"{serial:x}", "subject": subject, "unix_s": _now_unix_s()})


def note_revoked(path: Path, serial: int) -> None:
    """Write down that a certificate is no longer good."""
    _append(path, {"event": "revoked", "serial": f"{serial:x}", "unix_s": _now_unix_s()})


def read_issued(path: Path) -> Mapping[int, Issued]:
    """Everything issued, by serial number; a file that is not there yet holds nothing."""
    if not path.exists():
        return {}
    found: dict[int, Issued] = {}
    for event, serial, subject, at in _lines(path):
        if event == "issued":
            found[serial] = Issued(serial, subject)
        elif serial in found and found[serial].revoked_at is None:
            found[serial] = Issued(serial, found[serial].subject, at)
    return found


def _lines(path: Path) -> Iterator[tuple[str, int, str, datetime.datetime]]:
    for number, line in enumerate(read_file(path, _BYTES_MAX).decode(errors="replace").splitlines(), 1):
        try:
            entry = json.loads(line)
            at = datetime.datetime.fromtimestamp(entry["unix_s"], datetime.UTC)
            event, serial, subject = entry["event"], int(entry["serial"], 16), str(entry.get("subject", ""))
        except (ValueError, TypeError, KeyError, OverflowError):
            raise ConfigurationError(
                f"{path}:{number}: not a line of this file; a certificate written down here may be missing from the "
                "revocation list. Mend the line, or take the file from a backup"
            ) from None
        yield event, serial, subject, at


def _append(path: Path, entry: Mapping[str, object]) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            # A line cut off by a power loss stays a line of its own, and is told by `_lines`.
            file.seek(max(0, size - 1))
            is_cut_off = size > 0 and file.read(1) != b"\n"
            file.write(b"\n" * is_cut_off + json.dumps(entry).encode() + b"\n")
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None


def _now_unix_s() -> int:
    return int(datetime.datetime.now(datetime.UTC).timestamp())
