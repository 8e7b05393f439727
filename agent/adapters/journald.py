"""Lines with fields, in journald's own protocol: `journalctl CAR_COMMAND=…` finds what was said of one command.

A datagram is a sequence of `NAME=value` lines (systemd's `docs/JOURNAL_NATIVE_PROTOCOL.md`). No value here has a line
break in it, so the protocol's second form, with a length, is not needed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

SOCKET: Final = Path("/run/systemd/journal/socket")
IDENTIFIER: Final = "carshare-agent"

FIELDS: Final[Mapping[str, str]] = {
    "cid": "CAR_COMMAND",
    "command": "CAR_ACTION",
    "stage": "CAR_STAGE",
    "reason": "CAR_REASON",
    "executed": "CAR_EXECUTED",
    "operator": "CAR_OPERATOR",
    "bus": "CAR_BUS",
}
"""What can be filtered for: field of a log line → journald's field. Whatever else a line has is in its message alone,
because journald keeps an index of every field and of every value."""

VALUE_CHARS_MAX: Final = 64
"""The longest is a command's id of 32 digits; a bus has the name that its profile gives it."""


class Taken(Enum):
    """What became of a line."""

    YES = "yes"
    NO = "no"
    """journald has no room at present: to wait for it would stop the car's agent."""
    NOBODY = "nobody"
    """There is no journald at the moment, or none at all."""


class Journald:
    """Sends to journald's socket without ever waiting."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = str(path)
        self._socket: socket.socket | None = None

    def send(self, priority: int, message: str, event: str, shown: Mapping[str, object]) -> Taken:
        """Hand over one line; `shown` are its fields, as they stand in the message, of which those of `FIELDS` count.

        The caller bounds `message`, and leaves out what is secret from both.
        """
        named = {FIELDS[name]: value for name, value in shown.items() if name in FIELDS}
        entry = {
            "PRIORITY": priority,
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "CAR_EVENT": event,
            **{name: value for name, value in named.items() if isinstance(value, str | int)},
        }
        lines = [f"{name}={_plain(str(value))}\n" for name, value in entry.items()]
        datagram = "".join([*lines, f"MESSAGE={message}\n"]).encode(errors="replace")
        try:
            self._connected().send(datagram)
        except BlockingIOError:
            return Taken.NO
        except OSError:
            # journald was restarted, or there is none; the next line asks anew.
            self.close()
            return Taken.NOBODY
        return Taken.YES

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            with contextlib.ExitStack() as undo:
                fresh = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                fresh.setblocking(False)
                fresh.connect(self._path)
                undo.pop_all()
            self._socket = fresh
        return self._socket


def _plain(text: str) -> str:
    """`text` cut to size, without what could end a line of the protocol or disturb a terminal."""
    return "".join(character if character.isprintable() else " " for character in text[:VALUE_CHARS_MAX])
