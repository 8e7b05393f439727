"""The agent under test, fed by a car that changes as fast as its records are taken: one process, to be killed at will.

    python -m tests.soak.car AGENT_TOML LEDGER CONTROL RECORDS

Records are made at the engine's reporting edge; all behind it is the agent as it ships, but for a back-off of a
hundredth, so that a night of bad network fits into minutes.  CONTROL holds one number: up to how many records may wait.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.app import App
from agent.loading import load_config, load_profile
from agent.model.records import Record
from agent.wiring import new_identity
from tests.soak.ledger import LedgerWriter

BATCH = 64
"""Records made at a time; the engine's queue of effects is worked off before the next."""

BACK_OFF_SHARE = 0.01


def note_commits(app: App, ledger: LedgerWriter) -> None:
    """Have every commit of the store noted, after it."""
    write = app._stores.write

    async def write_and_note(records: Sequence[Record]) -> None:
        await write(records)
        ledger.committed(records)

    app._stores.write = write_and_note  # type: ignore[method-assign]


def waiting_max(control: Path) -> int:
    return int(control.read_text())


async def feed(app: App, control: Path, records: int) -> None:
    """Make so many records, never more than may wait."""
    made = 0
    while made < records:
        engine = app._engine
        waiting = engine.status(boot_s())["outbox_records"]
        assert isinstance(waiting, int)
        if waiting >= waiting_max(control) or engine._pending._effects:
            await asyncio.sleep(0.001)
            continue
        for _ in range(min(BATCH, records - made)):
            made += 1
            engine._telemetry.tell("soak", {"made": made}, boot_s())
        app._wake.set()
        await asyncio.sleep(0)


async def run(agent_toml: Path, ledger: Path, control: Path, records: int) -> None:
    config, _ = load_config(agent_toml)
    # A bus of this process alone, on which nothing is ever said.
    buses = {name: replace(table, channel=str(uuid.uuid4())) for name, table in config.buses.items()}
    config = replace(config, buses=buses)
    folder = agent_toml.parent
    key = Ed25519PrivateKey.from_private_bytes(read_key_file(folder / config.car.key_file))
    profile = load_profile(folder / config.car.profile)
    app = App(config, profile, new_identity(key), {}, directory=folder, environ={})
    app._broker._jitter = lambda: BACK_OFF_SHARE
    note_commits(app, LedgerWriter(ledger))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(stop), name="agent")
        feeding = group.create_task(feed(app, control, records), name="feed")
        await stop.wait()
        feeding.cancel()


if __name__ == "__main__":
    agent_toml, ledger, control = map(Path, sys.argv[1:4])
    asyncio.run(run(agent_toml, ledger, control, int(sys.argv[4])))
