"""The figures of `car_day` as a document and as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.benchmarks.day_script import HOUR_S, Plan

if TYPE_CHECKING:
    from tests.benchmarks.car_day import DayCount
    from tests.benchmarks.day_others import Told

_WORDS_WIDTH = 44

KIND_WORDS = {
    "evt": "records: samples and events",
    "state": "retained snapshots",
    "echo": "echoes through the broker, both ways",
    "keep-alive": "keep-alive",
    "res": "signed results",
    "cmd": "commands",
    "hello": "sessions told",
    "ping": "sessions asked for",
    "caps": "capabilities",
    "presence": "presence",
    "connect": "MQTT connections and subscriptions",
}


def document_of(count: DayCount, told: Mapping[str, Told], plan: Plan) -> dict[str, Any]:
    """All figures, in bytes. `wire`: the agent's day; `kinds`: its parts before TCP/IP; `others`: told otherwise."""
    kinds = {
        name: {"messages": kind.messages, "mqtt_bytes": kind.mqtt_bytes, "tls_bytes": kind.tls_bytes}
        for name, kind in sorted(count.tally.kinds.items(), key=lambda item: -item[1].tls_bytes)
    }
    explained = sum(kind["tls_bytes"] for kind in kinds.values())
    return {
        "hours": plan.end_h,
        "hours_used": round(plan.used_s / HOUR_S, 2),
        "driven_km": round(count.driven_m / 1000, 1),
        "frames": count.frames,
        "changes": len(count.seen),
        "commands": count.commands,
        "wire": count.wire.document(),
        "kinds": kinds,
        "handshake_bytes": count.wire.tls_bytes - explained,
        "tls_bytes_by_use": count.wire_in_use,
        "card": None
        if count.card is None
        else {"written_bytes": count.card.written_bytes, "requests": count.card.requests, "commits": count.commits},
        "others": {
            name: {"messages": way.messages, **way.count.document(), "ratio": _ratio(way, count)}
            for name, way in told.items()
        },
    }


def _ratio(way: Told, count: DayCount) -> float:
    """Before TCP/IP: told faster than in a day, the messages of the other ways share packets."""
    return round(way.count.tls_bytes / count.wire.tls_bytes, 1)


def table(document: Mapping[str, Any]) -> str:
    """The document for a person."""
    wire = document["wire"]
    lines = [
        (
            f"{document['hours']:g} hours, used {document['hours_used']:g}, {document['driven_km']:g} km driven,"
            f" {document['frames']} frames with {document['changes']} changes of a value"
        ),
        "on the wire, both directions".ljust(_WORDS_WIDTH) + _columns("messages", "bytes"),
    ]
    for name, kind in document["kinds"].items():
        lines.append(_row("  " + KIND_WORDS.get(name, name), kind["messages"], kind["tls_bytes"]))
    lines += [
        _row("  TLS handshakes and ends", wire["connections"], document["handshake_bytes"]),
        _row("TLS bytes (up and down)", "", wire["tls_bytes"]),
        _row("  TCP/IP headers, every packet acknowledged", 2 * wire["data_packets"], wire["header_bytes"]),
        _row("on the wire in all", "", wire["wire_bytes"]),
    ]
    for name, words in (
        ("ovms", "TLS bytes of the same as OVMS tells it"),
        ("json", "TLS bytes of one JSON message a change"),
    ):
        other = document["others"][name]
        lines.append(_row(words, other["messages"], other["tls_bytes"]) + f"  {other['ratio']:g} times")
    if (card := document["card"]) is not None:
        lines.append(_row("written to the card (its block device)", card["commits"], card["written_bytes"]))
    else:
        lines.append(f"written to the card: {document['card_words']}")
    lines.append(", ".join(f"{key.replace('_', ' ')}: {fact}" for key, fact in document["machine"].items()))
    return "\n".join(lines)


def _row(words: str, number: int | str, size: int) -> str:
    return words.ljust(_WORDS_WIDTH) + _columns(str(number), f"{size:,}")


def _columns(*words: str) -> str:
    return "".join(word.rjust(12) for word in words)
