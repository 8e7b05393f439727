"""The benchmark of a waking runs, and its parts add up; their height is no matter."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.wake_latency import Waking, main, summary


def test_two_wakings_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--wakes", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["wakes"] == 2
    assert all(document[part][share] > 0 for part in ("ready", "agent") for share in document[part])


def test_shares_of_car_and_agent_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    document = summary([Waking(first_s=10.0, deciding_s=11.5, ready_s=11.502, frames=40)])
    assert [document[part]["median_ms"] for part in ("ready", "car", "agent")] == [1502.0, 1500.0, 2.0]  # type: ignore[index]


@pytest.mark.parametrize("wakes", ["0", "-1", "201", "many"])
def test_wrong_number_of_wakings_is_wrong_use(wakes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--wakes", wakes])
    assert ended.value.code == 2
    assert "--wakes" in capsys.readouterr().err
