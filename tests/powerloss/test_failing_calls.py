"""The disk fails the n-th call of the store, for every n until none is left to fail (H88, H84, H85).

The store is opened and written to under strace, which fails one system call on its files. What the agent is told must
be so, for each of the two files by itself: after a write that failed no other is made to it (but where the outbox was
only full), and what was acknowledged is there at the next start.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from agent.model.records import OutboxFound, Recovered, TelemetryRecord
from tests.support.power_loss import Image, after_all_of
from tests.support.store_history import Contents, history, states
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


def is_telemetry(step: int) -> bool:
    return isinstance(history()[step][0], get_args(TelemetryRecord))  # type: ignore[index]


def outcome(said: Sequence[str]) -> str:
    """The one word for how a run ended; AssertionError if a file was written to after a write to it that failed.

    But for an outbox on a full card, which may have room again.
    """
    if not said[0].startswith("opened"):
        return said[0].split()[0]
    ends: list[list[str]] = [[], []]
    for word, step in (line.split() for line in said[1:]):
        ends[is_telemetry(int(step))].append(word)
    authority, telemetry = ends
    assert authority == sorted(authority, reverse=True)
    return "failed" if "failed" in (*authority, *telemetry) else said[0].split()[0].replace("opened", "written")


def possible(said: Sequence[str], *, of_outbox: bool) -> list[Recovered]:
    """What one of the two files may hold after a run: all that was acknowledged, and the first that failed or not."""
    is_kept = said[0].startswith("opened ") or (said[0].startswith("opened") and not of_outbox)
    ends = [line.split() for line in said[1:] if is_kept]
    steps = [(word, int(step)) for word, step in ends if is_telemetry(int(step)) is of_outbox]
    written = [step for word, step in steps if word == "written"]
    failed = [step for word, step in steps if word == "failed"]
    found = []
    for extra in ([], failed[:1]):
        contents = Contents()
        for step in (*range(FIRST), *sorted({*written, *extra})):
            if isinstance(records := history()[step], tuple):
                contents.take(records)
        found.append(contents.recovered())
    return found


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
                where = f"{call} {number} failed with {error}, the run said {said}"
                assert isinstance(found, Recovered), f"{where}: {found}"
                assert found.notes == (), f"{where}: {found.notes}"
                assert found.outbox in [each.outbox for each in possible(said, of_outbox=True)], where
                authority = replace(found, store_id=b"", outbox=OutboxFound())
                kept = [replace(each, outbox=OutboxFound()) for each in possible(said, of_outbox=False)]
                assert authority in kept and found.store_id == at_start.store_id, where
            if {outcome(said) for said, _ in results} == {"written"}:
                break
    with capsys.disabled():
        sys.stdout.write(f"\n{call} fails with {error}: {outcomes.total()} runs: {dict(outcomes)}\n")
    assert outcomes["degraded"] and outcomes["written"]
    # Once the store is open, its files are, their names are durable, and what it needs of them is in memory.
    assert bool(outcomes["failed"]) == (call not in ("openat", "pread64", "fsync"))
