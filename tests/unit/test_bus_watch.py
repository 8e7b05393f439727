"""SR-08: a bus on which the car only answers is awake with the one on which it speaks, never by its answers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from agent.bus_watch import BusWatch
from agent.pending import Pending
from tests.profiles.shipped import profile


def test_sr08_a_bus_on_which_the_car_only_answers_is_awake_as_long_as_the_other() -> None:
    watch = BusWatch(profile("bmw_i3"), SimpleNamespace(bus=lambda *_: None), Pending(1), 0.0)  # type: ignore[arg-type]
    assert (watch.is_asleep("pt", 10.0), watch.is_asleep("obd", 10.0)) == (True, True)
    watch.heard("obd", 10.0)
    assert watch.is_asleep("obd", 10.0)
    watch.heard("pt", 10.0)
    assert (watch.is_asleep("pt", 12.0), watch.is_asleep("obd", 12.0)) == (False, False)
    assert (watch.is_asleep("pt", 12.1), watch.is_asleep("obd", 12.1)) == (True, True)


def test_a_bus_that_an_installation_has_not_is_nowhere() -> None:
    plan = profile("bmw_i3")
    wired = replace(plan, buses=tuple(bus for bus in plan.buses if bus.awake_with is None))
    watch = BusWatch(wired, SimpleNamespace(bus=lambda *_: None), Pending(1), 0.0)  # type: ignore[arg-type]
    watch.heard("pt", 1.0)
    assert watch.words(1.0).keys() == {"pt"}
