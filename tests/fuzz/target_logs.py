"""Log files of any content in every format, plain and packed: frames a bus can carry, then at most one clear error."""

from __future__ import annotations

import gzip
import io
import lzma
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can

from agent.adapters.log_reader import SUFFIXES, read_log
from agent.adapters.log_text import CRTD_SUFFIXES
from agent.errors import ConfigurationError
from agent.model.frame import Frame
from tests.fuzz.intake import Intake

FORMATS = (".asc", ".csv", ".log", ".trc", ".blf", ".db", ".crt", ".crtd")
"""In an order of their own, which the inputs kept in `corpus/` count by: a new format comes last."""

PACKINGS = ("", ".gz", ".xz")
TEXT_FORMATS = (".asc", ".crt", ".crtd", ".csv", ".log", ".trc")
FRAMES_A_BYTE_MAX = 1.0
"""No format writes a frame in less than some ten bytes; a reader that gives more of them has lost its way."""

UNPACKED_BYTES_MAX = 1 << 16

TOKENS = (
    b"nan", b"inf", b"-1", b"1e400", b"800", b"20000000", b"FFFFFFFF", b"#", b"##1", b"#R", b",", b"\n", b"\n;",
    b"\r\n", b"CANFD", b"Rx", b"ErrorFrame", b"1.0,0x123,0,0,0,1,AA==\n", b"base dec", b";$FILEVERSION=2.1\n",
    b"LOBJ", b"LOGG", b"\x0a\x00\x00\x00", bytes(4), b"\xff" * 4, b"\x10\x00\x00\x00", b"\x01\x00", b"messages",
    b"CREATE VIEW", b"\x1f\x8b", b"\xfd7zXZ", b"\n1.5 2R11 213 0 C0\n", b"\n1.5 T29 1234 0\n", b"CVR 3.1",
    b"Time Stamp,ID,Extended,Dir,Bus,LEN,D1\n", b"\n1500000,0000021A,false,Rx,0,1,FE,\n", b"\n1.5,21A,true,Tx,1,0,\n",
)  # fmt: skip
"""What the formats are made of."""

_PACKED_HERE, _AS_IT_IS = range(2)
"""Whether the content is packed as the name says, or is whatever the fuzzer has made of a packed one."""


def run(data: bytes) -> None:
    intake = Intake(data)
    suffix, packing = FORMATS[intake.number() % len(FORMATS)], PACKINGS[intake.number() % len(PACKINGS)]
    is_packed_here = intake.number() % 2 == _PACKED_HERE
    content = intake.rest()
    if is_packed_here:
        content = content[:UNPACKED_BYTES_MAX]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / f"drive{suffix}{packing}"
        path.write_bytes(_packed(content, packing) if is_packed_here else content)
        frames, fault = _read(path, frames_max=1 + int(len(content) * FRAMES_A_BYTE_MAX))
        left_behind = [one for one in Path(folder).iterdir() if one != path]
    assert left_behind == []
    for frame in frames:
        check_frame(frame)
    if fault is not None:
        check_fault(fault, path, suffix)


def _packed(content: bytes, packing: str) -> bytes:
    match packing:
        case ".gz":
            return gzip.compress(content, 1)
        case ".xz":
            return lzma.compress(content, preset=0)
    return content


def _read(path: Path, frames_max: int) -> tuple[list[Frame], str | None]:
    """What the log gives before its fault, and that, None if it is read to its end."""
    log, frames = read_log(path), []
    while True:
        try:
            frames.append(next(log))
        except StopIteration:
            return frames, None
        except ConfigurationError as error:
            assert next(log, None) is None, "it goes on behind its fault"
            return frames, str(error)
        assert len(frames) <= frames_max, f"more frames than {path} has room for"


def check_frame(frame: Frame) -> None:
    assert 0 <= frame.arbitration_id <= (0x1FFF_FFFF if frame.is_extended_id else 0x7FF)
    assert type(frame.data) is bytes
    assert len(frame.data) <= (64 if frame.is_fd else 8)
    assert type(frame.received_at_s) is float
    assert math.isfinite(frame.received_at_s)
    assert type(frame.bus) is str
    assert len(frame.bus) <= 64


def check_fault(fault: str, path: Path, suffix: str) -> None:
    """One line of words: the file, the line where the format has lines, and what is wrong."""
    assert fault.startswith(f"{path}:")
    assert "\n" not in fault
    assert len(fault) < len(str(path)) + 400
    place = fault.removeprefix(f"{path}:").partition(" ")[0]
    if suffix in TEXT_FORMATS:
        assert place.rstrip(":").isdecimal(), fault


