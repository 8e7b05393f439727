"""A card to count on: an ext4 file system on a loop device, and what its block device says was written to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CARD_BYTES = 256 * 2**20
SECTOR_BYTES = 512

_STAT_WRITES, _STAT_SECTORS_WRITTEN = 4, 6
"""Fields of /sys/block/<device>/stat (Documentation/block/stat.rst)."""


@dataclass(frozen=True, slots=True)
class Written:
    """Since the card was mounted."""

    requests: int
    written_bytes: int


class Card:
    """A mounted card; `settle` does what the kernel does by itself every five seconds."""

    def __init__(self, mount: Path, device: str) -> None:
        self.mount = mount
        self._stat = Path("/sys/block") / device / "stat"
        self._descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.settle()
        self._begun = self._read()

    def settle(self) -> None:
        """Write all that the file system still holds back."""
        if self._libc.syncfs(self._descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def written(self) -> Written:
        """What the block device was given, all of it: data, the journal of ext4, its tables."""
        requests, sectors = self._read()
        return Written(requests - self._begun[0], (sectors - self._begun[1]) * SECTOR_BYTES)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> tuple[int, int]:
        fields = self._stat.read_text().split()
        return int(fields[_STAT_WRITES]), int(fields[_STAT_SECTORS_WRITTEN])


@contextlib.contextmanager
def mounted_card(folder: Path) -> Iterator[Card]:
    """A new card as Raspberry Pi OS has it (ext4, noatime). OSError where this process may not mount one."""
    image, mount = folder / "card.img", folder / "card"
    with image.open("wb") as file:
        file.truncate(CARD_BYTES)
    mount.mkdir()
    # Tables written at once and not later by themselves, which would be counted as ours.
    _run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(mount))
    try:
        card = Card(mount, _device(mount))
        try:
            yield card
        finally:
            card.close()
    finally:
        _run("umount", str(mount))


def _device(mount: Path) -> str:
    """Name of the block device mounted there, as /sys knows it."""
    number = mount.stat().st_dev
    return (Path("/sys/dev/block") / f"{os.major(number)}:{os.minor(number)}").resolve().name


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise OSError(f"{command[0]}: not installed") from error
    except subprocess.CalledProcessError as error:
        raise OSError(f"{command[0]}: {error.stderr.strip()}") from error
