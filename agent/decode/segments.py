"""ISO-TP (ISO 15765-2) as far as it takes to receive one answer: single, first and consecutive frames to a payload.

Frames come in and what follows from them goes out; time, sending and time-outs are the caller's.  No library does that:
can-isotp's protocol layer reads a clock of its own, and the kernel's ISO-TP sockets would send flow control past both
send lists (SR-01).  can-isotp is the oracle of the tests.
"""

from __future__ import annotations

from enum import Enum

_FRAME_BYTES = 8


class Heard(Enum):
    """What a frame that does not complete a payload says."""

    ASIDE = "aside"
    """Nothing of this conversation: for another tester, or no part of an answer."""
    BEGUN = "begun"
    """A first frame: the control unit waits for flow control."""
    MORE = "more"
    """A consecutive frame, and not the last."""
    BROKEN = "broken"
    """A frame was lost, came twice or in the wrong order, or is none of ISO-TP's: nothing is known of the payload."""


class Segments:
    """The frames of one answer after the other. `address` is what each must begin with (extended addressing).

    After BROKEN the rest of that payload is passed over; nothing of it gets into the next one.
    """

    def __init__(self, address: bytes) -> None:
        self._address = address
        self._payload = b""
        self._length = 0
        self._number = 0

    @property
    def is_open(self) -> bool:
        """Whether a payload is begun and not whole."""
        return self._length > 0

    def forget(self) -> None:
        """The next frame belongs to nothing that came before."""
        self._payload, self._length, self._number = b"", 0, 0

    def take(self, data: bytes) -> bytes | Heard:
        """The payload if this frame completes it, else what the frame says."""
        start = len(self._address)
        if not data.startswith(self._address) or len(data) <= start:
            return Heard.ASIDE
        kind, low = data[start] >> 4, data[start] & 0xF
        body = data[start + 1 :]
        match kind:
            case 0x0:
                return self._single(low, body)
            case 0x1:
                return self._first(low, body, len(data))
            case 0x2:
                return self._consecutive(low, body)
            case _:
                return Heard.ASIDE

    def _single(self, length: int, body: bytes) -> bytes | Heard:
        if self.is_open or not 0 < length <= len(body):
            return self._broken()
        return body[:length]

    def _first(self, high: int, body: bytes, frame_bytes: int) -> Heard:
        # Half of a length, and the escape to more than 4095 bytes, which has it as 0, is broken too.
        length = high << 8 | body[0] if body else 0
        if self.is_open or frame_bytes != _FRAME_BYTES or length <= len(body):
            return self._broken()
        self._payload, self._length, self._number = body[1:], length, 1
        return Heard.BEGUN

    def _consecutive(self, number: int, body: bytes) -> bytes | Heard:
        if not self.is_open:
            return Heard.ASIDE
        missing = self._length - len(self._payload)
        room = _FRAME_BYTES - 1 - len(self._address)
        # Only the last one may be shorter than a frame.
        if number != self._number or len(body) < min(missing, room) or len(body) > room:
            return self._broken()
        self._payload += body[:missing]
        self._number = (self._number + 1) & 0xF
        if len(self._payload) < self._length:
            return Heard.MORE
        payload = self._payload
        self.forget()
        return payload

    def _broken(self) -> Heard:
        self.forget()
        return Heard.BROKEN
