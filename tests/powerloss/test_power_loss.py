"""The store is cut off from power after every system call of its life, and opened again (H79, H80).

A process writes to the real store under strace; the folder is then rebuilt as a disk may hold it after each call
(`tests/support/power_loss.py` says which disk), opened by the real store, and compared with what was acknowledged.
The ways to lose power are drawn from a seed: POWER_LOSS_SEED=N repeats a run, or tries others.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol, get_args

import pytest

from agent.adapters.store import NUMBERS_AFTER_LOSS
from agent.model.records import AuthorityRecord, Recovered, RecoveredTrust, TelemetryRecord
from tests.support.power_loss import Disk, after_all_of, losses
from tests.support.store_history import Restart, history, numbers_used, states
from tests.support.store_rebuilt import found_in, laid_out, traced
from tests.support.store_version_1 import JOURNAL, SEQUENCE_NEXT, SESSIONS, STORE_ID, make_version_1
from tests.support.syscall_trace import Call, FolderMade, Removed, Renamed, Said, Synced, Truncated, Written

SEED = int(os.environ.get("POWER_LOSS_SEED", "1"))

AUTHORITY = "authority.sqlite3"

SECOND_CUTS = 10
"""Recoveries that are cut in their turn; each is a process of its own, which takes a quarter of a second."""


class Judge(Protocol):
    """Follows what a process said, and says what of it is not so in what was found."""

    def take(self, text: str) -> None: ...
    def broken_by(self, found: Recovered) -> str | None: ...


@dataclass
class Promises:
    """What the process was told: its store is open, a write is durable. Read from what it said."""

    store_id: bytes | None = None
    steps: int = 0
    """Steps that are over: all writes among them were acknowledged."""
    attempted: int = 0
    """Steps that may have been begun: restarts, and one write after the last that was acknowledged."""
    found_at_next_start: int | None = None
    """Steps that the next start finds done, acknowledged or not; from its opening on they are promised."""

    def take(self, text: str) -> None:
        word, value = text.split()
        if word == "opened":
            assert self.store_id in (None, bytes.fromhex(value))
            self.store_id = bytes.fromhex(value)
            if self.found_at_next_start is not None:
                self.steps = self.found_at_next_start
        else:
            self.steps = int(value) + 1
        self.attempted = self.steps
        while self.attempted < len(history()) and isinstance(history()[self.attempted], Restart):
            self.attempted += 1
        self.attempted = min(self.attempted + 1, len(history()))

    def broken_by(self, found: Recovered) -> str | None:
        """In words what of this is not so in what was found, if anything."""
        if found.is_degraded:
            return f"degraded: {found.notes}"
        if self.store_id is None:
            # The first start is under way. A file half made is made anew, and said to be; nobody was told of it.
            # What it had given out cannot be known, so the new one's numbers begin where none was ever given.
            if not (found.sequence_next == 1 or (found.notes and found.sequence_next >= NUMBERS_AFTER_LOSS)):
                return f"reused: sequence numbers from {found.sequence_next}"
            # How far the numbers had come is not known either then.
            outbox = replace(found.outbox, sequence_last=0) if found.notes else found.outbox
            is_empty = replace(found, store_id=b"", notes=(), sequence_next=1, outbox=outbox) == states()[0]
            return None if is_empty else "torn: not empty"
        if found.notes:
            return f"damaged: {found.notes}"
        if found.store_id != self.store_id:
            return "anew: another store"
        if replace(found, store_id=b"") not in states()[self.steps : self.attempted + 1]:
            # The two files are written one after the other, so each may be whole and older than what is promised.
            is_whole = any(authority_of(found) == authority_of(state) for state in states()[: self.attempted + 1])
            is_whole &= any(found.outbox == state.outbox for state in states()[: self.attempted + 1])
            return f"lost: of {self.steps} steps" if is_whole else "torn: a state between two writes"
        if found.sequence_next <= max(numbers_used(self.attempted), default=0):
            return f"reused: sequence numbers from {found.sequence_next}"
        return None


def authority_of(found: Recovered) -> object:
    return found.journal, found.sessions, found.trust


@dataclass
class Replay:
    """Counts and findings of traces replayed to their ends."""

    points: int = 0
    ways: int = 0
    rebuilt: int = 0
    findings: list[tuple[str, str]] = field(default_factory=list)
    """Where, and which promise was broken how: `kind: words`."""

    def kinds(self) -> Counter[str]:
        return Counter(broken.partition(":")[0] for _, broken in self.findings)

    def __str__(self) -> str:
        return f"{self.points} crash points, {self.ways} ways to lose power, {self.rebuilt} rebuilt stores, seed {SEED}"


def chance_at(point: int) -> Random:
    """Its own for each point, so that a finding does not hang on what was drawn before."""
    return Random(f"{SEED} {point}")  # noqa: S311 - to be repeated, not to be secret


def replay(
    calls: Sequence[Call],
    disk: Disk,
    judge: Judge,
    rebuilt: Path,
    *,
    done: Replay,
    every: int = 1,
    cuts: int = 3,
    subsets: int = 4,
) -> None:
    """Lose power after each call (or after every so many), in several ways, and judge what is found.

    Folders that are equal are opened once. Counts and findings are added to `done`.
    """
    known: dict[Hashable, Recovered | str] = {}
    for point, call in enumerate(calls):
        disk.take(call)
        if isinstance(call, Said):
            judge.take(call.text)
        if point % every:
            continue
        done.points += 1
        for loss in losses(disk.pending, chance_at(point), cuts=cuts, subsets=subsets):
            left = disk.after(loss)
            key = frozenset(left.items())
            if key not in known:
                known[key] = found_in(left, rebuilt)
                done.rebuilt += 1
            done.ways += 1
            found = known[key]
            broken = found if isinstance(found, str) else judge.broken_by(found)
            if broken is not None:
                done.findings.append((f"call {point} ({type(call).__name__}), found again: {loss.words}", broken))


@pytest.mark.timeout(600)  # a minute on an idle processor
@pytest.mark.hazard("H79", "H80")
def test_nothing_acknowledged_is_lost_to_a_power_cut_h79_h80(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """H79, H80: after every call, what was acknowledged is there in full, and of the next write all or nothing."""
    calls = traced(memory / "state")
    done = Replay()
    replay(calls, Disk({}), Promises(), memory / "rebuilt", done=done)
    with capsys.disabled():
        sys.stdout.write(f"\npower loss: {done}: {len(done.findings)} broken promises\n")
    assert done.findings[:5] == []
    assert done.points == len(calls) > 700


@pytest.mark.hazard("H79")
def test_a_folder_that_the_agent_made_is_not_lost_with_all_that_is_in_it_h79(memory: Path) -> None:
    """systemd makes the folder on a car; elsewhere the agent does, and its name is durable only with its parent."""
    calls = traced(memory / "state", is_there=False)
    assert FolderMade() in calls
    done = Replay()
    replay(calls, Disk(None), Promises(), memory / "rebuilt", done=done, every=9)
    assert done.findings[:5] == []


def test_the_life_has_what_can_go_wrong(memory: Path) -> None:
    """Logs folded into their files while in use, begun again, cut off and removed; a start after a kill."""
    calls = traced(memory / "state")
    logs = [call for call in calls if isinstance(call, Written | Truncated | Removed) and call.name.endswith("-wal")]
    begun = Counter(call.name for call in logs if isinstance(call, Written) and call.offset == 0)
    assert len(begun) == 2
    assert min(begun.values()) >= 4
    assert {call.name for call in logs if isinstance(call, Truncated)} == set(begun)
    assert Counter(call.name for call in logs if isinstance(call, Removed)) == dict.fromkeys(begun, 2)
    assert sum(isinstance(call, Said) and call.text.startswith("opened") for call in calls) == 3
    assert set(Restart) <= set(history())
    kinds = {type(record) for step in history() if isinstance(step, tuple) for record in step}
    assert kinds == {*get_args(AuthorityRecord), *get_args(TelemetryRecord)}
    assert len(set(states())) > len(history()) * 0.9


@pytest.mark.hazard("H79")
@pytest.mark.parametrize("cause", ["power", "kill"])
def test_a_cut_while_the_store_recovers_loses_no_more_h79(
    memory: Path, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    """The first run ends in the middle, by a power cut or by a kill, which leaves unsynced bytes to the kernel; then
    power is lost at every call of the next opening. Once the store is open, what it was found to hold stays.
    """
    calls = traced(memory / "state")
    done = Replay()
    chance = chance_at(-1)
    first = calls.index(next(call for call in calls if isinstance(call, Said)))
    # A kill just before a sync leaves the most to be lost.
    points = [point for point in range(first, len(calls) - 1) if isinstance(calls[point + 1], Synced)]
    for point in sorted(chance.sample(points, SECOND_CUTS)):
        disk, promises = Disk({}), Promises()
        for call in calls[: point + 1]:
            disk.take(call)
            if isinstance(call, Said):
                promises.take(call.text)
        image = after_all_of(calls[: point + 1])
        if cause == "power":
            image = disk.after(chance.choice([*losses(disk.pending, chance, cuts=1, subsets=4)]))
            disk = Disk(image)
        found = found_in(image, memory / "rebuilt")
        assert isinstance(found, Recovered)
        shutil.rmtree(memory / "state")
        laid_out(image, memory / "state")
        recovery = traced(memory / "state", "--from", str(len(history())))
        promises.found_at_next_start = states().index(replace(found, store_id=b""))
        replay(recovery, disk, promises, memory / "rebuilt", done=done)
    with capsys.disabled():
        sys.stdout.write(f"\npower loss while recovering from {cause}: {done}: {len(done.findings)} broken promises\n")
    assert done.findings[:5] == []
    assert done.points > 10 * SECOND_CUTS


@dataclass
class SettingAside:
    """A damaged file gives way to a new one: nothing of the old may be taken for the new one's."""

    before: Recovered
    store_id: bytes | None = None

    def take(self, text: str) -> None:
        self.store_id = bytes.fromhex(text.split()[1])

    def broken_by(self, found: Recovered) -> str | None:
        if found.is_degraded:
            return f"degraded: {found.notes}"
        if found.journal or found.sessions or found.store_id == self.before.store_id:
            return "undead: what was set aside is back"
        if found.outbox != self.before.outbox:
            return "lost: records of the other file"
        if self.store_id is not None and (found.notes or found.store_id != self.store_id):
            return f"anew: another store after the new one was opened ({found.notes})"
        return None


