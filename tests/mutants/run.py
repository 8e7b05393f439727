"""Breaks the program on purpose and looks whether the tests notice.

    python -m tests.mutants.run [NAME…]

Each `NAME.patch` beside this file is one fault, with the tests that must see it named above the diff, a line for each
that must see it by itself:

    red: tests/unit/command/test_lifecycle.py -k feedback
    red: tests/simulation/test_faults.py -k two_thousand

In a copy of the tree those tests must pass, the patch must apply, and then of each line at least one must fail.
Exit status: 0 every mutant was killed, 1 one survived (or its patch or its tests no longer fit), 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).resolve().parent
TREE = ("agent", "dbc", "systemd", "tests", "pyproject.toml", "README.md")
"""What the tests of a mutant may need."""

TIMEOUT_S = 200  # the simulation takes ten seconds on an idle processor
PYTEST_FAILED = 1
"""pytest's status when tests ran and some failed; a file that cannot be imported or found has another."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A patch and the pytest arguments of the tests that must turn red, one tuple for each line that names some."""

    name: str
    patch: Path
    tests: tuple[tuple[str, ...], ...]


def read(name: str) -> Mutant:
    patch = PATCHES / f"{name}.patch"
    red = re.findall(r"^red: (.+)$", patch.read_text(), re.MULTILINE)
    if not red:
        raise ValueError(f"{patch}: no line 'red: …' names the tests that must fail")
    return Mutant(name, patch, tuple(tuple(shlex.split(line)) for line in red))


def names() -> list[str]:
    return sorted(patch.stem for patch in PATCHES.glob("*.patch"))


def survival(mutant: Mutant) -> str | None:
    """Why the mutant counts as alive; None if it was killed."""
    for tests in mutant.tests:
        if fault := fault_without(tests):
            return f"its tests do not pass without it\n{fault}"
    with copy_of_tree() as tree:
        patched = in_tree(tree, "git", "apply", "-C1", str(mutant.patch))
        if patched.returncode != 0:
            return f"the patch does not apply: make it anew\n{patched.stderr}"
        for tests in mutant.tests:
            after = run_tests(tree, tests)
            if after.returncode != PYTEST_FAILED:
                return f"no test saw it: {shlex.join(tests)}\n{after.stdout}{after.stderr}"
    return None


@cache  # the simulation sees many mutants, and takes its time
def fault_without(tests: tuple[str, ...]) -> str | None:
    """What is wrong with these tests in a tree that is as it should be; None if they pass."""
    with copy_of_tree() as tree:
        before = run_tests(tree, tests)
    return before.stdout + before.stderr if before.returncode != 0 else None


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in TREE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, tree / name)
        yield tree


def run_tests(tree: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return in_tree(tree, sys.executable, "-m", "pytest", "-x", "-q", *tests)


def in_tree(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy; without a repository around it `git apply` takes paths as they are."""
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.run", description="Apply each fault and see it found."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(names())}")
    wanted = parser.parse_args().names or names()
    if unknown := set(wanted) - set(names()):
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    survivors = 0
    for name in wanted:
        reason = survival(read(name))
        print(f"{name}: {'killed' if reason is None else f'SURVIVED: {reason}'}", flush=True)
        survivors += reason is not None
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
