"""Looks for inputs that make a reader of strangers' bytes do wrong, led by the branches they take (atheris).

    python -m tests.fuzz.run TARGET [--seconds N] [--keep]
    python -m tests.fuzz.run TARGET --input FILE

The search starts from the target's seeds and what `corpus/TARGET` holds, and works in `build/fuzz/TARGET`. An input
that is found is written there, named, and to be run again with `--input`; once its fault is mended it goes into the
corpus, which the tests replay. `--keep` also takes over the smallest inputs that reached something new, as far as
there is room.
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

from tests.fuzz.targets import CORPUS_BYTES_MAX, TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz"

INPUT_S_MAX = 20
"""One input; the slowest of the corpus takes a tenth of a second."""

MEMORY_MB_MAX = 1024

KEPT_INPUT_BYTES_MAX = 1024
"""Of the inputs `--keep` takes over: many small ones are worth more than a few long ones."""


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
        "-print_final_stats=1",
        str(_inputs(target)),
        str(target.corpus),
        str(_seeds(target)),
    )
    for artifact in sorted(set(work.glob("*-*")) - before):
        print(f"{target.name}: a fault; to see it again: python -m tests.fuzz.run {target.name} --input {artifact}")
    return 1 if status else 0


def keep(target: Target) -> int:
    """Copy the smallest inputs that reach what the corpus does not; how many."""
    merged = WORK / target.name / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    shutil.copytree(target.corpus, merged)
    shutil.copytree(_seeds(target), merged, dirs_exist_ok=True)
    _libfuzzer(target, "-merge=1", str(merged), str(_inputs(target)))
    known = [path.read_bytes() for path in target.kept()]
    room, taken = CORPUS_BYTES_MAX - sum(map(len, known)), 0
    known += [data for _, data in target.seeds()]
    for new in sorted((path.read_bytes() for path in merged.iterdir()), key=len):
        if new in known or len(new) > min(room, KEPT_INPUT_BYTES_MAX):
            continue
        (target.corpus / f"found_{sha256(new).hexdigest()[:12]}").write_bytes(new)
        room, taken = room - len(new), taken + 1
    return taken


def _seeds(target: Target) -> Path:
    folder = WORK / target.name / "seeds"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in target.seeds():
        (folder / name).write_bytes(data)
    return folder


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
