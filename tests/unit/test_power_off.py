"""The whole agent switched off in order: told, flushed, stores closed, then the supervisor is asked (R7, R14)."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import power_off
from agent.adapters import power_supervisor
from agent.adapters.files import read_key_file
from agent.app import App
from agent.bench.broker import BenchBroker
from agent.loading import load_config, load_profile
from agent.model.effects import RequestPowerOff
from agent.wiring import new_identity
from tests.support.installation import Installation, install
from tests.support.power_box import PowerBox

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_supervisor, "ANSWER_WAIT_S", 0.2)
    monkeypatch.setattr(power_supervisor, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(power_off, "CUT_MARGIN_S", 0.1)


def app_in(installed: Installation, device: str) -> App:
    path = installed.files.agent_toml
    path.write_text(f'{path.read_text()}\n[power]\nsupervisor = "{device}"\noff_after_s = 10.0\n')
    config, _ = load_config(path)
    key = Ed25519PrivateKey.from_private_bytes(read_key_file(path.parent / config.car.key_file))
    profile = load_profile(path.parent / config.car.profile)
    return App(config, profile, new_identity(key), {}, directory=path.parent, environ={})


def at(folder: Path, broker: BenchBroker) -> Installation:
    return install(folder, broker_port=broker.port, interface="virtual", channel=f"test-{uuid.uuid4()}")


async def presence(broker: BenchBroker, car: str, *, is_online: bool) -> dict[str, Any]:
    """What the broker keeps of the car, as soon as it says so."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for kept in broker.retained_under(f"v1/all/{car}/presence"):
                document: dict[str, Any] = json.loads(kept.source.payload or b"{}")
                if document.get("online") is is_online:
                    return document
            await asyncio.sleep(0)


def is_closed(store: Path) -> bool:
    """Whether every store of the car is closed in order: SQLite leaves a write-ahead log beside one that is not."""
    assert list(store.iterdir())
    return not list(store.glob("*-wal"))


async def test_supply_that_fails_ends_in_a_closed_store_an_announced_sleep_and_one_request(tmp_path: Path) -> None:
    """SR-07: nothing is under way when the power goes, and the last will does not call it a loss."""
    stop = asyncio.Event()
    async with BenchBroker() as broker:
        installed = at(tmp_path / "bench", broker)
        was_closed: list[bool] = []
        kept: list[dict[str, Any]] = []

        def cut(_after_s: int) -> None:
            was_closed.append(is_closed(installed.store))
            kept.extend(
                json.loads(each.source.payload or b"{}")
                for each in broker.retained_under(f"v1/all/{installed.car}/presence")
            )

        with PowerBox(on_off=cut) as box:
            app = app_in(installed, box.device)
            running = asyncio.create_task(app.run(stop))
            await presence(broker, installed.car, is_online=True)
            await asyncio.wait_for(box.was_greeted.wait(), WAIT_S)
            assert not is_closed(installed.store), "an open store is told from a closed one"
            box.say("fails")
            await asyncio.wait_for(box.was_asked.wait(), WAIT_S)
            assert not running.done(), "it waits for the power to go"
            stop.set()
            await asyncio.wait_for(running, WAIT_S)
        (asked,) = [line for line in box.heard if line.startswith("off")]
        assert asked.endswith(" 10")
        assert was_closed == [True]
        assert [(each["online"], each.get("end")) for each in kept] == [(False, "asleep")]
        left = await presence(broker, installed.car, is_online=False)
    assert left["end"] == "asleep", "the will was not published over it"


async def test_supervisor_that_refuses_is_logged_and_the_agent_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with BenchBroker() as broker:
        installed = at(tmp_path / "bench", broker)
        with PowerBox() as box:
            box.refuses = "not now"
            running = asyncio.create_task(app_in(installed, box.device).run(asyncio.Event()))
            await presence(broker, installed.car, is_online=True)
            await asyncio.wait_for(box.was_greeted.wait(), WAIT_S)
            box.say("fails")
            await asyncio.wait_for(running, WAIT_S)
            lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
            (refused,) = [line for line in lines if line["event"] == "power_off_refused"]
            assert refused["error"] == f"{box.device}: refused: not now"


async def test_agent_that_is_stopped_says_so_and_asks_for_nothing(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with BenchBroker() as broker:
        installed = at(tmp_path / "bench", broker)
        with PowerBox() as box:
            running = asyncio.create_task(app_in(installed, box.device).run(stop))
            await presence(broker, installed.car, is_online=True)
            stop.set()
            await asyncio.wait_for(running, WAIT_S)
        assert (await presence(broker, installed.car, is_online=False))["end"] == "stopped"
        assert not [line for line in box.heard if line.startswith("off")]


async def test_agent_that_is_lost_is_told_by_the_will_without_a_word(tmp_path: Path) -> None:
    async with BenchBroker() as broker:
        installed = at(tmp_path / "bench", broker)
        with PowerBox() as box:
            running = asyncio.create_task(app_in(installed, box.device).run(asyncio.Event()))
            await presence(broker, installed.car, is_online=True)
            assert broker.cut(installed.car)
            assert "end" not in await presence(broker, installed.car, is_online=False)
            running.cancel()
            await asyncio.wait({running})


async def test_power_is_not_cut_from_a_card_that_has_not_come_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SR-07: what is not synced yet would be torn; the process ends without asking, and is begun anew."""
    monkeypatch.setattr("agent.app.STOP_GRACE_S", 0.1)
    monkeypatch.setattr("agent.app.FLUSH_S", 0.1)
    card = threading.Event()
    async with BenchBroker() as broker:
        installed = at(tmp_path / "bench", broker)
        with PowerBox() as box:
            app = app_in(installed, box.device)
            running = asyncio.create_task(app.run(asyncio.Event()))
            await presence(broker, installed.car, is_online=True)
            await asyncio.wait_for(box.was_greeted.wait(), WAIT_S)
            app._stores._writer.submit(card.wait)
            app._power_off.want(RequestPowerOff(10.0, "power_fails"))
            await asyncio.wait_for(running, WAIT_S)
            assert not [line for line in box.heard if line.startswith("off")]
        card.set()
        assert app._stores.close()
    assert "store_not_closed" in capsys.readouterr().err
