"""`doctor` on the unit, its keys and the computer: facts to verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doctor.checks.finding import Finding, Verdict
from agent.doctor.checks.machine import (
    StoreFacts,
    SupplyRungs,
    check_clock,
    check_hardware_watchdog,
    check_store,
    check_supervisor,
    check_supply,
)
from agent.doctor.checks.unit import KeyFacts, check_key, check_unit

OK, WARNING, FAULT, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.UNKNOWN

RUNNING = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "ExecMainStatus": "0",
    "NRestarts": "0",
    "StatusText": "running; broker connected",
    "ConditionResult": "yes",
    "ConditionTimestampMonotonic": "7",
    "WatchdogUSec": "30s",
    "NotifyAccess": "main",
}
FAILED = RUNNING | {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}


def has_advice(found: Finding) -> bool:
    return bool(found.advice) or found.verdict in (OK, UNKNOWN)


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "unit", OK, "begins at boot"),
        ({"LoadState": "not-found"}, "unit", FAULT, "not installed"),
        ({"UnitFileState": "disabled"}, "unit", WARNING, "does not begin at boot (disabled)"),
        ({}, "running", OK, "running; broker connected"),
        ({"NRestarts": "3"}, "running", OK, "started again 3 times"),
        (FAILED, "running", FAULT, "last result exit-code, status 2"),
        (FAILED | {"Result": "start-limit-hit"}, "running", FAULT, "every ten minutes"),
        (FAILED | {"ExecMainStatus": "243"}, "running", FAULT, "243, credentials"),
        ({"ActiveState": "inactive", "ConditionResult": "no"}, "running", FAULT, "its condition does not hold"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "running", FAULT, "inactive (dead)"),
        ({}, "watchdog", OK, "30s"),
        ({"WatchdogUSec": "0"}, "watchdog", FAULT, "does not watch"),
        ({"WatchdogUSec": "infinity"}, "watchdog", FAULT, "does not watch"),
        ({"NotifyAccess": "none"}, "watchdog", FAULT, "cannot tell"),
    ],
)
def test_unit(changes: dict[str, str], check: str, verdict: Verdict, words: str) -> None:
    found = {each.name: each for each in check_unit(RUNNING | changes)}[f"service.{check}"]
    assert (found.verdict, words in found.found, has_advice(found)) == (verdict, True, True), found


KEY = KeyFacts("tls.key", is_beside=False, is_sealed=True, opens=True)


@pytest.mark.parametrize(
    ("key", "is_unit_installed", "verdict", "words"),
    [
        (KEY, True, OK, "can be opened here"),
        (replace(KEY, opens=False, opens_why="Bad message"), True, FAULT, "cannot be opened: Bad message"),
        (replace(KEY, opens=None, opens_why="only root can try"), True, UNKNOWN, "only root"),
        (replace(KEY, is_beside=True), True, FAULT, "beside agent.toml too"),
        (replace(KEY, is_sealed=False), True, FAULT, "there is none"),
        (replace(KEY, is_sealed=False, is_beside=True), True, FAULT, "beside agent.toml only"),
        (replace(KEY, is_sealed=False, is_beside=True), False, OK, "beside agent.toml"),
    ],
)
def test_key(key: KeyFacts, is_unit_installed: bool, verdict: Verdict, words: str) -> None:
    found = check_key(key, is_unit_installed=is_unit_installed)
    assert (found.verdict, words in found.found, has_advice(found)) == (verdict, True, True), found


@pytest.mark.parametrize(
    ("unix_s", "is_synchronized", "verdict"),
    [(1_800_000_000, True, OK), (1_800_000_000, False, WARNING), (1_500_000_000, True, FAULT), (0, False, FAULT)],
)
def test_clock(unix_s: int, is_synchronized: bool, verdict: Verdict) -> None:
    found = check_clock(unix_s, is_synchronized=is_synchronized)
    assert (found.verdict, has_advice(found)) == (verdict, True)


@pytest.mark.parametrize(
    ("interval", "has_device", "verdict", "words"),
    [("10s", True, OK, "10s"), ("0", True, WARNING, "nothing resets"), ("10s", False, WARNING, "has no watchdog")],
)
def test_hardware_watchdog(interval: str, has_device: bool, verdict: Verdict, words: str) -> None:
    found = check_hardware_watchdog(interval, has_device=has_device)
    assert (found.verdict, words in found.found, has_advice(found)) == (verdict, True, True)
    assert ("RuntimeWatchdogSec=10s" in found.advice) == (has_device and verdict is WARNING)


STORE = StoreFacts("/store", True, free_bytes=900 << 20, wanted_bytes=64 << 20, is_degraded=False, is_durable=True)


@pytest.mark.parametrize(
    ("store", "verdicts", "words"),
    [
        (STORE, (OK, OK), "works"),
        (StoreFacts("/store", False), (UNKNOWN, UNKNOWN), "not there"),
        (StoreFacts("/store", True, is_folder=False), (FAULT, UNKNOWN), "no folder"),
        (replace(STORE, is_read_only=True), (FAULT, OK), "read-only"),
        (replace(STORE, is_degraded=True), (FAULT, OK), "dead at start"),
        (replace(STORE, is_durable=False), (FAULT, OK), "cannot write telemetry"),
        (replace(STORE, is_degraded=None, is_durable=None), (UNKNOWN, OK), "only a running agent says"),
        (replace(STORE, free_bytes=63 << 20), (OK, WARNING), "64 MiB"),
        (replace(STORE, free_bytes=31 << 20), (OK, FAULT), "31 MiB free"),
    ],
)
def test_store_and_the_room_it_has(store: StoreFacts, verdicts: tuple[Verdict, Verdict], words: str) -> None:
    found = check_store(store)
    assert tuple(each.verdict for each in found) == verdicts
    assert any(words in each.found for each in found)
    assert all(map(has_advice, found))


@pytest.mark.parametrize(
    ("reading", "verdict", "words"),
    [
        ({"value": 12.0, "quality": "ok"}, OK, "12 V, not below power.warn_v = 12 V"),
        (
            {"value": 11.99, "quality": "ok"},
            WARNING,
            "11.99 V, below power.warn_v = 12 V: if it stays so, the agent warns",
        ),
        (
            {"value": 11.79, "quality": "ok"},
            WARNING,
            "below power.shed_v = 11.8 V: if it stays so, the agent sheds load",
        ),
        (
            {"value": 11.49, "quality": "ok"},
            WARNING,
            "below power.off_v = 11.5 V: if it stays so, the computer is to be",
        ),
        ({"value": None, "quality": "stale", "reason": "not_received", "last_value": 12.6}, UNKNOWN, "stale"),
        (None, UNKNOWN, "the profile has no"),
    ],
)
def test_supply_is_never_judged_by_a_value_that_is_old(
    reading: dict[str, object] | None, verdict: Verdict, words: str
) -> None:
    """SR-05. The limits are those of the configuration."""
    found = check_supply(reading, SupplyRungs(warn_v=12.0, shed_v=11.8, off_v=11.5))
    assert (found.verdict, words in found.found, has_advice(found)) == (verdict, True, True)


@pytest.mark.parametrize(
    ("port", "answers", "verdict", "words"),
    [
        (None, False, OK, "none is configured"),
        (None, "no agent runs", OK, "none is configured"),
        ("/dev/ttyAMA0", True, OK, "answers on /dev/ttyAMA0"),
        ("/dev/ttyAMA0", False, FAULT, "does not answer on /dev/ttyAMA0"),
        ("/dev/ttyAMA0", "no agent runs", UNKNOWN, "only a running agent says: no agent runs"),
    ],
)
def test_supervisor_is_asked_for_by_the_agents_word(
    port: str | None, answers: bool | str, verdict: Verdict, words: str
) -> None:
    found = check_supervisor(port, answers)
    assert (found.verdict, words in found.found, has_advice(found)) == (verdict, True, True)
