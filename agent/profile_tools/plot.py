"""Signals over time as a picture, by matplotlib, which is imported here alone and is an extra of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.profiles.schema import Profile, SignalPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")

POINTS_MAX = 200_000
"""Of one signal: a hundred for each column of pixels; beyond that a picture takes minutes and shows no more."""

_WIDTH_INCHES, _NUMBER_INCHES, _WORD_INCHES, _HEAD_INCHES = 11.0, 2.0, 1.0, 1.1
_DOTS_PER_INCH = 110

_MINUTES_FROM_S, _HOURS_FROM_S = 600.0, 3 * 3600.0
_SPAN_MIN = 1e-6  # of a log with one frame

_SIGNS = {"Celsius": "°C", "percent": "%"}

# Told apart by people who see few colours too (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


@dataclass(slots=True)
class Series:
    """One path over time: each change with its time; None is a gap (stale, invalid, not known).

    `is_enumerated`: its numbers are names (a gear), with nothing between them.
    """

    path: str
    unit: str | None
    is_enumerated: bool = False
    times_s: list[float] = field(default_factory=list)
    values: list[Value | None] = field(default_factory=list)

    @property
    def is_of_words(self) -> bool:
        return self.is_enumerated or any(isinstance(value, bool | str) for value in self.values)

    def heights(self) -> list[float]:
        """Where each value is drawn: a number at itself, a word at its place among the words, nothing for a gap."""
        words = self.words() if self.is_of_words else []
        return [nan if each is None else float(words.index(each) if words else each) for each in self.values]

    def words(self) -> list[Value]:
        """The words from bottom to top: false below true, numbers by size, the others as they came."""
        seen = list(dict.fromkeys(value for value in self.values if value is not None))
        if all(isinstance(value, bool) for value in seen):
            return [False, True]
        return seen if any(isinstance(value, str) for value in seen) else sorted(seen, key=float)


class _Clock:
    """Times of the log as the picture shows them: from its begin, in a unit that suits its length."""

    def __init__(self, begin_s: float, end_s: float) -> None:
        self.end_s = end_s
        self._begin_s = begin_s
        span_s = end_s - begin_s
        self._divisor, self.unit = (3600.0, "h") if span_s > _HOURS_FROM_S else (60.0, "min")
        if span_s <= _MINUTES_FROM_S:
            self._divisor, self.unit = 1.0, "s"

    def shown(self, at_s: float) -> float:
        return (at_s - self._begin_s) / self._divisor


def series_for(profile: Profile, paths: Iterable[str]) -> list[Series] | None:
    """An empty series for each of these paths; None if the profile has no such path."""
    known = {signal.path: Series(signal.path, signal.unit, signal.choices is not None) for signal in _signals(profile)}
    known |= {plan.path: Series(plan.path, plan.unit) for plan in profile.derived}
    wanted = list(dict.fromkeys(paths))
    return [known[path] for path in wanted] if known.keys() >= set(wanted) else None


def _signals(profile: Profile) -> Iterator[SignalPlan]:
    return (signal for message in profile.messages for signal in message.signals)


def fill(series: Sequence[Series], documents: Iterable[Mapping[str, object]]) -> None:
    """Give each series its readings, as `decode` tells them."""
    found = {each.path: each for each in series}
    for document in documents:
        if (one := found.get(str(document["path"]))) is None:
            continue
        if len(one.times_s) >= POINTS_MAX:
            raise ConfigurationError(f"{one.path} changes more than {POINTS_MAX} times; cut the log into pieces")
        one.times_s.append(float(document["time_s"]))  # type: ignore[arg-type]
        one.values.append(document["value"])  # type: ignore[arg-type]


def draw(series: Sequence[Series], *, title: str, begin_s: float, end_s: float, output: Path) -> None:
    """Write the picture: numbers of one unit share a field, booleans and words are steps in one of their own."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError(
            "profile plot draws with matplotlib, which is not installed: pip install 'carshare-agent[plot]'"
        ) from None
    fields = _fields(series)
    heights = [_WORD_INCHES if each[0].is_of_words else _NUMBER_INCHES for each in fields]
    # The same log gives the same file, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "carshare-agent", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + _HEAD_INCHES), dpi=_DOTS_PER_INCH, layout="constrained")
        axes = figure.subplots(len(fields), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        clock = _Clock(begin_s, end_s)
        for one, group in zip(axes, fields, strict=True):
            _draw_field(one, group, clock)
        axes[-1].set_xlabel(f"time since the first frame ({clock.unit})")
        axes[-1].set_xlim(0, max(clock.shown(end_s), _SPAN_MIN))
        figure.align_ylabels()
        figure.suptitle(title, fontsize=11)
        figure.savefig(output, metadata={"Date": None} if output.suffix.lower() == ".svg" else None)


def _fields(series: Sequence[Series]) -> list[list[Series]]:
    by_unit: dict[str, list[Series]] = {}
    for each in series:
        key = f"path {each.path}" if each.is_of_words or each.unit is None else f"unit {each.unit}"
        by_unit.setdefault(key, []).append(each)
    return list(by_unit.values())


def _draw_field(axes: Axes, group: Sequence[Series], clock: _Clock) -> None:
    names = _short_names([each.path for each in group])
    words = group[0].words() if group[0].is_of_words else []
    for index, (each, name) in enumerate(zip(group, names, strict=True)):
        heights = each.heights()
        times = [clock.shown(at_s) for at_s in each.times_s]
        if times:
            times.append(clock.shown(clock.end_s))
            heights.append(heights[-1])
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(times, heights, drawstyle="steps-post", color=colour, linewidth=1.3, label=name)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if words:
        axes.set_yticks(
            range(len(words)), [str(word).lower() if isinstance(word, bool) else str(word) for word in words]
        )
        axes.set_ylim(-0.4, max(len(words) - 0.6, 0.4))
    else:
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
        axes.set_ylabel(_SIGNS.get(group[0].unit or "", group[0].unit or ""))
    if not any(value is not None for each in group for value in each.values):
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center", color="#888888")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.1)


def _short_names(paths: Sequence[str]) -> list[str]:
    """As many of the last parts of the paths as tell them apart, and at least three: a door needs its row."""
    parts = [path.split(".") for path in paths]
    for count in range(3, max(map(len, parts)) + 1):
        names = [".".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)
