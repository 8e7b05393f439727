"""What python-can takes on trust in a log is asked first: a stranger's file gives frames or one clear fault, in time.

Each of these was found by `tests/fuzz/target_logs.py` or by looking for what it might find.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path

import can
import pytest

from agent.adapters.log_reader import read_log
from agent.adapters.log_text import LINE_BYTES_MAX
from agent.errors import ConfigurationError
from agent.model.frame import Frame

MESSAGE = can.Message(timestamp=1e9, arbitration_id=0x123, is_extended_id=False, data=b"\x01\x02\x03\x04", channel=0)


def read_until_fault(path: Path) -> tuple[list[Frame], str]:
    log, frames = read_log(path), []
    try:
        for frame in log:
            frames.append(frame)
            assert len(frames) < 1000, "there is no end to it"
    except ConfigurationError as fault:
        return frames, str(fault).removeprefix(str(path))
    return frames, ""


def save(path: Path, count: int = 3) -> bytes:
    with can.Logger(path) as logger:
        for _ in range(count):
            logger(MESSAGE)
    return path.read_bytes()


# --- text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "bad"),
    [
        (".csv", "1.0,0x123,0,0,0,1,AA==,more"),
        (".csv", "nan,0x123,0,0,0,1,AA=="),
        (".csv", "inf,0x123,0,0,0,1,AA=="),
        (".csv", "1.0,0x800,0,0,0,1,AA=="),
        (".csv", "1.0,-0x1,0,0,0,1,AA=="),
        (".csv", "1.0,0x20000000,1,0,0,1,AA=="),
        (".csv", "1.0,0x123,0,0,0,9,AAAAAAAAAAAA"),
        (".asc", " 1.000000 1  123             Rx   d 1 100"),
        (".asc", " 1.000000 1  800             Rx   d 1 00"),
        (".trc", "      9      nan DT  1     0123 Rx -  1    00"),
        (".trc", "      9      1.0 DT  1 20000000 Rx -  1    00"),
    ],
)
def test_line_that_is_no_frame_of_any_bus_is_told_with_its_number(tmp_path: Path, suffix: str, bad: str) -> None:
    path = tmp_path / f"drive{suffix}"
    whole = save(path).decode()
    lines = [line for line in whole.splitlines() if line != "End TriggerBlock"]
    path.write_text("\n".join([*lines, bad, lines[-1], ""]))
    frames, fault = read_until_fault(path)
    assert len(frames) == 3
    assert fault.startswith(f":{len(lines) + 1}: "), fault


@pytest.mark.parametrize("suffix", [".asc", ".csv", ".trc"])
def test_line_cut_off_in_its_data_is_no_shorter_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drive{suffix}"
    lines = save(path).decode().removesuffix("End TriggerBlock\n").splitlines(keepends=True)
    path.write_text("".join(lines).rstrip()[:-3])
    frames, fault = read_until_fault(path)
    assert [frame.data for frame in frames] == [bytes(MESSAGE.data)] * 2
    assert fault.startswith(f":{len(lines)}: ")
    assert "cut off" in fault


@pytest.mark.parametrize("suffix", [".asc", ".csv", ".log", ".trc"])
def test_line_without_end_is_not_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drive{suffix}"
    whole = save(path)
    path.write_bytes(whole + b"1" * (LINE_BYTES_MAX + 1) + b"\n")
    fault = read_until_fault(path)[1]
    assert fault.startswith(f":{whole.count(10) + 1}: a line of more than {LINE_BYTES_MAX} bytes")


# --- BLF ----------------------------------------------------------------------------------------------------------

LOBJ = struct.Struct("<4sHHLL")


def blf(tmp_path: Path, objects: bytes, *, is_packed: bool = True) -> Path:
    """A log whose one container holds `objects`."""
    path = tmp_path / "drive.blf"
    head = save(path, 1)[:144]
    body = struct.pack("<H6xL4x", 2 if is_packed else 0, len(objects)) + (
        zlib.compress(objects) if is_packed else objects
    )
    path.write_bytes(head + LOBJ.pack(b"LOBJ", 16, 1, 16 + len(body), 10) + body)
    return path


def can_object(length: int = 48) -> bytes:
    head = LOBJ.pack(b"LOBJ", 32, 1, length, 1) + struct.pack("<LHHQ", 2, 0, 0, 0)
    return head + struct.pack("<HBBL8s", 1, 0, 8, 0x123, bytes(8))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("length", [0, 8, 31, 1 << 25])
def test_blf_object_of_impossible_length_is_told(tmp_path: Path, length: int, is_packed: bool) -> None:
    """With a length of 0 python-can stays where it is and gives the same frame again for ever."""
    path = blf(tmp_path, can_object() + can_object(length), is_packed=is_packed)
    assert f": an object of {length} bytes; " in read_until_fault(path)[1]


@pytest.mark.timeout(20)
def test_unknown_blf_object_without_length_holds_nothing_up(tmp_path: Path) -> None:
    """Of a kind python-can passes over: it would not even give frames while it turns."""
    path = blf(tmp_path, LOBJ.pack(b"LOBJ", 32, 1, 0, 77) + bytes(32))
    assert ": an object of 0 bytes; " in read_until_fault(path)[1]


def test_sound_blf_objects_are_read_across_containers(tmp_path: Path) -> None:
    path = blf(tmp_path, can_object() + can_object()[:20])
    first = path.read_bytes()
    padding = bytes((len(first) - 144) % 4)
    rest = zlib.compress(can_object()[20:] + can_object())
    body = struct.pack("<H6xL4x", 2, 76) + rest
    path.write_bytes(first + padding + LOBJ.pack(b"LOBJ", 16, 1, 16 + len(body), 10) + body)
    frames, fault = read_until_fault(path)
    assert (len(frames), fault) == (3, "")


@pytest.mark.parametrize("length", [0, 15, (1 << 32) - 1])
def test_blf_file_object_of_impossible_length_is_told_and_nothing_reserved(tmp_path: Path, length: int) -> None:
    path = tmp_path / "drive.blf"
    path.write_bytes(save(path, 1)[:144] + LOBJ.pack(b"LOBJ", 16, 1, length, 10) + bytes(64))
    fault = read_until_fault(path)[1]
    assert f": an object of {length - 16} bytes behind its head; " in fault


def test_blf_container_that_unpacks_without_end_is_told(tmp_path: Path) -> None:
    path = blf(tmp_path, bytes(1 << 25))
    assert ": a container of more than " in read_until_fault(path)[1]


def test_blf_that_ends_within_a_container_says_so(tmp_path: Path) -> None:
    path = blf(tmp_path, can_object() * 200, is_packed=False)
    path.write_bytes(path.read_bytes()[:-20])
    frames, fault = read_until_fault(path)
    assert len(frames) == 199
    assert "cut off" in fault


# --- SQLite -------------------------------------------------------------------------------------------------------


def database(tmp_path: Path, *statements: str) -> Path:
    path = tmp_path / "drive.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


TABLE = "CREATE TABLE messages (ts, arbitration_id, extended, remote, error, dlc, data)"


@pytest.mark.timeout(20)
def test_view_in_the_place_of_the_table_is_not_followed(tmp_path: Path) -> None:
    path = database(
        tmp_path,
        "CREATE VIEW messages AS WITH RECURSIVE n(ts, arbitration_id, extended, remote, error, dlc, data) AS"
        " (SELECT 0.0, 1, 0, 0, 0, 0, x'' UNION ALL SELECT ts + 1, 1, 0, 0, 0, 0, x'' FROM n) SELECT * FROM n",
    )
    assert ": there is no table 'messages' in it; " in read_until_fault(path)[1]


@pytest.mark.parametrize(
    "row",
    [
        "1.0, 291, 0, 0, 0, 8, 100000000",
        "1.0, 291, 0, 0, 0, 8, 'text'",
        "NULL, 291, 0, 0, 0, 8, x'00'",
        "'now', 291, 0, 0, 0, 8, x'00'",
        "9e999, 291, 0, 0, 0, 8, x'00'",
        "1.0, 291.5, 0, 0, 0, 8, x'00'",
        "1.0, NULL, 0, 0, 0, 8, x'00'",
        "1.0, 4096, 0, 0, 0, 8, x'00'",
        "1.0, 291, 0, 0, 0, 8, zeroblob(9)",
    ],
)
def test_row_that_is_no_frame_is_told(tmp_path: Path, row: str) -> None:
    path = database(
        tmp_path,
        TABLE,
        "INSERT INTO messages VALUES (1, 291, 0, 0, 0, 1, x'01')",
        f"INSERT INTO messages VALUES ({row})",  # noqa: S608 - our own rows
    )
    frames, fault = read_until_fault(path)
    assert [frame.data for frame in frames] == [b"\x01"]
    assert fault.startswith(": ")
    assert len(fault) < 200


def test_value_too_long_for_any_frame_is_not_fetched(tmp_path: Path) -> None:
    path = database(tmp_path, TABLE, "INSERT INTO messages VALUES (1.0, 291, 0, 0, 0, 8, zeroblob(100000))")
    assert "too big" in read_until_fault(path)[1]


def test_database_is_left_as_it_was(tmp_path: Path) -> None:
    path = database(tmp_path, TABLE)
    before = path.read_bytes()
    assert read_until_fault(path) == ([], "")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
