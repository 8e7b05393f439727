"""Writes `drive.log` and `expected.jsonl` of every profile with a script: `python -m tests.profiles.make_golden`.

Run from the root of the repository.  A test writes them again and compares; run this after changing a script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.profiles import (
    golden_answers,
    golden_answers_published,
    golden_answers_recorded,
    golden_bmw_i3,
    golden_demo_hatchback,
    golden_nissan_env200,
    golden_nissan_leaf_aze0,
    golden_nissan_leaf_ze0,
    golden_nissan_leaf_ze1,
    golden_renault_zoe_ph1,
    golden_renault_zoe_ph2,
    golden_smart_451,
    golden_smart_453,
    golden_vw_e_up,
)
from tests.profiles.golden_log import GoldenLog

_FRAMES: Mapping[str, Callable[[], GoldenLog]] = {
    "bmw_i3": golden_bmw_i3.write,
    "demo_hatchback": golden_demo_hatchback.write,
    "nissan_env200": golden_nissan_env200.write,
    "nissan_leaf_aze0": golden_nissan_leaf_aze0.write,
    "nissan_leaf_ze0": golden_nissan_leaf_ze0.write,
    "nissan_leaf_ze1": golden_nissan_leaf_ze1.write,
    "renault_zoe_ph1": golden_renault_zoe_ph1.write,
    "renault_zoe_ph2": golden_renault_zoe_ph2.write,
    "smart_451": golden_smart_451.write,
    "smart_453": golden_smart_453.write,
    "vw_e_up": golden_vw_e_up.write,
}


_ANSWERS = {**golden_answers_recorded.ANSWERS, **golden_answers_published.ANSWERS}


def _written(vehicle: str) -> GoldenLog:
    """What the car sends by itself, and then what it answers."""
    golden, answers = _FRAMES[vehicle](), _ANSWERS.get(vehicle, ())
    return golden_answers.append(golden, answers) if answers else golden


SCRIPTS: Mapping[str, Callable[[], GoldenLog]] = {vehicle: partial(_written, vehicle) for vehicle in _FRAMES}


def main() -> None:
    """Write both files of each scripted profile."""
    for name, write in SCRIPTS.items():
        golden = write()
        folder = Path("dbc") / name
        (folder / "drive.log").write_text(golden.log_text())
        (folder / "expected.jsonl").write_text(golden.expected_text())


if __name__ == "__main__":
    main()
