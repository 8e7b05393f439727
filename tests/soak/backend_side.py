"""The backend's side of the soak: a subscriber the broker keeps a session for, which weighs every copy it gets."""

from __future__ import annotations

import hashlib
import json
import threading
from types import TracebackType
from typing import Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_HISTORICAL = b',"historical":true}'


class BackendSide:
    """What came on one car's `evt` topic, by sequence number. Its link is direct: only the car's is bad."""

    def __init__(self, port: int, topic: str) -> None:
        self.received: dict[int, bytes] = {}
        """Sequence number → digest of the record, its flag `historical` left out."""
        self.duplicates = 0
        self.unflagged = 0
        self.changed: set[int] = set()
        self.gaps: dict[int, int] = {}
        """Sequence number of a gap record → how many it says gave way."""
        self.given_up: set[int] = set()
        """Numbers that gap records name as given up one by one; a span joined of several only counts its own."""
        self._port, self._topic = port, topic
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="soak-backend", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)

    def __enter__(self) -> Self:
        kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        kept.SessionExpiryInterval = 86_400
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=kept)
        self._client.loop_start()
        assert self._subscribed.wait(10.0), "no subscription"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        payload = message.payload
        is_historical = payload.endswith(_HISTORICAL)
        body = payload[: -len(_HISTORICAL)] + b"}" if is_historical else payload
        record = json.loads(body)
        sequence = record["seq"]
        digest = hashlib.blake2b(body, digest_size=8).digest()
        if (known := self.received.get(sequence)) is not None:
            self.duplicates += 1
            self.unflagged += not (is_historical or message.dup)
            if known != digest:
                self.changed.add(sequence)
            return
        if record["kind"] == "gap":
            self.gaps[sequence] = record["dropped"]
            for first, last, count, unused in record["spans"]:
                if count + unused == last - first + 1:
                    self.given_up.update(range(first, last + 1))
        self.received[sequence] = digest
