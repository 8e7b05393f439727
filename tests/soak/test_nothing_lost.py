"""A short night of bad network with every kind of fault; the long one: `python -m tests.soak.nothing_lost`."""

from __future__ import annotations

import random

import pytest

from tests.soak.nothing_lost import WEIGHTS, Options, fault_plan, soak

pytestmark = pytest.mark.broker


async def test_every_record_arrives_once_or_a_gap_counts_it_sr_07() -> None:
    account = await soak(Options(records=4000, faults=len(WEIGHTS), outbox=1000, seed=7))
    assert account["is_right"], account
    faults = account["faults"]
    assert isinstance(faults, dict)
    assert [faults[kind] for kind in WEIGHTS] == [1] * len(WEIGHTS)
    assert account["forced_out"]


def test_a_plan_has_every_kind_of_fault() -> None:
    plan = fault_plan(200, random.Random(1))  # noqa: S311 - a run that can be repeated
    assert len(plan) == 200
    assert set(plan) == set(WEIGHTS)
