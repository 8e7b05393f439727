"""A fleet from its first key on: a car enrolled and opened, keys rotated and revoked, at last the car itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
from pathlib import Path

import pytest

from agent.backend.client import Backend
from agent.backend.connection import Connection, RefusedError, tls_context
from agent.backend.settings import BrokerAddress, load_settings
from agent.backend.watching import PresenceReport, Report, StateReport
from agent.model.command import Executed, Reason, Stage
from tests.support.fleet_bench import FleetBench, FleetBroker, new_fleet

READY_S = 20


async def answers(bench: FleetBench) -> None:
    """Wait until the car answers the key in use."""
    said = await bench.backend("ping", "demo", "--timeout", str(READY_S))
    assert said.status == 0, said.err


async def unlocked(bench: FleetBench) -> str:
    """Unlock the car; the outcome."""
    said = await bench.backend("unlock", "demo", "--timeout", "40")
    outcome = said.document["outcome"]
    assert isinstance(outcome, str)
    return outcome


def refusal(bench: FleetBench, car: str) -> str:
    """What the broker says to a connection with this car's certificate; nothing if it takes it.

    The alert that says why overtakes nothing: where our packet meets a socket that is closed already, the reset that
    answers it throws the alert away, and another connection has to be asked.
    """
    for _ in range(10):
        if (said := refusal_of_one_connection(bench, car)) is not None:
            return said
    raise AssertionError("ten connections ended without a word")


def refusal_of_one_connection(bench: FleetBench, car: str) -> str | None:
    """The same, None if the connection ended before its reason came."""
    folder = bench.folder / car
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "car.pem", folder / "tls.key")
    with (
        socket.create_connection(("127.0.0.1", bench.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() == "TLSv1.3"
        try:
            # MQTT 5 CONNECT: clean start, keep alive 60 s, no properties, the car's name.
            name = b"probe"
            body = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + len(name).to_bytes(2, "big") + name
            secured.sendall(b"\x10" + bytes([len(body)]) + body)
            return "" if secured.recv(4)[:1] == b"\x20" else "hung up"
        except ssl.SSLEOFError:
            return None
        except ssl.SSLError as error:
            return error.reason


@pytest.mark.broker
@pytest.mark.hazard("H34")
@pytest.mark.timeout(240)
async def test_the_life_of_a_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SR-03: a key that was revoked moves nothing, and who holds it is told."""
    monkeypatch.chdir(tmp_path)
    bench = await new_fleet(tmp_path)
    broker = FleetBroker(bench)
    await asyncio.to_thread(broker.start)
    try:
        own = await bench.enrol("car", name="demo")
        other = await bench.enrol("other", name="other")
        await kept_apart(bench, own, other)
        async with bench.on_the_road("car"):
            await answers(bench)
            assert await unlocked(bench) == "verified"

            old_toml = bench.fleet / "old.toml"
            shutil.copy(bench.backend_toml, old_toml)
            async with Backend(load_settings(old_toml)) as thief:
                assert await thief.ping("demo") is not None
                await told_of(thief)
                await rotated(bench)
                assert await unlocked(bench) == "verified"
                # While the two overlap, the old one is as good as the new.
                assert (await thief.unlock("demo", timeout_s=40)).is_verified

                await revoked_key(bench, load_settings(old_toml).operator.kid.hex())
                result = await thief.unlock("demo", timeout_s=40)
                assert (result.stage, result.reason) == (Stage.REJECTED, Reason.KEY_REVOKED)
                assert result.executed is Executed.NO
            assert await unlocked(bench) == "verified"
        async with bench.on_the_road("other"):
            await brought_by_the_broker(bench)
        await revoked_car(bench, broker)
    finally:
        broker.stop()


async def told_of(backend: Backend) -> None:
    """The broker's access list lets through what a car tells unsigned, too."""
    told: set[type[Report]] = set()
    async with asyncio.timeout(READY_S), contextlib.aclosing(backend.watch("demo")) as reports:
        async for report in reports:
            told.add(type(report))
            if {PresenceReport, StateReport} <= told:
                return


async def kept_apart(bench: FleetBench, own: str, other: str) -> None:
    """A car publishes on its own topics alone, whatever it says it is."""
    folder = bench.folder / "car"
    address = BrokerAddress("127.0.0.1", bench.port, folder / "ca.pem", folder / "car.pem", folder / "tls.key")
    async with Connection(address, "probe", tls_context(address), lambda delivery: None) as car:
        await car.publish_confirmed(f"v1/1/{own}/evt", b"{}", None)
        for topic in (f"v1/1/{other}/evt", f"v1/1/{other}/cmd", f"v1/1/{own}/cmd", f"v1/1/{own}/bundle"):
            with pytest.raises(RefusedError, match="Not authorized"):
                await car.publish_confirmed(topic, b"{}", None)


