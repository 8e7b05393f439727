"""The composition root in this process: what it tells of the edge, and how it ends when the edge does not help."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.can_bus import CanBus
from agent.adapters.can_sending import FrameRefused
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.adapters.relays import Relays
from agent.adapters.status_socket import read_status
from agent.adapters.store import CLOSE_WAIT_S
from agent.app import App
from agent.backend.connection import Connection
from agent.backend.settings import BrokerAddress
from agent.bench.broker import BenchBroker
from agent.config import Config
from agent.errors import AgentError, BusError
from agent.loading import load_config, load_profile
from agent.model.command import Reason
from agent.model.effects import PulseRelay, Stop
from agent.model.events import FrameNotSent, FrameSent, LinkEvent
from agent.model.frame import Frame, SendRule
from agent.model.pulse import Pulse
from agent.model.records import OutboxStored
from agent.wiring import can_buses, new_identity
from tests.booted import frozen
from tests.support.installation import install
from tests.support.mosquitto import free_port
from tests.support.relay_lines import Lines

WAIT_S = 15.0


def app_in(
    folder: Path,
    broker_port: int,
    environ: Mapping[str, str] | None = None,
    *,
    power_supervisor: Path | None = None,
) -> App:
    """The demo car's agent on an in-process bus."""
    installed = install(folder, broker_port=broker_port, interface="virtual", channel=f"test-{uuid.uuid4()}")
    path = installed.files.agent_toml
    if power_supervisor is not None:
        path.write_text(f'{path.read_text()}\n[power]\nsupervisor = "{power_supervisor}"\n')
    config, _ = load_config(path)
    key = Ed25519PrivateKey.from_private_bytes(read_key_file(path.parent / config.car.key_file))
    profile = load_profile(path.parent / config.car.profile)
    return App(config, profile, new_identity(key), {}, directory=path.parent, environ=environ or {})


@asynccontextmanager
async def running(app: App) -> AsyncIterator[asyncio.Event]:
    """The agent at work; it is asked to stop at the end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(stop))
        yield stop
        stop.set()


async def status_once(folder: Path, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status document for which `condition` holds; fails after a bounded wait."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                document: dict[str, Any] = await asyncio.to_thread(read_status, folder / "car" / "status.sock")
            except AgentError:
                document = {}
            if document and condition(document):
                return document


@pytest.mark.hazard("H64")
async def test_the_status_counts_what_the_edge_dropped_and_what_the_broker_refused_h64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with BenchBroker() as broker:
        broker.faults.refused_topics.add("v1/+/+/state")
        async with running(app_in(tmp_path / "bench", broker.port)):
            document = await status_once(
                tmp_path / "bench", lambda document: document["broker"]["refused"].get("state", 0) >= 2
            )
    assert document["can"] == {"body": asdict(FrameCounts()) | {"conflated": {}, "back_off_s": 0.0}}
    assert document["watched"] == {"body": {}}
    assert document["broker"]["dropped"] == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # Twice refused, once told.
    assert [line for line in lines if line["event"] == "publish_refused"] == [
        {"level": "warning", "event": "publish_refused", "type": "state", "reason": "Not authorized"}
    ]


@pytest.mark.parametrize(("environ", "told"), [({"CARSHARE_FAILED_STARTS": "12"}, 12), ({}, None)])
async def test_a_start_after_a_crash_loop_tells_how_many_had_failed_h89(
    tmp_path: Path, environ: dict[str, str], told: int | None
) -> None:
    """Nobody hears it yet: there is no broker, and it waits."""
    app = app_in(tmp_path / "bench", free_port(), environ)
    stored: Sequence[OutboxStored] = ()
    async with running(app):
        async with asyncio.timeout(WAIT_S):
            while not stored:
                stored = await app._stores.fetch(range(1, 10))
    records = [json.loads(record.payload) for record in stored]
    (started,) = (record for record in records if record["kind"] == "started")
    assert started.get("failed_starts") == told


@pytest.mark.hazard("H92")
async def test_a_card_that_stalls_does_not_hold_up_the_end_h92(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.app.STOP_GRACE_S", 0.1)
    monkeypatch.setattr("agent.app.FLUSH_S", 0.1)
    card = threading.Event()
    async with BenchBroker() as broker:
        app = app_in(tmp_path / "bench", broker.port)
        async with running(app) as stop:
            await status_once(tmp_path / "bench", lambda document: document["is_connected"])
            app._stores._writer.submit(card.wait)
            before_s = boot_s()
            stop.set()
    assert boot_s() - before_s < CLOSE_WAIT_S + 3.0
    card.set()
    assert app._stores.close()
    assert "store_not_closed" in capsys.readouterr().err


@pytest.mark.hazard("H92")
async def test_nobody_waits_for_a_performer_that_has_ended_h92(tmp_path: Path) -> None:
    """A store that fails while the agent winds down ends it at once: the grace is for a command that still runs."""
    async with BenchBroker() as broker:
        app = app_in(tmp_path / "bench", broker.port)
        waiting = asyncio.create_task(app._ask_to_stop(is_final=False, within_s=60.0))
        await asyncio.sleep(0)
        app._stopped = Stop("the store failed")
        async with asyncio.timeout(WAIT_S):
            await app._perform_all()
            await waiting
            await app._ask_to_stop(is_final=True, within_s=60.0)
    app._stores.close()


async def test_every_task_is_a_part_that_is_supervised_and_every_part_is_frozen_in_a_test_sr_10(tmp_path: Path) -> None:
    """A part that is added to the agent has to be added to `frozen.py`, whose parts stop in turn."""
    app = app_in(tmp_path / "bench", free_port(), power_supervisor=tmp_path / "no-such-port")
    assert set(app._supervision.parts) == set(frozen.PARTS)
    async with running(app):
        await status_once(tmp_path / "bench", lambda document: "power" in document)
        named = {task.get_name() for task in asyncio.all_tasks() if not task.get_name().startswith("Task-")}
    # Why these are none, `parts_of` says.
    assert named - {"watchdog", "status", "stop", "ready"} == set(app._supervision.parts)


@contextlib.contextmanager
def systemd() -> Iterator[tuple[dict[str, str], Callable[[], list[str]]]]:
    """A socket in place of systemd's: the environment that leads to it, and what it heard since it was asked last."""
    name = f"carshare-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)

        def heard() -> list[str]:
            lines = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    lines += listener.recv(4096).decode().splitlines()
            return lines

        yield {"NOTIFY_SOCKET": f"@{name}"}, heard


