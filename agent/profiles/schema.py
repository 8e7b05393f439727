"""A vehicle as types: what `profile.toml` and the DBC files beside it come to, compiled and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from agent.model.clause import Clause
from agent.model.command import Action
from agent.model.frame import BitField, SendRule
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.model.recipe import ChecksumField, Precondition, Recipe
from agent.model.use import Pace, VehicleUse


@dataclass(frozen=True, slots=True)
class BusPlan:
    """One CAN bus of the vehicle. The bus counts as asleep when no frame came for `silent_after_s`.

    On one with `awake_with` the car says nothing by itself, only answers: it is awake as long as that other bus is, and
    an installation may do without it.
    """

    name: str
    bitrate_bps: int
    is_fd: bool
    silent_after_s: float
    is_listen_only: bool
    awake_with: str | None = None


@dataclass(frozen=True, slots=True)
class CounterRule:
    """A rolling counter modulo `1 << field.length`; from one good frame to the next it grows by 1 to `step_max`.

    After `reset_after_s` without a frame any value is taken as a new beginning.
    """

    field: BitField
    step_max: int
    reset_after_s: float


@dataclass(frozen=True, slots=True)
class UnitChoice:
    """The factor to the VSS unit depends on another signal: raw value of that signal → factor."""

    arbitration_id: int
    is_extended_id: bool
    field: BitField
    factors: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """The signal counts only while a signal of the same bus, another or itself, has one of these raw values.

    `ranges` are further ones, both ends included.
    """

    arbitration_id: int
    is_extended_id: bool
    field: BitField
    values: frozenset[int]
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SettleRule:
    """A value counts once it has stood for `settle_s`, or follows from one that did by a step of at most `step_max`.

    `step_max` is in the VSS unit; 0 says that each other value has to stand.
    """

    settle_s: float
    step_max: float = 0.0


EVENTS_PER_HOUR_MAX = 60
"""Of one input; nobody opens a door oftener for long, and a loose contact does."""


@dataclass(frozen=True, slots=True)
class ReportRule:
    """When a new value is worth telling. `deadband` is in the VSS unit; a change of what `is_event` is told at once, if
    it has stood for `debounce_s`, and of one path at most `events_per_hour_max`.

    `interval_s_min` is the least however the car is used; `paces` are this signal's own for some uses.
    """

    deadband: float
    interval_s_min: float
    is_event: bool
    debounce_s: float = 0.0
    events_per_hour_max: int = EVENTS_PER_HOUR_MAX
    paces: Mapping[VehicleUse, Pace] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """A multiplexer and the values of it for which a signal is present."""

    field: BitField
    values: frozenset[int]


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """One DBC signal under its VSS path.

    value = ((raw × scale + offset) × unit_factor + unit_offset), rounded to `digits` decimals (None: as it is);
    `choices` replaces all of that by a table raw → value.  Limits are in the VSS unit, inclusive.
    `selector_values` are the values of the message's selector the signal is present for (None: always);
    `selections` are further multiplexers that must agree (extended multiplexing: nested, or more than one a message).
    `invalid_raw` and `invalid_ranges` (both ends included) are raw values that stand for none.
    """

    path: str
    signal: str
    unit: str | None
    datatype: str
    field: BitField
    scale: float
    offset: float
    unit_factor: float
    unit_offset: float
    digits: int | None
    choices: Mapping[int, Value] | None
    invalid_raw: frozenset[int]
    minimum: float | None
    maximum: float | None
    selector_values: frozenset[int] | None
    unit_choice: UnitChoice | None
    freshness_s: float
    report: ReportRule
    selections: tuple[Selection, ...] = ()
    invalid_ranges: tuple[tuple[int, int], ...] = ()
    condition: Condition | None = None
    settle: SettleRule | None = None

    @property
    def chosen_by(self) -> tuple[UnitChoice | Condition, ...]:
        """What other signals say of this one: its unit, and whether it counts."""
        return tuple(choice for choice in (self.unit_choice, self.condition) if choice is not None)


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """One DBC message with the wanted signals only. Frames shorter than `length_bytes` are refused.

    `name` is unique in the profile: that of the DBC, as `bus.message` where two buses have it.  `selector_known` are
    the values of the selector that the DBC knows, wanted or not; None says nothing about unknown ones.
    `also_on` are further buses whose frames of this identifier are the same message: where a series was changed.
    `is_every_frame`: each of its frames counts (a button pressed for one of them), so none is left out or gathered.
    """

    bus: str
    arbitration_id: int
    is_extended_id: bool
    is_fd: bool
    name: str
    length_bytes: int
    checksum: ChecksumField | None
    counter: CounterRule | None
    selector: BitField | None
    signals: tuple[SignalPlan, ...]
    selector_known: frozenset[int] | None = None
    is_every_frame: bool = False
    also_on: tuple[str, ...] = ()

    @property
    def buses(self) -> tuple[str, ...]:
        """Where its frames come from."""
        return (self.bus, *self.also_on)

    @property
    def groups(self) -> tuple[tuple[SignalPlan, ...], ...]:
        """The signals by which of them are present together: all of them, unless the message is multiplexed."""
        together: dict[tuple[frozenset[int] | None, tuple[Selection, ...]], list[SignalPlan]] = {}
        for signal in self.signals:
            together.setdefault((signal.selector_values, signal.selections), []).append(signal)
        return tuple(map(tuple, together.values()))


@dataclass(frozen=True, slots=True)
class PollPlan:
    """A value asked for: the request, what the answer begins with, and by the length of the data after that what lies
    where in them.

    `request` and `flow_control` are whole payloads, the only frames that asking puts on the bus.  `address` precedes
    all that the control unit sends (ISO-TP's extended addressing; else empty), `echo` is how its positive answer
    begins: service + 0x40 and the identifier.  `is_longer`: an answer may have more data than the one length named.
    `is_silent`: the bus only listens, so it is not asked; answers to somebody else are read all the same.
    """

    name: str
    bus: str
    request_id: int
    response_id: int
    is_extended_id: bool
    request: bytes
    flow_control: bytes
    address: bytes
    echo: bytes
    period_s: float
    answers: Mapping[int, tuple[SignalPlan, ...]]
    is_longer: bool = False
    is_silent: bool = False

    @property
    def signals(self) -> tuple[SignalPlan, ...]:
        """One for each path, whichever answers it is in."""
        return tuple({signal.path: signal for signals in self.answers.values() for signal in signals}.values())

    @property
    def send_rules(self) -> tuple[SendRule, ...]:
        """To the last bit: there is nothing in these frames that is computed when they are sent (SR-01)."""
        if self.is_silent:
            return ()
        mask = bytes([0xFF]) * len(self.request)
        return tuple(
            SendRule(self.bus, self.request_id, self.is_extended_id, False, payload, mask)
            for payload in (self.request, self.flow_control)
        )


class Derivation(StrEnum):
    """How a derived state follows from its inputs."""

    ALL = "all"
    ANY = "any"
    PRODUCT = "product"
    RISES = "rises"


@dataclass(frozen=True, slots=True)
class DerivedPlan:
    """A state that no single signal gives.

    `all` and `any` are yes or no by the `clauses`; `product` is the product of the paths of the `clauses`, which ask
    nothing of them, times `factor`, rounded to `digits` decimals; `rises` counts how often the one clause came to be
    met, from one known value to the next, since the agent started.  Without a value of every input there is none, nor
    where `maximum`, the largest number the datatype holds, is exceeded.
    """

    path: str
    unit: str | None
    datatype: str
    how: Derivation
    clauses: tuple[Clause, ...]
    factor: float
    digits: int
    maximum: float | None
    report: ReportRule

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(clause.path for clause in self.clauses))


@dataclass(frozen=True, slots=True)
class Profile:
    """A vehicle. `send_list` and `pulse_list` are all that may ever be sent or pulsed.

    An action without a recipe cannot be done on this car.

    `unsupported` gives the reason in words for the actions the profile rules out.  `return_conditions` are what must be
    known to hold for a rental to end; without any the question is not answered.  An id that only carries what
    a `UnitChoice` or a `Condition` looks at also has a `MessagePlan`, with no signals of its own if need be.
    """

    name: str
    title: str
    vss_release: str
    buses: tuple[BusPlan, ...]
    messages: tuple[MessagePlan, ...]
    recipes: Mapping[Action, Recipe]
    send_list: tuple[SendRule, ...]
    unsupported: Mapping[Action, str]
    return_conditions: tuple[Precondition, ...] = ()
    pulse_list: tuple[Pulse, ...] = ()
    derived: tuple[DerivedPlan, ...] = ()
    polls: tuple[PollPlan, ...] = ()

    @property
    def broadcast_paths(self) -> frozenset[str]:
        """What the car says by itself. An answer that gives one of these stands in for the car's own word."""
        return frozenset(signal.path for message in self.messages for signal in message.signals)

    @property
    def groups(self) -> tuple[tuple[SignalPlan, ...], ...]:
        """The groups of all messages in their order; the number of a group is its place here."""
        return tuple(group for message in self.messages for group in message.groups)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every VSS path this profile can give a reading for, in the order of the file; derived states last."""
        given = dict.fromkeys(signal.path for message in self.messages for signal in message.signals)
        given |= dict.fromkeys(signal.path for poll in self.polls for signal in poll.signals)
        return (*given, *(plan.path for plan in self.derived))

    @property
    def answer_ids(self) -> frozenset[tuple[str, int, bool]]:
        """Bus, identifier, and whether it has 29 bits, of what only comes as an answer to us."""
        requests = [request for recipe in self.recipes.values() for request in recipe.requests]
        return frozenset(
            [
                *((poll.bus, poll.response_id, poll.is_extended_id) for poll in self.polls),
                *((each.frame.bus, each.response_id, each.frame.is_extended_id) for each in requests),
            ]
        )

    @property
    def report_rules(self) -> Mapping[str, ReportRule]:
        """When the value of each path is worth telling."""
        signals = {signal.path: signal.report for poll in self.polls for signal in poll.signals}
        signals |= {signal.path: signal.report for message in self.messages for signal in message.signals}
        return signals | {plan.path: plan.report for plan in self.derived}

    def sources_of(self, path: str) -> tuple[str, ...]:
        """The paths whose signals decide about this one: its inputs if it is derived, else itself."""
        return next((plan.inputs for plan in self.derived if plan.path == path), (path,))
