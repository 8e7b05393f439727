"""Whether the car is there, as others see it: birth message, announced end; the last will is the broker's.

An end that was announced is left to stand: once the broker has it, the connection is closed without the will (R14).
"""

from __future__ import annotations

from enum import StrEnum

from agent.model.effects import Leave
from agent.pending import Pending
from agent.session import Session
from agent.uplink import wire


class AnnouncedEnd(StrEnum):
    """Why a car goes on purpose. A presence without such a word that is not online is the will: the car was lost."""

    ASLEEP = "asleep"
    """The computer is about to be switched off, for the sake of the 12 V battery; it comes back by itself."""
    STOPPED = "stopped"
    """Somebody ended the agent."""


class Presence:
    """Says each once: the birth with each connection, the end once the last record is told."""

    def __init__(self, car: bytes, session: Session, pending: Pending) -> None:
        self._topic = wire.Topics(car).presence
        self._session = session
        self._pending = pending
        self._is_connected = False
        self._end_token: int | None = None

    def connected(self) -> None:
        """The link is up: say who is here."""
        self._is_connected = True
        self._pending.publish(self._topic, wire.presence_document(self._session.sid, is_online=True), is_retained=True)

    def disconnected(self) -> None:
        """The link is gone, and the broker has published the will."""
        self._is_connected, self._end_token = False, None

    def leave(self, end: AnnouncedEnd) -> None:
        """The last word of this connection; said a second time it is not said again."""
        if self._is_connected and self._end_token is None:
            payload = wire.presence_document(self._session.sid, is_online=False, end=end.value)
            self._end_token = self._pending.publish_tracked(self._topic, payload, is_retained=True)

    def published(self, token: int, refusal: str | None) -> bool:
        """The broker answered for the end; True if that is what the token is of. Refused, the will tells the rest."""
        if token != self._end_token:
            return False
        if refusal is None:
            self._pending.add(Leave())
        return True
