"""What a process did to the files of one folder, recorded with strace and read back as values.

A call that changes a file there in a way not known here is an error, never passed over: a model of the disk that
misses a write would prove nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OPENING = ("open", "openat", "creat")
NAMING = (
    *("truncate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"),
)
WRITING = (
    *("lseek", "write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate"),
    *("copy_file_range", "sendfile", "splice", "mmap", "fsync", "fdatasync", "sync_file_range", "syncfs"),
)
"""Everything on Linux that changes or syncs a file: by opening it, by its name, by its descriptor. What an architecture
does not have is left out by strace (the "?" below)."""

STRING_BYTES_MAX = 16 << 20
"""More than any store writes at once; strace cuts longer ones and says so with dots, which is an error here."""

RECORDING_S = 60.0

SHARED_MEMORY = "-shm"
"""Ending of SQLite's index of the log: mapped memory that is made anew after a crash, so it needs no disk."""


class UnknownCallError(Exception):
    """The traced process changed a file in a way that is not modelled, or strace wrote what is not understood."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new, empty file. All names are relative to the folder."""

    name: str


@dataclass(frozen=True, slots=True)
class FolderMade:
    """The folder itself is new."""


@dataclass(frozen=True, slots=True)
class Written:
    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    """Cut off, or filled up with zeros, at `size` bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """`fsync` or `fdatasync` of a file has returned."""

    name: str


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """The names in the folder are durable."""


@dataclass(frozen=True, slots=True)
class ParentSynced:
    """The name of the folder itself is durable."""


@dataclass(frozen=True, slots=True)
class Removed:
    name: str


@dataclass(frozen=True, slots=True)
class Renamed:
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Said:
    """The process wrote this to its standard output."""

    text: str


Call = Created | FolderMade | Written | Truncated | Synced | FolderSynced | ParentSynced | Removed | Renamed | Said


@cache
def is_traceable() -> bool:
    """Whether strace is here and the kernel lets it trace, which some containers do not."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0


def record(command: Sequence[str | Path], folder: Path) -> tuple[Call, ...]:
    """Run the command to its end, which must be a good one, and return what it did to `folder` and said."""
    folder = folder.resolve()
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    output = folder.with_name(f"{folder.name}.strace")
    calls = ",".join(f"?{call}" for call in (*OPENING, *NAMING, *WRITING))
    tracer = ["strace", "--follow-forks", "--decode-fds=path", "--strings-in-hex=all", "--signal=none", "--quiet=all"]
    limits = ["--string-limit", str(STRING_BYTES_MAX), "--trace", calls, "--output", output]
    done = subprocess.run(
        [str(word) for word in (*tracer, *limits, "--", *command)],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=RECORDING_S,
    )
    if done.returncode != 0:
        raise UnknownCallError(f"{command} ended with status {done.returncode}: {done.stderr.decode()[-2000:]}")
    with output.open(encoding="ascii") as lines:
        return tuple(read_trace(lines, folder, names))


