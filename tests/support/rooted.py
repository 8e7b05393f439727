"""The bench's car with its operators in a trust bundle instead of pinned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.store import Stores
from agent.model.records import Record, Recovered
from tests.support.installation import Installation, install


@dataclass(frozen=True, slots=True)
class RootedCar:
    """Its folder, as an installer leaves it; nothing has run in it yet."""

    installed: Installation

    @property
    def agent_toml(self) -> Path:
        return self.installed.files.agent_toml

    @property
    def folder(self) -> Path:
        return self.agent_toml.parent

    @property
    def bundle_file(self) -> Path:
        return self.folder / "bundle.cbor"

    @property
    def car(self) -> bytes:
        return bytes.fromhex(self.installed.car)

    def write(self, *writes: Sequence[Record]) -> Recovered:
        """Make these writes to its store, as an agent that ran would have; what a start finds then."""
        stores = Stores(self.installed.store, self.car)
        stores.open()
        for records in writes:
            asyncio.run(stores.write(records))
        stores.close()
        return self.found()

    def found(self) -> Recovered:
        stores = Stores(self.installed.store, self.car)
        recovered = stores.open()
        stores.close()
        return recovered


def rooted_car(
    folder: Path, bundle: bytes, *, broker_port: int = 1883, interface: str = "virtual", channel: str = "body"
) -> RootedCar:
    """Install the demo car in a new folder, this bundle in its file."""
    installed = install(folder, broker_port=broker_port, interface=interface, channel=channel)
    path = installed.files.agent_toml
    text = path.read_text()
    path.write_text(text[: text.index("[[operators]]")] + '[trust]\nbundle_file = "bundle.cbor"\n')
    (path.parent / "bundle.cbor").write_bytes(bundle)
    return RootedCar(installed)
