"""The model of the disk and the reading of traces do what they say; without that the replay proves nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.power_loss import Disk, Image, Loss, losses
from tests.support.syscall_trace import (
    Call,
    Created,
    FolderMade,
    FolderSynced,
    ParentSynced,
    Removed,
    Renamed,
    Said,
    Synced,
    Truncated,
    UnknownCallError,
    Written,
    read_trace,
)

FOLDER = Path("/car/state")


def after(loss: Loss, *calls: Call, image: Image | None = None) -> Image:
    disk = Disk({} if image is None else image)
    for call in calls:
        disk.take(call)
    return disk.after(loss)


NOTHING = Loss("nothing", {})
FIRST = Loss("the first", {0: None})
SECOND = Loss("the second", {1: None})


def test_a_write_is_lost_unless_its_file_was_synced() -> None:
    assert after(NOTHING, Written("a", 0, b"xy"), image={"a": b"..."}) == {"a": b"..."}
    assert after(NOTHING, Written("a", 0, b"xy"), Synced("a"), image={"a": b"..."}) == {"a": b"xy."}
    assert after(NOTHING, Written("a", 0, b"xy"), Synced("b"), image={"a": b"...", "b": b""})["a"] == b"..."


def test_a_name_is_lost_unless_the_folder_was_synced() -> None:
    assert after(NOTHING, Created("a"), Written("a", 0, b"x"), Synced("a")) == {}
    assert after(NOTHING, Created("a"), Written("a", 0, b"x"), Synced("a"), FolderSynced()) == {"a": b"x"}
    assert after(NOTHING, Removed("a"), image={"a": b"x"}) == {"a": b"x"}
    assert after(NOTHING, Removed("a"), FolderSynced(), image={"a": b"x"}) == {}
    assert after(NOTHING, Renamed("a", "b"), image={"a": b"x"}) == {"a": b"x"}
    assert after(FIRST, Renamed("a", "b"), image={"a": b"x"}) == {"b": b"x"}


def test_the_name_of_the_folder_is_lost_unless_its_parent_was_synced() -> None:
    calls: list[Call] = [FolderMade(), Created("a"), FolderSynced()]
    for end, found in (([], {}), ([ParentSynced()], {"a": b""})):
        disk = Disk(None)
        for call in [*calls, *end]:
            disk.take(call)
        assert disk.after(NOTHING) == found


def test_a_file_that_took_the_name_of_another_is_not_mixed_up_with_it() -> None:
    calls = (Removed("a"), Created("a"), Written("a", 0, b"new"), Synced("a"))
    assert after(NOTHING, *calls, image={"a": b"older"}) == {"a": b"older"}
    assert after(SECOND, *calls, image={"a": b"older"}) == {"a": b"new"}
    assert after(NOTHING, *calls, FolderSynced(), image={"a": b"older"}) == {"a": b"new"}


def test_what_outlived_an_earlier_write_leaves_a_hole() -> None:
    calls = (Written("a", 0, b"xy"), Written("a", 2, b"z"))
    assert after(SECOND, *calls, image={"a": b""}) == {"a": b"\0\0z"}
    assert after(Loss("filled", {1: None}, b"#"), *calls, image={"a": b""}) == {"a": b"##z"}
    assert after(SECOND, Written("a", 0, b"xyz"), Truncated("a", 1), image={"a": b"..."}) == {"a": b"."}


def test_a_write_can_be_torn() -> None:
    assert after(Loss("torn", {0: 1}), Written("a", 1, b"xy"), image={"a": b"..."}) == {"a": b".x."}


def test_the_index_of_a_log_holds_anything() -> None:
    found = after(Loss("filled", {}, b"#"), image={"a-wal": b"x"})
    assert set(found["a-shm"]) == set(b"#")


def test_every_way_to_lose_power_is_a_way_of_these_calls() -> None:
    calls: list[Call] = [Created("a"), Written("a", 0, bytes(1500)), Written("a", 1500, bytes(24))]
    tried = [*losses(calls, Random(1), cuts=2, subsets=50)]  # noqa: S311 - to be repeated, not to be secret
    assert [loss.words for loss in tried][:4] == ["nothing unsynced", "everything", "names only", "contents only"]
    assert len({frozenset(loss.kept.items()) for loss in tried}) > 15
    torn = {loss.kept[1] for loss in tried if loss.kept.get(1) is not None}
    assert torn & {512, 1024}
    assert any(size % 512 for size in torn if size)


def in_hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def line(name: str, arguments: str, result: str = "0") -> str:
    """One line of strace; what stands between quotes or angle brackets is put in hexadecimal digits."""
    parts = arguments.replace("<", '"<').replace(">", '>"').split('"')
    for index in range(1, len(parts), 2):
        is_path = parts[index].startswith("<")
        parts[index] = f"<{in_hex(parts[index][1:-1])}>" if is_path else f'"{in_hex(parts[index])}"'
    return f"17 {name}({''.join(parts)}) = {result}\n"


MADE = line("openat", 'AT_FDCWD</>, "/car/state/a", O_RDWR|O_CREAT, 0600', "3<x>")


def read(*lines: str, names: tuple[str, ...] = ()) -> list[Call]:
    return [*read_trace(lines, FOLDER, names)]


def test_calls_are_read() -> None:
    assert read(
        line("mkdir", '"/car/state", 0700'),
        MADE,
        MADE,
        line("pwrite64", '3</car/state/a>, "xyz", 3, 7', "2"),
        line("ftruncate", "3</car/state/a>, 5"),
        line("fdatasync", "3</car/state/a>"),
        line("fsync", "4</car/state>"),
        line("fsync", "4</car>"),
        line("lseek", "3</car/state/a>, 9, SEEK_SET", "9"),
        line("write", '3</car/state/a>, "q", 1', "1"),
        line("rename", '"/car/state/a", "/car/state/b"'),
        line("unlink", '"/car/state/b"'),
        line("write", '1</dev/null>, "done", 4', "4"),
        "17 +++ exited with 0 +++\n",
    ) == [
        FolderMade(),
        Created("a"),
        Written("a", 7, b"xy"),
        Truncated("a", 5),
        Synced("a"),
        FolderSynced(),
        ParentSynced(),
        Written("a", 9, b"q"),
        Renamed("a", "b"),
        Removed("b"),
        Said("done"),
    ]


def test_calls_elsewhere_and_failed_ones_and_the_index_of_the_log_are_left_out() -> None:
    assert not read(
        line("unlink", '"/car/other"'),
        line("unlink", '"/car/state/a"', "-1 ENOENT (No such file or directory)"),
        line("pwrite64", '3</car/state/a-shm>, "x", 1, 4095', "1"),
        line("mmap", "NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 3</car/state/a-shm>, 0", "0x7f00"),
    )


def test_a_call_that_another_thread_interrupted_counts_at_its_end() -> None:
    begin, end = line("fdatasync", "3</car/state/a>").split(")")
    other = line("write", '1</dev/null>, "x", 1', "1").replace("17", "18", 1)
    assert read(f"{begin} <unfinished ...>\n", other, f"17 <... fdatasync resumed>){end}", names=("a",)) == [
        Said("x"),
        Synced("a"),
    ]


@pytest.mark.parametrize(
    "unknown",
    [
        line("fallocate", "3</car/state/a>, 0, 0, 4096"),
        line("pwritev", '3</car/state/a>, [{iov_base="x", iov_len=1}], 1, 0', "1"),
        line("write", '3</car/state/a>, "x", 1', "1"),
        line("link", '"/car/state/a", "/car/state/b"'),
        line("unlink", '"a"'),
        line("mmap", "NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</car/state/a>, 0", "0x7f00"),
        line("pwrite64", '3</car/state/unseen>, "x", 1, 0', "1"),
        'nonsense "\n',
    ],
)
def test_a_change_that_is_not_modelled_is_refused(unknown: str) -> None:
    with pytest.raises(UnknownCallError):
        read(unknown, names=("a",))