async def test_ready_is_told_with_can_and_store_and_without_a_broker(tmp_path: Path) -> None:
    with systemd() as (environ, heard):
        async with running(app_in(tmp_path / "bench", free_port(), environ)):
            lines: list[str] = []
            async with asyncio.timeout(WAIT_S):
                while "READY=1" not in lines:
                    lines += heard()
                    await asyncio.sleep(0)
    assert "STATUS=running; broker not connected yet" in lines


async def test_ready_waits_for_a_bus_that_is_not_there_yet_and_in_the_end_is_told_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SR-10: an agent that systemd does not hold for started would be killed, and could tell nobody what is missing."""
    works = asyncio.Event()
    opened = CanBus.open

    async def open_in_time(bus: CanBus) -> None:
        if not works.is_set():
            raise BusError("no such device")
        await opened(bus)

    monkeypatch.setattr(CanBus, "open", open_in_time)
    with systemd() as (environ, heard):
        async with running(app_in(tmp_path / "bench", free_port(), environ)):
            await status_once(tmp_path / "bench", lambda document: document["buses"]["body"] != "unknown")
            assert "READY=1" not in heard()
            works.set()
            async with asyncio.timeout(WAIT_S):
                while "READY=1" not in heard():  # noqa: ASYNC110 - a condition nobody announces
                    await asyncio.sleep(0)
        assert "ready_without_can" not in capsys.readouterr().err
        works.clear()
        monkeypatch.setattr("agent.supervision.CAN_WAIT_S", 0.1)
        async with running(app_in(tmp_path / "other", free_port(), environ)), asyncio.timeout(WAIT_S):
            while "READY=1" not in heard():  # noqa: ASYNC110 - a condition nobody announces
                await asyncio.sleep(0)
    (told,) = [
        line for line in map(json.loads, capsys.readouterr().err.splitlines()) if line["event"] == "ready_without_can"
    ]
    assert (told["level"], told["buses"]) == ("warning", "body")


def test_without_a_power_supervisor_nobody_waits_for_its_marks(tmp_path: Path) -> None:
    app = app_in(tmp_path / "bench", free_port())
    assert set(app._supervision.parts) == set(frozen.PARTS) - {"power"}
    app._stores.close()


def connected_sockets(port: int) -> list[socket.socket]:
    """Copies of all sockets of this process that are one end of a connection to that loopback port."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            candidate = socket.socket(fileno=os.dup(int(link.name)))
            if candidate.family == socket.AF_INET and port in (candidate.getsockname()[1], candidate.getpeername()[1]):
                found.append(candidate)
            else:
                candidate.close()
    return found


