"""The same day told in two other ways, over the same TLS to the same broker: as OVMS does, and a message a change.

OVMS 3 (its server V3, read at commit 1aa1daff): one topic a metric, the value as bare text, QoS 0, retained,
MQTT 3.1.1, keep-alive 29 minutes; what changed is sent every 5 s while the car is on, 10 s while it charges,
60 s awake, 600 s idle, and everything every 1,200 s. Only metrics that our car has too are sent here; a real one has
a few hundred.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.dial import tls_context
from agent.model.reading import Value
from agent.model.use import VehicleUse
from tests.benchmarks.wire_count import CountingProxy, WireCount

OVMS_INTERVAL_S = {
    VehicleUse.DRIVING: 5.0,
    VehicleUse.CHARGING: 10.0,
    VehicleUse.AWAKE: 60.0,
    VehicleUse.ASLEEP: 600.0,
}
OVMS_ALL_S = 1200.0
OVMS_KEEP_ALIVE_S = 1740
OVMS_TOPIC = "ovms/operator/DEMO1/metric/"

OVMS_METRICS = {
    "Vehicle.Speed": "v/p/speed",
    "Vehicle.TraveledDistance": "v/p/odometer",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current": "v/b/soc",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed": "v/b/soc/shown",
    "Vehicle.Powertrain.TractionBattery.Range": "v/b/range/est",
    "Vehicle.Powertrain.TractionBattery.Charging.IsCharging": "v/c/charging",
    "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsChargingCableConnected": "v/d/cp",
    "Vehicle.Carshare.TractionBattery.GridPower": "v/c/power",
    "Vehicle.Powertrain.TractionBattery.CurrentVoltage": "v/b/voltage",
    "Vehicle.Powertrain.TractionBattery.CurrentCurrent": "v/b/current",
    "Vehicle.Powertrain.TractionBattery.Temperature.Min": "v/b/p/temp/min",
    "Vehicle.Powertrain.TractionBattery.Temperature.Max": "v/b/p/temp/max",
    "Vehicle.Powertrain.TractionBattery.StateOfHealth": "v/b/soh",
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": "v/d/fl",
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen": "v/d/fr",
    "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen": "v/d/rl",
    "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen": "v/d/rr",
    "Vehicle.Body.Trunk.Rear.IsOpen": "v/d/trunk",
    "Vehicle.Chassis.ParkingBrake.IsEngaged": "v/e/handbrake",
    "Vehicle.Carshare.IsReadyToDrive": "v/e/on",
    "Vehicle.LowVoltageSystemState": "v/e/awake",
    "Vehicle.Powertrain.Transmission.SelectedGear": "v/e/gear",
    "Vehicle.LowVoltageBattery.CurrentVoltage": "v/b/12v/voltage",
    "Vehicle.Exterior.AirTemperature": "v/e/temp",
    "Vehicle.Carshare.CentralLock.IsLocked": "v/e/locked",
    "Vehicle.Carshare.IsDriveEnabled": "v/e/valet",
}

JSON_KEEP_ALIVE_S = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """A value that differs from the one before, when the car was used how."""

    at_s: float
    path: str
    value: Value
    unit: str | None
    use: VehicleUse


@dataclass(frozen=True, slots=True)
class Sending:
    """Messages that leave together: `(topic, payload)`."""

    at_s: float
    messages: tuple[tuple[str, bytes], ...]


def ovms_sendings(seen: Sequence[Seen], uses: Sequence[tuple[float, VehicleUse]], end_s: float) -> Iterator[Sending]:
    """What OVMS would send of the changes in `seen`, the uses of the car each beginning at its time."""
    waiting: dict[str, Value] = {}
    held: dict[str, Value] = {}
    position, use_position = 0, 0
    sent_at_s = all_at_s = now_s = uses[0][0]
    while now_s < end_s:
        while use_position + 1 < len(uses) and uses[use_position + 1][0] <= now_s:
            use_position += 1
        while position < len(seen) and seen[position].at_s <= now_s:
            waiting[seen[position].path] = held[seen[position].path] = seen[position].value
            position += 1
        if now_s - all_at_s >= OVMS_ALL_S:
            waiting, all_at_s = dict(held), now_s
        if now_s - sent_at_s >= OVMS_INTERVAL_S[uses[use_position][1]] or all_at_s == now_s:
            sent_at_s = now_s
            if waiting:
                yield Sending(now_s, tuple((OVMS_TOPIC + _metric(path), _text(waiting[path])) for path in waiting))
            waiting = {}
        now_s += 1.0


def json_sendings(seen: Sequence[Seen], car: str) -> Iterator[Sending]:
    """One JSON message a change, with what a reader needs to understand it by itself."""
    for each in seen:
        document = {"time_unix_s": round(each.at_s, 3), "path": each.path, "value": each.value, "unit": each.unit}
        payload = json.dumps(document, separators=(",", ":")).encode()
        yield Sending(each.at_s, ((f"vehicles/{car}/telemetry", payload),))


@dataclass(frozen=True, slots=True)
class Way:
    """How a way of telling uses MQTT."""

    name: str
    qos: int
    keep_alive_s: int
    is_retained: bool


OVMS = Way("ovms", 0, OVMS_KEEP_ALIVE_S, is_retained=True)
JSON = Way("json", 1, JSON_KEEP_ALIVE_S, is_retained=False)


@dataclass(frozen=True, slots=True)
class Told:
    messages: int
    count: WireCount


class _Client:
    """As little of MQTT 3.1.1 as it takes to publish; what is not asked for costs nothing."""

    def __init__(self, port: int, context: ssl.SSLContext, way: Way) -> None:
        self._port = port
        self._context = context
        self._way = way
        self._next_id = 0

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="127.0.0.1"
        )
        client_id = f"car-{self._way.name}".encode()
        body = b"\x00\x04MQTT\x04\x02" + self._way.keep_alive_s.to_bytes(2)
        await self._say(b"\x10" + _counted(body + len(client_id).to_bytes(2) + client_id))
        await self._reader.readexactly(4)

    async def close(self) -> None:
        self._writer.write(b"\xe0\x00")
        self._writer.close()

    async def ping(self) -> None:
        await self._say(b"\xc0\x00")
        await self._reader.readexactly(2)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """All of them, one record each, and their acknowledgements."""
        for topic, payload in messages:
            self._next_id = self._next_id % 65_535 + 1
            name = topic.encode()
            body = len(name).to_bytes(2) + name + (self._next_id.to_bytes(2) if self._way.qos else b"") + payload
            await self._say(bytes([0x30 | self._way.qos << 1 | self._way.is_retained]) + _counted(body))
        if self._way.qos:
            await self._reader.readexactly(4 * len(messages))

    async def _say(self, packet: bytes) -> None:
        self._writer.write(packet)
        await self._writer.drain()


async def tell(
    way: Way,
    sendings: Iterator[Sending],
    *,
    broker_port: int,
    files: tuple[Path, Path, Path],
    losses_s: Sequence[float],
) -> Told:
    """Really send all of it; keep-alives where nothing else was sent, a new connection at each of `losses_s`."""
    context = tls_context(*files)
    messages = 0
    async with CountingProxy(broker_port) as proxy:
        client = _Client(proxy.port, context, way)
        await client.open()
        losses = list(losses_s)
        said_at_s: float | None = None
        for sending in sendings:
            if losses and sending.at_s >= losses[0]:
                losses.pop(0)
                await client.close()
                await client.open()
            if said_at_s is not None:
                for _ in range(int((sending.at_s - said_at_s) // way.keep_alive_s)):
                    await client.ping()
            said_at_s = sending.at_s
            await client.publish(sending.messages)
            messages += len(sending.messages)
        await client.ping()  # once it is answered all before it has passed
        await client.close()
    return Told(messages, proxy.count)


def _metric(path: str) -> str:
    return OVMS_METRICS.get(path, "x/" + path.rsplit(".", 1)[-1].lower())


def _text(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"yes" if value else b"no"
    return (f"{value:g}" if isinstance(value, float) else str(value)).encode()


def _counted(body: bytes) -> bytes:
    size, head = len(body), bytearray()
    while True:
        size, low = divmod(size, 128)
        head.append(low | (0x80 if size else 0))
        if not size:
            return bytes(head) + body
