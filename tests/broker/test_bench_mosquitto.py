"""Mosquitto as the bench starts it: private, on loopback, gone with the bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.bench.broker_mosquitto import MosquittoBroker
from agent.bench.choices import mosquitto_program
from agent.errors import LinkError
from tests.support.mqtt_wire import WireClient

pytestmark = pytest.mark.broker


def installed() -> str:
    program = mosquitto_program()
    assert program is not None
    return program


async def test_it_starts_ends_and_starts_again_on_its_port_with_nothing_kept(tmp_path: Path) -> None:
    broker = MosquittoBroker(installed(), tmp_path)
    await broker.start()
    port = broker.port
    async with WireClient(port) as wire:
        await wire.connect("c")
        await wire.publish("a", b"x", is_retained=True)
    for is_abrupt in (False, True):
        await broker.stop(is_abrupt=is_abrupt)
        with pytest.raises(ConnectionError):
            await WireClient(port).open()
        await broker.start()
        assert broker.port == port
        async with WireClient(port) as wire:
            await wire.connect("c")
            await wire.subscribe("#")
            assert await wire.is_quiet()
    await broker.stop()
    await broker.stop()


async def test_a_program_that_ends_at_once_is_told_with_its_own_words(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho 'no such listener' >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(LinkError, match="ended at once: no such listener"):
        await MosquittoBroker(str(program), tmp_path).start()
