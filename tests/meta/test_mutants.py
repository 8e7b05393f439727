"""Faults made on purpose are noticed: see `tests/mutants/README.md`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants.run import PATCHES, Mutant, names, read, survival

REQUIRED = {
    "deadline_not_asked_again",
    "feedback_older_than_frame",
    "send_before_persist",
    "swapped_bit_in_dbc",
}
"""The faults that this project exists to not have."""


@pytest.mark.parametrize("name", names())
def test_mutant_is_killed(name: str) -> None:
    assert survival(read(name)) is None


def test_required_mutants_are_there() -> None:
    assert set(names()) >= REQUIRED


def test_readme_tells_what_each_mutant_breaks() -> None:
    page = (PATCHES / "README.md").read_text()
    assert [name for name in names() if not re.search(rf"`{name}`", page)] == []


def test_harmless_change_survives(tmp_path: Path) -> None:
    patch = tmp_path / "comment.patch"
    first = (PATCHES.parents[1] / "agent" / "errors.py").read_text().splitlines()[0]
    patch.write_text(f"--- a/agent/errors.py\n+++ b/agent/errors.py\n@@ -1 +1,2 @@\n+# harmless\n {first}\n")
    reason = survival(Mutant("comment", patch, ("tests/meta/test_words.py",)))
    assert reason is not None
    assert reason.startswith("no test saw it")
