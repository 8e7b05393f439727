"""Mosquitto as the bench's broker: a private one on a free loopback port, ended with the bench."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from agent.errors import LinkError

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0  # it takes 50 ms on a PC; a Pi that is busy installing takes seconds
STOP_TIMEOUT_S = 3.0
_POLL_S = 0.02


class MosquittoBroker:
    """Same verbs as `BenchBroker`: `start` and `stop`, any number of times, on one port; nothing is kept in between.

    Raises `LinkError` with Mosquitto's own words if it does not come up.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.host = HOST
        self.port = 0
        self._program = program
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        if self.port == 0:
            self.port = _free_port()
        log = self._folder / "mosquitto.log"
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                "-c",
                str(self._configuration()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the bench, which then ends its broker in order
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._is_listening():
                    if self._process.returncode is not None:
                        raise LinkError(f"{self._program} ended at once: {_tail(log)}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise LinkError(f"{self._program} did not listen within {START_TIMEOUT_S:.0f} s: {_tail(log)}") from None

    async def stop(self, *, is_abrupt: bool = False) -> None:
        """End it: in order, or as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if is_abrupt:
                process.kill()
            else:
                process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _is_listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return False
        writer.close()
        return True

    def _configuration(self) -> Path:
        """Written for each start; started by root, Mosquitto becomes `mosquitto`, which must still read the file."""
        path = self._folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            "persistence false",
            "set_tcp_nodelay true",
            "log_dest stderr",
        ]
        if os.getuid() == 0:
            lines.append("user root")  # the folder is root's alone, and so is this broker
        path.write_text("\n".join(lines) + "\n")
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return " / ".join(lines[-3:]) or "no word of its own"
