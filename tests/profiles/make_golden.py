"""Writes `drive.log` and `expected.jsonl` of every profile with a script: `python -m tests.profiles.make_golden`.

Run from the root of the repository.  A test writes them again and compares; run this after changing a script.  A
vehicle that has its script in its own folder (`golden.py`, with a function `write`) is found by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
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
from tests.profiles.shipped import ROOT

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


def _own_script(script: Path) -> Callable[[], GoldenLog]:
    """What a vehicle's folder says itself of how its recording is written."""

    def write() -> GoldenLog:
        spec = spec_from_file_location(f"golden_of_{script.parent.name}", script)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        golden = module.write()
        assert isinstance(golden, GoldenLog)
        return golden

    return write


_ANSWERS = {**golden_answers_recorded.ANSWERS, **golden_answers_published.ANSWERS}


def _written(vehicle: str) -> GoldenLog:
    """What the car sends by itself, and then what it answers."""
    golden, answers = _FRAMES[vehicle](), _ANSWERS.get(vehicle, ())
    return golden_answers.append(golden, answers) if answers else golden


SCRIPTS: Mapping[str, Callable[[], GoldenLog]] = {
    **{script.parent.name: _own_script(script) for script in sorted((ROOT / "dbc").glob("*/golden.py"))},
    **{vehicle: partial(_written, vehicle) for vehicle in _FRAMES},
}


def main() -> None:
    """Write both files of each scripted profile."""
    for name, write in SCRIPTS.items():
        golden = write()
        folder = ROOT / "dbc" / name
        (folder / "drive.log").write_text(golden.log_text())
        (folder / "expected.jsonl").write_text(golden.expected_text())


if __name__ == "__main__":
    main()
