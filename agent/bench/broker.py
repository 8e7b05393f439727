"""The bench broker: a small MQTT 5 broker in this process, for the bench and for faults no real broker makes.

Not a broker for use: loopback only, no TLS, no users, nothing on disk.  It knows QoS 0 and 1, retained messages,
wills, subscription options, keep-alive, message expiry, Receive Maximum and Maximum Packet Size both ways, and
take-over.  Sessions end with their connection.  What it lacks (QoS 2, sessions that stay, shared subscriptions,
subscription identifiers, topic aliases, extended authentication) it refuses in the words of the standard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType

from mqtt5 import DisconnectReasonCode, PubAckReasonCode

from agent.bench.broker_faults import BrokerFaults
from agent.bench.broker_session import BrokerSession
from agent.bench.broker_wire import Publication
from agent.bench.topic_filter import matches

HOST = "127.0.0.1"
CONNECTIONS_MAX = 32  # the bench has an agent, a backend and a person's second terminal
RETAINED_MAX = 1000  # a handful of topics a car
FLUSH_TIMEOUT_S = 1.0  # a client that does not read its DISCONNECT must not hold up the end


def _silent(_event: str, _fields: Mapping[str, object]) -> None:
    """Nobody watches."""


class BenchBroker:
    """An async context manager: listens on loopback between `start` and `stop`, remembers nothing in between."""

    def __init__(self, *, port: int = 0, on_event: Callable[[str, Mapping[str, object]], None] = _silent) -> None:
        self.host = HOST
        self.port = port
        self.faults = BrokerFaults()
        self._on_event = on_event
        self._server: asyncio.Server | None = None
        self._sessions: dict[str, BrokerSession] = {}
        self._connections: dict[BrokerSession, asyncio.Task[None]] = {}
        self._retained: dict[str, Publication] = {}

    async def __aenter__(self) -> BenchBroker:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on `port`; 0 takes a free one, which stays this broker's port from then on."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self, *, is_abrupt: bool = False) -> None:
        """End every session, politely or by cutting the connections, and stop listening."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.faults.thaw()
        self._retained.clear()
        for session in list(self._connections):
            session.end(DisconnectReasonCode.SERVER_SHUTTING_DOWN, is_abrupt=is_abrupt)
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=FLUSH_TIMEOUT_S)
        for session in list(self._connections):
            session.abort()

    def freeze(self) -> None:
        """Keep every connection open and let nothing through, either way, until `thaw`."""
        self.faults.freeze()

    def thaw(self) -> None:
        self.faults.thaw()
        for session in list(self._connections):
            session.release()

    def cut(self, client_id: str) -> bool:
        """Break one client's connection without a word; False if there is none of that id."""
        session = self._sessions.get(client_id)
        if session is None:
            return False
        session.end(None, is_abrupt=True)
        return True

    @property
    def client_ids(self) -> frozenset[str]:
        """Clients connected now."""
        return frozenset(self._sessions)

    def subscriptions(self, client_id: str) -> frozenset[str]:
        """Topic filters a connected client has subscribed to."""
        session = self._sessions.get(client_id)
        return frozenset(session.subscriptions) if session else frozenset()

    def admit(self, session: BrokerSession) -> None:
        """Take the session in under its client id; an older one of that id is ended, as MQTT 5 §3.1.4 asks."""
        older = self._sessions.get(session.client_id)
        self._sessions[session.client_id] = session
        if older is not None:
            self.note("client_taken_over", client_id=session.client_id)
            older.end(DisconnectReasonCode.SESSION_TAKEN_OVER)

    def route(self, publication: Publication) -> PubAckReasonCode:
        """Store (if retained) and deliver a message; the answer is what its publisher hears."""
        if publication.source.retain:
            if not publication.source.payload:
                self._retained.pop(publication.topic, None)
            elif len(self._retained) >= RETAINED_MAX and publication.topic not in self._retained:
                return PubAckReasonCode.QUOTA_EXCEEDED
            else:
                self._retained[publication.topic] = publication
        is_wanted = False
        for session in list(self._sessions.values()):
            if any(matches(pattern, publication.topic) for pattern in session.subscriptions):
                is_wanted = True
                session.deliver(publication)
        return PubAckReasonCode.SUCCESS if is_wanted else PubAckReasonCode.NO_MATCHING_SUBSCRIBERS

    def retained_under(self, pattern: str) -> list[Publication]:
        """Retained messages a new subscriber of `pattern` is to get; expired ones are forgotten here."""
        now_s = asyncio.get_running_loop().time()
        for topic in [topic for topic, kept in self._retained.items() if kept.is_expired(now_s)]:
            del self._retained[topic]
        return [kept for topic, kept in self._retained.items() if matches(pattern, topic)]

    def note(self, event: str, **fields: object) -> None:
        """Tell who watches the bench."""
        self._on_event(event, fields)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            self.note("connection_refused", problem=f"{CONNECTIONS_MAX} connections are open")
            writer.close()
            return
        session = BrokerSession(self, reader, writer)
        self._connections[session] = asyncio.create_task(self._serve(session), name="bench-broker-session")

    async def _serve(self, session: BrokerSession) -> None:
        try:
            await session.run()
        finally:
            del self._connections[session]
            if self._sessions.get(session.client_id) is session:
                del self._sessions[session.client_id]
