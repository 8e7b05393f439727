"""`carshare-backend` without a broker: arguments, keys, configuration, exit statuses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from agent.backend.arguments import argument_parser
from agent.backend.cli import ACTIONS, exit_status, main
from agent.backend.client import Backend
from agent.backend.outcome import CommandResult
from agent.backend.registry import example_text
from agent.backend.settings import load_settings
from agent.model.command import Action, Executed, Reason, Stage

COMMANDS = [
    *(*ACTIONS, "ping", "watch", "sample", "keys new", "keys show", "keys add-car", "fleet init", "enroll", "rotate"),
    *("revoke key", "revoke car", "bundle show", "bundle sign", "bundle publish", "decommission", "clock-reset"),
]
REQUEST = {"car": "0123456789abcdef", "public_key": "11" * 32}


@pytest.fixture
def ops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with key and configuration, and a car named demo."""
    folder = tmp_path / "ops"
    assert main(["keys", "new", str(folder), "--operator", "1"]) == 0
    request = tmp_path / "request.json"
    request.write_text(json.dumps(REQUEST))
    assert main(["--config", str(folder / "backend.toml"), "keys", "add-car", "demo", str(request)]) == 0
    capsys.readouterr()
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_help_with_an_example_that_parses(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    examples = re.findall(r"^  carshare-backend (.*)$", text, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(re.split(r" [|>] ", example)[0])
        assert argument_parser().parse_args(words).command == command


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        (Stage.VERIFIED, 0),
        (Stage.FAILED, 1),
        (Stage.REJECTED, 1),
        (Stage.EXECUTED_UNVERIFIED, 3),
        (Stage.INTERRUPTED, 3),
        (None, 3),
    ],
)
def test_the_exit_status_says_how_it_ended(stage: Stage | None, status: int) -> None:
    result = CommandResult("demo", Action.UNLOCK, None, stage, Reason.OK, Executed.UNKNOWN, (), 1.0)
    assert exit_status(result) == status


@pytest.mark.parametrize("action", [Action.REPORT, Action.CHECK_RETURN, Action.LOCATE])
def test_what_has_no_state_to_verify_is_done_when_it_was_answered(action: Action) -> None:
    for stage, executed, status in (
        (Stage.VERIFIED, Executed.YES, 0),
        (Stage.EXECUTED_UNVERIFIED, Executed.YES, 0),
        (Stage.EXECUTED_UNVERIFIED, Executed.UNKNOWN, 3),
        (Stage.REJECTED, Executed.NO, 1),
        (None, Executed.UNKNOWN, 3),
    ):
        result = CommandResult("demo", action, None, stage, Reason.OK, executed, (), 1.0)
        assert exit_status(result) == status


def test_every_action_of_the_protocol_is_a_command_and_a_method() -> None:
    assert {action: word.replace("-", "_") for word, action in ACTIONS.items()} == {
        action: action.name.lower() for action in Action
    }
    assert all(callable(getattr(Backend, word.replace("-", "_"))) for word in ACTIONS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["open", "demo"],
        ["unlock"],
        ["unlock", "demo", "--timeout", "0"],
        ["unlock", "demo", "--timeout", "nan"],
        ["unlock", "demo", "--timeout", "601"],
        ["keys"],
        ["keys", "new", "x"],
        ["keys", "new", "x", "--operator", "0"],
        ["keys", "new", "x", "--operator", "1", "--name", "a\nb"],
    ],
)
def test_wrong_use_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [["--config", "a.toml", "--json", "unlock", "demo"], ["unlock", "demo", "--json", "--config", "a.toml"]],
)
def test_common_options_may_stand_before_or_after_the_command(arguments: list[str]) -> None:
    options = argument_parser().parse_args(arguments)
    assert (options.command, options.config, options.is_json) == ("unlock", Path("a.toml"), True)


def test_new_keys_print_the_cars_table_on_stdout_and_advice_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ops"
    assert main(["keys", "new", str(folder), "--operator", "4", "--name", "Four"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith('[[operators]]\nnumber = 4\nname = "Four"\n\n[[operators.command_keys]]\nid = "')
    assert str(folder / "operator-4.key") in told.err
    settings = load_settings(folder / "backend.toml")
    assert settings.operator.kid.hex() in told.out
    assert main(["--config", str(folder / "backend.toml"), "keys", "show"]) == 0
    assert capsys.readouterr().out == told.out


def test_keys_as_json_lines(ops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(ops / "backend.toml"), "keys", "show", "--json"]) == 0
    operator, car = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (operator["operator"], operator["actions"]) == (1, ["unlock", "lock", "report"])
    assert car == {"name": "demo", "id": REQUEST["car"], "public_key": REQUEST["public_key"]}


def test_a_second_key_for_the_same_operator_is_refused(ops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", str(ops), "--operator", "1"]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_a_second_operator_leaves_the_configuration_as_it_is(ops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ops / "backend.toml").read_text()
    assert main(["keys", "new", str(ops), "--operator", "2"]) == 0
    assert "was there already" in capsys.readouterr().err
    assert (ops / "backend.toml").read_text() == before


@pytest.mark.parametrize("command", [*ACTIONS, "ping", "watch"])
def test_an_unknown_car_is_one_message_with_the_known_ones(
    command: str, ops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(ops / "backend.toml"), command, "dmeo"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "carshare-backend: There is no car named 'dmeo'. Did you mean 'demo'? Known: demo\n"


def test_no_configuration_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["unlock", "demo"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("carshare-backend: backend.toml: there is no such configuration.")
    assert told.err.count("\n") == 1


def test_a_wrong_configuration_lists_every_fault(ops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ops / "backend.toml"
    path.write_text(path.read_text().replace("1883", "0").replace("number = 1", 'number = "1"') + "extra = 1\n")
    assert main(["--config", str(path), "watch"]) == 2
    assert capsys.readouterr().err.count("backend.toml:") == 3


def test_a_key_that_others_can_read_stops_everything(ops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ops / "operator-1.key").chmod(0o644)
    assert main(["--config", str(ops / "backend.toml"), "unlock", "demo"]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_the_sample_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample"]) == 0
    assert capsys.readouterr().out == example_text()
