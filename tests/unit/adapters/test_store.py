"""The stores on a real file system: what is acknowledged is there again, and what is wrong with a file is said."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.clock import boot_s
from agent.adapters.store import Stores
from agent.adapters.store_file import SET_ASIDE_MAX, require_durable
from agent.adapters.store_schema import AUTHORITY as AUTHORITY_SCHEMA
from agent.adapters.store_schema import JOURNAL_ROWS_MAX, RESETS_MAX, SESSIONS_MAX
from agent.errors import StoreError
from agent.model.records import (
    BundleTaken,
    FloorRaised,
    FloorReset,
    GivenUp,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxFound,
    OutboxHeld,
    OutboxRemoved,
    OutboxStored,
    Priority,
    Record,
    Recovered,
    RecoveredTrust,
    ResultDelivered,
    RunNoted,
    SequenceReserved,
    SessionStarted,
    Span,
    Tombstone,
)
from tests.support.store_records import CAR, SID, done, intent
from tests.support.store_version_1 import JOURNAL, SEQUENCE_NEXT, SESSIONS, STORE_ID, make_version_1

OTHER_CAR = bytes(8)
AUTHORITY = "authority.sqlite3"
TELEMETRY = "telemetry.sqlite3"


@contextmanager
def opened(directory: Path, car: bytes = CAR) -> Iterator[tuple[Stores, Recovered]]:
    stores = Stores(directory, car)
    recovered = stores.open()
    try:
        yield stores, recovered
    finally:
        stores.close()


def recovered_from(directory: Path, car: bytes = CAR) -> Recovered:
    with opened(directory, car) as (_, recovered):
        return recovered


async def written(directory: Path, *writes: list[Record]) -> Recovered:
    """Make these writes, and return what a later start finds."""
    with opened(directory) as (stores, _):
        for records in writes:
            await stores.write(records)
    return recovered_from(directory)


def test_a_new_store_is_empty_and_keeps_its_id(tmp_path: Path) -> None:
    first = recovered_from(tmp_path / "state")
    assert len(first.store_id) == 8
    assert first == Recovered(store_id=first.store_id)
    assert recovered_from(tmp_path / "state") == first


async def test_everything_written_is_found_again(tmp_path: Path) -> None:
    recovered = await written(
        tmp_path,
        [SessionStarted(SID), SequenceReserved(1001)],
        [intent(1)],
        [intent(2)],
        [done(1)],
        [intent(3)],
        [ResultDelivered(7, intent(1).cid)],
        [OutboxStored(5, 1, b"event", 20), OutboxStored(6, 3, b"sample", 20), OutboxStored(7, 3, b"", 30)],
        [OutboxRemoved((6,)), GivenUp((Span(1, 4, 2, 2),))],
        [RunNoted("boot", has_ended=True, running_s=60)],
    )
    assert recovered.journal == (
        JournalEntry(intent(1), done(1), is_delivered=True),
        JournalEntry(intent(2)),
        JournalEntry(intent(3)),
    )
    assert recovered.sessions == {SID}
    assert recovered.sequence_next == 1001
    assert recovered.outbox == OutboxFound(
        (OutboxHeld(5, 1, 5, 20), OutboxHeld(7, 3, 0, 30)),
        given_up=(Span(1, 4, 2, 2),),
        running_s=60,
        sequence_last=7,
        last_run=RunNoted("boot", has_ended=True, running_s=60),
    )
    assert (recovered.is_degraded, recovered.notes) == (False, ())


STONES = (Tombstone(b"kid1", 7, bytes(range(32)), 1), Tombstone(b"kid0", 8, bytes(32), 2))


async def test_a_bundle_is_found_again_with_its_tombstones_and_the_floor(tmp_path: Path) -> None:
    assert recovered_from(tmp_path).trust == RecoveredTrust()
    recovered = await written(tmp_path, [BundleTaken(5, b"bundle 5", STONES, 1_790_000_000)])
    assert recovered.trust == RecoveredTrust(5, b"bundle 5", STONES, 1_790_000_000)


async def test_one_bundle_is_kept_and_its_tombstones_are_the_only_ones(tmp_path: Path) -> None:
    second = BundleTaken(6, b"bundle 6", STONES[1:], 1_790_000_100)
    recovered = await written(tmp_path, [BundleTaken(5, b"bundle 5", STONES, 1_790_000_000)], [second])
    assert recovered.trust == RecoveredTrust(6, b"bundle 6", STONES[1:], 1_790_000_100)


async def test_the_floor_never_falls_but_by_a_reset(tmp_path: Path) -> None:
    assert (await written(tmp_path, [FloorRaised(200)], [FloorRaised(100)])).trust.floor_unix_s == 200
    assert (await written(tmp_path, [BundleTaken(1, b"b", (), 150)])).trust.floor_unix_s == 200
    trust = (await written(tmp_path, [FloorReset(b"id of this order", 50)])).trust
    assert (trust.floor_unix_s, trust.resets) == (50, frozenset({b"id of this order"}))
    assert (await written(tmp_path, [FloorRaised(60)])).trust.floor_unix_s == 60


@pytest.mark.hazard("H131")
async def test_of_a_bundle_that_contradicts_itself_nothing_is_stored_h131(tmp_path: Path) -> None:
    """One transaction: a row that cannot be written takes bundle, tombstones and floor with it."""
    first = BundleTaken(5, b"bundle 5", STONES[:1], 1_790_000_000)
    with opened(tmp_path) as (stores, _):
        await stores.write([first])
        with pytest.raises(StoreError, match="UNIQUE"):
            await stores.write([BundleTaken(6, b"bundle 6", STONES[:1] * 2, 1_790_000_100)])
    assert recovered_from(tmp_path).trust == RecoveredTrust(5, b"bundle 5", STONES[:1], 1_790_000_000)


@pytest.mark.hazard("H133")
async def test_a_reset_is_written_once_h133(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        await stores.write([FloorReset(b"id of this order", 50)])
        with pytest.raises(StoreError, match="UNIQUE"):
            await stores.write([FloorReset(b"id of this order", 40)])
    assert recovered_from(tmp_path).trust.floor_unix_s == 50


async def test_resets_have_a_bound_sr_09(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        await stores.write([FloorReset(number.to_bytes(16), number) for number in range(RESETS_MAX)])
        with pytest.raises(StoreError, match="clock resets"):
            await stores.write([FloorReset(RESETS_MAX.to_bytes(16), 1)])


async def test_a_store_of_the_first_version_is_brought_up_and_keeps_what_it_has(tmp_path: Path) -> None:
    make_version_1(tmp_path)
    found = recovered_from(tmp_path)
    assert (found.store_id, found.sequence_next, found.notes) == (STORE_ID, SEQUENCE_NEXT, ())
    assert (found.journal, found.sessions, found.trust) == (JOURNAL, SESSIONS, RecoveredTrust())
    # And it is a store like any other from then on.
    bundle = BundleTaken(1, b"bundle 1", STONES, 1_790_000_000)
    later = await written(tmp_path, [done(3)], [bundle], [FloorRaised(1_790_000_001)])
    assert later.journal[2].done == done(3)
    assert later.trust == RecoveredTrust(1, b"bundle 1", STONES, 1_790_000_001)
    connection = sqlite3.connect(tmp_path / AUTHORITY)
    assert connection.execute("PRAGMA user_version").fetchone() == (AUTHORITY_SCHEMA.version,)
    upgraded = {name: columns(connection, name) for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    connection.close()
    recovered_from(tmp_path / "new")
    connection = sqlite3.connect(tmp_path / "new" / AUTHORITY)
    assert upgraded == {
        name: columns(connection, name) for (name,) in connection.execute("SELECT name FROM sqlite_schema")
    }
    connection.close()


def columns(connection: sqlite3.Connection, table: str) -> list[object]:
    return connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()


async def test_a_schema_nobody_knows_is_damage_h82(tmp_path: Path) -> None:
    make_version_1(tmp_path)
    connection = sqlite3.connect(tmp_path / AUTHORITY)
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    assert "unknown schema 0" in recovered_from(tmp_path).notes[0]


async def test_a_reserved_number_never_falls_sr_07(tmp_path: Path) -> None:
    assert (await written(tmp_path, [SequenceReserved(2001)], [SequenceReserved(1001)])).sequence_next == 2001


async def test_numbers_outlive_the_file_that_reserved_them_sr_07(tmp_path: Path) -> None:
    await written(tmp_path, [SequenceReserved(500)], [OutboxStored(450, 0, b"x")])
    (tmp_path / AUTHORITY).write_bytes(b"junk" * 1000)
    assert recovered_from(tmp_path).sequence_next >= 451


async def test_a_write_is_all_or_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        await stores.write([intent(1)])
        with pytest.raises(StoreError, match="UNIQUE"):
            await stores.write([intent(2), intent(1)])
    assert [entry.intent for entry in recovered_from(tmp_path).journal] == [intent(1)]


@pytest.mark.parametrize(
    "records",
    [
        [done(1)],
        [intent(1), done(1), done(1)],
        [ResultDelivered(7, bytes(16))],
        [Intent(7, bytes(15), bytes(32), b"kid7", 1, SID, 1, 1, None)],
        [Intent(7, bytes(16), bytes(32), b"kid7", 1, SID, 2**63, 1, None)],
    ],
)
async def test_records_that_contradict_the_store_are_refused(tmp_path: Path, records: list[Record]) -> None:
    with opened(tmp_path) as (stores, _), pytest.raises(StoreError):
        await stores.write(records)
    assert recovered_from(tmp_path).journal == ()


async def test_one_write_does_not_mix_the_stores(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        with pytest.raises(StoreError, match="no transaction covers"):
            await stores.write([intent(1), OutboxStored(1, 0, b"x")])
        await stores.write([intent(1)])


async def test_after_one_failure_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        with pytest.raises(StoreError):
            await stores.write([done(1)])
        with pytest.raises(StoreError, match="has failed before"):
            await stores.write([intent(1)])


async def test_pruned_commands_are_gone_and_so_is_the_label_of_their_session(tmp_path: Path) -> None:
    other = b"session2"
    recovered = await written(
        tmp_path,
        [SessionStarted(SID), SessionStarted(other)],
        [intent(1), done(1), intent(2, sid=other), done(2)],
        [JournalPruned(((7, intent(1).cid),))],
    )
    assert [entry.intent.cid for entry in recovered.journal] == [intent(2).cid]
    assert recovered.sessions == {other}


async def test_the_journal_has_a_bound_sr_09(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        await stores.write([intent(number) for number in range(JOURNAL_ROWS_MAX)])
        with pytest.raises(StoreError, match="journal is full"):
            await stores.write([intent(JOURNAL_ROWS_MAX)])


async def test_sessions_have_a_bound_and_the_oldest_are_forgotten_sr_09(tmp_path: Path) -> None:
    labels = [number.to_bytes(8) for number in range(SESSIONS_MAX + 1)]
    recovered = await written(tmp_path, [SessionStarted(label) for label in labels[:-1]])
    recovered = await written(tmp_path, [SessionStarted(labels[-1])])
    assert recovered.sessions == set(labels[1:])


def test_a_second_agent_on_the_same_store_is_told_so(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StoreError, match="in use by another agent"):
        Stores(tmp_path, CAR).open()
    recovered_from(tmp_path)


def test_only_the_owner_can_read_the_stores(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with opened(directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        assert len(list(directory.iterdir())) >= 4  # with the logs SQLite keeps beside them


def test_a_directory_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    recovered_from(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.hazard("H81")
def test_a_connection_that_does_not_sync_is_refused_h81(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x")
    with pytest.raises(StoreError, match="journal_mode 'delete'"):
        require_durable(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    for level, name in ((0, "OFF"), (1, "NORMAL"), (3, "EXTRA")):
        connection.execute(f"PRAGMA synchronous = {name}")
        with pytest.raises(StoreError, match=f"synchronous {level}"):
            require_durable(connection)
    connection.execute("PRAGMA synchronous = FULL")
    require_durable(connection)
    connection.close()


class LessDurable(sqlite3.Connection):
    """Somebody's mistake: SQLite's usual advice for WAL in place of what the store asks for."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), parameters)


