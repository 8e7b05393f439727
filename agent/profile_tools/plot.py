"""Signals over time as a picture, by matplotlib, which is imported here alone and is an extra of the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigurationError
from agent.model.reading import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")

POINTS_MAX = 200_000
"""Of one signal: a hundred for each column of pixels; beyond that a picture takes minutes and shows no more."""

_WIDTH_INCHES, _NUMBER_INCHES, _WORD_INCHES, _HEAD_INCHES = 11.0, 2.0, 1.0, 1.1
_DOTS_PER_INCH = 110

# Told apart by people who see few colours too (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


@dataclass(slots=True)
class Series:
    """One path over time: each change with its time; None is a gap (stale, invalid, not known)."""

    path: str
    unit: str | None
    times_s: list[float] = field(default_factory=list)
    values: list[Value | None] = field(default_factory=list)

    @property
    def is_of_words(self) -> bool:
        return any(isinstance(value, bool | str) for value in self.values)


def series_of(documents: Iterable[Mapping[str, object]], paths: Mapping[str, str | None]) -> list[Series]:
    """Readings as `decode` tells them, for these paths (with their units), times from the first one of any path."""
    found = {path: Series(path, unit) for path, unit in paths.items()}
    begin_s: float | None = None
    for document in documents:
        at_s = float(document["time_s"])  # type: ignore[arg-type]
        begin_s = at_s if begin_s is None else begin_s
        series = found.get(str(document["path"]))
        if series is None or document["reason"] == "never_received":
            continue
        if len(series.times_s) >= POINTS_MAX:
            raise ConfigurationError(f"{series.path} changes more than {POINTS_MAX} times; cut the log into pieces")
        series.times_s.append(at_s - begin_s)
        series.values.append(document["value"])  # type: ignore[arg-type]
    return list(found.values())


def draw(series: Sequence[Series], *, title: str, end_s: float, output: Path) -> None:
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
        divisor, unit = _time_unit(end_s)
        for one, group in zip(axes, fields, strict=True):
            _draw_field(one, group, divisor, end_s)
        axes[-1].set_xlabel(f"time since the first reading ({unit})")
        axes[-1].set_xlim(0, max(end_s / divisor, 1e-6))
        figure.suptitle(title, fontsize=11)
        figure.savefig(output, metadata={"Date": None} if output.suffix.lower() == ".svg" else None)


def _fields(series: Sequence[Series]) -> list[list[Series]]:
    by_unit: dict[str, list[Series]] = {}
    for each in series:
        key = f"path {each.path}" if each.is_of_words or each.unit is None else f"unit {each.unit}"
        by_unit.setdefault(key, []).append(each)
    return list(by_unit.values())


def _draw_field(axes: Axes, group: Sequence[Series], divisor: float, end_s: float) -> None:
    names = _short_names([each.path for each in group])
    words = _words(group[0]) if group[0].is_of_words else []
    for index, (each, name) in enumerate(zip(group, names, strict=True)):
        heights = [nan if value is None else _height(value, words) for value in each.values]
        times = [at_s / divisor for at_s in each.times_s]
        if times:
            times.append(end_s / divisor)
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
        axes.set_ylabel(group[0].unit or "")
    if not any(each.times_s for each in group):
        axes.text(0.5, 0.5, "never heard", transform=axes.transAxes, ha="center", va="center", color="#888888")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.1)


def _words(series: Series) -> list[Value]:
    """The words of a signal from bottom to top: false below true, the others in the order they came."""
    seen = list(dict.fromkeys(value for value in series.values if value is not None))
    return [False, True] if all(isinstance(value, bool) for value in seen) else seen


def _height(value: Value, words: Sequence[Value]) -> float:
    return float(words.index(value)) if words else float(value)


def _short_names(paths: Sequence[str]) -> list[str]:
    """As many of the last parts of the paths as tell them apart, and at least two."""
    parts = [path.split(".") for path in paths]
    for count in range(2, max(map(len, parts)) + 1):
        names = [".".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def _time_unit(end_s: float) -> tuple[float, str]:
    if end_s > 3 * 3600:
        return 3600.0, "h"
    return (60.0, "min") if end_s > 600 else (1.0, "s")
