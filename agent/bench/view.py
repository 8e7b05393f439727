"""The bench's picture: a pure function from what is known to lines that fit the window."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from agent.backend.terminal import styled
from agent.backend.words import plain
from agent.bench.reported import Told
from agent.model.quick_dataclass import dataclass

LINES_FOR_ALL = 18  # below that what is told counts more than where it comes from
READINGS_LINES_MIN = 3
EVENTS_LINES_MIN = 3
_VALUE_WIDTH = 16
_QUALITY_WIDTH = 24
_AGE_WIDTH = 7


@dataclass(frozen=True, slots=True)
class View:
    """All that the picture shows. `car` is the physical truth, `readings` what the backend was told of it."""

    title: str
    command: str
    car: str
    link: str
    readings: Mapping[str, Told]
    events: Sequence[str]
    keys: str


def picture(view: View, *, columns: int, lines: int, now_s: float, has_color: bool = True) -> list[str]:
    """Exactly `lines` lines of at most `columns` characters; a small window shows less of each part."""
    head = _head(view, columns, is_small=lines < LINES_FOR_ALL)
    foot = textwrap.wrap(view.keys, columns)[: 1 if lines < LINES_FOR_ALL else None]
    room = max(0, lines - len(head) - len(foot) - 2)
    readings_room = max(min(READINGS_LINES_MIN, room), min(len(view.readings), room - EVENTS_LINES_MIN))
    events_room = room - readings_room
    body = [
        *head,
        _rule("told to the backend", columns),
        *_readings(view.readings, readings_room, columns, now_s),
        _rule("events", columns),
        *((plain(event), "") for event in list(view.events)[-events_room:] if events_room > 0),
    ]
    body = body[: max(0, lines - len(foot))]
    body += [("", "")] * (lines - len(foot) - len(body))
    body += [(line, "bold") for line in foot]
    return [styled(text[:columns], style if has_color else "") for text, style in body[:lines]]


def _head(view: View, columns: int, *, is_small: bool) -> list[tuple[str, str]]:
    if is_small:
        return [(view.car, ""), (view.link, "")]
    # Broken between words only, and each line but the last with a backslash: so it can be copied as it stands.
    command = textwrap.wrap(view.command, max(20, columns - 2), break_on_hyphens=False, break_long_words=False)
    return [
        *((line, "bold") for line in textwrap.wrap(view.title, columns)),
        ("in a second terminal:", "dim"),
        *((line, "dim") for line in [*(f"{line} \\" for line in command[:-1]), command[-1]]),
        *((line, "") for line in textwrap.wrap(view.link, columns)),
        *((line, "") for line in textwrap.wrap(view.car, columns)),
    ]


def _rule(name: str, columns: int) -> tuple[str, str]:
    return f"── {name} ".ljust(columns, "─"), "dim"


def _readings(readings: Mapping[str, Told], room: int, columns: int, now_s: float) -> list[tuple[str, str]]:
    rows = [_reading(path, told, columns, now_s) for path, told in readings.items()]
    if len(rows) > room > 0:
        hidden = len(rows) - room + 1
        rows = [*rows[: room - 1], (f"… {hidden} more; make the window taller", "dim")]
    return rows[:room] + [("", "")] * (room - len(rows))


def _reading(path: str, told: Told, columns: int, now_s: float) -> tuple[str, str]:
    """Path, value, quality and age; the value only if it is good (SR-05), else apart what was last known."""
    name_width = max(12, columns - _VALUE_WIDTH - _QUALITY_WIDTH - _AGE_WIDTH - 3)
    name = plain(path).removeprefix("Vehicle.")
    if len(name) > name_width:
        name = "…" + name[1 - name_width :]
    value = plain(told.value) + (f" {plain(told.unit)}" if told.unit else "") if told.is_ok else "–"
    quality = plain(told.quality)
    if told.last_value is not None:
        quality += f" (was {plain(told.last_value)})"
    elif told.reason:
        quality += f" ({plain(told.reason)})"
    age_s = told.age_now_s(now_s)
    age = "" if age_s is None else f"{age_s:.1f} s" if age_s < 100 else f"{age_s / 60:.0f} min"
    style = told.quality if told.quality in ("ok", "stale") else "bad" if told.quality == "invalid" else "dim"
    text = (
        f"{name:<{name_width}} {value:>{_VALUE_WIDTH}} {quality[:_QUALITY_WIDTH]:<{_QUALITY_WIDTH}} {age:>{_AGE_WIDTH}}"
    )
    return text, style