async def rotated(bench: FleetBench) -> None:
    """A new key, signed by two roots one after the other, published and put in use."""
    rotation = await bench.backend_done("rotate", *bench.root(1))
    assert not rotation.document["is_complete"]
    early = await bench.backend("bundle", "publish")
    assert early.status == 2
    await bench.backend_done("bundle", "sign", "fleet/bundle.draft", *bench.root(3))
    early = await bench.backend("rotate", "--switch", "--wait", "2")
    assert early.status == 2  # the bundle in force has no other key yet
    # The other car is in a garage without network: it gets the bundle when it comes out.
    published = await bench.backend_done("bundle", "publish", "--wait", "3")
    versions = {car["name"]: car["version"] for car in published.document["cars"]}
    assert versions == {"demo": 2, "other": None}
    early = await bench.backend("rotate", "--switch", "--wait", "2")
    assert early.status == 1
    assert "1 of 2 cars did not answer to the new key: other" in early.err
    switched = await bench.backend_done("rotate", "--switch", "--anyway", "--wait", "2")
    assert switched.document["kid"] == rotation.document["new_kid"]
    assert load_settings(bench.backend_toml).operator.kid.hex() == rotation.document["new_kid"]


async def revoked_key(bench: FleetBench, kid: str) -> None:
    await bench.backend_done("revoke", "key", kid, *bench.root(2), *bench.root(3))
    published = await bench.backend_done("bundle", "publish", "--wait", "3")
    assert {"name": "demo", "version": 3} in published.document["cars"]


async def brought_by_the_broker(bench: FleetBench) -> None:
    """The car that was away finds the newest bundle retained; the one that it was enrolled with is two versions old."""
    async with asyncio.timeout(READY_S):
        while True:
            said = await bench.backend("ping", "other", "--timeout", "5")
            if said.status == 0 and said.document["bundle_version"] == 3:
                return


async def revoked_car(bench: FleetBench, broker: FleetBroker) -> None:
    assert refusal(bench, "car") == ""
    await bench.backend_done("revoke", "car", "demo")
    broker.stop()
    await asyncio.to_thread(broker.start)
    assert "REVOKED" in refusal(bench, "car").upper()
    assert refusal(bench, "other") == ""
    said = await bench.backend("unlock", "demo")
    assert said.status == 2
    assert "was revoked" in said.err


@pytest.mark.hazard("H138")
@pytest.mark.timeout(120)
async def test_an_order_ends_one_car_and_never_its_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench = await new_fleet(tmp_path)
    first = await bench.enrol("car", name="demo")
    await bench.backend_done("decommission", "demo", *bench.root(1), "--out", "demo.decom")
    obey = ("carshare-agent", "decommission", "--order", "demo.decom", "--receipt", "demo.receipt")
    config = ("--config", "car/agent.toml")

    refused = await bench.run(*obey, *config)
    assert refused.status == 1
    assert "too few of the roots" in refused.err
    await bench.backend_done("bundle", "sign", "demo.decom", *bench.root(2))
    assert (tmp_path / "car" / "vehicle.key").exists()

    ended = await bench.done(*obey, *config)
    assert ended.document["car"] == first
    left = {path.name for path in (tmp_path / "car").iterdir() if path.is_file()}
    assert left == {"agent.toml", "ca.pem"}
    revoked = await bench.backend_done("revoke", "car", "demo", "--receipt", "demo.receipt")
    assert revoked.document["car"] == first

    # The same box in the same car, by the same name, is another car to everybody.
    (tmp_path / "car" / "agent.toml").rename(tmp_path / "old.toml")
    (tmp_path / "car.answer.json").rename(tmp_path / "old.answer.json")
    second = await bench.enrol("car", name="demo")
    assert second != first
    before = {path: path.read_bytes() for path in (tmp_path / "car").iterdir() if path.is_file()}
    refused = await bench.run("carshare-agent", "decommission", "--order", "demo.decom", *config)
    assert refused.status == 1
    assert f"wrong_car: it is for another car than {second}" in refused.err
    assert {path: path.read_bytes() for path in (tmp_path / "car").iterdir() if path.is_file()} == before
