"""What keeps the tests worth trusting: no mocks, no sleeps, and every safety rule proven by a test that names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted(
    file.relative_to(ROOT).as_posix() for folder in ("tests", "hw-tests") for file in (ROOT / folder).rglob("*.py")
)

REAL_TIME = (
    *("hw-tests/", "tests/e2e/", "tests/vcan/", "tests/broker/", "tests/soak/", "tests/benchmarks/", "tests/booted/"),
    *("tests/support/process.py", "tests/support/fault_proxy.py"),
)
"""Where other processes are at work, time passes by itself; even there only in a bounded wait for a condition."""

README = ROOT / "README.md"


def doubts(path: str, source: str) -> Iterator[str]:
    """What a reviewer would not accept in a test."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                module = getattr(node, "module", None) or ""
                if any("mock" in f"{module}.{alias.name}".lower() for alias in names):
                    yield f"{path}:{node.lineno}: a mock agrees with whatever the test believes"
            case ast.Call(func=ast.Attribute(ast.Name("time" | "asyncio"), "sleep") | ast.Name("sleep"), args=args):
                is_yield = (
                    args and isinstance(args[0], ast.Constant) and args[0].value == 0
                )  # gives way, waits for nothing
                if not is_yield and not path.startswith(REAL_TIME):
                    yield f"{path}:{node.lineno}: a sleep is slow when it is long enough, and wrong when it is not"


@pytest.mark.parametrize("path", TESTS)
def test_test_can_be_trusted(path: str) -> None:
    assert list(doubts(path, (ROOT / path).read_text())) == []


def named_by_tests(source: str) -> set[str]:
    """Safety rules that stand in the name or docstring of a test, or in the docstring of a file of tests."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = f"{getattr(node, 'name', '')} {ast.get_docstring(node) or ''}"
            found |= {f"SR-{number}" for number in re.findall(r"SR[-_]?(\d\d)", text, re.IGNORECASE)}
    return found


def test_every_safety_rule_of_the_readme_is_named_by_a_test() -> None:
    claimed = set(re.findall(r"SR-\d\d", README.read_text()))
    others = [path for path in TESTS if not path.startswith("tests/meta/")]
    assert claimed
    assert claimed - {rule for path in others for rule in named_by_tests((ROOT / path).read_text())} == set()


@pytest.mark.parametrize(
    "source",
    [
        "from unittest import mock",
        "from unittest.mock import patch",
        "import time\ntime.sleep(0.1)",
        "await asyncio.sleep(1)",
    ],
)
def test_doubtful_test_is_seen(source: str) -> None:
    assert list(doubts("tests/unit/test_odds.py", source))


def test_name_in_a_comment_proves_no_safety_rule() -> None:
    assert named_by_tests("# SR-04\ndef test_a():\n    'Verified needs a fresh frame (SR-02).'") == {"SR-02"}