@pytest.mark.hazard("H82")
def test_a_cut_while_a_damaged_file_is_set_aside_brings_nothing_of_it_back_h82(memory: Path) -> None:
    """H82: the renames and the new file become durable in any order; a log must never meet another file's pages."""
    image = after_all_of(traced(memory / "state")[:-40])
    before = found_in(image, memory / "rebuilt")
    assert isinstance(before, Recovered)
    assert before.journal and before.outbox.held
    assert len(image[f"{AUTHORITY}-wal"]) > 10_000
    image = {**image, AUTHORITY: b"junk" + image[AUTHORITY][4:]}
    shutil.rmtree(memory / "state")
    laid_out(image, memory / "state")
    calls = traced(memory / "state", "--from", str(len(history())))
    assert any(isinstance(call, Renamed) for call in calls)
    done = Replay()
    replay(calls, Disk(image), SettingAside(before), memory / "rebuilt", done=done, subsets=12)
    assert done.findings[:5] == []


@dataclass
class Upgrading:
    """A store of the first version is opened: what it held is there, before, while and after it is brought up."""

    def take(self, text: str) -> None:
        pass

    def broken_by(self, found: Recovered) -> str | None:
        # The other file is new, and may be found half made.
        if found.is_degraded or any(note.startswith(AUTHORITY) for note in found.notes):
            return f"damaged: {found.notes}"
        kept = found.store_id, found.sequence_next, found.journal, found.sessions
        if kept != (STORE_ID, SEQUENCE_NEXT, JOURNAL, SESSIONS):
            return "lost: what the first version had written"
        return None if found.trust == RecoveredTrust() else "torn: trust out of nothing"


