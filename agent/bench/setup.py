"""What a run of the bench needs on disk: keys and configurations of one car and one operator, made anew each time."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from pathlib import Path

from agent.backend.keys import car_table, make_key, operator_table, read_request
from agent.bench.choices import CanChoice
from agent.cli import main as agent_main
from agent.errors import EXIT_DONE, ConfigurationError
from agent.model.command import Action
from agent.model.quick_dataclass import dataclass

CAR_NAME = "demo"
OPERATOR = 1
OPERATOR_NAME = "Bench operator"

# Quick enough to be watched; a car on the road tells its state a hundred times more rarely.
STATE_INTERVAL_S = 0.5
BATCH_S = 0.5
# A person watches, whatever the car does.
PACE = "{ interval_s = 0.5, heartbeat_s = 5.0 }"


@dataclass(frozen=True, slots=True)
class BenchFolder:
    """The files of one run, in a folder that only its owner can enter."""

    path: Path

    @property
    def agent_toml(self) -> Path:
        return self.path / "car" / "agent.toml"

    @property
    def backend_toml(self) -> Path:
        return self.path / "operator" / "backend.toml"

    @property
    def agent_log(self) -> Path:
        return self.path / "agent.log"

    def backend_command(self, action: str) -> str:
        """A command line for a second terminal, as it can be typed there."""
        program = Path(sys.executable).with_name("carshare-backend")
        start = [str(program)] if program.is_file() else [sys.executable, "-m", "agent.backend.cli"]
        return shlex.join([*start, "--config", str(self.backend_toml), action, CAR_NAME])


def _bus_tables(can: CanChoice) -> str:
    return "\n".join(
        f"[buses.{bus}]\ninterface = {json.dumps(can.interface)}\nchannel = {json.dumps(channel)}\n"
        for bus, channel in can.channels.items()
    )


def make_folder(path: Path, *, profile: Path, can: CanChoice, broker_host: str, broker_port: int) -> BenchFolder:
    """Provision a car and an operator in the empty folder `path`, with the steps an installer takes."""
    folder = BenchFolder(path)
    car, operator = folder.agent_toml.parent, folder.backend_toml.parent
    provisioned = io.StringIO()
    with contextlib.redirect_stdout(provisioned), contextlib.redirect_stderr(provisioned):
        status = agent_main(["provision", "--standalone", str(car)])
    if status != EXIT_DONE:
        raise ConfigurationError(f"cannot make the bench's car: {provisioned.getvalue().strip()}")
    request = read_request(car / "request.json")
    key = make_key(operator / "operator.key")
    folder.agent_toml.write_text(
        f"""[car]
id = "{request.car}"
profile = {json.dumps(str(profile.resolve()))}
key_file = "vehicle.key"

{_bus_tables(can)}
[broker]
host = "{broker_host}"
port = {broker_port}
keep_alive_s = 5

[store]
directory = "store"

[reporting]
batch_s = {BATCH_S}
state_interval_s = {STATE_INTERVAL_S}
driving = {PACE}
charging = {PACE}
awake = {PACE}
asleep = {PACE}

[status]
socket = "status.sock"

{operator_table(OPERATOR, OPERATOR_NAME, key.public_key(), (action.name.lower() for action in Action))}"""
    )
    folder.backend_toml.write_text(
        f"""[operator]
number = {OPERATOR}
name = "{OPERATOR_NAME}"
key_file = "operator.key"

[broker]
host = "{broker_host}"
port = {broker_port}
keep_alive_s = 5

{car_table(CAR_NAME, request)}"""
    )
    return folder
