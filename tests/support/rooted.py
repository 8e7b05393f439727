"""A car with its operators in a trust bundle, as an installer leaves its folder; nothing has run in it yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.store import Stores
from agent.model.records import Record, Recovered

PROFILE = Path(__file__).resolve().parents[2] / "dbc" / "demo_hatchback"


@dataclass(frozen=True, slots=True)
class RootedCar:
    """The folder of one car, and its id."""

    folder: Path
    car: bytes
    vehicle_key: Ed25519PrivateKey

    @property
    def agent_toml(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def bundle_file(self) -> Path:
        return self.folder / "bundle.cbor"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def write(self, *writes: Sequence[Record]) -> Recovered:
        """Make these writes to its store, as an agent that ran would have; what a start finds then."""
        stores = Stores(self.store, self.car)
        stores.open()
        for records in writes:
            asyncio.run(stores.write(records))
        stores.close()
        return self.found()

    def found(self) -> Recovered:
        stores = Stores(self.store, self.car)
        recovered = stores.open()
        stores.close()
        return recovered


def rooted_car(
    folder: Path, bundle: bytes, *, car: bytes = b"this car", broker_port: int = 1883, channel: str = "body"
) -> RootedCar:
    """The demo car in a new folder, this bundle in its file."""
    folder.mkdir(parents=True)
    key = Ed25519PrivateKey.generate()
    key_file = folder / "vehicle.key"
    key_file.touch(mode=0o600)
    key_file.write_text(key.private_bytes_raw().hex() + "\n")
    (folder / "request.json").write_text("{}\n")
    (folder / "bundle.cbor").write_bytes(bundle)
    (folder / "agent.toml").write_text(
        f"""[car]
id = "{car.hex()}"
profile = {json.dumps(str(PROFILE))}
key_file = "vehicle.key"
[buses.body]
interface = "virtual"
channel = "{channel}"
[broker]
host = "127.0.0.1"
port = {broker_port}
keep_alive_s = 5
[store]
directory = "store"
[status]
socket = "status.sock"
[trust]
bundle_file = "bundle.cbor"
"""
    )
    return RootedCar(folder, car, key)
