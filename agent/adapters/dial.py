"""A connection to the broker: names looked up, TCP, TLS 1.3 with a pinned CA; all of it cancellable and bounded.

paho-mqtt would do this in a blocking call; a thread that hangs in it cannot be ended, and delays the process's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.adapters.files import require_private
from agent.errors import ConfigurationError, LinkError

# A name with more addresses than this is a load balancer's; any four of them will do.
_ADDRESSES_MAX = 4

Address = tuple[int, Any]


def tls_context(ca_file: Path, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """TLS 1.3 or nothing, trusting this CA alone, host name checked; ConfigurationError naming a file that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        raise ConfigurationError(f"{ca_file}: no CA certificate can be read: {error.strerror or error}") from None
    if (certificate_file is None) is not (key_file is None):
        raise ConfigurationError("broker: certificate_file and key_file go together; give both, or none")
    if certificate_file is not None and key_file is not None:
        require_private(key_file)
        try:
            # A key under a password would make OpenSSL ask for it on the terminal.
            context.load_cert_chain(certificate_file, key_file, password="")
        except OSError as error:
            raise ConfigurationError(
                f"{certificate_file}, {key_file}: no matching certificate and key: {error.strerror or error}"
            ) from None
    return context


def require_loopback(host: str) -> None:
    """ConfigurationError unless `host` is this machine: commands are signed, but who drives where is not to be read."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise ConfigurationError(
            f"broker.host: {host!r} is not this machine, so the connection must be TLS; set broker.ca_file"
            " (or, where a closed network is trusted, broker.allow_unencrypted_network = true)"
        )


async def dial(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connected, non-blocking socket with `TCP_NODELAY`; LinkError saying which step failed. Bound it with a timeout.

    Without `context` the connection is plain.
    """
    try:
        addresses = await look_up(host, port)
    except OSError as error:
        raise LinkError(f"{host}: the name cannot be looked up: {error.strerror or error}") from None
    failure = f"{host}: has no address"
    for family, address in addresses[:_ADDRESSES_MAX]:
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
            # Nagle's algorithm costs 40 ms on every command (measured): small packets, both ways, at once.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection if context is None else await _secured(connection, context, host)
        except (OSError, ssl.SSLError, ssl.CertificateError) as error:
            connection.close()
            failure = f"{host} port {port}: {_words(error)}"
        except BaseException:
            connection.close()
            raise
    raise LinkError(failure)


async def _secured(connection: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    loop = asyncio.get_running_loop()
    secured = context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _until(secured, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _until(secured, loop.add_writer, loop.remove_writer)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def _until(
    connection: socket.socket,
    add: Callable[[int, Callable[[], None]], object],
    remove: Callable[[int], object],
) -> None:
    """Wait until the loop finds the socket ready for what `add` and `remove` watch."""
    ready = asyncio.Event()
    add(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        remove(connection.fileno())


async def look_up(host: str, port: int) -> list[Address]:
    """Addresses of a name, looked up in a daemon thread: a dead resolver takes half a minute and cannot be stopped."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def settle(found: list[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: list[Address] | OSError
        try:
            found = [(info[0], info[4]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            found = error
        except UnicodeError as error:  # a label that is empty, too long, or of what no name has
            found = socket.gaierror(socket.EAI_NONAME, f"this is no host name: {error}")
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=ask, name="broker-lookup", daemon=True).start()
    return await answer


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS 1.3 connection: {error.reason or error}"
    # asyncio puts an address where the reason belongs.
    return os.strerror(error.errno) if error.errno else str(error)
