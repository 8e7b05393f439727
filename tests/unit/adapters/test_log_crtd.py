"""CRTD logs: each kind of line, each fault with its line, and any frame through a written line and back."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.log_crtd import crtd_frame
from agent.adapters.log_frame import LogFaultError
from agent.adapters.log_reader import read_log
from agent.errors import ConfigurationError
from agent.model.frame import Frame

LOG = b"""\
1545334.100000 CXX Info Type:crtd; Path:'/sd/drive.crtd'; Filter:off;
1545334.100000 CVR 3.1
1545334.200000 1R11 213 00 c0
1545334.200 2T11 7DF 2 1 C\r
1545334.300000 R29 18daf110 02 01
1545334.400000 2CER TX_Fail T11 7DF 02 01 0C
1545334.400000 1CST intr=0 rxpkt=0 txpkt=0 errflags=0
1545334.500000 CEV vehicle.on

1545334.600000 3XYZ what a later version may say
1545334.700000 3R29 00000123
"""

FRAMES = [
    Frame("1", 0x213, b"\x00\xc0", 1545334.2),
    Frame("2", 0x7DF, b"\x02\x01\x0c", 1545334.2),
    Frame("1", 0x18DAF110, b"\x02\x01", 1545334.3, is_extended_id=True),
    Frame("3", 0x123, b"", 1545334.7, is_extended_id=True),
]


def packed(content: bytes, packing: str) -> bytes:
    match packing:
        case ".gz":
            return gzip.compress(content)
        case ".xz":
            return lzma.compress(content)
        case _:
            return content


@pytest.mark.parametrize("packing", ["", ".gz", ".xz"])
@pytest.mark.parametrize("suffix", [".crtd", ".crt"])
def test_frames_of_every_version_are_read_and_other_records_are_not(tmp_path: Path, suffix: str, packing: str) -> None:
    path = tmp_path / f"drive{suffix}{packing}"
    path.write_bytes(packed(LOG, packing))
    assert list(read_log(path)) == FRAMES


def test_byte_order_mark_is_no_part_of_the_first_time(tmp_path: Path) -> None:
    path = tmp_path / "drive.crtd"
    path.write_bytes("\ufeff1.0 R11 1 2\n".encode())
    assert list(read_log(path)) == [Frame("1", 1, b"\x02", 1.0)]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("1545334.3 1R11", "R11 without an id"),
        ("1545334.3 1R11 zz 00", "R11 without an id"),
        ("1545334.3 1R11 800 00", "800 is no 11-bit id"),
        ("1545334.3 1R29 20000000 00", "20000000 is no 29-bit id"),
        ("1545334.3 1R11 123 00 100", "'100' is no byte"),
        ("1545334.3 1R11 123 00 GG", "'GG' is no byte"),
        ("1545334.3 1R11 123 00 00 00 00 00 00 00 00 00", "9 bytes of data"),
        ("1R11 123 00", "is not 'seconds"),
        ("nan R11 123 00", "is not 'seconds"),
        ("-1.0 R11 123 00", "is not 'seconds"),
        ("(1545334.3) can0 123#00", "is not 'seconds"),
        ("1545334.3 CVR 4.0", "version 4.0 of CRTD"),
    ],
)
def test_line_that_is_no_record_is_told_with_its_number(tmp_path: Path, bad: str, complaint: str) -> None:
    path = tmp_path / "drive.crtd"
    path.write_bytes(LOG + bad.encode() + b"\n1545335.0 R11 1 2\n")
    read: list[Frame] = []
    with pytest.raises(ConfigurationError) as fault:
        read.extend(iter(read_log(path)))
    assert str(fault.value).startswith(f"{path}:{LOG.count(10) + 1}: ")
    assert complaint in str(fault.value)


def test_frames_before_a_bad_line_are_given(tmp_path: Path) -> None:
    path = tmp_path / "drive.crtd"
    path.write_bytes(LOG + b"garbage\n")
    log, read = read_log(path), []
    with pytest.raises(ConfigurationError):
        for frame in log:
            read.append(frame)  # noqa: PERF402 - what came before the fault is what is asked
    assert read == FRAMES


def line_of(frame: Frame, *, is_upper: bool, is_padded: bool, letter: str) -> str:
    """A frame as the format has it, in each of the ways it leaves open."""
    digits, byte = ((8 if frame.is_extended_id else 3), 2) if is_padded else (1, 1)
    text = " ".join([f"{frame.arbitration_id:0{digits}x}", *(f"{one:0{byte}x}" for one in frame.data)])
    kind = f"{letter}{29 if frame.is_extended_id else 11}"
    return f"{frame.received_at_s:.6f} {frame.bus}{kind} {text.upper() if is_upper else text}"


@given(
    is_extended_id=st.booleans(),
    number=st.integers(0, 0x1FFF_FFFF),
    data=st.binary(max_size=8),
    microseconds=st.integers(0, 2_000_000_000_000_000),
    bus=st.integers(1, 9),
    is_upper=st.booleans(),
    is_padded=st.booleans(),
    letter=st.sampled_from("RT"),
)
def test_any_frame_comes_back_from_its_line(
    is_extended_id: bool, number: int, data: bytes, microseconds: int, bus: int,
    is_upper: bool, is_padded: bool, letter: str,
) -> None:  # fmt: skip
    identifier = number if is_extended_id else number & 0x7FF
    frame = Frame(str(bus), identifier, data, float(f"{microseconds / 1e6:.6f}"), is_extended_id)
    assert crtd_frame(line_of(frame, is_upper=is_upper, is_padded=is_padded, letter=letter)) == frame


@given(st.text(max_size=80))
def test_any_text_is_a_frame_a_remark_or_a_fault(text: str) -> None:
    try:
        frame = crtd_frame(text)
    except LogFaultError:
        return
    assert frame is None or (len(frame.data) <= 8 and frame.arbitration_id <= 0x1FFF_FFFF)
