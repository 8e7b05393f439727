"""The agent's log: one JSON object a line, to journald with fields to filter by, or on stderr where there is none.

A log must not be a way to fill a card, to break a reader or to leak: lines, their number and their fields are
bounded, and bytes are never written out, because keys, grants and unauthenticated payloads are bytes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from agent.adapters.clock import boot_s
from agent.adapters.journald import Journald, Taken
from agent.model.effects import Level, Log

LINE_CHARS_MAX = 2048
"""journald's own limit is 48 KiB; a person's is far below."""

LINES_MAX = 200
WINDOW_S = 10.0
"""Twenty lines a second for long would be 200 MB a day; ten seconds' worth lets a start or a fault say all it has."""

ERROR_LINES_MAX = 50
"""Errors beyond `LINES_MAX`, so that a flood of notices cannot hide why the agent ended."""

_TEXT_CHARS_MAX = 256
_ITEMS_MAX = 32
_DEPTH_MAX = 3
_SECRET_WORDS = ("password", "secret", "seed", "private")


class Journal:
    """Writes `Log` values as lines to `journald`, or to `stream()` (asked anew for each line), within the limits above.

    A line that is not taken (journald has no room, nobody reads the stream, card full) is counted as dropped; the car
    goes on.  To the stream goes what is written while there is no journald; with `has_priorities` it reads that too.
    """

    def __init__(
        self,
        stream: Callable[[], TextIO | None],
        *,
        has_priorities: bool,
        clock: Callable[[], float] = boot_s,
        journald: Journald | None = None,
    ) -> None:
        self._journald = journald
        self._stream = stream
        self._has_priorities = has_priorities
        self._clock = clock
        self._window_end_s = 0.0
        self._written = 0
        self._dropped = 0

    def write(self, log: Log) -> None:
        """Write one line, or count it as dropped; the count is said with the next line of a later window."""
        if (now_s := self._clock()) >= self._window_end_s:
            dropped, self._written, self._dropped = self._dropped, 0, 0
            self._window_end_s = now_s + WINDOW_S
            if dropped and not self._line(Log(Level.WARNING, "log_lines_dropped", {"count": dropped})):
                self._dropped = dropped
        is_full = self._written >= LINES_MAX + (ERROR_LINES_MAX if log.level <= Level.ERROR else 0)
        if is_full or not self._line(log):
            self._dropped += 1

    def _line(self, log: Log) -> bool:
        """Write one line; False if it is not taken."""
        self._written += 1
        document = {"level": log.level.name.lower(), "event": log.event[:_TEXT_CHARS_MAX]}
        fields = {name: _shown(name, value, 0) for name, value in list(log.fields.items())[:_ITEMS_MAX]}
        text = json.dumps({**fields, **document})
        if len(text) > LINE_CHARS_MAX:
            text = json.dumps({**document, "cut": f"{len(text)} characters", "fields": sorted(fields)[:_ITEMS_MAX]})
        if self._journald is not None:
            taken = self._journald.send(int(log.level), text[:LINE_CHARS_MAX], log.event, fields)
            if taken is not Taken.NOBODY:
                return taken is Taken.YES
        return self._to_stream(log.level, text[:LINE_CHARS_MAX])

    def _to_stream(self, level: Level, text: str) -> bool:
        prefix = f"<{int(level)}>" if self._has_priorities else ""
        # None: descriptor 2 was closed when Python started.
        if (stream := self._stream()) is None:
            return False
        try:
            stream.write(f"{prefix}{text}\n")
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more, the card is full; ValueError: the stream is closed.
            return False
        return True


class LibraryLog(logging.Handler):
    """Turns what libraries say through `logging` into lines of the journal; below warning they say nothing."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        fields: dict[str, object] = {"logger": record.name, "text": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            # Type and text, no traceback: frames of a stack hold arguments.
            fields["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._journal.write(Log(level, "library", fields))


def write_log(log: Log) -> None:
    """Write one line to this process's journal."""
    _process_journal.write(log)


def capture_libraries() -> None:
    """Send what libraries log to the journal too; once, at start."""
    logging.basicConfig(handlers=[LibraryLog(_process_journal)], level=logging.WARNING, force=True)


def is_journal_stream(environ: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether `descriptor` is the stream systemd connected to journald (`JOURNAL_STREAM`, systemd.exec(5))."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _shown(name: str, value: object, depth: int) -> object:
    """`value` as JSON, cut to size, with bytes and what is named like a secret left out."""
    if any(word in name.lower() for word in _SECRET_WORDS):
        return "[not shown]"
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value if len(value) <= _TEXT_CHARS_MAX else value[: _TEXT_CHARS_MAX - 1] + "…"
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case Mapping() if depth < _DEPTH_MAX:
            items = list(value.items())[:_ITEMS_MAX]
            return {str(key)[:_TEXT_CHARS_MAX]: _shown(str(key), item, depth + 1) for key, item in items}
        case list() | tuple() | set() | frozenset() if depth < _DEPTH_MAX:
            return [_shown(name, item, depth + 1) for item in list(value)[:_ITEMS_MAX]]
    # Anything else might print what it holds; its type is enough to find it.
    return f"[{type(value).__name__}]"


def journal_of(environ: Mapping[str, str]) -> Journal:
    """This process's journal: journald's if systemd connected it to stderr, else stderr as it is."""
    is_journald = is_journal_stream(environ)
    return Journal(lambda: sys.stderr, has_priorities=is_journald, journald=Journald() if is_journald else None)


_process_journal = journal_of(os.environ)


def log_refusal(kind: str, reason: str) -> None:
    """The broker refused a publication of this type that nobody waits for."""
    write_log(Log(Level.WARNING, "publish_refused", {"type": kind, "reason": reason}))