async def test_neither_end_of_either_link_gathers_small_segments(tmp_path: Path) -> None:
    """Nagle's algorithm against delayed acknowledgements costs a request and its answer 89 ms."""
    async with BenchBroker() as broker, running(app_in(tmp_path / "bench", broker.port)):
        address = BrokerAddress(broker.host, broker.port)
        async with Connection(address, "operator", None, lambda delivery: None), asyncio.timeout(WAIT_S):
            while len(broker.client_ids) < 2:  # noqa: ASYNC110 - a condition nobody announces
                await asyncio.sleep(0)
            ends = connected_sockets(broker.port)
            assert len(ends) == 4
            assert all(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in ends)
            for end in ends:
                end.close()


async def test_frames_wake_the_performer_once_they_were_taken_if_they_leave_something_to_be_done(
    tmp_path: Path,
) -> None:
    app = app_in(tmp_path, free_port())
    (plan, *_) = (
        plan
        for plan in load_profile(tmp_path / app._config.car.profile).messages
        if plan.checksum is None and plan.counter is None
    )
    async with running(app) as stop:
        # The performer does not run meanwhile, and would else look again by itself only in the far future.
        app._awake_at_s = float("inf")
        app._wake.clear()
        app._taken()
        frame = Frame(plan.bus, plan.arbitration_id, bytes(plan.length_bytes), boot_s(), plan.is_extended_id)
        app._frame(frame)
        assert not app._wake.is_set()
        app._taken()
        assert app._wake.is_set()
        app._wake.clear()
        app._frame(frame._replace(received_at_s=boot_s()))
        app._taken()
        assert not app._wake.is_set(), "it says what the last one said"
        stop.set()


async def test_edge_refuses_every_frame_of_a_link_that_only_listens(tmp_path: Path) -> None:
    """SR-01: the edge has its own eye on the configuration, should the engine ask for a frame all the same."""
    installed = install(tmp_path / "bench", broker_port=1, interface="virtual", channel=f"test-{uuid.uuid4()}")
    path = installed.files.agent_toml
    profile = load_profile(path.parent / load_config(path)[0].car.profile)
    frame = frame_on(profile.send_list[0])

    async def refusal(config: Config) -> Reason | None:
        (bus,) = can_buses(
            config,
            profile,
            on_frame=lambda frame: None,
            on_link=lambda event: None,
            on_watched=lambda news: None,
            on_news=lambda event: None,
            on_progress=lambda part, pause_s: None,
            on_taken=lambda: None,
            may_conflate=lambda: True,
        ).values()
        await bus.open()
        try:
            bus.send(frame, boot_s() + 1.0)
        except FrameRefused as refused:
            return refused.reason
        finally:
            bus.close()
        return None

    assert await refusal(load_config(path)[0]) is None
    path.write_text(path.read_text().replace("[buses.body]\n", "[buses.body]\nlisten_only = true\n"))
    assert await refusal(load_config(path)[0]) is Reason.INTERNAL


def frame_on(rule: SendRule) -> Frame:
    return Frame(rule.bus, rule.arbitration_id, rule.value, 0.0, rule.is_extended_id, rule.is_fd)


async def test_pulse_is_carried_out_before_the_engine_is_told_and_only_if_it_still_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SR-01, SR-03: whether it is wanted is asked at the moment of closing."""
    app = app_in(tmp_path / "bench", free_port())
    pulse, lines = Pulse("fob_unlock", 0.3, 0.2), Lines()
    told: list[LinkEvent] = []
    app._relays = Relays([pulse], lines, now_s=lambda: lines.now_s, wait=lines.wait)
    monkeypatch.setattr(app, "_link", told.append)
    await app._perform(PulseRelay(pulse, 7, 1e9))  # of no command that runs
    assert (told, lines.log) == ([FrameNotSent(7, Reason.EXPIRED)], [])
    monkeypatch.setattr(app._engine, "may_send", lambda token, now_s: token == 8)
    await app._perform(PulseRelay(pulse, 8, 1e9))
    _, sent = told
    assert isinstance(sent, FrameSent) and sent.token == 8
    assert sent.at_s == pytest.approx(100.3)
    assert [what for _, what in lines.log] == ["hold", "close fob_unlock", "open_all"]
    app._stores.close()
