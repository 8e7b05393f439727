"""What tests of the kernel's CAN are given: a wire to speak on, and an interface of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wire import Wire, ip

# So that taking it down disturbs nobody on vcan0.
LINK = "vcanlink"


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
