"""SavvyCAN's CSV in either unit of time, with and without direction, each fault with its line, and the way back."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.log_reader import read_log
from agent.adapters.log_savvycan import frames_in_savvycan
from agent.errors import ConfigurationError
from agent.model.frame import Frame

HEADER = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
HEADER_WITHOUT_DIRECTION = "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"

IN_MICROSECONDS = HEADER + (
    "166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,\n"
    "166064250,18DAF110,true,Tx,1,2,02,01,00,00,00,00,00,00,\n"
    "\n"
    "166065000,1BADCAFE,false,Rx,1,0,,,,,,,,,\r\n"
)
IN_SECONDS = HEADER_WITHOUT_DIRECTION + (
    "166.064000,0x21A,FALSE,0,8,FE,36,12,FE,69,5,7,AD\n166.06425,18DAF110,1,1,2,0x02,01\n166.065,1BADCAFE,TRUE,1,0\n"
)
FRAMES = [
    Frame("0", 0x21A, bytes.fromhex("FE3612FE690507AD"), 166.064),
    Frame("1", 0x18DAF110, b"\x02\x01", 166.06425, is_extended_id=True),
    Frame("1", 0x1BADCAFE, b"", 166.065, is_extended_id=True),
]


@pytest.mark.parametrize("packing", ["", ".gz", ".xz"])
@pytest.mark.parametrize("text", [IN_MICROSECONDS, IN_SECONDS], ids=["microseconds", "seconds"])
def test_either_unit_of_time_is_read_plain_and_packed(tmp_path: Path, text: str, packing: str) -> None:
    content = text.encode()
    path = tmp_path / f"drive.csv{packing}"
    path.write_bytes({"": content, ".gz": gzip.compress(content), ".xz": lzma.compress(content)}[packing])
    assert list(read_log(path)) == FRAMES


def test_csv_of_python_can_is_still_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    with can.Logger(path) as logger:
        logger(can.Message(timestamp=1.5, arbitration_id=0x123, is_extended_id=False, data=b"\x01"))
    assert list(read_log(path)) == [Frame("", 0x123, b"\x01", 1.5)]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("166.065000,21A,false,Rx,0,0,", "not in the unit of the lines before"),
        ("-1,21A,false,Rx,0,0,", "'-1' is no time"),
        ("now,21A,false,Rx,0,0,", "'now' is no time"),
        ("nan,21A,false,Rx,0,0,", "'nan' is no time"),
        ("1,21G,false,Rx,0,0,", "is no id"),
        ("1,21A,maybe,Rx,0,0,", "with true or false"),
        ("1,FFFFFFFF,true,Rx,0,0,", "is no 29-bit id"),
        ("1,21A,false,Rx,x,0,", "is no bus"),
        ("1,21A,false,Rx,0,-1,", "is no bus with a number of bytes"),
        ("1,21A,false,Rx,0,3,01,02,", "3 bytes in hexadecimal are announced"),
        ("1,21A,false,Rx,0,1,1FF,", "1 bytes in hexadecimal are announced"),
        ("1,21A,false", "3 columns"),
    ],
)
def test_line_that_is_no_frame_is_told_with_its_number(tmp_path: Path, bad: str, complaint: str) -> None:
    path = tmp_path / "drive.csv"
    path.write_text(IN_MICROSECONDS + bad + "\n")
    with pytest.raises(ConfigurationError) as fault:
        list(read_log(path))
    assert str(fault.value).startswith(f"{path}:{IN_MICROSECONDS.count(chr(10)) + 1}: ")
    assert complaint in str(fault.value)


def line_of(frame: Frame, *, is_in_seconds: bool, has_direction: bool, is_filled: bool) -> str:
    time = f"{frame.received_at_s:.6f}" if is_in_seconds else str(round(frame.received_at_s * 1_000_000))
    data = [f"{byte:02X}" for byte in frame.data]
    filling = ["00"] * (8 - len(data)) + [""] if is_filled else []
    cells = [time, f"{frame.arbitration_id:08X}", "true" if frame.is_extended_id else "false"]
    cells += ["Rx"] if has_direction else []
    return ",".join([*cells, frame.bus, str(len(data)), *data, *filling])


@given(
    microseconds=st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
    is_extended_id=st.booleans(),
    number=st.integers(0, 0x1FFF_FFFF),
    data=st.binary(max_size=64),
    bus=st.integers(0, 9),
    is_in_seconds=st.booleans(),
    has_direction=st.booleans(),
    is_filled=st.booleans(),
)
def test_any_frame_comes_back_from_its_line(
    microseconds: list[int], is_extended_id: bool, number: int, data: bytes, bus: int,
    is_in_seconds: bool, has_direction: bool, is_filled: bool,
) -> None:  # fmt: skip
    identifier = number if is_extended_id else number & 0x7FF
    frames = [
        Frame(str(bus), identifier, data, float(f"{each / 1e6:.6f}"), is_extended_id, len(data) > 8)
        for each in microseconds
    ]
    lines = [
        line_of(frame, is_in_seconds=is_in_seconds, has_direction=has_direction, is_filled=is_filled)
        for frame in frames
    ]
    header = HEADER if has_direction else HEADER_WITHOUT_DIRECTION
    assert list(frames_in_savvycan(header, iter(lines))) == frames
