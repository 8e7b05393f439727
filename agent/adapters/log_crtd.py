"""CRTD, the log of the Open Vehicle Monitoring System: versions 1 to 3 of docs.openvehicles.com, "CRTD CAN Log Format".

`1542473901.020305 1R11 213 00 C0` is a time in seconds, a bus (left out: 1) with the kind of the record, an id, and up
to eight bytes, which may lack leading zeros. Kinds that are not known are remarks to a reader, says the format; a line
without any is none of its lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.adapters.log_frame import LogFaultError, checked_data, checked_id
from agent.model.frame import Frame

VERSION_MAX = 3
"""Of `CVR`; the next one may mean something else by the same words."""

BUS_FIRST = "1"

_RECORD = re.compile(r"(?P<time>\d{1,12}(?:\.\d{1,9})?) (?P<bus>\d{0,3})(?P<kind>[A-Z][A-Z0-9]{2})(?: (?P<rest>.*))?")
_FRAME_KINDS = frozenset({"R11", "R29", "T11", "T29"})
_WORD = re.compile(r"[0-9A-Fa-f]{1,8}")
_BYTE = re.compile(r"[0-9A-Fa-f]{1,2}")


def frames_in_crtd(lines: Iterable[str]) -> Iterator[Frame]:
    """Frames of a log, those that the logging device sent itself among them; `bus` is the number of the log's bus.

    Raises LogFaultError.
    """
    for line in lines:
        if (text := line.removeprefix("\ufeff").strip()) and (frame := crtd_frame(text)) is not None:
            yield frame


def crtd_frame(line: str) -> Frame | None:
    """Frame in a line; None for any other record, LogFaultError for what is no record."""
    match = _RECORD.fullmatch(line)
    if match is None:
        raise LogFaultError(f"{line[:60]!r} is not 'seconds [bus]R11|R29|T11|T29 ID BYTE …' as CRTD has it")
    kind, words = match["kind"], (match["rest"] or "").split()
    if kind == "CVR":
        _check_version(words)
    if kind not in _FRAME_KINDS:
        return None
    if not words or not _WORD.fullmatch(words[0]):
        raise LogFaultError(f"{kind} without an id in hexadecimal")
    if wrong := [word for word in words[1:] if not _BYTE.fullmatch(word)]:
        raise LogFaultError(f"{wrong[0][:20]!r} is no byte in hexadecimal")
    is_extended_id = kind.endswith("29")
    return Frame(
        bus=match["bus"] or BUS_FIRST,
        arbitration_id=checked_id(int(words[0], 16), is_extended_id=is_extended_id),
        data=checked_data(bytes(int(word, 16) for word in words[1:]), is_fd=False),
        received_at_s=float(match["time"]),
        is_extended_id=is_extended_id,
    )


def _check_version(words: list[str]) -> None:
    number = words[0].partition(".")[0] if words else ""
    if number.isdecimal() and len(number) < 4 and int(number) > VERSION_MAX:
        raise LogFaultError(f"version {words[0][:20]} of CRTD; 1 to {VERSION_MAX} can be read")
