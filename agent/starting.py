"""An agent started: from its configuration's file to a running `App`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.ability import as_wired
from agent.adapters.journal import capture_libraries
from agent.app import App
from agent.config import check_against_profile
from agent.errors import EXIT_DONE, AgentError, ConfigurationError
from agent.loading import configured_for_run, key_records, listed
from agent.wiring import new_identity


def run_until_signalled(config_path: Path) -> int:
    """Run the agent of a configuration until SIGTERM or SIGINT; returns the exit status, or raises AgentError."""

    async def until_signalled() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_agent(config_path, stop)

    try:
        asyncio.run(until_signalled())
    except* AgentError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return EXIT_DONE


async def run_agent(config_path: Path, stop: asyncio.Event) -> None:
    """Run the agent in this event loop until `stop` is set; raises AgentError if it cannot start or go on."""
    # Nothing that is made at start is garbage: looking through it again and again takes a tenth of the time, and what
    # stays for good need never be looked through.
    gc.disable()
    try:
        app = _started(config_path)
        gc.freeze()
    finally:
        gc.enable()
    await app.run(stop)


def _started(config_path: Path) -> App:
    """The agent of a configuration, with its stores open; raises AgentError if it cannot start."""
    capture_libraries()
    config, text, seed, loaded = configured_for_run(config_path)
    directory = config_path.parent
    keys = key_records(config, text, source=str(config_path))
    if faults := check_against_profile(config, loaded.profile, text, source=str(config_path)):
        raise ConfigurationError(listed(faults))
    profile = as_wired(loaded.profile, config)
    vehicle_key = Ed25519PrivateKey.from_private_bytes(seed)
    app = App(config, profile, new_identity(vehicle_key), keys, directory=directory, environ=dict(os.environ))
    loaded.keep()
    return app
