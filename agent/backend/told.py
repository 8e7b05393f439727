"""What a command of the fleet has to say: for a program, for a person, and what is to be done next."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import field
from typing import cast

from agent.backend.signing import Draft
from agent.command.bundle import NUMBER_MAX, Bundle, Role, decode_bundle
from agent.command.cosign import DocumentKind, key_id
from agent.model.command import Action
from agent.model.quick_dataclass import dataclass

_ROLE_WORDS = {Role.COMMAND: "command", Role.GRANT: "grant", Role.TIME: "time"}


@dataclass(frozen=True, slots=True)
class Told:
    """`document` is printed with --json, `text` without; `advice` goes to standard error either way."""

    document: Mapping[str, object]
    text: str
    advice: tuple[str, ...] = field(default=())


def bundle_document(bundle: Bundle) -> dict[str, object]:
    """A bundle as JSON: bytes in hex, masks as words."""
    return {
        "fleet": bundle.fleet.hex(),
        "version": bundle.version,
        "date_unix_s": bundle.date_unix_s,
        "threshold": bundle.threshold,
        "roots": [{"kid": key_id(root).hex(), "public_key": root.hex()} for root in bundle.roots],
        "operators": [{"number": operator.number, "name": operator.name} for operator in bundle.operators],
        "keys": [
            {
                "kid": key.kid.hex(),
                "operator": key.operator,
                "public_key": key.public_key.hex(),
                "role": _ROLE_WORDS.get(Role(key.role)),
                "actions": [action_word(number) for number in sorted(key.actions)],
                "not_before_unix_s": key.not_before_unix_s,
                "not_after_unix_s": key.not_after_unix_s,
                "is_revoked": key.is_revoked,
            }
            for key in bundle.keys
        ],
    }


def bundle_words(bundle: Bundle) -> str:
    """A bundle for a person who is about to sign it, or to compare it with another."""
    roots = ", ".join(key_id(root).hex() for root in bundle.roots)
    lines = [
        f"bundle version {bundle.version} of fleet {bundle.fleet.hex()}, dated {time_words(bundle.date_unix_s)}",
        f"  roots {roots}; {bundle.threshold} must sign",
    ]
    for operator in bundle.operators:
        lines.append(f"  operator {operator.number} {operator.name!r}")
        for key in (key for key in bundle.keys if key.operator == operator.number):
            end = "REVOKED" if key.is_revoked else "good " + _until(key.not_after_unix_s)
            actions = ", ".join(action_word(number) for number in sorted(key.actions)) or "nothing"
            lines.append(f"    {_ROLE_WORDS[Role(key.role)]} key {key.kid.hex()} {end}: {actions}")
    return "\n".join(lines)


def order_document(draft: Draft) -> dict[str, object]:
    """An order as JSON."""
    car, order_id = cast("bytes", draft.payload[2]), cast("bytes", draft.payload[3])
    document: dict[str, object] = {"kind": draft.kind.value, "car": car.hex(), "order_id": order_id.hex()}
    if draft.kind is DocumentKind.DECOM:
        return {**document, "date_unix_s": draft.payload[4]}
    return {**document, "from_unix_s": draft.payload[4], "to_unix_s": draft.payload[5]}


def draft_words(draft: Draft) -> str:
    """What a root would put its name to."""
    if draft.kind is DocumentKind.BUNDLE:
        return bundle_words(decode_bundle(draft.payload))
    order = order_document(draft)
    if draft.kind is DocumentKind.DECOM:
        return f"decommission car {order['car']}: it deletes its keys and its memory (order {order['order_id']})"
    before, after = time_words(order["from_unix_s"]), time_words(order["to_unix_s"])
    return f"set the time floor of car {order['car']} back from {before} to {after} (order {order['order_id']})"


def signature_words(count: int, needed: int) -> str:
    rest = "complete" if count >= needed else f"{needed - count} more must sign"
    return f"signed by {counted(count, 'root')}, {needed} needed: {rest}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count != 1)


def _until(unix_s: int) -> str:
    return "for ever" if unix_s == NUMBER_MAX else f"until {time_words(unix_s)}"


def action_word(number: int) -> str:
    return Action(number).name.lower() if number in frozenset(Action) else f"action {number}"


def time_words(unix_s: object) -> str:
    """Unix seconds as a person reads them."""
    try:
        return datetime.datetime.fromtimestamp(float(str(unix_s)), datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"Unix second {unix_s}"  # beyond all calendars
