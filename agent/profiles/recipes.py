"""What a profile says about acting on its car, compiled: recipes, the list of all that may be sent (SR-01), conditions.

`[wake.*]`, `[actions.*]`, `[[return_conditions]]` and `[unsupported]` of the profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.model.command import Action, Condition, Reason
from agent.model.frame import SendRule
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.recipe import FrameTemplate, Precondition, Recipe, WakeUp
from agent.profiles.conditions import Conditions
from agent.profiles.exchanges import compile_exchange
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_rules import Rules
from agent.profiles.polls import paths_of
from agent.profiles.pulses import compile_pulses
from agent.profiles.schema import DerivedPlan, MessagePlan, PollPlan, SignalPlan
from agent.profiles.toml_model import (
    ActionTable,
    FrameTable,
    ProfileTable,
    WakeTable,
)

# 6 and 7 are the agent's own, without a recipe.
ACTIONS: Mapping[str, Action] = {
    action.name.lower(): action for action in Action if action not in (Action.REPORT, Action.CHECK_RETURN)
}

# Which of all actions a profile decides on: whether a rental may end depends on the car, a report does not.
ANSWERS: Mapping[str, Action] = {**ACTIONS, Action.CHECK_RETURN.name.lower(): Action.CHECK_RETURN}

CONDITIONS: Mapping[str, Condition] = {condition.name.lower(): condition for condition in Condition}

# What a return condition is about, where its reason says so already.
_CONDITION_OF = {
    Reason.MOVING: Condition.NOT_MOVING,
    Reason.SPEED_UNKNOWN: Condition.NOT_MOVING,
    Reason.IGNITION_ON: Condition.IGNITION_OFF,
    Reason.DOOR_OPEN: Condition.DOORS_CLOSED,
}

FRAMES_PER_S_MAX = 50  # the bus adapter sends no more; a recipe that asks for more would run slower than it says


@dataclass(frozen=True, slots=True)
class Actions:
    """All that a profile says about acting on its car."""

    recipes: Mapping[Action, Recipe]
    send_list: tuple[SendRule, ...]
    pulse_list: tuple[Pulse, ...]
    unsupported: Mapping[Action, str]
    return_conditions: tuple[Precondition, ...]


def compile_actions(
    tables: ProfileTable,
    rules: Rules,
    messages: Sequence[MessagePlan],
    polls: Sequence[PollPlan],
    derived: Sequence[DerivedPlan],
    lookup: Lookup,
) -> Actions:
    """Every recipe, with all faults told in the look-up's findings."""
    signals: dict[str, SignalPlan | DerivedPlan] = {plan.path: plan for plan in derived}
    plans: list[MessagePlan | PollPlan] = [*polls, *messages]
    signals |= {signal.path: signal for given in plans for signal in given.signals}
    asked = paths_of(tables, with_derived=True)
    wake_ups = {name: _wake_up(name, table, rules, lookup) for name, table in tables.wake.items() if table is not None}
    conditions = Conditions(signals, asked, frozenset(each.path for poll in polls for each in poll.signals), lookup)
    recipes: dict[Action, Recipe] = {}
    for word, table in tables.actions.items():
        action = _action(("actions", word), word, ACTIONS, lookup)
        if table is None:
            continue
        frames = _frames(table.frames, None, rules, lookup, ("actions", word))
        pulses = compile_pulses(table, ("actions", word), lookup)
        feedback = tuple(
            conditions.feedback(row, ("actions", word, "feedback", index)) for index, row in enumerate(table.feedback)
        )
        preconditions = tuple(
            conditions.precondition(row, ("actions", word, "preconditions", index))
            for index, row in enumerate(table.preconditions)
        )
        requests = compile_exchange(table.exchange, ("actions", word), messages, lookup)
        bus = next(iter([*(each.bus for each in frames), *(each.frame.bus for each in requests)]), None)
        _check_action(word, table, bus, wake_ups, tables, lookup)
        if action is None or not (frames or requests or pulses):
            continue
        wake = wake_ups.get(table.wake) if table.wake is not None else None
        recipes[action] = Recipe(
            action=action,
            bus=wake.bus if bus is None and wake is not None else bus,
            frames=frames,
            repeats_max=table.repeats_max,
            interval_s=table.interval_s,
            feedback=feedback,
            feedback_window_s=table.feedback_window_s or 0.0,
            preconditions=preconditions,
            wake=wake,
            pulses=pulses,
            requests=requests,
        )
        _check_window(recipes[action], ("actions", word), lookup)
    templates = [frame for wake in wake_ups.values() for frame in wake.frames]
    templates += [frame for recipe in recipes.values() for frame in recipe.frames]
    told = [request.send_rule for recipe in recipes.values() for request in recipe.requests]
    return Actions(
        recipes=recipes,
        send_list=tuple(dict.fromkeys([*map(_send_rule, templates), *told])),
        pulse_list=tuple(dict.fromkeys(pulse for recipe in recipes.values() for pulse in recipe.pulses)),
        unsupported=_unsupported(tables, lookup),
        return_conditions=_return_conditions(tables, conditions, lookup),
    )


