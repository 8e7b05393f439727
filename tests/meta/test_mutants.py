"""Faults made on purpose are noticed: see `tests/mutants/README.md`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants.run import PATCHES, Mutant, names, read, survival

REQUIRED = {
    "counter_advanced_on_refusal",
    "deadline_not_asked_again",
    "feedback_older_than_frame",
    "result_before_journal",
    "send_before_persist",
    "session_before_journal",
    "swapped_bit_in_dbc",
}
"""The faults that this project exists to not have."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", names())
def test_mutant_is_killed(name: str) -> None:
    assert survival(read(name)) is None


def test_faults_of_the_command_path_are_seen_by_the_crash_or_simulation_tests() -> None:
    """Beside any test of one module: these are to find what nobody thought of, so they must find what somebody did."""
    found = {
        name for name in names() if any("simulation/test_faults" in test for line in read(name).tests for test in line)
    }
    assert found >= REQUIRED - {"swapped_bit_in_dbc"}


def test_required_mutants_are_there() -> None:
    assert set(names()) >= REQUIRED


def test_readme_tells_what_each_mutant_breaks() -> None:
    page = (PATCHES / "README.md").read_text()
    assert [name for name in names() if not re.search(rf"`{name}`", page)] == []


def test_harmless_change_survives(tmp_path: Path) -> None:
    patch = tmp_path / "comment.patch"
    first = (PATCHES.parents[1] / "agent" / "errors.py").read_text().splitlines()[0]
    patch.write_text(f"--- a/agent/errors.py\n+++ b/agent/errors.py\n@@ -1 +1,2 @@\n+# harmless\n {first}\n")
    reason = survival(Mutant("comment", patch, (("tests/meta/test_words.py",),)))
    assert reason is not None
    assert reason.startswith("no test saw it")
