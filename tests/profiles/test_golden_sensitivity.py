"""A recording is worth keeping if no wrong bit in a DBC and no marker forgotten in a profile gets past it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from agent.decode.decoder import Decoder
from agent.decode.overheard import Overheard
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.policy.sending import is_on_send_list
from agent.profiles.parse import parse_profile
from agent.profiles.schema import MessagePlan, PollPlan, Profile, SignalPlan
from tests.profiles import candump
from tests.profiles.shipped import VEHICLES, files, folder, profile, profile_text

_SIGNAL = re.compile(
    r"^ SG_ (?P<name>\w+)(?P<mux> [mM]\d*)? : (?P<start>\d+)\|(?P<length>\d+)@(?P<order>[01])(?P<sign>[+-]) "
    r"\((?P<scale>[^,]+),(?P<offset>[^)]+)\)",
    re.MULTILINE,
)

# Signals whose number is taken as it is: scale and sign do not matter.
_RAW = re.compile(r"(Crc|Checksum|Counter)\d*$|^(Page|IsMaximum|TimeSelector|Detail|Reserved|Wake)$")

# What no recording can show: a float has no sign of its own; no value is so large, and no counter jumps so far, that
# the highest bit matters; what is cut off means nothing in either case; and one signal is for people to read. Where a
# counter of a car that loses frames tells only a frame sent twice, any bits that change do as well.
_INVISIBLE = re.compile(
    r"^(ChargePower|GridPower): sign|^LastRequestFrom: "
    r"|^TerminalCounter: order"
    r"|^(CentralLock|LockCounter|Immobiliser|DriveCounter|Page|WakeReason|Reserved): length"
)


@cache
def frames(vehicle: str) -> tuple[Frame, ...]:
    return tuple(candump.frames((folder(vehicle) / "drive.log").read_text().splitlines()))


def readings(decoded_by: Profile, vehicle: str) -> list[Reading]:
    decoder = Decoder(decoded_by)
    return [reading for frame in frames(vehicle) for reading in decoder.receive(frame)]


def sendable(vehicle: Profile, name: str) -> list[Frame]:
    return [frame for frame in frames(name) if is_on_send_list(frame, vehicle.send_list)]


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """Each signal a bit to either side, shorter by one, in the other byte order; numbers of the other sign or scale."""
    for match in _SIGNAL.finditer(text):
        fields = match.groupdict(default="")
        start, length = int(fields["start"]), int(fields["length"])
        changes: list[tuple[str, object]] = [("start", start + 1)]
        if start:
            changes.append(("start", start - 1))
        if length > 1:
            changes += [("length", length - 1), ("order", 1 - int(fields["order"]))]
        if not re.search(rf"^VAL_ \d+ {fields['name']} ", text, re.MULTILINE) and not _RAW.search(fields["name"]):
            changes += [("scale", float(fields["scale"]) * 2), ("sign", "-" if fields["sign"] == "+" else "+")]
        for key, value in changes:
            changed = {**fields, key: value}
            line = " SG_ {name}{mux} : {start}|{length}@{order}{sign} ({scale},{offset})".format(**changed)
            yield (
                f"{fields['name']}: {key} {fields[key]} -> {value}",
                text[: match.start()] + line + text[match.end() :],
            )


@pytest.mark.parametrize(
    ("vehicle", "file"), [(vehicle, path.name) for vehicle in VEHICLES for path in folder(vehicle).glob("*.dbc")]
)
def test_a_wrong_bit_in_a_dbc_is_a_fault_or_changes_what_the_recording_comes_to(vehicle: str, file: str) -> None:
    right = readings(profile(vehicle), vehicle), sendable(profile(vehicle), vehicle)
    survivors = []
    for what, mutant in mutants((folder(vehicle) / file).read_text()):
        parsed = parse_profile(
            profile_text(vehicle), {**files(vehicle), file: mutant.encode()}, source=f"{vehicle} mutant"
        )
        if isinstance(parsed, Profile) and (readings(parsed, vehicle), sendable(parsed, vehicle)) == right:
            survivors.append(what)
    assert not [what for what in survivors if not _INVISIBLE.match(what)]


def answered(polls: tuple[PollPlan, ...], vehicle: str) -> list[Reading]:
    overheard = Overheard(replace(profile(vehicle), polls=polls))
    return [reading for frame in frames(vehicle) for reading in overheard.hear(frame)]


def poll_mutants(poll: PollPlan) -> Iterator[tuple[str, PollPlan]]:
    """Each value a bit to either side, shorter by one and of the other sign; without its markers, limits and choices;
    and the question of another identifier, address or length of answer."""
    yield "echo", replace(poll, echo=poll.echo[:-1] + bytes([poll.echo[-1] ^ 1]))
    yield "id", replace(poll, response_id=poll.response_id ^ 1)
    yield "kind of id", replace(poll, is_extended_id=not poll.is_extended_id)
    if poll.address:
        yield "address", replace(poll, address=b"\xf2")
    for length, signals in poll.answers.items():
        fewer = {other: plans for other, plans in poll.answers.items() if other != length}
        yield f"length {length}", replace(poll, answers={**fewer, 1000: signals})
        for number, signal in enumerate(signals):
            for what, changed in _signal_mutants(signal):
                mutated = (*signals[:number], changed, *signals[number + 1 :])
                yield f"{signal.path}: {what}", replace(poll, answers={**poll.answers, length: mutated})


def _signal_mutants(signal: SignalPlan) -> Iterator[tuple[str, SignalPlan]]:
    field = signal.field
    yield "higher", replace(signal, field=replace(field, shift=field.shift + 1))
    if field.shift:
        yield "lower", replace(signal, field=replace(field, shift=field.shift - 1))
    if field.length > 1:
        yield "shorter", replace(signal, field=replace(field, length=field.length - 1))
    for marker in signal.invalid_raw:
        yield f"marker {marker:#x}", replace(signal, invalid_raw=signal.invalid_raw - {marker})
    if signal.choices is not None:
        # Of a range of words one alike is enough.
        alike = {value: raw for raw, value in signal.choices.items()}
        for raw in signal.choices if len(signal.choices) <= 8 else alike.values():
            others = {other: value for other, value in signal.choices.items() if other != raw}
            yield f"choice {raw}", replace(signal, choices=others)
        return
    yield "scale", replace(signal, scale=signal.scale * 2)
    yield "offset", replace(signal, offset=signal.offset + 1)
    # Where nothing below zero can be, what the topmost bit says cannot be either.
    if signal.minimum is None or signal.minimum < 0:
        yield "sign", replace(signal, field=replace(field, is_signed=not field.is_signed))
    lowest, highest = sorted(raw * signal.scale + signal.offset for raw in (0, (1 << field.length) - 1))
    if signal.minimum is not None and not field.is_signed and lowest < signal.minimum:
        yield "minimum", replace(signal, minimum=None)
    if signal.maximum is not None and highest * signal.unit_factor > signal.maximum:
        yield "maximum", replace(signal, maximum=None)


@pytest.mark.parametrize("vehicle", [name for name in VEHICLES if profile(name).polls])
def test_a_wrong_bit_in_a_poll_changes_what_the_answers_of_the_recording_come_to(vehicle: str) -> None:
    polls = profile(vehicle).polls
    right = answered(polls, vehicle)
    survivors = [
        f"{poll.name}: {what}"
        for number, poll in enumerate(polls)
        for what, mutant in poll_mutants(poll)
        if answered((*polls[:number], mutant, *polls[number + 1 :]), vehicle) == right
    ]
    assert not survivors


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_recording_holds_every_marker_and_every_choice_of_the_profile(vehicle: str) -> None:
    for plan in profile(vehicle).messages:
        seen = raws(vehicle, plan)
        for signal in plan.signals:
            wanted = signal.invalid_raw | frozenset(signal.choices or ()) | frozenset(sum(signal.invalid_ranges, ()))
            assert wanted <= seen[signal.path], f"{signal.path}: {sorted(wanted - seen[signal.path])} missing"


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_recording_holds_each_frame_that_may_be_sent_and_the_send_list_allows_all_of_them(vehicle: str) -> None:
    rules = profile(vehicle).send_list
    sent = {(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in rules}
    recorded = [frame for frame in frames(vehicle) if (frame.bus, frame.arbitration_id, frame.is_extended_id) in sent]
    assert recorded == sendable(profile(vehicle), vehicle)
    # Nobody fetches the rest of an answer that has none.
    unneeded = {poll.flow_control for poll in profile(vehicle).polls}
    for rule in rules:
        assert rule.value in unneeded or any(is_on_send_list(frame, [rule]) for frame in recorded), rule


GUARDED = [name for name in VEHICLES if any(plan.checksum and plan.counter for plan in profile(name).messages)]


@pytest.mark.parametrize("vehicle", GUARDED)
def test_the_recording_has_frames_that_only_length_checksum_or_counter_gives_away(vehicle: str) -> None:
    plans = [plan for plan in profile(vehicle).messages if plan.checksum and plan.counter]
    decoder = Decoder(profile(vehicle))
    for frame in frames(vehicle):
        decoder.receive(frame)
    refused = [name for name, counts in decoder.counts.items() if counts.refused_length]
    plan = next(plan for plan in plans if plan.name in refused)
    counts = decoder.counts[plan.name]
    assert (counts.refused_length, counts.refused_checksum, counts.refused_counter) == (1, 1, 1)
    right = readings(profile(vehicle), vehicle)
    for gullible in (replace(plan, checksum=None), replace(plan, counter=None)):
        messages = tuple(gullible if message is plan else message for message in profile(vehicle).messages)
        assert readings(replace(profile(vehicle), messages=messages), vehicle) != right


def raws(vehicle: str, plan: MessagePlan) -> dict[str, set[int]]:
    """Raw values of each wanted signal in the recording's frames of the message, by VSS path."""
    seen: dict[str, set[int]] = {signal.path: set() for signal in plan.signals}
    identity = (plan.bus, plan.arbitration_id, plan.is_extended_id)
    for frame in frames(vehicle):
        if (frame.bus, frame.arbitration_id, frame.is_extended_id) != identity or len(frame.data) < plan.length_bytes:
            continue
        selected = plan.selector.extract(frame.data) if plan.selector is not None else None
        for signal in plan.signals:
            if signal.selector_values is None or selected in signal.selector_values:
                seen[signal.path].add(signal.field.extract(frame.data))
    return seen