def said_with_fault(command: Sequence[str | Path], paths: Sequence[Path], fault: str) -> tuple[str, ...]:
    """Run the command with one call on these paths failing, and return the lines it said.

    `fault` is strace's: `CALLS:error=NAME:when=NUMBER`, the number counted by each thread for itself.
    """
    on_paths = [word for path in paths for word in ("--trace-path", str(path))]
    tracer = ["strace", "--follow-forks", "--output", os.devnull, *on_paths, f"--inject={fault}", "--quiet=all"]
    done = subprocess.run(
        [*tracer, "--", *map(str, command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RECORDING_S,
    )
    if done.returncode != 0:
        raise UnknownCallError(f"{command} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return tuple(done.stdout.splitlines())


LINE = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|0x[0-9a-f]+)(?:[< ].*)?\n")
UNFINISHED = re.compile(r"(?P<thread>\d+) +(?P<begin>\w+\(.*?) ?<unfinished \.\.\.>\n")
RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<end>.*\n)")
WITHOUT_RESULT = re.compile(r"\d+ +(?:\+\+\+ .* \+\+\+|.* = \?.*)\n")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
DESCRIPTOR = re.compile(r"\b(\d+)<((?:\\x[0-9a-f]{2})*)>")

STANDARD_OUTPUT = "1"


def read_trace(lines: Iterable[str], folder: Path, names: Iterable[str] = ()) -> Iterator[Call]:
    """The calls in the order in which they returned; `names` are the files that were there before.

    One that another thread interrupted counts at its end: a crash before that may have lost it, as it may any other.
    """
    reader = _Reader(folder, names)
    begun: dict[str, str] = {}
    for line in lines:
        if found := UNFINISHED.fullmatch(line):
            begun[found["thread"]] = found["begin"]
            continue
        whole = line
        if found := RESUMED.fullmatch(line):
            whole = f"{found['thread']} {begun.pop(found['thread'])}{found['end']}"
        if found := LINE.fullmatch(whole):
            if not found["result"].startswith("-"):
                yield from reader.read(_Line(found["name"], found["arguments"], int(found["result"], 0)))
        elif not WITHOUT_RESULT.fullmatch(whole):
            raise UnknownCallError(whole)


class _Line:
    """One call as strace wrote it, taken apart."""

    def __init__(self, name: str, arguments: str, result: int) -> None:
        self.name = name
        self.arguments = arguments
        self.result = result
        found = STRING.findall(arguments)
        if any(dots for _, dots in found):
            raise UnknownCallError(f"{name}: a string of more than {STRING_BYTES_MAX} bytes")
        self.strings = [_unescape(text) for text, _ in found]
        descriptors = DESCRIPTOR.findall(arguments)
        self.descriptor = descriptors[0][0] if descriptors else ""
        self.paths = [_unescape(path).decode() for _, path in descriptors]
        """Of its descriptors, and those it names."""
        if name in (*OPENING, *NAMING):
            self.paths = [text.decode() for text in self.strings]

    def last_number(self) -> int:
        return int(self.arguments.rpartition(",")[2])

    def __str__(self) -> str:
        return f"{self.name}({self.arguments[:500]}) = {self.result}"


class _Reader:
    """Turns one line after the other into calls; it knows which names exist and where each descriptor stands."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = str(folder)
        self._parent = str(folder.parent)
        self._names = set(names)
        self._positions: dict[str, int] = {}

    def read(self, line: _Line) -> Iterator[Call]:
        if line.name == "write" and line.descriptor == STANDARD_OUTPUT:
            yield Said(line.strings[0][: line.result].decode())
        elif line.name in ("fsync", "fdatasync") and line.paths == [self._parent]:
            yield ParentSynced()
        elif line.name in NAMING and not all(path.startswith("/") for path in line.paths):
            raise UnknownCallError(f"a name that does not say where: {line}")
        elif not any(map(self._is_inside, line.paths)) or any(path.endswith(SHARED_MEMORY) for path in line.paths):
            return
        elif line.name in OPENING:
            yield from self._opened(line)
        elif line.name in NAMING:
            yield from self._named(line)
        else:
            yield from self._changed(line)

    def _opened(self, line: _Line) -> Iterator[Call]:
        (path,) = line.paths
        name = path.removeprefix(f"{self._folder}/")
        if path == self._folder:
            return
        if name in self._names:
            if "O_TRUNC" in line.arguments or line.name == "creat":
                yield Truncated(name, 0)
        elif "O_CREAT" in line.arguments or line.name == "creat":
            self._names.add(name)
            yield Created(name)
        else:
            raise UnknownCallError(f"a file that nobody made: {line}")

    def _named(self, line: _Line) -> Iterator[Call]:
        match line.name:
            case "mkdir" | "mkdirat" if line.paths == [self._folder]:
                yield FolderMade()
            case "unlink" | "unlinkat" if "AT_REMOVEDIR" not in line.arguments:
                name = self._known(line.paths[0])
                self._names.remove(name)
                yield Removed(name)
            case "rename" | "renameat" | "renameat2" if "RENAME_EXCHANGE" not in line.arguments:
                name, to = self._known(line.paths[0]), line.paths[1].removeprefix(f"{self._folder}/")
                self._names.remove(name)
                self._names.add(to)
                yield Renamed(name, to)
            case _:
                raise UnknownCallError(str(line))

    def _changed(self, line: _Line) -> Iterator[Call]:
        path = line.paths[0]
        match line.name:
            case "fsync" | "fdatasync":
                yield FolderSynced() if path == self._folder else Synced(self._known(path))
            case "pwrite64":
                yield Written(self._known(path), line.last_number(), line.strings[0][: line.result])
            case "lseek":
                self._positions[line.descriptor] = line.result
            case "write" if line.descriptor in self._positions:
                # SQLite built without pwrite seeks before each write; anything else has no known place.
                offset = self._positions.pop(line.descriptor)
                yield Written(self._known(path), offset, line.strings[0][: line.result])
            case "ftruncate":
                yield Truncated(self._known(path), line.last_number())
            case "mmap" if "MAP_SHARED" not in line.arguments or "PROT_WRITE" not in line.arguments:
                pass
            case _:
                raise UnknownCallError(str(line))

    def _is_inside(self, path: str) -> bool:
        return path == self._folder or path.startswith(f"{self._folder}/")

    def _known(self, path: str) -> str:
        name = path.removeprefix(f"{self._folder}/")
        if name not in self._names:
            raise UnknownCallError(f"a change of {path}, which nobody made")
        return name


def _unescape(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