def test_a_cut_while_a_store_of_the_first_version_is_brought_up_loses_nothing_h79(memory: Path) -> None:
    folder = memory / "version-1"
    folder.mkdir()
    make_version_1(folder)
    image = {path.name: path.read_bytes() for path in folder.iterdir()}
    laid_out(image, memory / "state")
    calls = traced(memory / "state", "--from", str(len(history())))
    done = Replay()
    replay(calls, Disk(image), Upgrading(), memory / "rebuilt", done=done)
    assert done.findings[:5] == []
    assert done.points > 20


def test_a_store_that_syncs_less_is_found_out_h81(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test of the test: with `synchronous=NORMAL`, SQLite's usual advice, acknowledged writes are lost, whole."""
    done = Replay()
    replay(
        traced(memory / "state", "--synchronous", "NORMAL"),
        Disk({}),
        Promises(),
        memory / "rebuilt",
        done=done,
        every=8,
    )
    with capsys.disabled():
        sys.stdout.write(f"\npower loss with synchronous=NORMAL: {done}: {dict(done.kinds())}\n")
    assert set(done.kinds()) == {"lost"}


def test_a_store_that_never_syncs_is_found_out(memory: Path) -> None:
    done = Replay()
    replay(
        traced(memory / "state", "--synchronous", "OFF"), Disk({}), Promises(), memory / "rebuilt", done=done, every=40
    )
    assert done.kinds().keys() >= {"lost", "damaged"}
