"""What the text of a DBC file must be asked before and beside cantools.

cantools expands every range it reads (a multiplexer range of four thousand million values, a message of a
thousand million bytes) and silently takes a multiplexed signal for one that is always there if several signals
are multiplexers and nothing says which one is meant.  Both are found here, in one pass over the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.faults import Fault

MESSAGE_BYTES_MAX = 1785  # J1939 transport; anything on the wire is 64 at most, which is asked of the messages used
MULTIPLEXER_VALUES_MAX = 1 << 16

# Compiled when cantools has read the file: a profile recalled does without both.
_MESSAGE = r"\bBO_\s+(\d+)\s+(\w+)\s*:\s*(\w+)"
_SIGNAL = r"\bSG_\s+(\w+)(?:\s+(m\d+M?|M))?\s*:\s*(\d+)\s*\|\s*(\d+)\s*@"
_VALUES = r"\bSG_MUL_VAL_\s+(\d+)\s+(\w+)\s+(\w+)\s+([^;]*);"
_RANGE = r"(\d+)\s*-\s*(\d+)"
_DEFINITION = _MESSAGE + "|" + _SIGNAL


def faults_in_text(text: str, source: str) -> list[Fault]:
    """What must keep cantools from reading the text, or from reading it wrong."""
    return [*_faults_of_size(text, source), *_faults_of_multiplexing(text, source)]


def decoded(content: bytes) -> str:
    """DBC files are cp1252 by tradition and UTF-8 by habit; what is valid UTF-8 is hardly ever meant otherwise."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def line_of(text: str, message: str, signal: str | None = None) -> int:
    """Line (from 1) on which a message or one of its signals is defined; 0 if it is not found."""
    for found in re.finditer(_MESSAGE, text):
        if found[2] != message:
            continue
        if signal is not None:
            end = next((match.start() for match in re.compile(_MESSAGE).finditer(text, found.end())), len(text))
            within = re.compile(rf"\bSG_\s+{re.escape(signal)}\b").search(text, found.end(), end)
            return _line(text, within or found)
        return _line(text, found)
    return 0


def _faults_of_size(text: str, source: str) -> Iterator[Fault]:
    for found in re.finditer(_MESSAGE, text):
        if not found[3].isdecimal() or _is_above(found[3], MESSAGE_BYTES_MAX):
            yield Fault(
                source, found[2], _line(text, found), f"a message of {found[3]:.20} bytes",
                f"a number up to {MESSAGE_BYTES_MAX}",
            )  # fmt: skip
    for found in re.finditer(_SIGNAL, text):
        if _is_above(found[3], MESSAGE_BYTES_MAX * 8) or _is_above(found[4], MESSAGE_BYTES_MAX * 8):
            yield Fault(
                source, found[1], _line(text, found), f"a signal at {found[3]:.20}|{found[4]:.20}",
                f"start and length up to {MESSAGE_BYTES_MAX * 8}",
            )  # fmt: skip
    for found in re.finditer(_VALUES, text):
        if any(_is_too_wide(first, last) for first, last in re.findall(_RANGE, found[4])):
            yield Fault(
                source, found[2], _line(text, found), f"present for multiplexer values {found[4].strip():.60}",
                f"ranges of at most {MULTIPLEXER_VALUES_MAX} values",
            )  # fmt: skip


def _faults_of_multiplexing(text: str, source: str) -> Iterator[Fault]:
    """Signals marked as multiplexed in a message without exactly one plain multiplexer need a `SG_MUL_VAL_` line."""
    told = {(found[1], found[2]) for found in re.finditer(_VALUES, text)}
    frame_id, message = "", ""
    multiplexers: list[str] = []
    marked: list[re.Match[str]] = []

    def faults() -> Iterator[Fault]:
        if len(multiplexers) == 1 and all(found[4] != multiplexers[0] for found in marked):
            return
        for found in marked:
            if (frame_id, found[4]) not in told:
                yield Fault(
                    source, f"{message}.{found[4]}", _line(text, found),
                    f"multiplexed, but {message} has {len(multiplexers)} multiplexers and nothing says by which",
                    f"one signal marked M, or SG_MUL_VAL_ {frame_id} {found[4]} <multiplexer> <values>;",
                )  # fmt: skip

    for found in re.finditer(_DEFINITION, text):
        if found[1] is not None:
            yield from faults()
            frame_id, message, multiplexers, marked = found[1], found[2], [], []
        elif found[5] is not None:
            if found[5].endswith("M"):
                multiplexers.append(found[4])
            if found[5].startswith("m"):
                marked.append(found)
    yield from faults()


def _is_too_wide(first: str, last: str) -> bool:
    if _is_above(first, 1 << 32) or _is_above(last, 1 << 32):
        return True
    return int(last) - int(first) >= MULTIPLEXER_VALUES_MAX


def _is_above(digits: str, limit: int) -> bool:
    return len(digits) > 12 or int(digits) > limit


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
