"""`carshare-agent doctor` as it is typed, on a bus whose ids mean something else than the profile says (SR-05)."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from agent.adapters.status_socket import read_status
from agent.errors import EXIT_FAILED, AgentError
from tests.profiles.shipped import folder
from tests.profiles.test_renault_cell_voltages import frames
from tests.support.installation import Installation, install
from tests.support.mosquitto import free_port
from tests.support.process import path, until

pytestmark = [pytest.mark.vcan, pytest.mark.timeout(120)]

INTERVAL_S = 0.02
SEEN_AS = {
    "renault_zoe_ph1": (" values of Vehicle.Speed cannot be (out_of_range)", "0x5D7 Motion: "),
    "renault_zoe_ph2": (" frames came on v and none on hev: ", "0x5D7 CellVoltages: "),
}
NEVER_TOLD = {"Vehicle.Speed", "Vehicle.TraveledDistance", "Vehicle.IsMoving"}


@contextmanager
def cells_on_the_bus() -> Iterator[None]:
    """Cell voltages as on the battery bus of a later Zoe, again and again on vcan0."""
    over = threading.Event()
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender:
        sender.bind(("vcan0",))

        def send() -> None:
            for frame in cycle(list(frames())):
                if over.wait(INTERVAL_S):
                    return
                sender.send(struct.pack("=IB3x8s", frame.arbitration_id, len(frame.data), frame.data))

        sending = threading.Thread(target=send)
        sending.start()
        try:
            yield
        finally:
            over.set()
            sending.join()


def doctor(config: Path, *options: str) -> str:
    command = ["carshare-agent", "doctor", "--config", str(config), "--listen-s", "2", *options]
    environ = {"PATH": path()}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_FAILED, done.stderr
    return done.stdout


def status(installed: Installation) -> dict[str, object] | None:
    try:
        return dict(read_status(installed.files.agent_toml.parent / "status.sock"))
    except AgentError:
        return None


def has_heard(installed: Installation) -> bool:
    told = status(installed)
    return told is not None and bool(json.loads(json.dumps(told))["can"]["v"]["received"])


@pytest.mark.parametrize("is_agent_at_work", [False, True], ids=["alone", "beside the agent"])
@pytest.mark.parametrize("vehicle", SEEN_AS)
def test_cell_voltages_read_as_another_zoes_bus_are_a_named_mismatch(
    tmp_path: Path, vehicle: str, is_agent_at_work: bool
) -> None:
    installed = install(tmp_path / "car", broker_port=free_port(), profile=folder(vehicle))
    config = installed.files.agent_toml
    if is_agent_at_work and vehicle == "renault_zoe_ph2":
        with config.open("a") as toml:  # an agent wants a word about each bus; this one is not wired
            toml.write('\n[buses.hev]\nchannel = "vcan9"\n')
    with ExitStack() as running:
        running.enter_context(cells_on_the_bus())
        if is_agent_at_work:
            agent = running.enter_context(installed.agent())
            agent.until(lambda: status(installed), within_s=30, what="the agent tells its state")
            if vehicle == "renault_zoe_ph1":  # of the other no id of that number is wanted from the kernel
                until(lambda: has_heard(installed), within_s=30, what="the agent hears the bus")
            told = json.loads(json.dumps(status(installed)))["readings"]
            assert NEVER_TOLD & told.keys()
            assert {told[each]["value"] for each in NEVER_TOLD & told.keys()} == {None}
        text = doctor(config)
        found = {each["name"]: each for each in map(json.loads, doctor(config, "--json").splitlines())}
    finding = found["can.v.profile"]
    assert finding["verdict"] == "fault"
    assert finding["found"].startswith(f"mismatch: {SEEN_AS[vehicle][1]}"), finding
    assert SEEN_AS[vehicle][0] in finding["found"]
    assert ("by the running agent" in finding["found"]) is is_agent_at_work
    assert "mean something else on this car" in finding["advice"]
    (line,) = (line for line in text.splitlines() if "can.v.profile" in line)
    assert line.startswith("fault")
    assert f"mismatch: {SEEN_AS[vehicle][1]}" in line
    assert SEEN_AS[vehicle][0] in line
