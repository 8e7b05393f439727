"""Files that are to be there, or gone, whatever happens to the power next."""

from __future__ import annotations

import os
from pathlib import Path

from agent.adapters.files import PLAN_FILE
from agent.adapters.outbox_schema import TELEMETRY
from agent.adapters.store import sync_names
from agent.adapters.store_schema import AUTHORITY


def write_durably(path: Path, content: bytes) -> None:
    """Make a file that is there whole, or not at all. FileExistsError if there is one, OSError as the disk has it."""
    if path.exists():
        raise FileExistsError(path)
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_names(path.parent)


def remove_durably(path: Path) -> bool:
    """Remove a file for good; False if it was not there, OSError if it stays.

    What it held stays on the card until its blocks are written again: nobody but the card can change that.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_names(path.parent)
    return True


def store_files(directory: Path) -> tuple[Path, ...]:
    """Everything the agent keeps in the stores' directory, set-aside files too; the authority's main file is last."""

    def of(name: str) -> list[Path]:
        return sorted(directory.glob(name + "*"), key=lambda path: (path.name == name, path.name))

    return (*of(PLAN_FILE), *of(TELEMETRY.file_name), *of(AUTHORITY.file_name))


def has_store(directory: Path) -> bool:
    """Whether there is a journal to ask for anything."""
    return (directory / AUTHORITY.file_name).exists()
