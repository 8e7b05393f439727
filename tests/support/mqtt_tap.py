"""A third party at the broker: hears everything and can say anything, as whoever runs the broker can."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support import contract
from tests.support.process import until


class MqttTap:
    """What was published since it listens, per topic in order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()  # paho calls back from a thread of its own
        client.on_message = self._on_message

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        with self._lock:
            self._heard.append((message.topic, bytes(message.payload)))
            contract.note_on_wire(
                message.topic,
                bytes(message.payload),
                is_retained=message.retain,
                expiry_s=getattr(message.properties, "MessageExpiryInterval", None),
                qos=message.qos,
            )

    def payloads(self, topic: str) -> list[bytes]:
        with self._lock:
            return [payload for heard, payload in self._heard if heard == topic]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, is_retained: bool = False) -> None:
        self._client.publish(topic, payload, qos=qos, retain=is_retained).wait_for_publish(5.0)


@contextmanager
def mqtt_tap(port: int) -> Iterator[MqttTap]:
    """Listen to all topics of the broker on loopback."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    tap = MqttTap(client)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe("#", options=SubscribeOptions(qos=1, retainAsPublished=True))
        until(subscribed.is_set, within_s=10, what="subscription to everything")
        yield tap
    finally:
        client.disconnect()
        client.loop_stop()
