"""Recorded logs in every format python-can writes, packed and not, whole and cut off."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.log_reader import SUFFIXES, read_log
from agent.adapters.log_text import CRTD_SUFFIXES, candump_frame
from agent.errors import ConfigurationError
from agent.model.frame import Frame

MESSAGES = [
    can.Message(
        timestamp=1_700_000_000 + number / 8,
        arbitration_id=0x18DAF110 if number % 3 == 0 else 0x100 + number,
        is_extended_id=number % 3 == 0,
        data=bytes([number, 0xFF, 0x00]),
        channel=0,
        is_rx=True,
    )
    for number in range(50)
]

CANDUMP = b"""\
(1000000000.000000) ev 1DB#EC80C3AA00F640F8
(1000000000.250000) ev 5BC#
(1000000001.000000) can0 18DAF110#0203
(1000000002.000000) can0 123##3AABB R
(1000000003.000000) ev 123#R8
(1000000004.000000) ev 20000080#0000000000000000
(1000000005.000000) ev 20000004#0008000000000000

(1000000006.500000) ev 7FF#01 T
"""

CANDUMP_FRAMES = [
    Frame("ev", 0x1DB, bytes.fromhex("EC80C3AA00F640F8"), 1000000000.0),
    Frame("ev", 0x5BC, b"", 1000000000.25),
    Frame("can0", 0x18DAF110, b"\x02\x03", 1000000001.0, is_extended_id=True),
    Frame("can0", 0x123, b"\xaa\xbb", 1000000002.0, is_fd=True),
    Frame("ev", 0x7FF, b"\x01", 1000000006.5),
]


def save(path: Path) -> Path:
    """MESSAGES as python-can writes them, an error frame and a remote frame among them."""
    with can.Logger(path) as logger:
        for number, message in enumerate(MESSAGES):
            logger(message)
            if number == 20:
                logger(can.Message(timestamp=message.timestamp, is_error_frame=True, channel=0))
                logger(
                    can.Message(timestamp=message.timestamp, arbitration_id=7, is_remote_frame=True, dlc=3, channel=0)
                )
    return path


def pack(path: Path, packing: str) -> Path:
    packed = path.with_name(path.name + packing)
    raw = path.read_bytes()
    packed.write_bytes(gzip.compress(raw) if packing == ".gz" else lzma.compress(raw))
    path.unlink()
    return packed


def read_until_fault(path: Path) -> tuple[list[Frame], str]:
    """The frames a log gives, and the fault it ends with (empty if none)."""
    log = read_log(path)
    frames: list[Frame] = []
    while True:
        try:
            frames.append(next(log))
        except StopIteration:
            return frames, ""
        except ConfigurationError as fault:
            return frames, str(fault)


def test_candump_lines_become_frames_and_errors_and_remote_frames_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_bytes(CANDUMP)
    assert read_until_fault(path) == (CANDUMP_FRAMES, "")


@pytest.mark.parametrize("packing", ["", ".gz", ".xz"])
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in CRTD_SUFFIXES])
def test_every_format_python_can_writes_is_read_plain_and_packed(tmp_path: Path, suffix: str, packing: str) -> None:
    path = save(tmp_path / f"a.drive{suffix}")
    if packing:
        path = pack(path, packing)
    frames, fault = read_until_fault(path)
    assert fault == ""
    assert [(frame.arbitration_id, frame.is_extended_id, frame.data) for frame in frames] == [
        (message.arbitration_id, message.is_extended_id, bytes(message.data)) for message in MESSAGES
    ]
    spans = [frame.received_at_s - frames[0].received_at_s for frame in frames]
    assert spans == pytest.approx([number / 8 for number in range(50)], abs=2e-3)


@pytest.mark.parametrize("cut", range(1, 44))
def test_a_candump_log_cut_off_gives_what_was_whole_and_then_says_where(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "drive.log"
    lines = b"".join(b"(1000000000.%06d) ev 1DB#EC80C3AA00F640F8\n" % number for number in range(10))
    path.write_bytes(lines[:-cut])
    frames, fault = read_until_fault(path)
    assert len(frames) == 9
    assert fault.startswith(f"{path}:10: ")


@pytest.mark.parametrize("packing", [".gz", ".xz"])
@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf", ".csv"])
def test_a_packed_log_cut_off_gives_what_was_whole_and_then_says_so(tmp_path: Path, suffix: str, packing: str) -> None:
    path = pack(save(tmp_path / f"drive{suffix}"), packing)
    path.write_bytes(path.read_bytes()[:-20])
    frames, fault = read_until_fault(path)
    assert str(path) in fault
    assert "cut off" in fault or "damaged" in fault
    assert len(frames) <= 50


@pytest.mark.parametrize("suffix", [".blf", ".db", ".trc", ".csv"])
def test_a_binary_or_library_format_that_is_garbled_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drive{suffix}"
    path.write_bytes(b"\x00garbage, and not a log at all\n" * 100)
    frames, fault = read_until_fault(path)
    assert frames == []
    assert str(path) in fault


def test_a_file_that_is_not_packed_as_its_name_says_is_told(tmp_path: Path) -> None:
    for packing in (".gz", ".xz"):
        path = tmp_path / f"drive.log{packing}"
        path.write_bytes(CANDUMP)
        assert "not compressed as its name says" in read_until_fault(path)[1]


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("drive.txt", "drive", "drive.gz", "drive.mf4", "drive.log.zip"):
        (tmp_path / name).touch()
        fault = read_until_fault(tmp_path / name)[1]
        assert all(suffix in fault for suffix in SUFFIXES), name
        assert ".gz or .xz" in fault


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in ("drive.log", "drive.blf", "drive.blf.gz"):
        assert read_until_fault(tmp_path / name) == ([], f"{tmp_path / name}: no such file")


@pytest.mark.parametrize(
    "line",
    [
        "1000000000.0 ev 123#00",
        "(1000000000.0) ev 123",
        "(1000000000.0) ev 123#0",
        "(1000000000.0) ev 123#0G",
        "(1000000000.0) ev 1234#00",
        "(1000000000.0) ev 800#00",
        "(1000000000.0) ev 123#000000000000000000",
        "(1000000000.0) ev 123##0" + "00" * 65,
        "(1000000000.0) 123#00",
        "(-1.0) ev 123#00",
        "(nan) ev 123#00",
        "(1e9) ev 123#00",
        "(1000000000.0) ev 123#00 X",
        "  can0  123   [2]  00 11",
        "\u0661",
    ],
)
def test_a_line_that_is_no_candump_line_is_no_frame(line: str) -> None:
    with pytest.raises(ValueError):
        candump_frame(line)


@given(st.text())
def test_any_text_is_a_frame_or_a_fault(line: str) -> None:
    try:
        frame = candump_frame(line)
    except ValueError:
        return
    assert frame is None or len(frame.data) <= 64


@given(
    st.integers(0, 0x7FF) | st.integers(0, 0x1FFFFFFF).map(lambda number: number | 1 << 32),
    st.binary(max_size=8),
    st.integers(0, 2_000_000_000_000_000),
)
def test_what_python_can_writes_as_candump_is_read_back(tagged_id: int, data: bytes, time_us: int) -> None:
    is_extended_id = bool(tagged_id >> 32)
    arbitration_id = tagged_id & 0x1FFFFFFF
    digits = 8 if is_extended_id else 3
    line = f"({time_us // 1_000_000}.{time_us % 1_000_000:06d}) vcan0 {arbitration_id:0{digits}X}#{data.hex().upper()}"
    frame = candump_frame(line)
    assert frame == Frame("vcan0", arbitration_id, data, float(f"{time_us / 1e6:.6f}"), is_extended_id)


def test_the_unpacked_copy_of_a_log_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    log = read_log(pack(save(tmp_path / "drive.db"), ".gz"))
    next(log)
    assert list((tmp_path / "tmp").iterdir())
    log.close()  # type: ignore[attr-defined]
    assert not list((tmp_path / "tmp").iterdir())
