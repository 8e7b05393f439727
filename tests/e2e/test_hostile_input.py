"""The agent as a process under attack: fed to the watchdog, no larger, and with nothing in its log that is not for it.

Each kind of hostile bytes, and that it is dropped, is proven in `tests/unit/command/test_envelope.py`.
"""

from __future__ import annotations

import base64
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.files import read_key_file
from agent.adapters.status_socket import read_status
from agent.bench.setup import OPERATOR
from agent.command.envelope import MessageKind, open_unverified
from agent.errors import AgentError
from tests.support.envelopes import UNLOCK_FIELDS, byte_string, head, map_by_hand, protected_header, sign_by_hand
from tests.support.installation import Installation, install
from tests.support.mosquitto import mosquitto
from tests.support.mqtt_tap import MqttTap, mqtt_tap
from tests.support.process import Process

pytestmark = pytest.mark.broker

ROUNDS = 3
MEMORY_GROWTH_BYTES_MAX = 1_000_000
WATCHDOG_US = 1_000_000

CBOR_BOMBS = [
    bytes.fromhex("d81e816a31653939393939393939"),  # tag 30 with a huge exponent
    b"\x9b" + (2**39).to_bytes(8, "big"),
    b"\x81" * 1000 + b"\x80",
    b"\x98\x18\xd8\x1c\x80" + b"".join(b"\xd8\x1c\x82" + 2 * (b"\xd8\x1d" + head(0, level)) for level in range(23)),
]


def key_in(path: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(read_key_file(path))


class Notified:
    """What systemd would hear from the agent."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def is_fed(self) -> bool:
        """Whether the watchdog was fed since this was asked last."""
        heard = []
        while True:
            try:
                heard.append(self._listener.recv(4096))
            except BlockingIOError:
                return b"WATCHDOG=1" in heard


@contextmanager
def notified() -> Iterator[tuple[Notified, dict[str, str]]]:
    """A socket in place of systemd's, and the environment that leads the agent to it."""
    name = f"carshare-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        yield Notified(listener), {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(WATCHDOG_US)}


class Operator:
    """Signs by hand, for the installation's car, with the key the car knows."""

    def __init__(self, installed: Installation) -> None:
        self.key = key_in(installed.files.backend_toml.parent / "operator.key")
        self._header = protected_header(kid=sha256(self.key.public_key().public_bytes_raw()).digest()[:4])
        self._fields = UNLOCK_FIELDS | {2: byte_string(bytes.fromhex(installed.car)), 4: head(0, OPERATOR)}

    def signed(self, body: bytes) -> bytes:
        return sign_by_hand(MessageKind.CMD, body, protected=self._header, key=self.key)

    def hostile(self) -> list[bytes]:
        """Commands that are wrong in one way each, all validly signed where that can be."""
        good = map_by_hand(self._fields)
        envelope = self.signed(good)
        wrong = {
            6: [b"\xf5", b"\xf9\x3c\x00", b"\x18\x01", b"\x1b\x80" + bytes(7), b"\x61\xff", *CBOR_BOMBS[:1]],
            7: [b"\x20", b"\xf6", b"\xc1\x1a\x51\x4b\x67\xb0"],
            60: [b"\x00"],
            200: CBOR_BOMBS[:3],
        }
        fields = [self._fields | {key: value} for key, values in wrong.items() for value in values]
        return [
            b"",
            b'{"act": 1}',
            b"unlock",
            bytes(1025),
            bytes(7000),
            envelope + b"\x00",
            envelope[:-1],
            envelope[:-64] + bytes(64),
            sign_by_hand("grant", good, protected=self._header, key=self.key),
            *(self.signed(map_by_hand(each)) for each in fields),
            *CBOR_BOMBS,
            *(self.signed(bomb) for bomb in CBOR_BOMBS[:2]),
        ]


def dropped(installed: Installation) -> dict[str, int]:
    """The agent's own counts, by the check that dropped."""
    try:
        commands = read_status(installed.files.agent_toml.parent / "status.sock")["commands"]
    except AgentError:
        return {}
    assert isinstance(commands, dict)
    return dict(commands["dropped"])


def spellings(secret: bytes) -> set[str]:
    """How bytes may turn up in a text: hexadecimal, base64, Python's way, or as they are."""
    return {
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
        str(list(secret))[1:-1],
    }


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[tuple[Installation, int]]:
    """An agent on a bus of its own with a broker, and the broker's port."""
    with mosquitto(tmp_path) as broker:
        folder = tmp_path / "bench"
        folder.mkdir()
        yield install(folder, broker_port=broker.port, interface="virtual", channel=tmp_path.name), broker.port


def attack(agent: Process, tap: MqttTap, installation: Installation, hostile: list[bytes]) -> None:
    """Publish them one by one, so that none is dropped unread because they come too fast."""
    for raw in hostile:
        before = sum(dropped(installation).values())
        tap.publish(installation.topic("cmd"), raw)
        is_dropped = partial(is_dropped_since, installation, before)
        agent.until(is_dropped, within_s=20, what=f"{raw[:64].hex()} is dropped")


def is_dropped_since(installation: Installation, before: int) -> bool:
    return sum(dropped(installation).values()) > before


@pytest.mark.hazard("H139")
def test_attacked_agent_is_fed_small_and_silent_and_tells_no_secret(installed: tuple[Installation, int]) -> None:
    """H1 to H27, H139, H141 to H143, SR-10: and then it answers its operator as if nothing had been."""
    installation, port = installed
    operator = Operator(installation)
    hostile = operator.hostile()
    with mqtt_tap(port) as tap, notified() as (systemd, environ), installation.agent(environ) as agent:
        agent.until(lambda: tap.payloads(installation.topic("hello")), within_s=30, what="the agent's hello")
        memory_bytes = []
        for _ in range(ROUNDS):
            attack(agent, tap, installation, hostile)
            systemd.is_fed()
            agent.until(systemd.is_fed, within_s=10, what="the watchdog is fed")
            memory_bytes.append(agent.memory_bytes())
        assert dropped(installation).keys() == {"malformed", "bad_signature"}
        assert sum(dropped(installation).values()) == ROUNDS * len(hostile)
        assert memory_bytes[-1] - memory_bytes[0] < MEMORY_GROWTH_BYTES_MAX, memory_bytes
        assert tap.payloads(installation.topic("res")) == []
        events = [json.loads(event).get("problem") for event in tap.payloads(installation.topic("evt"))]
        assert events.count("deliveries_dropped") == 1
        for verb, end in (("ping", 0), ("unlock", 1)):
            with installation.backend(verb) as backend:
                assert backend.wait(60) == end, "no car is there to be unlocked"
        assert agent.end() == 0
        pings = [open_unverified(MessageKind.PING, raw) for raw in tap.payloads(installation.topic("ping"))]
        commands = [raw for raw in tap.payloads(installation.topic("cmd")) if len(raw) > len(b"unlock")]

    log = agent.said() + "".join(path.read_text() for path in installation.files.path.glob("backend.std*"))
    assert "command_" in log and "Traceback" not in log
    challenges = [cast(bytes, ping.payload[4]) for ping in pings if ping is not None]
    assert challenges and len(commands) > len(hostile)
    keys = [operator.key, key_in(installation.files.agent_toml.parent / "vehicle.key")]
    for secret in [*commands, *(key.private_bytes_raw() for key in keys), *challenges]:
        assert [spelled for spelled in spellings(secret) if spelled in log] == []
