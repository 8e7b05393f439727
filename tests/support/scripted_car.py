"""The car's end of the protocol by script: made of the same codecs, with no CAN, no journal and no rules of its own."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiomqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.settings import BrokerAddress, Car, Operator, Settings
from agent.command.envelope import (
    CommandPayload,
    Hello,
    MessageKind,
    Result,
    check_signature,
    decode_command,
    decode_ping,
    encode_hello,
    encode_result,
    open_unverified,
    seal,
)
from agent.model.command import Evidence, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.reading import Quality

Answer = tuple[MessageKind, bytes]

OPERATOR_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CAR_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
STRANGERS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
OPERATOR = Operator(1, "Test operator", OPERATOR_KEY)
CAR = Car("demo", bytes.fromhex("0123456789abcdef"), CAR_KEY.public_key())

LOCK_EVIDENCE = (
    Evidence("Vehicle.Carshare.CentralLock.IsLocked", False, Quality.OK, age_ms=12, message="LockStatus"),
    Evidence("Vehicle.Speed", 0.0, Quality.OK, age_ms=40, message="MotionStatus"),
)


def settings(host: str = "127.0.0.1", port: int = 1883) -> Settings:
    """A backend's settings for the one scripted car."""
    return Settings(OPERATOR, BrokerAddress(host, port), {CAR.name: CAR})


@dataclass(slots=True)
class ReceivedCommand:
    """A command as it reached the car, with what an answer to it must carry."""

    command: CommandPayload
    raw: bytes
    digest: bytes


Script = Callable[["ScriptedCar", ReceivedCommand], list[Answer]]


@dataclass(slots=True)
class ScriptedCar:
    """Answers every ping with a hello, and every command as `script` says, each copy of it anew.

    `session_ms` is what hellos and results say; whoever uses the car moves it on.
    """

    script: Script
    sid: bytes = b"session1"
    store_id: bytes = b"store--1"
    session_ms: int = 5_000
    event_sequence: int = 7
    counters: dict[bytes, int] = field(default_factory=dict)
    received: list[ReceivedCommand] = field(default_factory=list)

    def receive(self, kind: MessageKind, raw: bytes) -> list[Answer]:
        """What the car publishes on having received `raw`; it insists on the operator's signature."""
        envelope = open_unverified(kind, raw)
        assert envelope is not None, "the backend sent something the strict decoder refuses"
        assert check_signature(envelope, OPERATOR_KEY.public_key())
        assert envelope.kid == OPERATOR.kid
        if kind is MessageKind.PING:
            return [self.hello(decode_ping(envelope.payload).nonce)]
        received = ReceivedCommand(decode_command(envelope.payload), raw, envelope.digest)
        self.received.append(received)
        return self.script(self, received)

    def restart(self) -> None:
        """A new agent process: other session, session time from zero, counters forgotten."""
        self.sid = f"session{int(self.sid[-1:]) + 1}".encode()
        self.session_ms = 100
        self.counters.clear()

    def hello(self, nonce: bytes | None = None, *, key: Ed25519PrivateKey = CAR_KEY) -> Answer:
        hello = Hello(
            CAR.id, self.sid, self.session_ms, ClockTrust.FLOOR_ONLY, self.store_id, self.event_sequence,
            counters=self.counters, nonce=nonce,
        )  # fmt: skip
        return MessageKind.HELLO, seal(MessageKind.HELLO, encode_hello(hello), key, CAR.id)

    def result(
        self,
        received: ReceivedCommand,
        stage: Stage,
        reason: Reason = Reason.OK,
        executed: Executed = Executed.UNKNOWN,
        *,
        evidence: tuple[Evidence, ...] = (),
        key: Ed25519PrivateKey = CAR_KEY,
    ) -> Answer:
        command = received.command
        result = Result(
            CAR.id, command.cid, command.operator, stage, reason, executed, self.sid, self.session_ms,
            received.digest[:8], evidence, self.event_sequence,
        )  # fmt: skip
        return MessageKind.RES, seal(MessageKind.RES, encode_result(result), key, CAR.id)


def verifies(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    """Carries the command out, step by step, with evidence."""
    return [
        car.result(received, Stage.ACCEPTED),
        car.result(received, Stage.EXECUTING),
        car.result(received, Stage.VERIFIED, Reason.OK, Executed.YES, evidence=LOCK_EVIDENCE),
    ]


def fails(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return [car.result(received, Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)]


def gives_no_feedback(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return [car.result(received, Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.UNKNOWN)]


def rejects(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return [car.result(received, Stage.REJECTED, Reason.DOOR_OPEN, Executed.NO)]


def is_silent(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return []


def says_it_thrice(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return [car.result(received, Stage.VERIFIED, Reason.OK, Executed.YES)] * 3


def is_impersonated(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    """A stranger claims success first; the car itself says that it failed."""
    return [
        car.result(received, Stage.VERIFIED, Reason.OK, Executed.YES, key=STRANGERS_KEY),
        car.result(received, Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO),
    ]


def knows_only_its_session(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    """Refuses commands of another session and sends the hello that goes with it (A7)."""
    if received.command.sid == car.sid:
        return verifies(car, received)
    return [
        car.result(received, Stage.REJECTED, Reason.STALE_SESSION, Executed.NO),
        car.hello(received.command.cid),
    ]


@asynccontextmanager
async def connected(car: ScriptedCar, host: str, port: int) -> AsyncIterator[aiomqtt.Client]:
    """The scripted car on a real broker, for the length of the block; the client is for what it says unasked."""
    async with aiomqtt.Client(
        host,
        port,
        protocol=aiomqtt.ProtocolVersion.V5,
        identifier="scripted-car",
        # Any other time-out goes through asyncio.wait_for, which on Python 3.11 can swallow a cancellation.
        timeout=math.inf,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    ) as client:
        for kind in ("cmd", "ping"):
            await client.subscribe(topic(kind), qos=1)
        answering = asyncio.create_task(_answer(car, client), name="scripted-car")
        try:
            yield client
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await answering


def topic(kind: str) -> str:
    return f"v1/{OPERATOR.number}/{CAR.id.hex()}/{kind}"


async def _answer(car: ScriptedCar, client: aiomqtt.Client) -> None:
    async for message in client.messages:
        kind = MessageKind(message.topic.value.rpartition("/")[2])
        assert isinstance(message.payload, bytes)
        for answer_kind, raw in car.receive(kind, message.payload):
            await client.publish(topic(answer_kind), raw, qos=1)
