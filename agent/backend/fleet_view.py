"""The fleet's picture: a pure function from what is known of the cars to lines that fit the window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from agent.backend.fleet_status import CHARGE, LOCKED, CarStatus, FleetStatus
from agent.backend.terminal import styled
from agent.backend.told import counted
from agent.backend.words import plain
from agent.model.quick_dataclass import dataclass
from agent.model.use import VehicleUse
from agent.policy.happenings import LOW_VOLTAGE

KEYS = "q quit | j k down, up | space b page down, up"

_USE_WORDS = {
    VehicleUse.DRIVING: "driving",
    VehicleUse.CHARGING: "charging",
    VehicleUse.AWAKE: "parked",
    VehicleUse.ASLEEP: "asleep",
    None: "?",
}


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` 0 stays in every window; the highest goes first where there is no room."""

    head: str
    width: int
    rank: int
    cell: Callable[[CarStatus, float], str]


def fleet_picture(
    status: FleetStatus, *, columns: int, lines: int, now_s: float, first: int = 0, has_color: bool = True
) -> list[str]:
    """Exactly `lines` lines of at most `columns` characters; `first` cars are scrolled away above."""
    cars = status.in_order(now_s)
    shown = _fitting(columns)
    room = max(0, lines - 4)
    first = max(0, min(first, len(cars) - room))
    rows = cars[first : first + room]
    head = " ".join(f"{column.head:<{column.width}}" for column in shown)
    body = [(summary(status, now_s), "bold"), (link_words(status), "dim" if status.is_linked else "bad"), (head, "dim")]
    body += [(_row(car, shown, now_s), _style(car, now_s)) for car in rows]
    body = body[: max(0, lines - 1)]
    body += [("", "")] * (lines - 1 - len(body))
    hidden = len(cars) - len(rows)
    rest = f"{first + 1}-{first + len(rows)} of {len(cars)} | " if hidden else ""
    body.append((f"{rest}{KEYS}", "bold"))
    return [styled(text[:columns], style if has_color else "") for text, style in body[:lines]]


def rows_of(lines: int) -> int:
    """How many cars a window of so many lines shows."""
    return max(1, lines - 4)


def summary(status: FleetStatus, now_s: float) -> str:
    """The whole fleet in a line."""
    cars = status.cars.values()
    uses = Counter(_USE_WORDS[car.use] for car in cars)
    online = sum(car.is_online is True for car in cars)
    trouble = sum(bool(car.troubles(now_s)) for car in cars)
    missing = sum(car.missing_count for car in cars)
    words = ", ".join(
        f"{uses[word]} {word if word != '?' else 'unknown'}" for word in _USE_WORDS.values() if uses[word]
    )
    wrong = f"{trouble} in trouble, {counted(missing, 'record')} missing"
    return f"{counted(len(cars), 'car')}: {online} online, {wrong}; {words}"


def link_words(status: FleetStatus) -> str:
    missed = f"; {status.missed_count} reports came faster than they were read" if status.missed_count else ""
    missed += f"; {status.refused_count} messages could not be read" if status.refused_count else ""
    if status.is_linked:
        return f"connected to the broker{missed}"
    return f"NOT CONNECTED, what is shown is old: {plain(status.link_detail)}{missed}"


def span(seconds: float) -> str:
    """A time that has passed, in at most four characters and its unit."""
    seconds = max(0.0, seconds)
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s or (unit == "min" and seconds >= 100):
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _fitting(columns: int) -> Sequence[Column]:
    shown = list(COLUMNS)
    while len(shown) > 1 and sum(column.width + 1 for column in shown) - 1 > columns:
        shown.remove(max(shown, key=lambda column: column.rank))
    return shown


def _row(car: CarStatus, shown: Sequence[Column], now_s: float) -> str:
    return " ".join(f"{_short(column.cell(car, now_s), column.width):<{column.width}}" for column in shown).rstrip()


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _style(car: CarStatus, now_s: float) -> str:
    troubles = set(car.troubles(now_s))
    return "bad" if troubles & {"old image", "missing", "command", "silent"} else "stale" if troubles else ""


def _known(car: CarStatus, now_s: float, word: str) -> str:
    """What was so when the car was heard last, in brackets if that may be long past (SR-05)."""
    return f"({word})" if word != "?" and (car.is_online is not True or car.is_silent(now_s)) else word


def _lock(car: CarStatus) -> str:
    return {True: "locked", False: "UNLOCKED"}.get(car.values.get(LOCKED) is True, "?") if LOCKED in car.values else "?"


def _charge(car: CarStatus) -> str:
    value = next((car.values[path] for path in CHARGE if path in car.values), None)
    return f"{value:.0f} %" if isinstance(value, int | float) and abs(value) < 1000 else "?"


def _volts(car: CarStatus) -> str:
    """With a mark where the car says it is low; a car that sleeps says that without a value of its own."""
    value, mark = car.values.get(LOW_VOLTAGE), "!" if car.is_low else ""
    word = f"{value:.1f}" if isinstance(value, int | float) and abs(value) < 1000 else "low" if mark else "?"
    return word + mark


def _link(car: CarStatus, now_s: float) -> str:
    if car.is_online is None:
        return "never seen"
    if car.is_old_image:
        return "OLD IMAGE"
    since = "" if car.online_since_s is None else f" {span(now_s - car.online_since_s)}"
    if car.is_online:
        return f"{'SILENT' if car.is_silent(now_s) else 'online'}{since}"
    word = {"asleep": "asleep", "stopped": "STOPPED"}.get(car.end or "", "OFFLINE")
    return f"{word}{since}"


def _missing(car: CarStatus) -> str:
    return str(car.missing_count) if car.missing_count else ""


def _command(car: CarStatus, now_s: float) -> str:
    return car.command and f"{car.command}, {span(now_s - (car.command_at_s or now_s))}"


COLUMNS = (
    Column("car", 16, 0, lambda car, _: plain(car.name)),
    Column("state", 8, 1, lambda car, _: _USE_WORDS[car.use]),
    Column("lock", 10, 2, lambda car, now_s: _known(car, now_s, _lock(car))),
    Column("charge", 7, 4, lambda car, now_s: _known(car, now_s, _charge(car))),
    Column("12 V", 7, 6, lambda car, now_s: _known(car, now_s, _volts(car))),
    Column("heard", 6, 3, lambda car, now_s: "never" if car.heard_at_s is None else span(now_s - car.heard_at_s)),
    Column("link", 14, 1, _link),
    Column("missing", 7, 5, lambda car, _: _missing(car)),
    Column("last command", 34, 7, _command),
)
