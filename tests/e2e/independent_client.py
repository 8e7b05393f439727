"""A backend for one car, written from `agent/PROTOCOL.md` alone: proof that the page is enough.

On purpose it imports nothing of this project.  It is "A backend without our library" of that page, function by
function and under its names.  Each action named is asked for once, and its signed result printed as JSON:

    python independent_client.py --broker 127.0.0.1:1883 --car 5ca1… --car-key 29ac… --operator 1 \\
        --seed-file command.key unlock
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import queue
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

ED25519 = -19
ACTIONS = {  # act, furthest deadline in ms
    "unlock": (1, 30_000),
    "lock": (2, 120_000),
    "enable_drive": (3, 30_000),
    "disable_drive": (4, 120_000),
    "locate": (5, 120_000),
    "report": (6, 120_000),
    "check_return": (7, 120_000),
}
STAGES = {
    1: "accepted",
    2: "executing",
    3: "verified",
    4: "executed_unverified",
    5: "failed",
    6: "rejected",
    7: "interrupted",
}
EXECUTED = {0: "no", 1: "yes", 2: "unknown"}
FIRST_FINAL = 3  # stages 3 and above end a command
STALE_SESSION = 30
NOT_EXECUTED = 0
SESSION_AGE_MS_MAX = 3_600_000
PATIENCE_MS = 2000
PINGS_MAX = 5
CONNECT_TIMEOUT_S = 10.0
ENVELOPE_BYTES_MAX = 1024
INBOX_MAX = 256  # whoever floods the broker fills this, and no more

Payload = dict[int, Any]


def now() -> int:
    return time.monotonic_ns() // 1_000_000


def cbor(item: object) -> bytes:
    return cbor2.dumps(item, canonical=True)


@dataclass(frozen=True, slots=True)
class Session:
    """The car's session, and its time `st` at `at` of our own clock, both in milliseconds."""

    sid: bytes
    st: int
    at: int