@pytest.mark.hazard("H81")
@pytest.mark.parametrize("is_new", [True, False])
def test_a_store_that_would_not_sync_is_not_opened_h81(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    if not is_new:
        recovered_from(tmp_path)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=LessDurable))
    with pytest.raises(StoreError, match=r"synchronous 1, expected 2 \(FULL\)"):
        Stores(tmp_path, CAR).open()


def corrupt_header(path: Path) -> None:
    path.write_bytes(os.urandom(100) + path.read_bytes()[100:])


def corrupt_pages(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_text("this is a shopping list\n" * 400)


def replace_by_foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE identity (car BLOB)")
    connection.commit()
    connection.close()


def drop_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    for table in ("journal", "outbox"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.commit()
    connection.close()


def drop_identity(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM identity")
    connection.commit()
    connection.close()


@pytest.mark.hazard("H82")
@pytest.mark.parametrize("name", [AUTHORITY, TELEMETRY])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (corrupt_header, "file is not a database"),
        (corrupt_pages, "was damaged"),
        (truncate, "was damaged"),
        (empty, "was empty"),
        (replace_by_text, "file is not a database"),
        (replace_by_foreign, "was no store of ours"),
        (drop_table, "no such table"),
        (drop_identity, "belonged to 0 cars"),
    ],
)
async def test_a_damaged_file_is_set_aside_and_made_anew_h82(
    tmp_path: Path, name: str, damage: Callable[[Path], None], words: str
) -> None:
    before = await written(
        tmp_path,
        [SessionStarted(SID), SequenceReserved(201)],
        [intent(n) for n in range(200)],
        [OutboxStored(n, 0, bytes(99)) for n in range(200)],
    )
    damage(tmp_path / name)
    (tmp_path / f"{name}-wal").unlink(missing_ok=True)
    (tmp_path / f"{name}-shm").unlink(missing_ok=True)
    after = recovered_from(tmp_path)
    (note,) = after.notes
    assert note.startswith(name)
    assert words in note
    assert f"{name}.damaged-1" in note
    assert (tmp_path / f"{name}.damaged-1").exists()
    assert not after.is_degraded
    if name == AUTHORITY:
        assert after.journal == ()
        assert after.store_id != before.store_id
        assert after.sequence_next > 2**51  # SR-07: the lost file's numbers are not known, so none of them comes again
        assert after.outbox == before.outbox
    else:
        assert after.outbox == OutboxFound(sequence_last=None)
        assert (after.journal, after.store_id) == (before.journal, before.store_id)
    assert recovered_from(tmp_path).notes == ()


@pytest.mark.hazard("H82")
async def test_damage_where_nothing_is_read_at_start_is_found_too_h82(tmp_path: Path) -> None:
    await written(tmp_path, [intent(number) for number in range(500)])
    connection = sqlite3.connect(tmp_path / AUTHORITY)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'journal'"
    ).fetchone()
    connection.close()
    raw = bytearray((tmp_path / AUTHORITY).read_bytes())
    raw[(page - 1) * 4096 : page * 4096] = bytes(4096)
    (tmp_path / AUTHORITY).write_bytes(raw)
    (note,) = recovered_from(tmp_path).notes
    assert "was damaged" in note


