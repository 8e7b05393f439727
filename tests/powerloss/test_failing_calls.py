"""The disk fails the n-th call of the store, for every n until none is left to fail (H88, H84, H85).

The store is opened and written to under strace, which fails one system call on its files. What the agent is told must
be so: after a write that failed no other is made, and what was acknowledged is there at the next start.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.records import Recovered
from tests.support.power_loss import Image, after_all_of
from tests.support.store_history import history, states
from tests.support.store_rebuilt import found_in, laid_out, traced
from tests.support.syscall_trace import Said, said_with_fault

FIRST = len(history()) - 6
"""The step of the life at which the failing run begins: six writes to both files, one of which empties a log."""

CALLS_MAX = 400
"""Far more than such a run makes: it ends by itself, when no call was left to fail."""

FILES = tuple(f"{name}.sqlite3{ending}" for name in ("authority", "telemetry") for ending in ("", "-wal", "-journal"))

FAULTS = (
    ("openat", "EIO"),
    ("pread64", "EIO"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
)

AT_ONCE = 4
"""Runs that are made at the same time; with the last of them, none had a call left to fail."""


def before(memory: Path) -> tuple[Image, Recovered]:
    """A store in the middle of its life, its logs full, and what it holds."""
    calls = traced(memory / "life")
    spoken = [index for index, call in enumerate(calls) if call == Said(f"written {FIRST - 1}\n")]
    image = after_all_of(calls[: spoken[0] + 1])
    found = found_in(image, memory / "rebuilt")
    assert isinstance(found, Recovered)
    assert replace(found, store_id=b"") == states()[FIRST]
    return image, found


def run_failing(image: Image, folder: Path, fault: str) -> tuple[tuple[str, ...], Recovered | str]:
    """What the run with this fault said, and what a start finds after it."""
    laid_out(image, folder)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.support.store_history",
        folder,
        "--from",
        str(FIRST),
        "--on-failing-disk",
    ]
    said = said_with_fault(command, [folder, *(folder / name for name in FILES)], fault)
    found = found_in({path.name: path.read_bytes() for path in folder.iterdir()}, folder.with_suffix(".again"))
    shutil.rmtree(folder)
    return said, found


def outcome(said: Sequence[str]) -> str:
    """The one word for how a run ended; AssertionError if a write was made after one that failed."""
    words = [line.split()[0] for line in said]
    if words[0] != "opened":
        return words[0]
    failed = words.count("failed")
    assert words[1:] == ["written"] * (len(words) - 1 - failed) + ["failed"] * failed
    return "failed" if failed else "written"


@pytest.mark.hazard("H84", "H85", "H88")
@pytest.mark.parametrize(("call", "error"), FAULTS)
def test_whichever_call_fails_the_run_ends_as_it_says_h88(
    memory: Path, capsys: pytest.CaptureFixture[str], call: str, error: str
) -> None:
    image, at_start = before(memory)

    def run(number: int) -> tuple[tuple[str, ...], Recovered | str]:
        return run_failing(image, memory / f"run-{number}", f"{call}:error={error}:when={number}")

    outcomes: Counter[str] = Counter()
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for first in range(1, CALLS_MAX, AT_ONCE):
            results = list(pool.map(run, range(first, first + AT_ONCE)))
            for number, (said, found) in enumerate(results, start=first):
                end = outcome(said)
                outcomes[end] += 1
                acknowledged = sum(line.startswith("written") for line in said) if end != "degraded" else 0
                where = f"{call} {number} failed with {error}, the run said {said}"
                assert isinstance(found, Recovered), f"{where}: {found}"
                assert found.notes == (), f"{where}: {found.notes}"
                is_kept = replace(found, store_id=b"") in states()[FIRST + acknowledged :][:2]
                assert is_kept and found.store_id == at_start.store_id, where
            if {outcome(said) for said, _ in results} == {"written"}:
                break
    with capsys.disabled():
        sys.stdout.write(f"\n{call} fails with {error}: {outcomes.total()} runs: {dict(outcomes)}\n")
    assert outcomes["degraded"] and outcomes["written"]
    # Once the store is open, its files are, their names are durable, and what it needs of them is in memory.
    assert bool(outcomes["failed"]) == (call not in ("openat", "pread64", "fsync"))
