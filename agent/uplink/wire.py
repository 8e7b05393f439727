"""Topics and JSON payloads, both ways, in one place. Signed messages are `command.envelope`'s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from agent.model.quick_dataclass import dataclass
from agent.model.reading import Quality, Reading

PAYLOAD_VERSION = 1

# The longest topic of the protocol is 39 characters; anything above twice that is not ours.
_TOPIC_LENGTH_MAX = 80


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one car (amendment A6): `v1/<operator>/<car>/<type>`."""

    car: bytes

    def of(self, operator: int | str, kind: str) -> str:
        return f"v1/{operator}/{self.car.hex()}/{kind}"

    @property
    def presence(self) -> str:
        return self.of("all", "presence")

    def parse(self, topic: str) -> tuple[int, str] | None:
        """`(operator, type)` of a topic addressed to this car, else None."""
        if len(topic) > _TOPIC_LENGTH_MAX:
            return None
        parts = topic.split("/")
        if len(parts) != 4 or parts[0] != "v1" or parts[2] != self.car.hex():
            return None
        number = parts[1]
        if not (number.isascii() and number.isdigit()) or str(int(number)) != number:
            return None
        return int(number), parts[3]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as told to the backend: session milliseconds always, Unix time if it is known.

    A record is never changed once it has a number, so one made before the time was known never gets its Unix time
    itself: it names its session, and the `clock` record of that session tells when the session began.
    """

    session_ms: int
    unix_s: float | None
    clock_trust: int
    sid: bytes = b""

    def document(self) -> dict[str, object]:
        session = {"sid": self.sid.hex()} if self.unix_s is None and self.sid else {}
        return {
            **session,
            "session_ms": self.session_ms,
            "time_unix_s": None if self.unix_s is None else round(self.unix_s, 3),
            "clock_trust": self.clock_trust,
        }


def reading_document(reading: Reading, now_s: float, last_known: Reading | None = None) -> dict[str, object]:
    """One reading: value only if ok; a value that grew old stands apart, beside its age, never as the value."""
    document: dict[str, object] = {
        "value": reading.value if reading.quality is Quality.OK else None,
        "unit": reading.unit,
        "quality": reading.quality.value,
    }
    if reading.reason is not None:
        document["reason"] = reading.reason
    if reading.reason != "never_received":
        document["age_s"] = round(max(0.0, now_s - reading.at_s), 3)
    if reading.quality is Quality.STALE and last_known is not None and last_known.value is not None:
        document["last_value"] = last_known.value
    return document


def encode(document: Mapping[str, object]) -> bytes:
    """Compact JSON. Raises ValueError for NaN and infinity, which JSON does not have; decoding makes no such value."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def named_record(kind: str, sequence: int, moment: Moment, fields: Mapping[str, object]) -> bytes:
    """A numbered `evt` record; `kind` says what else is in it."""
    return encode({"v": PAYLOAD_VERSION, "kind": kind, "seq": sequence, **moment.document(), **fields})


def reading_rows(readings: Iterable[Reading], now_s: float) -> list[dict[str, object]]:
    """Readings as the `readings` of a record."""
    return [{"path": reading.path, **reading_document(reading, now_s)} for reading in readings]


def as_historical(payload: bytes) -> bytes:
    """The record marked as one that waited for a connection."""
    return payload[:-1] + b',"historical":true}'


def state_document(
    moment: Moment,
    vss: str,
    sid: bytes,
    readings: Mapping[str, Reading],
    last_known: Mapping[str, Reading | None],
    buses: Mapping[str, str],
    now_s: float,
    *,
    use: str,
    power: Mapping[str, str],
) -> bytes:
    """The retained snapshot: every path with value, unit, age and quality, how each bus is, how the car is used, and
    where on the ladder of its 12 V battery it stands."""
    return encode(
        {
            "v": PAYLOAD_VERSION,
            "kind": "state",
            **moment.document(),
            "sid": sid.hex(),
            "vss": vss,
            "buses": dict(buses),
            "use": use,
            "power": dict(power),
            "readings": {
                path: reading_document(reading, now_s, last_known.get(path)) for path, reading in readings.items()
            },
        }
    )


def presence_document(sid: bytes, *, is_online: bool, end: str | None = None) -> bytes:
    """Birth message and last will carry the same session id, so that one can be told from another's.

    `end` is the word of an end that was announced; the will has none.
    """
    word = {} if end is None else {"end": end}
    return encode({"v": PAYLOAD_VERSION, "kind": "presence", "online": is_online, "sid": sid.hex(), **word})


def capabilities_document(
    agent_version: str,
    profile: str,
    vss: str,
    actions: Mapping[str, str],
    unsupported: Mapping[str, str],
    paths: Iterable[str],
) -> bytes:
    """What this car can do, each action with its best evidence, and what it cannot with the reason in words."""
    return encode(
        {
            "v": PAYLOAD_VERSION,
            "kind": "caps",
            "agent": agent_version,
            "protocol": 1,
            "profile": profile,
            "vss": vss,
            "actions": dict(actions),
            "unsupported": dict(unsupported),
            "paths": list(paths),
        }
    )
