"""Looks for inputs that make a reader of strangers' bytes do wrong, led by the branches they take (atheris).

    python -m tests.fuzz.run TARGET [--seconds N] [--keep]
    python -m tests.fuzz.run TARGET --input FILE

The search starts from the target's seeds and what `corpus/TARGET` holds, and works in `build/fuzz/TARGET`. An input
that is found is written there, named, and to be run again with `--input`; once its fault is mended it goes into the
corpus, which the tests replay. `--keep` also takes over some of the inputs that reached something new, as far
as there is room.
Exit status: 0 nothing found, 1 a fault found (or the input fails), 2 wrong use, atheris missing included.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz"

INPUT_S_MAX = 20
"""One input; the slowest of the corpus takes a tenth of a second."""

MEMORY_MB_MAX = 1024

KEPT_MAX = 40
KEPT_INPUT_BYTES_MAX = 1024
"""What `--keep` leaves in the corpus of one target: enough to begin from, and nothing anybody minds cloning."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", choices=list(TARGETS), metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=300, metavar="N", help="default: 300")
    parser.add_argument("--keep", action="store_true", help="take new inputs over into the corpus")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run this one input, without atheris")
    wanted = parser.parse_args(arguments)
    target = TARGETS[wanted.target]
    if wanted.input is not None:
        target.run(wanted.input.read_bytes())
        print(f"{wanted.input}: nothing wrong")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print('atheris is not installed: pip install -c requirements.lock -e ".[dev,fuzz]"', file=sys.stderr)
        return 2
    found = search(target, wanted.seconds)
    if wanted.keep:
        print(f"{target.name}: {keep(target)} inputs taken over into {target.corpus.relative_to(ROOT)}")
    return found


def search(target: Target, seconds: int) -> int:
    """Let atheris run for so long; 1 if it found something."""
    work = WORK / target.name
    work.mkdir(parents=True, exist_ok=True)
    before = set(work.glob("*-*"))
    status = _libfuzzer(
        target,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={work}/",
        f"-dict={_dictionary(target)}",
        "-print_final_stats=1",
        str(_inputs(target)),
        str(target.corpus),
        str(_seeds(target)),
    )
    for artifact in sorted(set(work.glob("*-*")) - before):
        print(f"{target.name}: a fault; to see it again: python -m tests.fuzz.run {target.name} --input {artifact}")
    return 1 if status else 0


def keep(target: Target) -> int:
    """Copy a choice of the inputs that reached something new, short and long ones alike; how many."""
    known = {path.read_bytes() for path in target.kept()} | {data for _, data in target.seeds()}
    found = sorted({path.read_bytes() for path in _inputs(target).iterdir()} - known, key=lambda new: (len(new), new))
    short = [new for new in found if len(new) <= KEPT_INPUT_BYTES_MAX]
    room = max(0, KEPT_MAX - len(target.kept()))
    taken = short[:: -(-len(short) // room)] if room and short else []
    for new in taken:
        (target.corpus / f"found_{sha256(new).hexdigest()[:12]}").write_bytes(new)
    return len(taken)


def _seeds(target: Target) -> Path:
    folder = WORK / target.name / "seeds"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in target.seeds():
        (folder / name).write_bytes(data)
    return folder


def _dictionary(target: Target) -> Path:
    path = WORK / target.name / "dictionary"
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in target.tokens)
    path.write_text("".join(f'"{word}"\n' for word in words))
    return path


def _inputs(target: Target) -> Path:
    """Where the search keeps what it finds new."""
    folder = WORK / target.name / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _libfuzzer(target: Target, *arguments: str) -> int:
    bounds = (f"-max_len={target.bytes_max}", f"-timeout={INPUT_S_MAX}", f"-rss_limit_mb={MEMORY_MB_MAX}")
    command = [sys.executable, "-m", "tests.fuzz.under_atheris", target.name, *bounds, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
