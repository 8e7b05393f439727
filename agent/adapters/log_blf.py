"""Vector's binary logs by python-can, which trusts every length in them; here they are asked first.

An object that claims less than its own header keeps python-can 4.6.1 at one place for ever, one that claims gigabytes
has them reserved, and a file that ends within an object ends without a word.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import can

from agent.adapters.log_frame import LogFaultError, frame_of
from agent.model.frame import Frame

# Signature, header's length, header's version, object's length, object's type: the beginning of every object.
_OBJECT = struct.Struct("<4sHHLL")
_SIGNATURE = b"LOBJ"
_CONTAINER = 10
_CONTAINER_HEAD_BYTES = 16
_DEFLATE = 2

# The shorter of the two headers an object within a container can have.
_OBJECT_BYTES_MIN = 32

# Tools make containers of 128 KiB; nothing in one is longer than a text or a picture of the screen.
OBJECT_BYTES_MAX = 16 << 20


def frames_in_blf(file: BinaryIO) -> Iterator[Frame]:
    """Frames of a log. Raises LogFaultError, EOFError for one that was cut off, and whatever python-can trips over."""
    guarded = _Guarded(file)
    yield from filter(None, map(frame_of, can.BLFReader(cast("BinaryIO", guarded))))
    if guarded.is_cut_off:
        raise EOFError


class _Guarded:
    """The file as python-can reads it: an object's head, then its body, then what fills it up to a whole word."""

    def __init__(self, file: BinaryIO) -> None:
        self.is_cut_off = False
        self._file = file
        self._is_container_next = False
        self._objects = _Objects()

    def read(self, length: int) -> bytes:
        if not 0 <= length <= OBJECT_BYTES_MAX:
            raise LogFaultError(f"an object of {length} bytes behind its head")
        data = self._file.read(length)
        if self._is_container_next:
            self._objects.check(_unpacked(data))
        self._is_container_next = False
        if len(data) == _OBJECT.size and data.startswith(_SIGNATURE):
            self._is_container_next = _OBJECT.unpack(data)[4] == _CONTAINER
        # The last object need not be filled up, and where one could begin the file may end.
        self.is_cut_off |= len(data) < length and (length > _OBJECT.size or bool(data))
        return data

    def close(self) -> None:
        """The file's owner closes it."""


class _Objects:
    """What the containers hold, one behind the other: an object may begin in one and end in the next."""

    def __init__(self) -> None:
        self._tail = b""

    def check(self, data: bytes) -> None:
        """Raises LogFaultError for an object that cannot be as long as it says."""
        data = self._tail + data
        position = 0
        while (begin := data.find(_SIGNATURE, position, position + 8)) >= 0 and begin + _OBJECT.size <= len(data):
            length = _OBJECT.unpack_from(data, begin)[3]
            if not _OBJECT_BYTES_MIN <= length <= OBJECT_BYTES_MAX:
                raise LogFaultError(f"an object of {length} bytes")
            if begin + length > len(data):
                break
            position = begin + length
        self._tail = data[position:]
        if len(self._tail) > OBJECT_BYTES_MAX:
            raise LogFaultError(f"an object of more than {OBJECT_BYTES_MAX} bytes")


def _unpacked(container: bytes) -> bytes:
    """The objects of a container as far as it is whole; raises LogFaultError if they are too many."""
    packed = container[_CONTAINER_HEAD_BYTES:]
    if container[:2] != _DEFLATE.to_bytes(2, "little"):
        return packed
    unpacked = zlib.decompressobj().decompress(packed, OBJECT_BYTES_MAX + 1)
    if len(unpacked) > OBJECT_BYTES_MAX:
        raise LogFaultError(f"a container of more than {OBJECT_BYTES_MAX} bytes")
    return unpacked