def _return_conditions(tables: ProfileTable, conditions: Conditions, lookup: Lookup) -> tuple[Precondition, ...]:
    """What must hold for a rental to end. A car of which that is not known is not given back (SR-05)."""
    told = []
    for index, row in enumerate(tables.return_conditions):
        place: Place = ("return_conditions", index)
        if row is None:
            continue
        if row.unknown is None:
            expected = "the reason while the value is not known, such as 'precondition_stale'"
            lookup.findings.add((*place, "unknown"), "missing", expected)
        rule = conditions.precondition(row, place)
        if row.condition is not None and row.condition not in CONDITIONS:
            problem = f"unknown condition {row.condition!r}"
            lookup.findings.add((*place, "condition"), problem, expected_of(CONDITIONS, row.condition))
        condition = _CONDITION_OF.get(rule.reason) if row.condition is None else CONDITIONS.get(row.condition)
        if condition is None and row.condition is None:
            expected = "what it is about: " + expected_of(CONDITIONS)
            lookup.findings.add((*place, "condition"), "missing, and the reason does not say it", expected)
        told.append(replace(rule, condition=condition))
    return tuple(told)


def _unsupported(tables: ProfileTable, lookup: Lookup) -> dict[Action, str]:
    unsupported: dict[Action, str] = {}
    for word, why in tables.unsupported.items():
        action = _action(("unsupported", word), word, ANSWERS, lookup)
        if word in tables.actions:
            lookup.findings.add(("unsupported", word), f"{word} has a recipe too", "one of the two")
        if action is Action.CHECK_RETURN and tables.return_conditions:
            lookup.findings.add(("unsupported", word), f"{word} has its return_conditions too", "one of the two")
        if action is not None:
            unsupported[action] = why
    return unsupported


def _action(place: Place, word: str, known: Mapping[str, Action], lookup: Lookup) -> Action | None:
    if word not in known:
        lookup.findings.add(place, f"unknown action {word!r}", expected_of(known, word))
    return known.get(word)


def _wake_up(name: str, table: WakeTable, rules: Rules, lookup: Lookup) -> WakeUp:
    place: Place = ("wake", name)
    bus = lookup.bus(table.bus or name, place)
    frames = _frames(table.frames, bus, rules, lookup, place) if bus is not None else ()
    _check_rate(len(table.frames), table.interval_s, place, lookup)
    return WakeUp(bus or "", frames, table.tries_max, table.interval_s, table.settle_s)


def _frames(
    tables: Sequence[FrameTable], bus: str | None, rules: Rules, lookup: Lookup, place: Place
) -> tuple[FrameTemplate, ...]:
    """The frames in order; those of a wake-up are all on its `bus`."""
    templates = []
    for index, table in enumerate(tables):
        here: Place = (*place, "frames", index)
        if bus is not None and table.bus not in (None, bus):
            lookup.findings.add((*here, "bus"), f"a frame on {table.bus} cannot wake {bus}", f"no key, or {bus!r}")
        template = _template(table, bus or lookup.bus(table.bus, here), rules, lookup, here)
        if template is not None:
            templates.append(template)
    return tuple(templates)


