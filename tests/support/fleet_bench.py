"""A fleet with everything real but the car: the commands as they are typed, Mosquitto with the fleet's own files, TLS.

The car is the bench's, on python-can's virtual bus, in one process with its agent; so is the bus then, and no kernel
with CAN is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agent.backend.cli import main as backend_main
from agent.bench.car import VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.cli import main as agent_main
from agent.starting import run_agent
from tests.support.fleets import Said
from tests.support.mosquitto import free_port
from tests.support.process import Process, until

START_S = 10.0
STOP_S = 12.0
COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class FleetBench:
    """One fleet in `folder`/fleet, whose broker is on a loopback port. The process works in `folder`."""

    folder: Path
    port: int

    @property
    def fleet(self) -> Path:
        return self.folder / "fleet"

    @property
    def backend_toml(self) -> Path:
        return self.fleet / "backend.toml"

    def agent_toml(self, car: str) -> Path:
        return self.folder / car / "agent.toml"

    def root(self, number: int) -> tuple[str, str]:
        return "--root", f"fleet/roots/root-{number}.key"

    async def run(self, *words: str) -> Said:
        """One command line to its end, in a thread of this process, where starting costs nothing.

        Relative paths are this process's; what else runs in it may mix its log into standard error.
        """
        main = {"carshare-agent": agent_main, "carshare-backend": backend_main}[words[0]]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            async with asyncio.timeout(COMMAND_S):
                status = await asyncio.to_thread(main, words[1:])
        return Said(status, out.getvalue(), err.getvalue())

    async def done(self, *words: str) -> Said:
        """The same, which must succeed."""
        said = await self.run(*words)
        assert said.status == 0, f"{words}: {said.out}{said.err}"
        return said

    async def backend(self, *words: str) -> Said:
        return await self.run("carshare-backend", "--config", str(self.backend_toml), "--json", *words)

    async def backend_done(self, *words: str) -> Said:
        return await self.done("carshare-backend", "--config", str(self.backend_toml), "--json", *words)

    async def enrol(self, folder: str, *, name: str) -> str:
        """A car from nothing to an agent that could start; its id."""
        await self.done("carshare-agent", "provision", folder)
        answer = f"{folder}.answer.json"
        await self.backend_done("enroll", f"{folder}/request.json", "--name", name, "--answer", answer)
        accepted = await self.done("carshare-agent", "accept", answer, folder, "--profile", str(demo_folder()))
        toml = self.agent_toml(folder)
        text = toml.read_text().replace('"socketcan"', '"virtual"').replace('"can0"', f'"fleet-{uuid.uuid4()}"')
        text = text.replace("listen_only = true", "listen_only = false")
        toml.write_text(f'{text}\n[store]\ndirectory = "store"\n\n[status]\nsocket = "status.sock"\n')
        car = json.loads(accepted.out)["car"]
        assert isinstance(car, str)
        return car

    @contextlib.asynccontextmanager
    async def on_the_road(self, folder: str) -> AsyncIterator[None]:
        """The virtual car and its agent, running."""
        profile, database = load_vehicle(demo_folder())
        config = self.agent_toml(folder)
        channel = config.read_text().split('channel = "')[1].split('"')[0]
        virtual = VirtualCar(profile, database, now_s=CarOnBus.now_s(), time_compression=20.0)
        car = CarOnBus(virtual, interface="virtual", channels={"body": channel}, on_event=lambda event: None)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            car_task = tasks.create_task(car.run(), name="car")
            await car.opened.wait()
            agent_task = tasks.create_task(run_agent(config, stop), name="agent")
            try:
                yield
            finally:
                stop.set()
                await asyncio.wait((agent_task,), timeout=STOP_S)
                agent_task.cancel()
                car_task.cancel()


class FleetBroker:
    """Mosquitto with the files that `fleet init` made; it may be stopped and started anew."""

    def __init__(self, bench: FleetBench) -> None:
        self._folder = bench.fleet / "broker"
        self._port = bench.port
        self._runs = 0
        self._process: Process | None = None

    def start(self) -> None:
        conf = self._folder / "mosquitto.conf"
        text = conf.read_text().replace(f"listener {self._port}\n", f"listener {self._port} 127.0.0.1\n")
        # Started by root it would become `mosquitto`, and then could not read what the test wrote.
        test_conf = self._folder / "test.conf"
        test_conf.write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
        self._runs += 1
        self._process = Process(f"mosquitto-{self._runs}", ["mosquitto", "-c", test_conf.name], self._folder)
        until(self._is_listening, within_s=START_S, what="Mosquitto listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def said(self) -> str:
        return "" if self._process is None else self._process.said()

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


async def new_fleet(folder: Path) -> FleetBench:
    """`carshare-backend fleet init`, for a broker on a free loopback port."""
    bench = FleetBench(folder, free_port())
    await bench.done(
        *("carshare-backend", "fleet", "init", "fleet", "--operator", "1", "--broker", f"127.0.0.1:{bench.port}")
    )
    return bench
