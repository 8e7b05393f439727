"""The documents tell the truth: commands run as printed, links lead somewhere, named files and functions exist.

A block ```sh of a README is run by bash as it stands, in the repository's folder, and must succeed. One that cannot be
run by a test has the reason in front of it, in a comment that the reader of the page does not see:

    <!-- not run here: needs a car -->

A page whose commands build on one another names the test that runs them all, in order:

    <!-- the commands of this page are run by tests/e2e/test_some_document.py, … -->
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import agent.backend.arguments
import agent.bench.cli
import agent.cli

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {".git", ".venv", "build", ".pytest_cache"}
READMES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if path.name in ("README.md", "PROTOCOL.md") and not IGNORED & set(path.relative_to(ROOT).parts)
)
BLOCK = re.compile(r"(?:<!-- not run here: (?P<reason>[^>]+) -->\n+)?```sh\n(?P<commands>.*?)```", re.DOTALL)
RUN_ELSEWHERE = re.compile(r"<!-- the commands of this page are run by (?P<test>tests/\S+\.py)\b[^>]*-->")
PAGE_IDS = [path.relative_to(ROOT).as_posix() for path in READMES]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of commands; `reason` says why it is not run, None if it is."""

    page: str
    line: int
    commands: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    elsewhere = RUN_ELSEWHERE.search(text)
    return [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, found.start()) + 1,
            found["commands"],
            found["reason"] or (f"run by {elsewhere['test']}" if elsewhere else None),
        )
        for found in BLOCK.finditer(text)
    ]


BLOCKS = [block for page in READMES for block in blocks(page)]


def run(commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.timeout(300)  # the first `./run` on a machine fills an environment of its own
@pytest.mark.parametrize("block", [pytest.param(b, id=f"{b.page}:{b.line}") for b in BLOCKS if b.reason is None])
def test_commands_of_the_page_run_as_printed(block: Block) -> None:
    done = run(block.commands)
    assert done.returncode == 0, (
        f"{block.page}:{block.line}\n{block.commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )


def test_commands_that_are_not_run_have_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for block in BLOCKS:
            if block.reason is not None:
                sys.stdout.write(f"\nnot run: {block.page}:{block.line}: {block.reason}")
        sys.stdout.write("\n")
    assert all(block.reason is None or len(block.reason.split()) > 1 for block in BLOCKS)


PARSERS = {
    "carshare-agent": agent.cli._parser,
    "carshare-backend": agent.backend.arguments.argument_parser,
    "carshare-bench": agent.bench.cli._parser,
}


def misspelling(command: str) -> str | None:
    """What is wrong with a command of ours as far as that shows without running it."""
    program, *words = shlex.split(command, comments=True)
    if program in PARSERS:
        try:
            PARSERS[program]().parse_args(words)
        except SystemExit:
            return f"{command}: not understood"
    elif program.startswith("./") and not os.access(ROOT / program, os.X_OK):
        return f"{command}: no such script"
    elif program == "python" and importlib.util.find_spec(words[1]) is None:
        return f"{command}: no such module"
    return None


@pytest.mark.parametrize("block", [pytest.param(b, id=f"{b.page}:{b.line}") for b in BLOCKS if b.reason is not None])
def test_commands_that_are_not_run_are_spelled_as_the_programs_want_them(block: Block) -> None:
    assert [wrong for command in block.commands.splitlines() if (wrong := misspelling(command))] == []


@pytest.mark.parametrize(
    "command",
    ["carshare-agent run --confg agent.toml", "carshare-backend open demo", "./tset", "python -m tests.mutants.rnu"],
)
def test_misspelled_command_is_seen(command: str) -> None:
    assert misspelling(command)


@pytest.mark.parametrize("page", READMES, ids=PAGE_IDS)
def test_commands_stand_in_blocks_that_are_run(page: Path) -> None:
    """A command in an indented block, or in one without a language, would escape the tests above."""
    outside = BLOCK.sub("", page.read_text())
    assert re.findall(r"^(?: {4,}|\$ )(?:\./|carshare-|python |pip |apt).*", outside, re.MULTILINE) == []


@pytest.mark.parametrize("page", READMES, ids=PAGE_IDS)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def defined_names() -> set[str]:
    """Names of all modules, classes, functions and attributes-to-be in `agent/`."""
    names: set[str] = set()
    for path in (ROOT / "agent").rglob("*.py"):
        names.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
    return names


def followed() -> str:
    """The two sections of the README that lead through the code."""
    found = re.search(r"## Follow one frame\n(.*?)## Safety rules", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def test_files_on_the_way_of_a_frame_and_of_an_unlock_exist() -> None:
    files = set(re.findall(r"\b[a-z_]+(?:/[a-z_]+)*\.py\b", followed()))
    assert files
    assert [file for file in sorted(files) if not (ROOT / "agent" / file).exists()] == []


def test_functions_and_classes_on_the_way_exist() -> None:
    spans = re.findall(r"`([A-Za-z_]+)`", followed())
    named = {span for span in spans if "_" in span or span[0].isupper()}
    called = set(re.findall(r"\bengine\.([a-z_]+)", followed()))
    words_of_results = {"executed_unverified"}
    assert named and called
    assert named - words_of_results | called <= defined_names()


@pytest.mark.parametrize("page", [page for page in READMES if RUN_ELSEWHERE.search(page.read_text())])
def test_commands_that_are_run_elsewhere_are(page: Path) -> None:
    found = RUN_ELSEWHERE.search(page.read_text())
    assert found
    assert page.relative_to(ROOT).as_posix() in (ROOT / found["test"]).read_text()


def test_reasons_and_blocks_are_told_apart() -> None:
    found = BLOCK.search("<!-- not run here: needs a car -->\n```sh\ntrue\n```\n")
    assert found and found["reason"] == "needs a car"
    found = BLOCK.search("text\n```sh\ntrue\n```\n")
    assert found and found["reason"] is None


def test_command_that_fails_is_seen() -> None:
    assert run("carshare-agent no-such-command\ntrue").returncode != 0
