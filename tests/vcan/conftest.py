"""What tests of the kernel's CAN are given: a wire to speak on, and an interface of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mosquitto import mosquitto
from tests.support.mqtt_tap import MqttTap, mqtt_tap
from tests.support.wire import Wire, ip

# So that taking it down disturbs nobody on vcan0.
LINK = "vcanlink"


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.port


@pytest.fixture
def tap(broker_port: int) -> Iterator[MqttTap]:
    with mqtt_tap(broker_port) as tap:
        yield tap


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire("vcan0")
    yield wire
    wire.close()


@pytest.fixture
def link() -> Iterator[str]:
    ip("add", "dev", LINK, "type", "vcan")
    ip("set", LINK, "mtu", "72")
    ip("set", LINK, "up")
    yield LINK
    if Path("/sys/class/net", LINK).exists():
        ip("delete", LINK)
