from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.adapters.status_socket import CONNECTIONS_MAX, StatusSocket, read_status
from agent.errors import EXIT_FAILED, AgentError, ConfigurationError

STATUS = {"uptime_s": 3.5, "commands": {"running": None}}


@asynccontextmanager
async def serving(path: Path, status: dict[str, object] | None = None) -> AsyncIterator[None]:
    server = StatusSocket(path, lambda: STATUS if status is None else status)
    running = asyncio.create_task(server.run())
    while not running.done() and not is_served(path):  # noqa: ASYNC110 - a condition nobody announces
        await asyncio.sleep(0)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()


def is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def test_whoever_connects_is_told_the_status(tmp_path: Path) -> None:
    path = tmp_path / "run" / "status.sock"
    async with serving(path):
        for _ in range(3):
            assert await asyncio.to_thread(read_status, path) == STATUS
    assert not path.exists()


async def test_a_large_status_arrives_whole(tmp_path: Path) -> None:
    status: dict[str, object] = {f"Vehicle.Path{number}": "x" * 100 for number in range(3000)}
    async with serving(tmp_path / "s", status):
        assert await asyncio.to_thread(read_status, tmp_path / "s") == status


async def test_the_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    umask_before = os.umask(0o000)
    try:
        async with serving(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    finally:
        os.umask(umask_before)


async def test_a_socket_left_behind_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(path):
        assert await asyncio.to_thread(read_status, path) == STATUS


async def test_a_second_agent_does_not_take_the_socket_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path):
        with pytest.raises(ConfigurationError, match="another agent answers here"):
            await StatusSocket(path, dict).run()
        assert await asyncio.to_thread(read_status, path) == STATUS


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="is no socket"):
        await StatusSocket(path, dict).run()
    assert path.read_text() == "precious"


async def test_a_path_no_socket_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at most 107 bytes"):
        await StatusSocket(tmp_path / ("x" * 100), dict).run()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made as a socket"):
        await StatusSocket(tmp_path / "file" / "s", dict).run()


async def test_connections_that_do_not_read_are_bounded_and_dropped_sr_09(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path, {"much": "x" * 900_000}):
        idle = []
        for _ in range(CONNECTIONS_MAX + 1):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            idle.append(connection)
            await asyncio.sleep(0)
        # The last is cut off at once, the others lose their places after a while.
        assert await asyncio.to_thread(hung_up, idle[-1], within_s=1.5)
        assert not hung_up(idle[0], within_s=0)
        assert await asyncio.to_thread(hung_up, idle[0], within_s=10)
        for connection in idle:
            connection.close()
        assert len(await asyncio.to_thread(read_status, path)) == 1


def hung_up(connection: socket.socket, *, within_s: float) -> bool:
    """Whether the other side ends the connection, without reading what it sent."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    return bool(poll.poll(within_s * 1000))


def test_an_agent_that_does_not_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no such socket; is the agent running") as error:
        read_status(tmp_path / "s")
    assert error.value.exit_status == EXIT_FAILED


def test_an_agent_that_has_ended_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with pytest.raises(AgentError, match="nobody listens"):
        read_status(tmp_path / "s")


def test_an_agent_that_hangs_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(AgentError, match=r"did not answer within 0\.05 s"):
            read_status(tmp_path / "s", wait_s=0.05)


@pytest.mark.parametrize("answer", [b"", b"hello\n", b"[1]\n", b'{"cut": '])
async def test_an_answer_that_is_no_status_is_told(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "s")
    async with server:
        with pytest.raises(AgentError, match="is not a carshare-agent"):
            await asyncio.to_thread(read_status, tmp_path / "s")