@dataclass(slots=True)
class Backend:
    """One command key and one car."""

    command_key: Ed25519PrivateKey
    kid: bytes
    op: int
    car: bytes
    vehicle_key: Ed25519PublicKey
    client: Client = field(default_factory=lambda: Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5))
    inbox: queue.Queue[tuple[str, bytes, int]] = field(default_factory=lambda: queue.Queue(INBOX_MAX))
    session: Session | None = None
    counter: int = 0

    def seal(self, kind: str, payload: Payload) -> bytes:
        protected = cbor({1: ED25519, 4: self.kid})
        body = cbor(payload)
        signature = self.command_key.sign(cbor(["Signature1", protected, f"csa1/{kind}".encode(), body]))
        return cbor([protected, {}, body, signature])

    def open(self, kind: str, raw: bytes) -> Payload | None:
        protected = cbor({1: ED25519, 4: self.car})
        prefix = b"\x84" + cbor(protected) + b"\xa0"
        if len(raw) > ENVELOPE_BYTES_MAX or not raw.startswith(prefix):
            return None
        item, mark, signature = raw[len(prefix) : -66], raw[-66:-64], raw[-64:]
        body = next((item[head:] for head in (1, 2, 3) if cbor(item[head:]) == item), None)
        if body is None or mark != b"\x58\x40":
            return None
        try:
            self.vehicle_key.verify(signature, cbor(["Signature1", protected, f"csa1/{kind}".encode(), body]))
        except InvalidSignature:
            return None
        payload: Payload = cbor2.loads(body)
        return payload if payload[1] == 1 and payload[2] == self.car else None

    def connect(self, host: str, port: int) -> None:
        """Plain MQTT: the bench's broker listens on this machine only."""
        subscribed: queue.Queue[None] = queue.Queue(1)

        def on_connect(client: Client, *_: object) -> None:
            client.subscribe([(self.topic("hello"), 1), (self.topic("res"), 1)])

        def on_subscribe(*_: object) -> None:
            with contextlib.suppress(queue.Full):  # paho connects again by itself
                subscribed.put_nowait(None)

        def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
            kind = message.topic.rpartition("/")[2]
            with contextlib.suppress(queue.Full):  # an answer that is lost is asked for again
                self.inbox.put_nowait((kind, bytes(message.payload), now()))

        self.client.on_connect, self.client.on_subscribe = on_connect, on_subscribe
        self.client.on_message = on_message
        self.client.connect(host, port, clean_start=True)
        self.client.loop_start()
        subscribed.get(timeout=CONNECT_TIMEOUT_S)

    def topic(self, kind: str) -> str:
        return f"v1/{self.op}/{self.car.hex()}/{kind}"

    def publish(self, kind: str, raw: bytes) -> None:
        self.client.publish(self.topic(kind), raw, qos=1, retain=False)

    def receive(self, until: int) -> tuple[str, Payload, int] | None:
        while (left_ms := until - now()) > 0:
            try:
                kind, raw, at = self.inbox.get(timeout=left_ms / 1000)
            except queue.Empty:
                return None
            if (payload := self.open(kind, raw)) is not None:
                return kind, payload, at
        return None

    def open_session(self) -> Session:
        for _ in range(PINGS_MAX):
            nonce, asked = secrets.token_bytes(16), now()
            self.publish("ping", self.seal("ping", {1: 1, 2: self.car, 3: self.op, 4: nonce}))
            while (received := self.receive(asked + PATIENCE_MS)) is not None:
                kind, payload, at = received
                if kind == "hello" and payload.get(10) == nonce:
                    self.counter = max(self.counter, dict(payload[5]).get(self.kid, 0))
                    self.session = Session(payload[3], payload[4], at)
                    return self.session
        raise TimeoutError("the car is not there")

    def ask(self, act: int, lifetime: int) -> Payload:
        while True:
            session = self.session
            if session is None or now() - session.at > SESSION_AGE_MS_MAX:
                session = self.open_session()
            self.counter = max(self.counter + 1, time.time_ns() // 1_000_000)
            cid = secrets.token_bytes(16)
            deadline = session.st + (now() - session.at) + lifetime
            names = {1: 1, 2: self.car, 3: cid, 4: self.op}
            command = names | {5: session.sid, 6: self.counter, 7: deadline, 8: act}
            result = self.outcome(cid, self.seal("cmd", command), lifetime)
            if result[6] != STALE_SESSION or result[7] != NOT_EXECUTED:
                return result
            self.session = None

    def outcome(self, cid: bytes, envelope: bytes, lifetime: int) -> Payload:
        digest = hashlib.sha256(envelope).digest()[:8]
        give_up_at = now() + lifetime + 60_000
        while (sent := now()) < give_up_at:
            self.publish("cmd", envelope)
            while (received := self.receive(sent + PATIENCE_MS)) is not None:
                kind, payload, _ = received
                is_ours = kind == "res" and (payload[3], payload[4], payload[12]) == (cid, self.op, digest)
                if is_ours and payload[5] >= FIRST_FINAL:
                    return payload
        raise TimeoutError("it is not known whether the car obeyed")


def in_words(result: Payload) -> dict[str, object]:
    return {
        "stage": STAGES[result[5]],
        "reason": result[6],
        "executed": EXECUTED[result[7]],
        "evidence": {piece[1]: piece[2] for piece in result.get(10, [])},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True, help="host:port")
    parser.add_argument("--car", required=True, type=bytes.fromhex, help="the car's id")
    parser.add_argument("--car-key", required=True, type=bytes.fromhex, help="its public key V")
    parser.add_argument("--operator", required=True, type=int)
    parser.add_argument("--seed-file", required=True, type=Path, help="seed of C, 32 bytes in hexadecimal")
    parser.add_argument("actions", choices=ACTIONS, nargs="+", metavar="ACTION")
    options = parser.parse_args()

    command_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(options.seed_file.read_text()))
    backend = Backend(
        command_key=command_key,
        kid=hashlib.sha256(command_key.public_key().public_bytes_raw()).digest()[:4],
        op=options.operator,
        car=options.car,
        vehicle_key=Ed25519PublicKey.from_public_bytes(options.car_key),
    )
    host, _, port = options.broker.rpartition(":")
    backend.connect(host, int(port))
    try:
        for action in options.actions:
            result = backend.ask(*ACTIONS[action])
            sys.stdout.write(json.dumps(in_words(result)) + "\n")
            sys.stdout.flush()
    finally:
        backend.client.disconnect()
        backend.client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
