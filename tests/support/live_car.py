"""The whole agent in this process, a virtual car on an in-process bus, and an operator: what a link may do to it."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.adapters.status_socket import read_status
from agent.app import App
from agent.backend import Backend, load_settings
from agent.bench.car import VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.setup import CAR_NAME
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.command.envelope import CommandPayload, MessageKind, encode_command, seal
from agent.loading import key_records, load_config
from agent.model.command import Action
from agent.model.reading import Quality
from agent.wiring import new_identity
from tests.support.installation import Installation, install
from tests.support.process import until

WAIT_S = 20.0


async def soon(condition: Callable[[], object], *, what: str, within_s: float = WAIT_S) -> None:
    """Wait for a condition that something else brings about; it is asked from another thread, so only to read."""
    await asyncio.to_thread(until, condition, within_s=within_s, what=what)


@dataclass(slots=True)
class LiveCar:
    """An agent at work, its car, and its operator."""

    installed: Installation
    app: App
    car: CarOnBus
    backend: Backend

    @property
    def lock_requests(self) -> int:
        """How often the lock unit was asked for something, repetitions of one request counted once."""
        return self.car.car.lock.requests_seen

    def status(self) -> dict[str, Any]:
        """What `carshare-agent status` shows, asked over the socket: the local path."""
        return read_status(self.installed.files.agent_toml.parent / "status.sock")

    async def connected(self) -> None:
        """The agent is connected and knows its car: a car that has just woken up reports no speed yet."""
        telemetry = self.app._engine._telemetry
        await soon(lambda: self.app._engine._link_watch.is_connected, what="the agent is connected")
        await soon(lambda: telemetry.reading("Vehicle.Speed", boot_s()).quality is Quality.OK, what="a speed")

    async def dropped(self, why: str) -> int:
        document = await asyncio.to_thread(self.status)
        count: int = document["commands"]["dropped"].get(why, 0)
        return count

    async def signed(self, action: Action, *, counter: int) -> bytes:
        """A command for the present session, signed by the operator, that nobody has sent yet."""
        hello = await self.backend.ping(CAR_NAME)
        assert hello is not None
        operator = self.backend._settings.operator
        payload = CommandPayload(
            car=bytes.fromhex(self.installed.car),
            cid=secrets.token_bytes(16),
            operator=operator.number,
            sid=hello.sid,
            counter=counter,
            deadline_ms=hello.session_ms + 25_000,
            action=int(action),
        )
        return seal(MessageKind.CMD, encode_command(payload), operator.key, operator.kid)


@asynccontextmanager
async def live_car(
    folder: Path, *, car_port: int, backend_port: int, broker_lines: str = "", is_awaited: bool = True
) -> AsyncIterator[LiveCar]:
    """The agent by way of `car_port`, its operator by `backend_port`; `broker_lines` go into the agent's `[broker]`."""
    channel = f"live-{uuid.uuid4()}"
    installed = install(folder / "live", broker_port=car_port, interface="virtual", channel=channel)
    path = installed.files.agent_toml
    path.write_text(path.read_text().replace("[broker]\n", f"[broker]\n{broker_lines}"))
    config, text = load_config(path)
    profile, database = load_vehicle(demo_folder())
    key = Ed25519PrivateKey.from_private_bytes(read_key_file(path.parent / config.car.key_file))
    keys = key_records(config, text, source=str(path))
    app = App(config, profile, new_identity(key), keys, directory=path.parent, environ={})
    app._broker._jitter = lambda: 0.02
    virtual = VirtualCar(profile, database, now_s=CarOnBus.now_s(), is_asleep=False, sleep_after_s=1e9)
    car = CarOnBus(virtual, interface="virtual", channels={"body": channel}, on_event=lambda event: None)
    settings = load_settings(installed.files.backend_toml)
    settings = replace(settings, broker=replace(settings.broker, port=backend_port))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(car.run(), name="car")
        await car.opened.wait()
        running = tasks.create_task(app.run(stop), name="agent")
        try:
            async with Backend(settings) as backend:
                live = LiveCar(installed, app, car, backend)
                if is_awaited:
                    await live.connected()
                yield live
        finally:
            stop.set()
            await asyncio.wait((running,), timeout=WAIT_S)
            driving.cancel()


def told(payloads: list[bytes], problem: str) -> list[dict[str, Any]]:
    """Records of a link's problem among the payloads of an `evt` topic."""
    records = [json.loads(payload) for payload in payloads]
    return [record for record in records if record["kind"] == "link" and record["problem"] == problem]
