"""What listening to the full bus cost, as a document and as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

BOUNDS = {
    ("agent", "naive"): 400,
    ("agent", "naive_filtered"): 20,
    ("agent", "c_reader"): 20,
    ("agent_whole", "naive_whole"): 25,
}
"""(ours, theirs): ours costs at most this part of theirs."""

MANY_BUSES, BUSES_MANY = "agent_4_buses", 4
"""The way, and on how many buses it listens."""

OVERRUN_SHARE = 0.97
"""Who takes more of a processor than this does not keep up with the bus, and costs more than is seen."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a way cost: processor seconds, frames that were on one bus meanwhile, wanted changes.

    `machine_s` is what all of the machine was at work beyond the bus by itself: the way's own time, what the kernel did
    for it elsewhere, and the broker. `sleeps` is how often a thread of the way's went to sleep.
    """

    processor_s: float
    frames: int
    changes: int
    seconds: float = 0.0
    sleeps: int = 0
    machine_s: float | None = None

    @property
    def ns_a_frame(self) -> float:
        return 1e9 * self.processor_s / self.frames

    @property
    def ns_a_change(self) -> float:
        return 1e9 * self.processor_s / max(self.changes, 1)

    @property
    def machine_ns_a_frame(self) -> float | None:
        return None if self.machine_s is None else 1e9 * self.machine_s / self.frames

    @property
    def is_behind(self) -> bool:
        return self.seconds > 0 and self.processor_s > OVERRUN_SHARE * self.seconds


def summary(costs: Mapping[str, Sequence[Cost]], counted: str = "", measured: str = "") -> dict[str, Any]:
    """Nanoseconds a frame and a wanted change of each way, and the ratios that are bounded; medians of the rounds.

    `counted` and `measured` are words: how processor time was counted, and what was measured where.
    """
    ways = {name: _row(runs) for name, runs in costs.items()}
    ratios = {
        f"{theirs}/{ours}": {
            "times": round(ways[theirs]["ns_a_frame"]["median"] / max(ways[ours]["ns_a_frame"]["median"], 1), 1),
            "bound": bound,
        }
        for (ours, theirs), bound in BOUNDS.items()
        if ours in ways and theirs in ways
    }
    return {"measured": measured, "counted": counted, "ways": ways, "growth": _growth(costs), "ratios": ratios}


def _growth(costs: Mapping[str, Sequence[Cost]]) -> dict[str, int]:
    """What one more wanted change costs, and one more frame on the buses that changes nothing wanted."""
    found: dict[str, int] = {}
    medians = {name: _per_second(runs) for name, runs in costs.items() if name in ("agent", "agent_half", MANY_BUSES)}
    if (few := medians.get("agent_half")) and (more := medians.get("agent")):
        found["ns_a_further_change"] = round(1e9 * (more[0] - few[0]) / (more[2] - few[2]))
    if (few := medians.get("agent")) and (more := medians.get(MANY_BUSES)):
        found["ns_a_further_frame"] = round(1e9 * (more[0] - few[0]) / (BUSES_MANY - 1) / few[1])
    return found


def _per_second(runs: Sequence[Cost]) -> tuple[float, float, float]:
    """Processor seconds, frames of one bus, and wanted changes."""
    return (
        median(run.processor_s / run.seconds for run in runs),
        median(run.frames / run.seconds for run in runs),
        median(run.changes / run.seconds for run in runs),
    )


def _row(runs: Sequence[Cost]) -> dict[str, Any]:
    machine = [found for run in runs if (found := run.machine_ns_a_frame) is not None]
    slept = [run.sleeps / run.seconds for run in runs if run.seconds]
    return {
        "ns_a_frame": _spread([run.ns_a_frame for run in runs]),
        "ns_a_change": round(median(run.ns_a_change for run in runs)),
        "machine_ns_a_frame": round(median(machine)) if machine else None,
        "wakes_a_second": round(median(slept), 1) if slept else None,
        "frames": [run.frames for run in runs],
        "changes": [run.changes for run in runs],
        "is_behind": any(run.is_behind for run in runs),
    }


def _spread(figures: Sequence[float]) -> dict[str, int]:
    return {"least": round(min(figures)), "median": round(median(figures)), "most": round(max(figures))}


def table(document: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The document for a person; `words` for the ways."""
    columns = ("least", "median", "most", "a change", "wakes/s", "machine")
    lines = [document["measured"]] if document["measured"] else []
    lines += ["processor time a frame on the bus, ns".ljust(60) + "".join(word.rjust(13) for word in columns)]
    for name, row in document["ways"].items():
        figures = (*row["ns_a_frame"].values(), row["ns_a_change"], row["wakes_a_second"], row["machine_ns_a_frame"])
        cells = "".join(("-" if figure is None else f"{figure:,}").rjust(13) for figure in figures)
        lines.append(f"{name}: {words[name]}".ljust(60) + cells + ("  behind" if row["is_behind"] else ""))
    if "ns_a_further_change" in (growth := document["growth"]):
        lines.append(f"one more wanted change costs {growth['ns_a_further_change']:,} ns (agent beside agent_half)")
    if "ns_a_further_frame" in growth:
        lines.append(
            f"one more frame, with nothing wanted, {growth['ns_a_further_frame']:,} ns (agent_4_buses beside agent)"
        )
    for pair, ratio in document["ratios"].items():
        theirs, ours = pair.split("/")
        lines.append(f"{pair}: {theirs} costs {ratio['times']:,} times what {ours} does (wanted: {ratio['bound']})")
    return "\n".join([*lines, *LEGEND, document["counted"]])


LEGEND = (
    "a change: processor time a wanted change, ns. wakes/s: how often a thread of it went to sleep.",
    "machine: a frame's part of what all of the machine did beyond the bus by itself (the kernel, the broker too), ns.",
)
