"""Mutation testing: a thousand small faults, one at a time, in the modules that decide about a command.

    python -m tests.mutants.mutation [MODULE…]

In a copy of the tree mutmut changes each function of a module in every way it knows, and `values.py` each constant and
table; the module's own unit tests must fail each time. Property tests do not take part: they would find more, but
not the same in each run. Every survivor must stand in `tests/README.md` with the reason why no test can or need see it.
Exit status: 0 the survivors are those of the list, 1 there are others (or one of the list was killed), 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.run import ROOT, TREE, in_tree
from tests.mutants.values import value_faults

MODULES = {
    "replay": "agent/command/replay.py",
    "verify": "agent/command/verify.py",
    "permits": "agent/policy/permits.py",
    "lifecycle": "agent/command/lifecycle.py",
}
"""Name on the command line and in the list → file."""

LIST = ROOT / "tests" / "README.md"
MUTMUT_TIMEOUT_S = 1800
KILLED = {"killed", "timeout"}
SURVIVED = {"survived", "no tests"}


@dataclass(frozen=True, slots=True, order=True)
class Survivor:
    """`place` is `module.Class.function` or `module.CONSTANT`; `change` what stands there instead, in one line."""

    place: str
    change: str

    def __str__(self) -> str:
        return f"`{self.place}` | `{self.change}`"


@dataclass(frozen=True, slots=True)
class Count:
    """What one run found."""

    faults: int
    survivors: frozenset[Survivor]

    def __add__(self, other: Count) -> Count:
        return Count(self.faults + other.faults, self.survivors | other.survivors)


def listed(page: str, modules: Iterable[str]) -> frozenset[Survivor]:
    """The survivors of these modules that the table of `page` gives a reason for."""
    rows = re.findall(r"^\| `([\w.]+)` \| (`.+`) \| \S.* \|$", page, re.MULTILINE)
    return frozenset(
        Survivor(place, change.replace(r"\|", "|"))
        for place, changes in rows
        for change in re.findall(r"`([^`]+)`", changes)
        if place.split(".")[0] in modules
    )


def own_tests(path: str) -> list[str]:
    """`agent/command/replay.py` → the files in `tests/unit/command` that bear its name."""
    part, stem = Path(path).parent.name, Path(path).stem
    return sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests" / "unit" / part).glob(f"test_{stem}*.py"))


def undecorated(source: str) -> str:
    """The module with `@property` written as a call after the method: mutmut leaves alone what has a decorator."""
    lines = source.splitlines()
    methods = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.decorator_list
    )
    for method in sorted(methods, key=lambda node: node.lineno, reverse=True):
        if [ast.unparse(decorator) for decorator in method.decorator_list] == ["property"]:
            assert method.end_lineno is not None
            lines.insert(method.end_lineno, f"{' ' * method.col_offset}{method.name} = property({method.name})")
            del lines[method.lineno - 2]
    return "\n".join(lines) + "\n"


def mutmut(tree: Path, *arguments: str) -> str:
    """Run mutmut in the copy and return what it says; SystemExit with its last words if it fails."""
    done = subprocess.run(
        (sys.executable, "-m", "mutmut", *arguments), cwd=tree, capture_output=True, text=True, timeout=MUTMUT_TIMEOUT_S
    )
    if done.returncode != 0:
        raise SystemExit(f"mutmut {arguments[0]} failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def faults_in_functions(tree: Path, paths: Sequence[str]) -> Count:
    """What mutmut finds; `tree` is a copy of the project."""
    for path in paths:
        (tree / path).write_text(undecorated((tree / path).read_text()))
    with (tree / "pyproject.toml").open("a") as project:
        project.write(
            "[tool.mutmut]\n"
            'source_paths = ["agent"]\n'
            f"only_mutate = {list(paths)}\n"
            f"also_copy = {[name for name in TREE if name not in ('agent', 'pyproject.toml')]}\n"
            f"pytest_add_cli_args_test_selection = {[test for path in paths for test in own_tests(path)]}\n"
        )
    mutmut(tree, "run", "--max-children", str(os.cpu_count() or 1))
    verdicts = re.findall(r"^ +(\S+): (.+)$", mutmut(tree, "results", "--all", "true"), re.MULTILINE)
    if unclear := {verdict for _, verdict in verdicts} - KILLED - SURVIVED:
        raise SystemExit(f"mutmut came to no verdict on some faults: {', '.join(sorted(unclear))}")
    alive = [name for name, verdict in verdicts if verdict in SURVIVED]
    return Count(len(verdicts), frozenset(shown(name, mutmut(tree, "show", name)) for name in alive))


def shown(name: str, diff: str) -> Survivor:
    """mutmut's `agent.command.lifecycle.xǁLifecycleǁ_act__mutmut_11` and its diff as a survivor."""
    module, function = re.fullmatch(r"agent\.(?:\w+\.)+?(\w+)\.x[_ǁ](.+)__mutmut_\d+", name).groups()  # type: ignore[union-attr]
    removed, added = (
        " ".join(line[1:].strip() for line in diff.splitlines() if re.match(rf"\{sign}(?!\{sign}\{sign})", line))
        for sign in "-+"
    )
    # Of an argument that stood on a line of its own only the bracket after it shows up as added.
    change = added if re.search(r"\w", added) else f"without {removed.removesuffix(f' {added}')}"
    return Survivor(f"{module}.{function.replace('ǁ', '.')}", without_comment(change))


def without_comment(line: str) -> str:
    return re.sub(r"  # .*$", "", line)


def faults_in_values(tree: Path, paths: Sequence[str]) -> Count:
    """What `values.py` finds; `tree` is a copy of the project."""
    count = 0
    survivors = set()
    for path in paths:
        original = (tree / path).read_text()
        for fault in value_faults(original):
            count += 1
            (tree / path).write_text(fault.source)
            # Without -B a change within one second and of the same length would be taken for the file before it.
            done = in_tree(tree, sys.executable, "-B", "-m", "pytest", "-x", "-q", *own_tests(path))
            if done.returncode == 0:
                survivors.add(Survivor(f"{Path(path).stem}.{fault.place}", fault.change))
        (tree / path).write_text(original)
    return Count(count, frozenset(survivors))


def report(count: Count, expected: frozenset[Survivor]) -> Iterator[str]:
    """Lines for a person: the survivors, each with what the list says of it, and the sum."""
    for survivor in sorted(count.survivors | expected):
        if survivor not in count.survivors:
            yield f"KILLED, strike it from the list: {survivor}"
        elif survivor in expected:
            yield f"survived, as listed: {survivor}"
        else:
            yield f"SURVIVED, and is not listed: {survivor}"
    yield f"{count.faults} faults, {count.faults - len(count.survivors)} killed, {len(count.survivors)} survived"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.mutation", description="Many small faults, each to be seen by the unit tests."
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"default: all of {', '.join(MODULES)}")
    wanted = parser.parse_args().modules or list(MODULES)
    if unknown := set(wanted) - MODULES.keys():
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    paths = [MODULES[name] for name in wanted]
    with tempfile.TemporaryDirectory() as folder:
        trees = [Path(folder) / kind for kind in ("functions", "values")]
        for tree in trees:
            tree.mkdir()
            for name in TREE:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
                copy(ROOT / name, tree / name)
        count = faults_in_functions(trees[0], paths) + faults_in_values(trees[1], paths)
    expected = listed(LIST.read_text(), wanted)
    for line in report(count, expected):
        print(line)
    return 0 if count.survivors == expected else 1


if __name__ == "__main__":
    sys.exit(main())
