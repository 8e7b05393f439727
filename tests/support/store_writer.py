"""A process that writes to a store and says what was acknowledged, to be killed at any moment.

python -m tests.support.store_writer DIRECTORY CAR_HEX
"""

# ruff: noqa: T201 - what it prints is what it is for
from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.adapters.store import Stores
from agent.model.records import OutboxStored, SequenceReserved
from tests.support.store_records import intent


async def write_on(directory: Path, car: bytes) -> None:
    """Write one command and one outbox record after another; print each number once both are acknowledged."""
    stores = Stores(directory, car)
    stores.open()
    for number in range(1, 1_000_000):
        await stores.write([intent(number), SequenceReserved(number + 1)])
        await stores.write([OutboxStored(number, 0, b"payload %d" % number)])
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write_on(Path(sys.argv[1]), bytes.fromhex(sys.argv[2])))
