"""May this action be carried out as the car is now? A pure function over the recipe's preconditions.

Asked before the intent is made durable and again at the moment of sending: a car may drive off in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.model.bus import BusHealth
from agent.model.clause import is_met
from agent.model.command import Action, Reason
from agent.model.reading import Quality, Reading, Value
from agent.model.recipe import Precondition

Verdict = tuple[Reason | None, tuple[Reading, ...]]
"""The reason to refuse, None if allowed; and a reading for each precondition, the decisive one first."""


_REFUSED_ON = {
    BusHealth.UNKNOWN: Reason.CAN_DOWN,
    BusHealth.BUS_OFF: Reason.BUS_OFF,
    BusHealth.DOWN: Reason.CAN_DOWN,
    BusHealth.REMOVED: Reason.CAN_DOWN,
}


def permit_bus(action: Action, state: BusHealth, shown: BusHealth) -> Reason | None:
    """Refuse at once what a bus cannot carry: `state` as far as it has stood, `shown` by its last sign.

    A lock is tried as soon as it can be sent at all, everything else once the bus has stood (SR-06).  An error-passive
    controller sends, and to wake a sleeping bus makes one passive: nobody acknowledges the first frames.
    """
    return _REFUSED_ON.get(shown if action is Action.LOCK else state)


def permit(
    preconditions: Sequence[Precondition],
    readings: Callable[[str], Reading],
    now_s: float,
    since_s: float | None = None,
) -> Verdict:
    """Refuse for the first fresh value that forbids, else for the first missing one that must not be missing.

    `readings` gives what is known of a path now. With `since_s`, only what was received after it counts: of a car
    that was asleep nothing older is to be believed (amendment A3).
    """
    pairs = [(rule, _since(readings(rule.path), now_s, since_s)) for rule in preconditions]
    forbidden = [(_forbids(rule, reading), reading) for rule, reading in pairs]
    missing = [(_misses(rule, reading), reading) for rule, reading in pairs]
    return _verdict([*forbidden, *missing], tuple(reading for _, reading in pairs))


def permit_asleep(preconditions: Sequence[Precondition], readings: Callable[[str], Reading]) -> Verdict:
    """First asking on a sleeping bus: a fresh value that forbids refuses, a missing one is asked for after the wake."""
    pairs = [(rule, readings(rule.path)) for rule in preconditions]
    forbidden = [(_forbids(rule, reading), reading) for rule, reading in pairs]
    return _verdict(forbidden, tuple(reading for _, reading in pairs))


def _verdict(judged: Sequence[tuple[Reason | None, Reading]], used: tuple[Reading, ...]) -> Verdict:
    for reason, decisive in judged:
        if reason is not None:
            # A result has room for eight readings, and the one it hangs on must be among them.
            return reason, (decisive, *(reading for reading in used if reading is not decisive))
    return None, used


def _since(reading: Reading, now_s: float, since_s: float | None) -> Reading:
    if since_s is None or reading.at_s > since_s:
        return reading
    return Reading(reading.path, None, reading.unit, now_s, Quality.UNKNOWN, "not_received", reading.message)


def _forbids(rule: Precondition, reading: Reading) -> Reason | None:
    if reading.quality is not Quality.OK or _is_met(rule, reading.value):
        return None
    return rule.reason


def _misses(rule: Precondition, reading: Reading) -> Reason | None:
    match reading.quality:
        case Quality.OK:
            return None
        case Quality.STALE:
            return rule.when_stale
        case Quality.INVALID | Quality.UNKNOWN:
            return rule.when_unknown


def _is_met(rule: Precondition, value: Value | None) -> bool:
    return is_met(value, rule.equals, rule.minimum, rule.maximum)
