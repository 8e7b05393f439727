"""The store's life recorded, and a store made again from the bytes of its files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from agent.adapters.store import Stores
from agent.errors import StoreError
from agent.model.records import Recovered
from tests.support.power_loss import Image
from tests.support.store_history import is_whole
from tests.support.store_records import CAR
from tests.support.syscall_trace import Call, is_traceable, record


def traced(state: Path, *options: str, is_there: bool = True) -> tuple[Call, ...]:
    """What the store's life does to its folder, which is there before it, as systemd makes it, or is not."""
    if not is_traceable():
        pytest.skip("strace: not here, or not allowed to trace: apt-get install strace")
    if is_there:
        state.mkdir(exist_ok=True)
    return record([sys.executable, "-m", "tests.support.store_history", state, *options], state)


def laid_out(image: Image, folder: Path) -> None:
    """Make the folder with these files in it."""
    folder.mkdir()
    for name, content in image.items():
        (folder / name).write_bytes(content)


def found_in(image: Image, folder: Path) -> Recovered | str:
    """What the store makes of these files, or why it does not open. The folder is there only as long."""
    laid_out(image, folder)
    stores = Stores(folder, CAR)
    try:
        found = stores.open()
        kept = stores._fetch([record.sequence for record in found.outbox.held])
        return found if all(map(is_whole, kept)) else "torn: a payload of the outbox"
    except StoreError as error:
        return f"refused: {error}"
    finally:
        # What `close` does, without its thread: stores are rebuilt by the thousand, and the thread was half the cost.
        stores._release()
        shutil.rmtree(folder)