@pytest.mark.hazard("H82")
async def test_a_row_that_makes_no_sense_counts_as_damage_h82(tmp_path: Path) -> None:
    await written(tmp_path, [intent(1), done(1)])
    connection = sqlite3.connect(tmp_path / AUTHORITY)
    connection.execute("UPDATE journal SET stage = 99")
    connection.commit()
    connection.close()
    (note,) = recovered_from(tmp_path).notes
    assert "99 is not a valid Stage" in note


@pytest.mark.hazard("H82")
async def test_a_log_cut_off_in_the_middle_loses_no_more_than_its_end_h82(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with opened(state) as (stores, _):
        for number in range(20):
            await stores.write([intent(number)])
        # As after a power cut: the log was not folded into the file, which closing would do.
        shutil.copytree(state, tmp_path / "cut")
    log = tmp_path / "cut" / f"{AUTHORITY}-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size * 2 // 3])
    (tmp_path / "cut" / f"{AUTHORITY}-shm").unlink()
    recovered = recovered_from(tmp_path / "cut")
    found = [entry.intent for entry in recovered.journal]
    assert found == [intent(number) for number in range(len(found))]
    assert 0 < len(found) < 20
    assert recovered.notes == ()


@pytest.mark.hazard("H83")
async def test_the_store_of_another_car_is_set_aside_h83(tmp_path: Path) -> None:
    before = await written(tmp_path, [intent(1)])
    after = recovered_from(tmp_path, OTHER_CAR)
    assert after.journal == ()
    assert after.store_id != before.store_id
    assert len(after.notes) == 2
    assert all("belonged to car 0011223344556677" in note for note in after.notes)


def test_only_the_last_damaged_files_are_kept_sr_09(tmp_path: Path) -> None:
    for number in range(1, SET_ASIDE_MAX + 3):
        recovered_from(tmp_path)
        (tmp_path / AUTHORITY).write_bytes(b"damage %d" % number)
    recovered_from(tmp_path)
    kept = sorted(tmp_path.glob("*.damaged-*"))
    assert [path.read_bytes() for path in kept] == [b"damage 3", b"damage 4", b"damage 5"]


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    recovered_from(tmp_path)
    connection = sqlite3.connect(tmp_path / AUTHORITY)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        recovered_from(tmp_path)
    assert not list(tmp_path.glob("*.damaged-*"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's exemption from file modes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def closed_directory(mode: int) -> Iterator[Path]:
    """An empty directory of this mode; not under tmp_path, which only its owner may enter."""
    parent = Path(tempfile.mkdtemp())
    directory = parent / "state"
    try:
        parent.chmod(0o755)
        directory.mkdir()
        directory.chmod(mode)
        yield directory
    finally:
        directory.chmod(0o700)
        shutil.rmtree(parent)


@pytest.mark.hazard("H86")
@pytest.mark.parametrize("mode", [0o555, 0o000])
async def test_a_store_that_cannot_be_written_is_replaced_by_memory_and_said_so_h86(mode: int) -> None:
    with closed_directory(mode) as directory:
        with as_nobody(), opened(directory) as (stores, recovered):
            assert recovered.is_degraded
            assert recovered.sequence_next > 2**51
            (note,) = recovered.notes
            assert "storage cannot be used" in note
            await stores.write([SessionStarted(SID), intent(1), done(1)])
            await stores.write([OutboxStored(1, 0, b"x")])
        assert [*directory.iterdir()] == []


@pytest.mark.hazard("H86")
def test_a_directory_that_is_a_file_is_replaced_by_memory_and_said_so_h86(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    recovered = recovered_from(tmp_path / "state")
    assert recovered.is_degraded
    assert "Not a directory" in recovered.notes[0] or "File exists" in recovered.notes[0]


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """The kernel answers EFBIG, which SQLite takes for a failing disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.hazard("H84", "H85")
async def test_a_disk_that_fails_fails_the_write_and_loses_nothing_before_it_h84_h85(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        await stores.write([intent(1)])
        with no_file_may_grow_beyond(64 * 1024), pytest.raises(StoreError):
            for number in range(2, 200):
                await stores.write([intent(number)])
        with pytest.raises(StoreError, match="has failed before"):
            await stores.write([SessionStarted(SID)])
    journal = recovered_from(tmp_path).journal
    assert [entry.intent for entry in journal] == [intent(number + 1) for number in range(len(journal))]


@pytest.mark.hazard("H86")
async def test_a_disk_that_takes_no_more_is_found_out_at_start_h86(tmp_path: Path) -> None:
    state, later = tmp_path / "state", tmp_path / "later"
    with opened(state) as (stores, _):
        for number in range(20):
            await stores.write([intent(number)])
        shutil.copytree(state, later)  # with a log that can only grow
    size = (later / f"{AUTHORITY}-wal").stat().st_size
    assert size > 64 * 1024
    with no_file_may_grow_beyond(size):
        recovered = recovered_from(later)
    assert recovered.is_degraded
    assert recovered.journal == ()
    assert len(recovered_from(later).journal) == 20


@pytest.mark.hazard("H92")
async def test_a_card_that_stalls_does_not_hold_up_the_end_and_the_store_stays_ours_h92(tmp_path: Path) -> None:
    """Another connection's lock stands for the card: SQLite waits five seconds for it."""
    stores = Stores(tmp_path, CAR)
    stores.open()
    stalling = sqlite3.connect(tmp_path / AUTHORITY, isolation_level=None)
    stalling.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(stores.write([intent(1)]))
    await asyncio.sleep(0)
    before_s = boot_s()
    assert not stores.close(within_s=0.1)
    assert boot_s() - before_s < 2.0
    with pytest.raises(StoreError, match="in use by another agent"):
        Stores(tmp_path, CAR).open()
    stalling.execute("ROLLBACK")
    stalling.close()
    await writing
    assert stores.close()
    assert [entry.intent for entry in recovered_from(tmp_path).journal] == [intent(1)]


async def test_what_was_being_written_is_there_after_closing(tmp_path: Path) -> None:
    stores = Stores(tmp_path, CAR)
    stores.open()
    writing = asyncio.create_task(stores.write([intent(1)]))
    await asyncio.sleep(0)
    assert stores.close()
    await writing
    assert [entry.intent for entry in recovered_from(tmp_path).journal] == [intent(1)]


@pytest.mark.hazard("H92")
def test_a_writer_that_never_returns_does_not_keep_the_process_h92(tmp_path: Path) -> None:
    program = """
import sys, threading
from pathlib import Path
from agent.adapters.store import Stores
stores = Stores(Path(sys.argv[1]), bytes(8))
stores.open()
stores._writer.submit(threading.Event().wait)
print(stores.close(within_s=0.1))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], timeout=10, check=True, capture_output=True, text=True
    )
    assert ended.stdout == "False\n"
    assert ended.stderr == ""
    assert not recovered_from(tmp_path, bytes(8)).is_degraded


async def test_the_outbox_file_cannot_outgrow_its_bound_sr_09(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _), pytest.raises(StoreError, match="full"):
        for number in range(200):
            await stores.write([OutboxStored(number, 0, bytes(1 << 20))])
    assert (tmp_path / TELEMETRY).stat().st_size <= 160 << 20


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    """Three runs, each killed as soon as it has acknowledged some more (H77)."""
    acknowledged = 0
    for run in range(1, 4):
        state = tmp_path / f"state-{run}"
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.support.store_writer", str(state), CAR.hex()], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(20 * run):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        recovered = recovered_from(state)
        assert recovered.notes == ()
        assert [entry.intent for entry in recovered.journal[:acknowledged]] == [
            intent(number) for number in range(1, acknowledged + 1)
        ]
        assert [record.sequence for record in recovered.outbox.held[:acknowledged]] == list(range(1, acknowledged + 1))
        assert recovered.sequence_next > acknowledged


# --- the outbox ---------------------------------------------------------------------------------------------------


async def test_records_of_the_outbox_are_read_back_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    with opened(tmp_path) as (stores, _):
        records = [OutboxStored(number, 1, b"payload %d" % number, number) for number in (1, 2, 3)]
        await stores.write(records)
        assert await stores.fetch([3, 99, 1]) == (records[0], records[2])


async def test_how_far_the_numbers_had_come_is_known_when_no_record_is_left_sr_07(tmp_path: Path) -> None:
    found = await written(tmp_path, [OutboxStored(41, 1, b"x"), OutboxStored(42, 1, b"x")], [OutboxRemoved((42, 41))])
    assert found.outbox == OutboxFound(sequence_last=42)
    assert found.sequence_next == 43


async def test_a_number_given_twice_is_refused_and_the_same_record_again_is_not(tmp_path: Path) -> None:
    """A write whose failure said nothing of what became of it is offered again."""
    with opened(tmp_path) as (stores, _):
        await stores.write([OutboxStored(1, 1, b"one")])
        await stores.write([OutboxStored(1, 1, b"one")])
        with pytest.raises(StoreError, match="number 1 given twice"):
            await stores.write([OutboxStored(1, 1, b"another")])


async def test_an_outbox_of_version_1_is_taken_over(tmp_path: Path) -> None:
    """An update keeps what waits for the broker; what its age is, nobody knows, so it begins anew."""
    await written(tmp_path, [SequenceReserved(10)], [intent(1)])
    (tmp_path / TELEMETRY).unlink()
    connection = sqlite3.connect(tmp_path / TELEMETRY)
    connection.executescript(
        f"""
        PRAGMA application_id = {0x63736102};
        PRAGMA user_version = 1;
        CREATE TABLE identity (car BLOB NOT NULL, start_count INTEGER NOT NULL DEFAULT 1) STRICT;
        INSERT INTO identity (car) VALUES (x'{CAR.hex()}');
        CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, priority INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
        INSERT INTO outbox VALUES (5, 0, x'6576'), (6, 1, x'7361');
        """  # noqa: S608 - a file of ours as it once was
    )
    connection.close()
    found = recovered_from(tmp_path)
    assert found.notes == ()
    assert found.outbox == OutboxFound(
        (OutboxHeld(5, Priority.EVENT, 2, 0), OutboxHeld(6, Priority.SAMPLE, 2, 0)), sequence_last=6
    )
    assert recovered_from(tmp_path) == found


async def test_a_full_outbox_stops_no_command_and_may_have_room_again(tmp_path: Path) -> None:
    """As H84 for telemetry: the journal is another file, and what only was full is no failed disk."""
    with opened(tmp_path) as (stores, _):
        assert stores._telemetry is not None
        (pages,) = stores._telemetry.connection.execute("PRAGMA page_count").fetchone()
        stores._telemetry.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"telemetry\.sqlite3: database or disk is full"):
            await stores.write([OutboxStored(1, 1, bytes(50_000))])
        await stores.write([intent(1)])
        stores._telemetry.connection.execute("PRAGMA max_page_count = 1000")
        await stores.write([OutboxStored(1, 1, bytes(50_000))])
    found = recovered_from(tmp_path)
    assert [record.sequence for record in found.outbox.held] == [1]
    assert len(found.journal) == 1


async def test_an_outbox_that_cannot_be_opened_is_replaced_by_memory_and_the_journal_is_not(tmp_path: Path) -> None:
    (tmp_path / TELEMETRY).mkdir(parents=True)
    with opened(tmp_path) as (stores, recovered):
        assert not recovered.is_degraded
        assert recovered.outbox.is_in_memory
        (note,) = recovered.notes
        assert note.startswith(f"{TELEMETRY}: cannot be used")
        await stores.write([intent(1)])
        await stores.write([OutboxStored(1, 1, b"x")])
    assert [entry.intent for entry in recovered_from(tmp_path).journal] == [intent(1)]
