"""What surrounds the kernel that `tests/support/uml.py` boots; that it boots is shown by every test that runs in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.uml import DONE, READY, command_script, stream


def said_by(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)


def test_command_runs_with_its_words_its_environment_and_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = command_script(
        ["sh", "-c", 'printf "%s|%s|%s|%s" "$1" "$ODD" "$TMPDIR" "$PWD"', "-", "a 'b' $c"], {"ODD": "x\ny"}
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stdout == f"a 'b' $c|x\ny|/run/tmp|{tmp_path}"


def test_exit_status_of_the_command_is_the_scripts() -> None:
    assert subprocess.run(["sh", "-c", command_script(["sh", "-c", "exit 7"], {})]).returncode == 7


def test_only_the_commands_own_output_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with said_by(rf"printf 'booting\r\n{READY}\r\none\r\n\r\ntwo\n{DONE}\nreboot: System halted\n'") as guest:
        assert stream(guest) == "booting\nreboot: System halted"
    assert capsys.readouterr().out == "one\n\ntwo\n"


def test_kernel_that_does_not_come_up_is_heard_out(capsys: pytest.CaptureFixture[str]) -> None:
    with said_by("echo Kernel panic; echo end") as guest:
        assert stream(guest) == "Kernel panic\nend"
    assert capsys.readouterr().out == ""
