"""Actions by diagnostic requests on a real kernel's CAN: the agent, and the virtual car whose control units answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.profiles.shipped import files
from tests.profiles.smart_453_acting import acting_text
from tests.support.installation import Installation, install
from tests.support.mqtt_tap import MqttTap
from tests.support.process import Process, until
from tests.support.talking_car import talking_text

pytestmark = [pytest.mark.vcan, pytest.mark.broker]

ANSWER_S = 60.0
"""An unlock lives 30 s, and processes start slowly in user-mode Linux."""

VERIFIED = ("verified", "ok", "yes")


def profile_folder(tmp_path: Path, name: str, text: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "profile.toml").write_text(text)
    for file, content in files(name).items():
        (folder / file).write_bytes(content)
    return folder


@contextmanager
def car(folder: Path, *options: str | Path) -> Iterator[Process]:
    """`carshare-bench car --profile`, awake."""
    command = ["carshare-bench", "car", "--interface", "socketcan", "--channel", "vcan0", "--awake", "--profile"]
    with Process("car", [*command, *options], folder) as process:
        process.until(process.stdout, within_s=30, what="the car says that it is there")
        yield process


def asked(installation: Installation, tap: MqttTap, verb: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """Outcome, reason and executed of `carshare-backend VERB`, and what its record says of the requests."""
    before = len(records(installation, tap))
    with installation.backend(verb) as backend:
        backend.wait(ANSWER_S)
        document = json.loads(backend.stdout().splitlines()[-1])
    until(lambda: len(records(installation, tap)) > before, within_s=20, what="the record of the command")
    record = records(installation, tap)[-1]
    told: dict[str, object] = {key: record[key] for key in ("frames", "answers", "refused_with") if key in record}
    return (document["outcome"], document["reason"], document["executed"]), told


def records(installation: Installation, tap: MqttTap) -> list[dict[str, object]]:
    told = map(json.loads, tap.payloads(installation.topic("evt")))
    return [record for record in told if record["kind"] == "command"]


@contextmanager
def running_agent(installation: Installation, tap: MqttTap) -> Iterator[None]:
    """Begins when it has the car's speed, without which it unlocks nothing."""
    before = len(tap.payloads(installation.topic("state")))

    def knows_speed() -> bool:
        states = tap.payloads(installation.topic("state"))[before:]
        return bool(states) and json.loads(states[-1])["readings"].get("Vehicle.Speed", {}).get("quality") == "ok"

    with installation.agent() as agent:
        agent.until(knows_speed, within_s=60, what="the car's speed")
        yield


def test_without_a_lock_bit_answers_are_the_evidence_and_a_refusal_is_told_sr04(
    tmp_path: Path, tap: MqttTap, broker_port: int
) -> None:
    """SR-04: `answered` is not `verified`; and of a refusal nobody says that anything was done."""
    text = talking_text(has_feedback=False, repeats_max=1)
    folder = profile_folder(tmp_path, "demo_hatchback", text)
    installation = install(tmp_path / "car", broker_port=broker_port, profile=folder)
    with car(installation.files.path, folder) as sound, running_agent(installation, tap):
        end, told = asked(installation, tap, "unlock")
        assert (end, told) == (("executed_unverified", "ok", "yes"), {"frames": "answered", "answers": 3})
        until(lambda: '"state": "Unlocked"' in sound.stdout(), within_s=20, what="the lock has moved")
    with car(installation.files.path, folder, "--fault", "lock_refuses"), running_agent(installation, tap):
        end, told = asked(installation, tap, "unlock")
        assert end == ("failed", "negative_answer", "unknown")
        assert told["refused_with"] == "conditions_not_correct"
    with car(installation.files.path, folder, "--fault", "lock_dead"), running_agent(installation, tap):
        end, told = asked(installation, tap, "unlock")
        assert end == ("failed", "timeout", "unknown")


def test_printed_recipes_of_the_smart_are_verified_by_its_lock_bit_sr04(
    tmp_path: Path, tap: MqttTap, broker_port: int
) -> None:
    """SR-04: whom the README tells how to, has a profile that does it; on a car that is as the facts say."""
    folder = profile_folder(tmp_path, "smart_453", acting_text())
    installation = install(tmp_path / "car", broker_port=broker_port, profile=folder)
    with car(installation.files.path, folder), running_agent(installation, tap):
        end, told = asked(installation, tap, "unlock")
        assert (end, told["frames"]) == (VERIFIED, "answered")
        end, told = asked(installation, tap, "lock")
        assert (end, told["frames"]) == (VERIFIED, "answered")
        end, told = asked(installation, tap, "locate")
        assert (end, told["frames"]) == (("executed_unverified", "ok", "yes"), "answered")
    with car(installation.files.path, folder, "--fault", "lock_refuses"), running_agent(installation, tap):
        end, told = asked(installation, tap, "unlock")
        assert (end, told["refused_with"]) == (("failed", "negative_answer", "unknown"), "conditions_not_correct")