def _template(table: FrameTable, bus: str | None, rules: Rules, lookup: Lookup, place: Place) -> FrameTemplate | None:
    bus_table = lookup.table(bus) if bus is not None else None
    if bus_table is not None and bus_table.listen_only:
        lookup.findings.add(place, f"bus {bus} is listen_only", "no frame to send on it")
    spec = lookup.message(bus, table.message, place)
    database = lookup.database(bus) if bus is not None else None
    if bus is None or spec is None or database is None:
        return None
    computed = rules.of(bus, spec.name)
    if not computed.is_sound:
        return None
    payload = database.encode_request(spec.name, table.values, computed.computed)
    if isinstance(payload, list):
        for problem in payload:
            told = f"{problem.signal}: {problem.text}"
            lookup.findings.add((*place, "values", problem.signal), told, problem.expected)
        return None
    return FrameTemplate(
        bus=bus,
        arbitration_id=spec.arbitration_id,
        is_extended_id=spec.is_extended_id,
        is_fd=spec.is_fd,
        data=payload,
        counter=computed.counter.field if computed.counter is not None else None,
        checksum=computed.checksum,
    )


def _send_rule(template: FrameTemplate) -> SendRule:
    """All of the template's bits but those that are computed when it is sent."""
    mask = bytes([0xFF]) * len(template.data)
    for field in (template.counter, template.checksum.field if template.checksum is not None else None):
        if field is not None:
            mask = field.insert(mask, 0)
    return SendRule(
        bus=template.bus,
        arbitration_id=template.arbitration_id,
        is_extended_id=template.is_extended_id,
        is_fd=template.is_fd,
        value=template.data,
        mask=mask,
    )


def _check_action(
    word: str,
    table: ActionTable,
    bus: str | None,
    wake_ups: Mapping[str, WakeUp],
    tables: ProfileTable,
    lookup: Lookup,
) -> None:
    told, place = lookup.findings, ("actions", word)
    _check_rate(len(table.frames), table.interval_s, place, lookup)
    if table.feedback and table.feedback_window_s is None:
        told.add((*place, "feedback_window_s"), "missing", "seconds to wait for feedback after the first frame")
    wake = wake_ups.get(table.wake) if table.wake is not None else None
    if table.wake is not None and table.wake not in tables.wake:
        told.add((*place, "wake"), f"unknown wake-up {table.wake!r}", expected_of(tables.wake, table.wake))
    elif wake is not None and bus and wake.bus not in ("", bus):
        # Whether the car is awake is judged by the bus of the first frame.
        problem = f"{table.wake} wakes {wake.bus}, and this action waits on {bus}"
        told.add((*place, "wake"), problem, f"a wake-up of {bus}")
    if word == "disable_drive":
        _check_disable_drive(table, place, lookup)


def _check_window(recipe: Recipe, place: Place, lookup: Lookup) -> None:
    """Feedback that cannot stand for long enough before the window ends would never verify anything."""
    if recipe.confirmed_s_min < recipe.feedback_window_s or all(row.confirmations == 1 for row in recipe.feedback):
        return
    problem = f"too short for feedback with confirmations, which has to stand for {recipe.confirmed_s_min:g} s of it"
    lookup.findings.add(
        (*place, "feedback_window_s"), problem, f"more than {recipe.confirmed_s_min:g}, by what it takes"
    )


def _check_rate(frames: int, interval_s: float, place: Place, lookup: Lookup) -> None:
    if frames > interval_s * FRAMES_PER_S_MAX * (1 + 1e-9):
        problem = f"{frames} frames every {interval_s} s are more than {FRAMES_PER_S_MAX} a second"
        lookup.findings.add((*place, "interval_s"), problem, f"at least {frames / FRAMES_PER_S_MAX:g}")


def _check_disable_drive(table: ActionTable, place: Place, lookup: Lookup) -> None:
    """SR-06: driving is never disabled without fresh speed 0 and ignition off, whatever a profile forgets."""
    strict = {row.path: row for row in table.preconditions if row.unknown is not None and row.stale is not None}
    speed, ignition = strict.get("Vehicle.Speed"), strict.get("Vehicle.LowVoltageSystemState")
    if speed is None or speed.max is None or speed.max > 0:
        expected = '{ path = "Vehicle.Speed", max = 0.0, … } with unknown and stale'
        lookup.findings.add((*place, "preconditions"), "disable_drive without speed 0", expected)
    if ignition is None or ignition.equals not in ("OFF", "LOCK"):
        expected = '{ path = "Vehicle.LowVoltageSystemState", equals = "OFF", … } with unknown and stale'
        lookup.findings.add((*place, "preconditions"), "disable_drive without ignition off", expected)
