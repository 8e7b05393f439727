"""A recording is worth keeping if no wrong bit in a DBC and no marker forgotten in a profile gets past it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.policy.sending import is_on_send_list
from agent.profiles.parse import parse_profile
from agent.profiles.schema import MessagePlan, Profile
from tests.profiles import candump
from tests.profiles.shipped import VEHICLES, files, folder, profile, profile_text

_SIGNAL = re.compile(
    r"^ SG_ (?P<name>\w+)(?P<mux> [mM]\d*)? : (?P<start>\d+)\|(?P<length>\d+)@(?P<order>[01])(?P<sign>[+-]) "
    r"\((?P<scale>[^,]+),(?P<offset>[^)]+)\)",
    re.MULTILINE,
)

# Signals whose number is taken as it is: scale and sign do not matter.
_RAW = re.compile(r"(Crc|Counter)$|^(Page|IsMaximum|Detail|Reserved|Wake)$")

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


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_recording_holds_every_marker_and_every_choice_of_the_profile(vehicle: str) -> None:
    for plan in profile(vehicle).messages:
        seen = raws(vehicle, plan)
        for signal in plan.signals:
            wanted = signal.invalid_raw | frozenset(signal.choices or ()) | frozenset(sum(signal.invalid_ranges, ()))
            assert wanted <= seen[signal.path], f"{signal.path}: {sorted(wanted - seen[signal.path])} missing"


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_recording_holds_each_frame_that_may_be_sent_and_the_send_list_allows_all_of_them(vehicle: str) -> None:
    # Of questions nothing is recorded: they are made of the profile alone.
    asking = {rule for poll in profile(vehicle).polls for rule in poll.send_rules}
    rules = [rule for rule in profile(vehicle).send_list if rule not in asking]
    sent = {(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in rules}
    recorded = [frame for frame in frames(vehicle) if (frame.bus, frame.arbitration_id, frame.is_extended_id) in sent]
    assert recorded == sendable(profile(vehicle), vehicle)
    for rule in rules:
        assert any(is_on_send_list(frame, [rule]) for frame in recorded), rule


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
