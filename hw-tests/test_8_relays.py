"""Test 8: relays at GPIO lines close for their pulse, one at a time, and open whatever becomes of the process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from agent.doctor.relays import line_facts
from agent.model.pulse import Pulse

from bench_file import Bench
from ports import RelayWatcher

PULSE_S = 1.0  # long enough to be seen
HELD_S = 60.0

DRIVER = """
import json, sys, time
from agent.adapters.gpio_lines import GpioLines, LinePlace
name, places = sys.argv[1], json.loads(sys.argv[2])
lines = GpioLines({line: LinePlace(*place) for line, place in places.items()})
lines.hold()
lines.close(name)
print("closed", flush=True)
time.sleep(float(sys.argv[3]))
"""


def places(bench: Bench) -> dict[str, tuple[str, int, bool]]:
    return {name: (table.chip, table.offset, table.active_low) for name, table in bench.relays.items()}


@pytest.mark.timeout(0)
async def test_each_relay_closes_for_its_pulse_alone(bench: Bench, relay_watcher: RelayWatcher) -> None:
    """SR-01: the adapter that the agent uses, with a list of these pulses and no others."""
    from agent.adapters.gpio_lines import GpioLines, LinePlace
    from agent.adapters.relays import PulseRefused, Relays

    pulses = [Pulse(name, PULSE_S, 0.5) for name in bench.relays]
    lines = GpioLines({name: LinePlace(*place) for name, place in places(bench).items()})
    relays = Relays(pulses, lines)
    try:
        for pulse in pulses:
            await relays.pulse(pulse, float("inf"), lambda: True)
            assert relay_watcher.closed_alone(pulse.line, PULSE_S)
            with pytest.raises(PulseRefused):
                await relays.pulse(Pulse(pulse.line, PULSE_S + 0.1, 0.5), float("inf"), lambda: True)
            assert not relay_watcher.is_closed(pulse.line)
    finally:
        lines.release()


@pytest.mark.timeout(0)
def test_lines_are_held_under_the_agents_name_and_had_by_nobody_else(bench: Bench, relay_watcher: RelayWatcher) -> None:
    """Whoever looks at the chip sees who drives it, and cannot drive it meanwhile; given back they are free."""
    from agent.adapters.gpio_lines import CONSUMER, GpioLines, LinePlace

    lines, others = (
        GpioLines({name: LinePlace(*place) for name, place in places(bench).items()}) for _ in ("the agent", "others")
    )
    lines.hold()
    try:
        assert {line_facts(table).consumer for table in bench.relays.values()} == {CONSUMER}
        assert not any(relay_watcher.is_closed(name) for name in bench.relays)
        with pytest.raises(OSError):
            others.hold()
        lines.hold()  # held already: it stays as it is
        lines.open_all()
    finally:
        lines.release()
    assert {line_facts(table).consumer for table in bench.relays.values()} == {""}
    others.hold()
    others.release()


@pytest.mark.timeout(0)
def test_relay_that_is_closed_is_opened_before_another_closes_and_by_giving_the_lines_back(
    bench: Bench, relay_watcher: RelayWatcher
) -> None:
    """Interlock and release by the device itself, without the list of pulses before it."""
    from agent.adapters.gpio_lines import GpioLines, LinePlace

    lines = GpioLines({name: LinePlace(*place) for name, place in places(bench).items()})
    lines.hold()
    try:
        for name in bench.relays:
            lines.close(name)
            assert [other for other in bench.relays if relay_watcher.is_closed(other)] == [name]
    finally:
        lines.release()
    assert not any(relay_watcher.is_closed(name) for name in bench.relays)


@pytest.mark.timeout(0)
def test_relay_opens_when_the_process_is_killed_within_a_pulse(bench: Bench, relay_watcher: RelayWatcher) -> None:
    """Fails on a kernel that keeps an output's level: `carshare-agent doctor` says which parameter to set."""
    for name in bench.relays:
        arguments = [sys.executable, "-c", DRIVER, name, json.dumps(places(bench)), str(HELD_S)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "closed\n"
            assert relay_watcher.is_closed(name)
            driver.send_signal(signal.SIGKILL)
        assert not relay_watcher.is_closed(name)