def messages() -> Iterator[can.Message]:
    """Made up: both kinds of identifier, no data and all of it, CAN FD, an error frame, a remote frame."""
    for number, data in enumerate((b"", b"\x01", bytes(range(8)), b"\xff" * 8)):
        yield _message(number / 8, 0x100 + number, data=data)
    yield can.Message(timestamp=1e9 + 1, arbitration_id=0x18DAF110, data=b"\x02\x03", channel=1, is_rx=False)
    yield _message(2, 0x123, is_fd=True, data=bytes(12))
    yield can.Message(timestamp=1e9 + 3, is_error_frame=True, channel=0)
    yield _message(4, 7, is_remote_frame=True, dlc=3)


def _message(after_s: float, arbitration_id: int, **further: Any) -> can.Message:
    return can.Message(
        timestamp=1e9 + after_s, arbitration_id=arbitration_id, is_extended_id=False, channel=0, **further
    )


def written(suffix: str) -> bytes:
    """`messages` as python-can writes them in the format of that suffix, as far as it can hold them."""
    if suffix in CRTD_SUFFIXES:
        return CRTD
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / f"drive{suffix}"
        with can.Logger(path) as logger:
            for message in messages():
                if message.is_fd and suffix in (".csv", ".db"):
                    continue  # they have no column for it
                logger(message)
        return path.read_bytes()


TRC_1_1 = b""";$FILEVERSION=1.1
;$STARTTIME=43008.920986006946
;---+--   ----+----  --+--  ----+---  +  -+ -- -- -- -- -- -- --
     1)      1059.9  Rx         0300  8  00 00 00 00 04 00 00 00
     2)      1283.2  Rx     00000300  2  01 02
     3)      1283.3  Error      0008  4  00 19 08 08
"""
TRC_1_3 = b""";$FILEVERSION=1.3
;$STARTTIME=43008.920986006946
     1)      1059.900 1  Rx        0300 -  8    00 00 00 00 04 00 00 00
     2)      1283.231 1  Rx    00000300 -  2    01 02
"""
TRC_1_0 = b"""     1)  1059.9  0300  8  00 00 00 00 04 00 00 00
     2)  1283.2  FFFFFFFF  4  00 00 00 04
     3)  1283.3  0301  3  RTR
"""
CRTD = b"""1545334.1 CXX Info Type:crtd; Filter:off;
1545334.1 CVR 3.1
1545334.200000 1R11 213 00 c0
1545334.200 2T11 7DF 2 1 C
1545334.300000 R29 18daf110 02 01
1545334.400000 2CER TX_Fail T11 7DF 02 01 0C
1545334.700000 3R29 00000123
"""
SAVVYCAN = b"""Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8
166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,
166064250,18DAF110,true,Tx,1,2,02,01,00,00,00,00,00,00,
"""
SAVVYCAN_SECONDS = b"""Time Stamp,ID,Extended,Bus,LEN,D1,D2
166.064000,21A,0,0,2,FE,36
166.06425,18DAF110,1,1,1,02
"""
ASC = b"""date Sat Sep 30 15:06:13.191 2017
base dec  timestamps relative
internal events logged
// version 9.0.0
Begin Triggerblock Sat Sep 30 15:06:13.191 2017
   0.000000 Start of measurement
   2.501000 1  291             Rx   d 2 1 255
   3.501000 CANFD   1 Rx  291  x  1 0 9 12 0 1 2 3 4 5 6 7 8 9 10 11 0 0 0 0
   4.876870 2  ErrorFrame
End TriggerBlock
"""


def seeds() -> Iterator[tuple[str, bytes]]:
    """Every format as python-can writes it, plain and packed, cut off, and older dialects by hand."""
    assert set(FORMATS) == set(SUFFIXES)
    for index, suffix in enumerate(FORMATS):
        whole = written(suffix)
        name = suffix[1:]
        yield name, bytes([index, 0, _AS_IT_IS]) + whole
        yield f"{name}_cut", bytes([index, 0, _AS_IT_IS]) + whole[:-9]
        for number, packing in enumerate(PACKINGS[1:], 1):
            yield f"{name}_{packing[1:]}", bytes([index, number, _PACKED_HERE]) + whole
    by_hand = {
        "trc_1_1": TRC_1_1, "trc_1_3": TRC_1_3, "trc_1_0": TRC_1_0, "asc_dec": ASC,
        "csv_savvycan": SAVVYCAN, "csv_savvycan_seconds": SAVVYCAN_SECONDS,
    }  # fmt: skip
    for name, content in by_hand.items():
        yield name, bytes([FORMATS.index(f".{name[:3]}"), 0, _AS_IT_IS]) + content
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(written(".log"))
    yield "log_gz_cut", bytes([FORMATS.index(".log"), 1, _AS_IT_IS]) + packed.getvalue()[:-6]
