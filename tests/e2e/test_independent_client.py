"""A stranger's backend, written from `agent/PROTOCOL.md` alone, against the agent of the bench."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.bench.bench import Bench, BenchOptions, running_bench
from agent.bench.broker import BenchBroker
from agent.bench.car import CarFault, VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.choices import choose_can
from agent.bench.setup import BenchFolder, make_folder
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.starting import run_agent
from tests.e2e import independent_client
from tests.e2e.independent_client import ACTIONS, Backend

ROOT = Path(__file__).parents[2]
CLIENT = Path(independent_client.__file__)
VECTORS = json.loads((ROOT / "tests" / "vectors" / "envelopes.json").read_text())
TIMEOUT_S = 60
LOCK = "Vehicle.Carshare.CentralLock.IsLocked"


async def ask(bench: Bench, *actions: str) -> list[dict[str, Any]]:
    """Run the client as a program of its own, with nothing but what an operator has on file; its results."""
    settings = tomllib.loads(bench.folder.backend_toml.read_text())
    (car,) = settings["cars"]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(CLIENT)),
        *("--broker", f"{bench.broker.host}:{bench.broker.port}"),
        *("--car", car["id"], "--car-key", car["public_key"]),
        *("--operator", str(settings["operator"]["number"])),
        *("--seed-file", str(bench.folder.backend_toml.with_name("operator.key"))),
        *actions,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        output, errors = await program.communicate()
    assert program.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.decode().splitlines()]


def options(folder: Path, *faults: CarFault) -> BenchOptions:
    return BenchOptions(folder, demo_folder(), broker="embedded", faults=faults)


async def test_a_stranger_unlocks_and_locks_the_car_and_has_each_result_signed(tmp_path: Path) -> None:
    """SR-04: what the client believes is what the lock unit did."""
    async with running_bench(options(tmp_path)) as bench:
        assert bench.car.car.lock.is_locked
        (unlocked,) = await ask(bench, "unlock")
        assert not bench.car.car.lock.is_locked
        locked, report = await ask(bench, "lock", "report")
        assert bench.car.car.lock.is_locked
    for result, is_locked in ((unlocked, False), (locked, True)):
        assert (result["stage"], result["reason"], result["executed"]) == ("verified", 0, "yes")
        assert result["evidence"][LOCK] is is_locked
    assert (report["stage"], report["executed"]) == ("executed_unverified", "yes")


@pytest.mark.hazard("H95")
async def test_a_stranger_is_told_when_the_lock_unit_ignored_him(tmp_path: Path) -> None:
    """H95"""
    async with running_bench(options(tmp_path, CarFault.LOCK_IGNORES)) as bench:
        (result,) = await ask(bench, "unlock")
    assert (result["stage"], result["reason"], result["executed"]) == ("failed", 62, "no")


@contextlib.asynccontextmanager
async def running_agent(folder: BenchFolder) -> AsyncIterator[None]:
    stop = asyncio.Event()
    agent = asyncio.create_task(run_agent(folder.agent_toml, stop))
    try:
        yield
    finally:
        stop.set()
        await agent


async def test_a_stranger_whose_session_ended_with_the_agent_opens_the_next_one(tmp_path: Path) -> None:
    """Duty 8: a command of the session before is refused, was not begun, and is signed anew."""
    profile, database = load_vehicle(demo_folder())
    can = choose_can(profile.buses[0].name)
    car = CarOnBus(
        VirtualCar(profile, database, now_s=CarOnBus.now_s()),
        interface=can.interface,
        channels=can.channels,
        on_event=lambda _: None,
    )
    async with BenchBroker() as broker:
        folder = make_folder(tmp_path, profile=demo_folder(), can=can, broker_host=broker.host, broker_port=broker.port)
        life = asyncio.create_task(car.run())
        backend = backend_of(folder)
        await asyncio.to_thread(backend.connect, broker.host, broker.port)
        sessions = []
        try:
            for action, is_locked in (("unlock", False), ("lock", True)):
                async with running_agent(folder):
                    result = await asyncio.to_thread(backend.ask, *ACTIONS[action])
                assert (result[5], result[7]) == (3, 1)
                assert car.car.lock.is_locked is is_locked
                assert backend.session is not None
                sessions.append(backend.session.sid)
        finally:
            backend.client.disconnect()
            backend.client.loop_stop()
            life.cancel()
    assert len(set(sessions)) == 2


def backend_of(folder: BenchFolder) -> Backend:
    settings = tomllib.loads(folder.backend_toml.read_text())
    (car,) = settings["cars"]
    seed = bytes.fromhex(folder.backend_toml.with_name("operator.key").read_text())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return Backend(
        command_key=key,
        kid=sha256(key.public_key().public_bytes_raw()).digest()[:4],
        op=settings["operator"]["number"],
        car=bytes.fromhex(car["id"]),
        vehicle_key=Ed25519PublicKey.from_public_bytes(bytes.fromhex(car["public_key"])),
    )


def test_the_stranger_reads_what_the_vehicle_key_signed_and_nothing_that_was_touched() -> None:
    command, vehicle = VECTORS["keys"]["command"], VECTORS["keys"]["vehicle"]
    stranger = Backend(
        command_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(command["seed_hex"])),
        kid=bytes.fromhex(command["kid_hex"]),
        op=7,
        car=bytes.fromhex(vehicle["kid_hex"]),
        vehicle_key=Ed25519PublicKey.from_public_bytes(bytes.fromhex(vehicle["public_hex"])),
    )
    signed_by_vehicle = [vector for vector in VECTORS["envelopes"] if vector["signer"] == "vehicle"]
    assert {vector["kind"] for vector in signed_by_vehicle} == {"hello", "res", "retired"}
    for vector in signed_by_vehicle:
        raw = bytes.fromhex(vector["envelope_hex"])
        payload = stranger.open(vector["kind"], raw)
        assert payload is not None
        assert independent_client.cbor(payload).hex() == vector["payload_hex"]
        assert stranger.open("res" if vector["kind"] == "hello" else "hello", raw) is None
        for place in range(len(raw)):
            assert stranger.open(vector["kind"], raw[:place]) is None
            for bit in range(8):
                touched = bytearray(raw)
                touched[place] ^= 1 << bit
                assert stranger.open(vector["kind"], bytes(touched)) is None


def test_the_stranger_signs_the_bytes_of_the_page() -> None:
    command = VECTORS["keys"]["command"]
    stranger = Backend(
        command_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(command["seed_hex"])),
        kid=bytes.fromhex(command["kid_hex"]),
        op=7,
        car=bytes(8),
        vehicle_key=Ed25519PublicKey.from_public_bytes(bytes.fromhex(VECTORS["keys"]["vehicle"]["public_hex"])),
    )
    signed_by_command = [vector for vector in VECTORS["envelopes"] if vector["signer"] == "command"]
    assert {vector["kind"] for vector in signed_by_command} == {"cmd", "ping"}
    for vector in signed_by_command:
        payload = cbor2.loads(bytes.fromhex(vector["payload_hex"]))
        assert stranger.seal(vector["kind"], payload).hex() == vector["envelope_hex"]


def test_the_stranger_imports_nothing_of_this_project() -> None:
    imported = set()
    for node in ast.walk(ast.parse(CLIENT.read_text())):
        match node:
            case ast.Import(names):
                imported |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module, _, level):
                assert module is not None
                assert level == 0
                imported.add(module.partition(".")[0])
    assert imported - sys.stdlib_module_names == {"cbor2", "cryptography", "paho"}


def test_the_stranger_has_the_functions_of_the_page_in_its_order() -> None:
    page = (ROOT / "agent" / "PROTOCOL.md").read_text().partition("A backend without our library\n")[2]
    listing = page.split("```")[1]
    named = re.findall(r"^(\w+)\(.*\):", listing, re.MULTILINE)
    assert len(named) > 5
    (backend,) = [
        node for node in ast.parse(CLIENT.read_text()).body if isinstance(node, ast.ClassDef) and node.name == "Backend"
    ]
    functions = [node.name for node in backend.body if isinstance(node, ast.FunctionDef)]
    assert [name for name in functions if name != "topic"] == named
