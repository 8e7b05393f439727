"""The socket as paho-mqtt sees it: a packet that is too large is refused before there is memory for it (H18)."""

from __future__ import annotations

import socket
import ssl


class PahoSocket:
    """A connected socket that refuses to read more than `packet_bytes_max` at once; `fault` says why reading failed.

    paho reads a packet's header byte by byte and then asks for exactly the rest, so what it asks for is the size
    the broker claims; it would read 256 MiB.
    """

    def __init__(self, connection: socket.socket, packet_bytes_max: int) -> None:
        self._connection = connection
        self._packet_bytes_max = packet_bytes_max
        self.fault = ""

    def recv(self, size: int) -> bytes:
        if size > self._packet_bytes_max:
            self.fault = f"the broker sent a packet of {size} bytes; {self._packet_bytes_max} were allowed"
            raise ConnectionError(self.fault)
        try:
            received = self._connection.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.fault = str(getattr(error, "reason", "") or error.strerror or error)
            raise
        return received

    def send(self, buffer: bytes | bytearray) -> int:
        return self._connection.send(buffer)

    def pending(self) -> int:
        """Bytes decrypted and not read yet; the event loop does not see those."""
        return self._connection.pending() if isinstance(self._connection, ssl.SSLSocket) else 0

    def fileno(self) -> int:
        return self._connection.fileno()

    def setblocking(self, flag: bool) -> None:
        self._connection.setblocking(flag)

    def close(self) -> None:
        self._connection.close()
