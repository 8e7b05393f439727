"""The local status socket: whoever connects is told one JSON document, and the connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import AgentError, ConfigurationError

# sun_path holds 108 bytes with its terminator (unix(7)).
PATH_BYTES_MAX = 107

# A few people and a monitoring probe look at once; more than this is a fault or an attack.
CONNECTIONS_MAX = 8

# Several hundred paths take about 50 KiB.
DOCUMENT_BYTES_MAX = 1 << 20

_ANSWER_WAIT_S = 2.0


class StatusSocket:
    """Answers every connection to `path` with `status()`, as one line of JSON.

    The socket is for its owner and group (0660): the document says where the car is and what it does.
    """

    def __init__(self, path: Path, status: Callable[[], Mapping[str, object]]) -> None:
        self._path = path
        self._status = status
        self._connections: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Serve until cancelled; ConfigurationError if the socket cannot be made at `path`."""
        listener = self._listen()
        server = await asyncio.start_unix_server(self._answer, sock=listener)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)
            for writer in self._connections:
                writer.transport.abort()

    def _listen(self) -> socket.socket:
        if len(os.fsencode(self._path)) > PATH_BYTES_MAX:
            raise ConfigurationError(f"{self._path}: too long for a socket; expected at most {PATH_BYTES_MAX} bytes")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_if_stale(self._path)
            # The mode must be right from the first moment; bind(2) applies the umask, and nothing else runs meanwhile.
            umask_before = os.umask(0o117)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(umask_before)
            listener.listen(CONNECTIONS_MAX)
        except OSError as error:
            listener.close()
            raise ConfigurationError(f"{self._path}: cannot be made as a socket: {error.strerror or error}") from None
        except ConfigurationError:
            listener.close()
            raise
        return listener

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            writer.write(json.dumps(self._status()).encode() + b"\n")
            async with asyncio.timeout(_ANSWER_WAIT_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            writer.transport.abort()
        finally:
            self._connections.discard(writer)


def read_status(path: Path, *, wait_s: float = 5.0) -> dict[str, object]:
    """The running agent's status; AgentError says what to do if none answers at `path`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(wait_s)
            connection.connect(str(path))
            raw = _read_all(connection)
    except FileNotFoundError:
        raise AgentError(
            f"{path}: there is no such socket; is the agent running, and is this its status.socket?"
        ) from None
    except ConnectionRefusedError:
        raise AgentError(f"{path}: nobody listens; the agent that made this socket has ended") from None
    except PermissionError:
        raise AgentError(f"{path}: not allowed; ask as root or as a member of the socket's group") from None
    except TimeoutError:
        raise AgentError(f"{path}: the agent did not answer within {wait_s:g} s; see its log") from None
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror or error}") from None
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AgentError(f"{path}: what answers here is not a carshare-agent, or ended while answering")
    return document


def _read_all(connection: socket.socket) -> bytes:
    raw = bytearray()
    while len(raw) <= DOCUMENT_BYTES_MAX and (part := connection.recv(65536)):
        raw += part
    return bytes(raw)


def _remove_if_stale(path: Path) -> None:
    """Remove a socket nobody listens on; ConfigurationError if somebody does, or if it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(f"{path}: is there and is no socket; give status.socket a path of its own")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
    raise ConfigurationError(f"{path}: another agent answers here; stop it, or give this one its own status.socket")
