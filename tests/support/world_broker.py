"""The broker of a simulated world: carries what it is given as badly as its weather is, and remembers it all.

On the car's side it is an MQTT session as the agent's adapter shows it: at most eight deliveries unacknowledged, none
kept for a car that is away, and yet all that a broken or hostile broker may do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from agent.model.effects import Publish
from agent.model.events import BrokerDown, BrokerUp, Delivery, Published
from tests.support.pair import CAR

if TYPE_CHECKING:
    from tests.support.world import World
    from tests.support.world_station import Station

RECEIVE_MAX: Final = 8
"""What the agent's adapter takes unacknowledged."""

BACKLOG_MAX: Final = 64
ARCHIVE_MAX: Final = 256
"""What a hostile broker remembers in each direction; the oldest goes first."""


@dataclass(slots=True)
class Weather:
    """Chances for each message. `is_black_hole`: everything is taken and acknowledged, nothing is passed on."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_s_max: float = 0.0
    corrupt: float = 0.0
    puback_lost: float = 0.0
    refuse: float = 0.0
    is_black_hole: bool = False


class Taken(Enum):
    """What a station learns of its own publication."""

    DELIVERED = "delivered"
    NOBODY_THERE = "nobody_there"
    NO_ANSWER = "no_answer"
    NOT_CONNECTED = "not_connected"


@dataclass(frozen=True, slots=True)
class Carried:
    """A message on its way through the broker, the last level of its topic being `kind`."""

    kind: str
    raw: bytes


def topic(kind: str, operator: int = 1) -> str:
    return f"v1/{operator}/{CAR.hex()}/{kind}"


class Broker:
    """`is_away`: nobody can connect to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.weather = Weather()
        self.is_away = False
        self.is_up = False
        self.to_car: deque[Carried] = deque(maxlen=ARCHIVE_MAX)
        self.from_car: deque[Carried] = deque(maxlen=ARCHIVE_MAX)
        self._connection = 0
        self._delivery = 0
        self._unacknowledged: dict[int, Delivery] = {}
        self._acks_lost: list[Delivery] = []
        self._backlog: deque[Delivery] = deque()
        self._redelivered: list[Delivery] = []
        self._unanswered: dict[int, None] = {}

    # --- the car's connection -----------------------------------------------------------------------------------

    def car_started(self) -> None:
        self._world.after(self._world.chance.uniform(0.02, 1.0), self.connect)

    def car_gone(self) -> None:
        """The car's socket closes by itself."""
        self._lose_connection()

    def connect(self) -> None:
        computer = self._world.computer
        if self.is_up or self.is_away or computer.engine is None:
            return
        self.is_up = True
        self._connection += 1
        computer.tell(BrokerUp())
        redelivered, self._redelivered = self._redelivered, []
        for delivery in redelivered:
            # A clean start was asked for, so this broker is broken, or it means harm.
            self._world.count("redelivered")
            self._to_car_now(delivery.topic, delivery.payload, delivery.is_retained, self._connection)

    def disconnect(self) -> None:
        """The connection ends; the agent dials again by itself."""
        if not self.is_up:
            return
        computer, unanswered = self._world.computer, self._unanswered
        self._lose_connection()
        for token in unanswered:
            computer.tell(Published(token, "connection lost"))
        computer.tell(BrokerDown("connection lost"))
        self._world.after(self._world.chance.uniform(0.05, 2.0), self.connect)

    def _lose_connection(self) -> None:
        chance = self._world.chance
        undone = [*self._unacknowledged.values(), *self._acks_lost]
        self._redelivered += [delivery for delivery in undone if chance.random() < 0.5]
        del self._redelivered[:-BACKLOG_MAX]
        self._unacknowledged, self._acks_lost, self._unanswered = {}, [], {}
        self._backlog.clear()
        self.is_up = False
        self._connection += 1

    # --- from the car -------------------------------------------------------------------------------------------

    def take_from_car(self, effect: Publish) -> None:
        world = self._world
        if not self.is_up:
            if effect.token is not None:
                world.computer.tell(Published(effect.token, "not connected"))
            return
        if effect.token is not None:
            self._unanswered[effect.token] = None
            if world.chance.random() >= self.weather.puback_lost:
                world.after(world.chance.uniform(0.01, 0.1), self._answer, effect.token, self._connection)
        kind = effect.topic.rpartition("/")[2]
        if kind == "echo" and not self.weather.is_black_hole:
            world.after(0.05, self._to_car_now, effect.topic, effect.payload, False, self._connection)
        if kind in ("res", "hello"):
            self.from_car.append(Carried(kind, effect.payload))
            for station in world.stations:
                self.to_station(station, kind, effect.payload)

    def _answer(self, token: int, connection: int) -> None:
        if connection == self._connection and token in self._unanswered:
            del self._unanswered[token]
            is_refused = self._world.chance.random() < self.weather.refuse
            if not is_refused:
                self._world.judge.acknowledged(token)
            self._world.computer.tell(Published(token, "not authorized" if is_refused else None))

    def to_station(self, station: Station, kind: str, raw: bytes, *, is_retained: bool = False) -> None:
        for delay_s, copy in self._copies(raw):
            self._world.after(delay_s, station.receive, kind, copy, is_retained)

    # --- to the car ---------------------------------------------------------------------------------------------

    def take_from_station(self, kind: str, raw: bytes) -> Taken:
        if self.is_away:
            return Taken.NOT_CONNECTED
        self.to_car.append(Carried(kind, raw))
        if self.weather.is_black_hole:
            return Taken.DELIVERED
        if self._world.chance.random() < self.weather.puback_lost:
            self.send_to_car(topic(kind), raw)
            return Taken.NO_ANSWER
        if not self.is_up:
            return Taken.NOBODY_THERE
        self.send_to_car(topic(kind), raw)
        return Taken.DELIVERED

    def send_to_car(self, where: str, raw: bytes, is_retained: bool = False) -> None:
        for delay_s, copy in self._copies(raw):
            self._world.after(delay_s, self._to_car_now, where, copy, is_retained, self._connection)

    def _to_car_now(self, where: str, raw: bytes, is_retained: bool, connection: int) -> None:
        self._delivery += 1
        delivery = Delivery(where, raw, is_retained, self._delivery)
        if not self.is_up or connection != self._connection:
            if self._world.chance.random() < 0.2 and len(self._redelivered) < BACKLOG_MAX:
                self._redelivered.append(delivery)
            return
        if len(self._unacknowledged) >= RECEIVE_MAX:
            if len(self._backlog) < BACKLOG_MAX:
                self._backlog.append(delivery)
            return
        self._unacknowledged[delivery.delivery_id] = delivery
        self._world.computer.tell(delivery)

    def acknowledge(self, delivery_id: int) -> None:
        delivery = self._unacknowledged.pop(delivery_id, None)
        if delivery is None:
            return
        if self._world.chance.random() < self.weather.puback_lost:
            self._acks_lost.append(delivery)
            del self._acks_lost[:-BACKLOG_MAX]
        if self._backlog:
            later = self._backlog.popleft()
            self._world.after(0.0, self._to_car_now, later.topic, later.payload, later.is_retained, self._connection)

    # --- the weather --------------------------------------------------------------------------------------------

    def _copies(self, raw: bytes) -> list[tuple[float, bytes]]:
        """What comes out at the other end, each after how long."""
        weather, chance = self.weather, self._world.chance
        if weather.is_black_hole or chance.random() < weather.drop:
            return []
        copies = []
        for _ in range(2 if chance.random() < weather.duplicate else 1):
            delay_s = chance.uniform(0.01, 0.06)
            if chance.random() < weather.delay:
                delay_s += chance.uniform(0.0, weather.delay_s_max)
            copies.append((delay_s, self.corrupted(raw) if chance.random() < weather.corrupt else raw))
        return copies

    def corrupted(self, raw: bytes) -> bytes:
        """One bit the other way, a piece missing, or a byte too many."""
        chance = self._world.chance
        match chance.randrange(4):
            case 0:
                return raw[: chance.randrange(len(raw))]
            case 1:
                return raw + chance.randbytes(1)
            case _:
                bit = chance.randrange(8 * len(raw))
                changed = bytearray(raw)
                changed[bit // 8] ^= 1 << bit % 8
                return bytes(changed)
