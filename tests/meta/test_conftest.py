"""What `tests/conftest.py` does to skips and to the tests that need vcan, and how the reports are added up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.hazards import outcomes as proven
from tests.support.totals import count, line

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import pytest

def test_plain(): pass
def test_skipped(): pytest.skip("not today")
def test_recording(): pytest.skip("recordings of real cars are not here")
@pytest.mark.vcan
@pytest.mark.parametrize("word", ["a b", "c"])
def test_can(word): pass
"""


def outcomes(folder: Path, *arguments: str, is_ci: bool) -> Counter[str]:
    """Outcomes of `TESTS` under our conftest."""
    (folder / "test_odds.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
    ]
    subprocess.run(
        [*command, "--junitxml", str(folder / "report.xml"), *arguments, str(folder)],
        cwd=ROOT,
        env=os.environ | {"CI": "true" if is_ci else ""},
        capture_output=True,
        timeout=60,
    )
    return +count((folder / "report.xml").read_text())


@pytest.mark.parametrize(
    ("is_ci", "wanted"), [(False, {"passed": 1, "skipped": 2}), (True, {"passed": 1, "skipped": 1, "failed": 1})]
)
def test_skip_is_a_failure_in_ci_but_for_recordings(tmp_path: Path, is_ci: bool, wanted: dict[str, int]) -> None:
    assert outcomes(tmp_path, "-k", "not test_can", is_ci=is_ci) == wanted


def test_tests_that_need_vcan_are_left_to_another_run(tmp_path: Path) -> None:
    left = tmp_path / "left.txt"
    assert outcomes(tmp_path, f"--leave-vcan={left}", is_ci=False) == {"passed": 1, "skipped": 2}
    assert left.read_text().splitlines() == ["test_odds.py::test_can[a b]", "test_odds.py::test_can[c]"]


def test_tests_that_were_not_selected_are_left_to_nobody(tmp_path: Path) -> None:
    left = tmp_path / "left.txt"
    outcomes(tmp_path, f"--leave-vcan={left}", "-k", "plain", is_ci=False)
    assert left.read_text() == ""


def test_marker_of_a_hazard_there_is_not_ends_the_run_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_odds.py").write_text('import pytest\n@pytest.mark.hazard("H1", "55")\ndef test_a(): pass\n')
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir"]
    done = subprocess.run(
        [*command, str(tmp_path), str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_odds.py::test_a: hazard('55'): no such hazard" in done.stdout + done.stderr


def test_report_says_which_test_proves_which_hazard(tmp_path: Path) -> None:
    (tmp_path / "test_odds.py").write_text('import pytest\n@pytest.mark.hazard("H1", "H55")\ndef test_a(): pass\n')
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir"]
    report = tmp_path / "report.xml"
    subprocess.run([*command, str(tmp_path), "--junitxml", str(report), str(tmp_path)], cwd=ROOT, timeout=60)
    found = {number: dict(tests) for number, tests in proven([report.read_text()]).items()}
    assert found == {number: {"test_odds.py::test_a": Counter(passed=1)} for number in ("H1", "H55")}


def test_totals_are_worded_as_pytest_words_them() -> None:
    suites = '<testsuites><testsuite tests="5" failures="1" errors="0" skipped="1"/></testsuites>'
    assert line(count(suites) + count(suites), 12) == "2 failed, 6 passed, 2 skipped in 12 s"
