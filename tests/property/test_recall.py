"""A plan kept is the profile compiled, or nothing: for every profile, and whatever becomes of its bytes.

The oracle is `parse_profile`, which reads DBC files by cantools; recalling does without.
"""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.profiles.checksums import ALGORITHMS
from agent.profiles.parse import parse_profile
from agent.profiles.recall import Program, Sources, recalled, sealed
from agent.profiles.schema import Profile
from tests.profiles import shipped
from tests.support.random_dbc import RandomMessage, RandomSignal, random_messages, random_profile

PROGRAM = Program("the program under test", bytes(range(32)))
SLOW = [HealthCheck.too_slow]

KEPT = shipped.VEHICLES
BY_PARAMETERS = tuple(
    vehicle
    for vehicle in KEPT
    if any(plan.checksum and plan.checksum.algorithm not in ALGORITHMS for plan in shipped.profile(vehicle).messages)
)
"""Vehicles with a CRC that has no name: only its parameters are written down."""


def compiled(sources: Sources) -> Profile:
    profile = parse_profile(sources.profile_text, sources.files, source="profile.toml")
    assert isinstance(profile, Profile), "\n".join(map(str, profile))
    return profile


def sources_of(vehicle: str) -> Sources:
    return Sources(shipped.profile_text(vehicle), shipped.files(vehicle))


@cache
def plan_of(vehicle: str) -> bytes:
    plan = sealed(shipped.profile(vehicle), sources_of(vehicle), PROGRAM)
    assert isinstance(plan, bytes), plan
    return plan


def resealed(document: object) -> bytes:
    """What only who holds the car's key could have written."""
    body = json.dumps(document).encode()
    head, _, _ = plan_of(KEPT[0]).partition(b"\n")
    return head[:-64] + PROGRAM.seal(body) + b"\n" + body


@pytest.mark.parametrize("vehicle", BY_PARAMETERS)
def test_a_crc_by_parameters_is_recalled_and_computes_the_same(vehicle: str) -> None:
    found = recalled(plan_of(vehicle), sources_of(vehicle), PROGRAM)
    assert isinstance(found, Profile)
    for one, other in zip(found.messages, shipped.profile(vehicle).messages, strict=True):
        for payload in (bytes(8), bytes(range(1, 9)), b"\xff" * 8):
            if one.checksum is not None and other.checksum is not None:
                assert one.checksum.compute(payload) == other.checksum.compute(payload)


@pytest.mark.parametrize(
    ("place", "value"), [(1, 7), (1, 4096), (2, 256), (3, -1), (4, 0x100), (5, 1), (1, "8"), (2, True), (0, 8)]
)
def test_no_crc_is_made_of_parameters_that_none_has(place: int, value: object) -> None:
    """Place in the name and parameters of the first one that is written down, and what stands there instead."""
    (vehicle, *_) = BY_PARAMETERS
    document = json.loads(plan_of(vehicle).partition(b"\n")[2])
    (checksum, *_) = [
        cell
        for row in document["messages"]
        for cell in row
        if isinstance(cell, list) and cell and isinstance(cell[0], list) and isinstance(cell[0][0], str)
    ]
    checksum[0][place] = value
    assert isinstance(recalled(resealed(document), sources_of(vehicle), PROGRAM), str)


@pytest.mark.parametrize("vehicle", KEPT)
def test_what_is_recalled_is_the_profile_compiled(vehicle: str) -> None:
    assert recalled(plan_of(vehicle), sources_of(vehicle), PROGRAM) == compiled(sources_of(vehicle))


@pytest.mark.parametrize("vehicle", KEPT)
def test_sr_01_a_plan_kept_says_nothing_of_what_may_be_sent(vehicle: str) -> None:
    """Each part of a frame that may be sent, in whatever form JSON could hold it, is looked for."""
    document = json.loads(plan_of(vehicle).partition(b"\n")[2])
    assert document.keys() == {"program", "inputs", "messages"}
    received = {message.arbitration_id for message in shipped.profile(vehicle).messages}
    sent = {rule.arbitration_id for rule in shipped.profile(vehicle).send_list} - received
    assert sent or not shipped.profile(vehicle).send_list
    assert {row[1] for row in document["messages"]} == received


@pytest.mark.parametrize("vehicle", KEPT)
def test_sr_01_not_even_a_forger_with_the_cars_key_changes_what_may_be_sent(vehicle: str) -> None:
    document = json.loads(plan_of(vehicle).partition(b"\n")[2])
    for row in document["messages"]:
        row[1] ^= 1
    forged = recalled(resealed(document), sources_of(vehicle), PROGRAM)
    assert isinstance(forged, Profile)
    assert forged.messages != shipped.profile(vehicle).messages
    assert forged.send_list == shipped.profile(vehicle).send_list
    assert forged.recipes == shipped.profile(vehicle).recipes


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_plan_with_a_byte_changed_or_cut_off_is_none(drawn: st.DataObject) -> None:
    vehicle = drawn.draw(st.sampled_from(KEPT))
    plan = bytearray(plan_of(vehicle))
    place = drawn.draw(st.integers(0, len(plan) - 1))
    if drawn.draw(st.booleans()):
        plan[place] ^= drawn.draw(st.integers(1, 255))
    else:
        del plan[place:]
    assert isinstance(recalled(bytes(plan), sources_of(vehicle), PROGRAM), str)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_whatever_bytes_are_found_no_plan_is_made_of_them(content: bytes) -> None:
    assert isinstance(recalled(content, sources_of(KEPT[0]), PROGRAM), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_document_of_another_shape_is_no_plan_even_if_it_is_sealed(drawn: st.DataObject) -> None:
    """One value somewhere in the plans is another; either it was of that type, or there is no plan."""
    vehicle = KEPT[0]
    document = json.loads(plan_of(vehicle).partition(b"\n")[2])
    holder, key = document, "messages"
    for _ in range(drawn.draw(st.integers(0, 6))):
        below = holder[key]
        if not isinstance(below, list) or not below:
            break
        holder, key = below, drawn.draw(st.integers(0, len(below) - 1))  # type: ignore[assignment]
    holder[key] = drawn.draw(JSON)
    found = recalled(resealed(document), sources_of(vehicle), PROGRAM)
    assert isinstance(found, str) or found.send_list == shipped.profile(vehicle).send_list


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_any_other_document_is_no_plan_even_if_it_is_sealed(document: object) -> None:
    assert isinstance(recalled(resealed(document), sources_of(KEPT[0]), PROGRAM), str)


@pytest.mark.parametrize(
    ("sources", "program", "reason"),
    [
        (None, Program("another program", PROGRAM.secret), "another version"),
        (None, Program(PROGRAM.name, bytes(32)), "not this car's"),
        ("text", PROGRAM, "files have changed"),
        ("file", PROGRAM, "files have changed"),
        ("one more", PROGRAM, "files have changed"),
    ],
)
def test_a_plan_holds_for_its_program_its_car_and_its_files_alone(
    sources: str | None, program: Program, reason: str
) -> None:
    vehicle = KEPT[0]
    whole = sources_of(vehicle)
    text, files = whole.profile_text, dict(whole.files)
    match sources:
        case "text":
            text += "\n"
        case "file":
            files = {name: content + b"\n" for name, content in files.items()}
        case "one more":
            files["other.dbc"] = b""
    found = recalled(plan_of(vehicle), Sources(text, files), program)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize(
    "checksum", ['algorithm = "xor8", bytes = [3, 2]', "poly = 0x1D, init = 0xFF, xorout = 0xFF, reflected = true"]
)
def test_a_checksum_is_recalled_with_its_coverage(checksum: str) -> None:
    vehicle = "demo_hatchback"
    old = 'algorithm = "crc8_sae_j1850", signal = "MotionCrc"'
    text = shipped.profile_text(vehicle)
    assert old in text
    sources = Sources(text.replace(old, f'{checksum}, signal = "MotionCrc"'), shipped.files(vehicle))
    profile = compiled(sources)
    plan = sealed(profile, sources, PROGRAM)
    assert isinstance(plan, bytes), plan
    assert recalled(plan, sources, PROGRAM) == profile


@given(random_messages())
@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
def test_any_layout_a_dbc_can_describe_is_recalled_as_compiled(message: RandomMessage) -> None:
    text, dbc = random_profile(message)
    sources = Sources(text, {"random.dbc": dbc.encode()})
    profile = compiled(sources)
    plan = sealed(profile, sources, PROGRAM)
    assert isinstance(plan, bytes), plan
    assert recalled(plan, sources, PROGRAM) == profile


@given(random_messages(), st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
def test_sr_01_a_frame_to_be_sent_is_the_one_cantools_makes_or_there_is_no_plan(
    message: RandomMessage, drawn: st.DataObject
) -> None:
    """A plain message is read without cantools; of another none is made, and cantools is loaded at each start."""
    wanted, dbc = random_profile(message)
    values = ", ".join(f"{signal.name} = {_value(signal, drawn)}" for signal in message.signals)
    action = f'[actions.lock]\nframes = [ {{ message = "Message", values = {{ {values} }} }} ]\nrepeats_max = 1\n'
    text = f"{wanted}{action}interval_s = 0.1\nfeedback = []\npreconditions = []\n"
    sources = Sources(text, {"random.dbc": dbc.encode()})
    profile = parse_profile(text, sources.files, source="profile.toml")
    if not isinstance(profile, Profile):
        return  # pages of a multiplexer that were not chosen
    plan = sealed(profile, sources, PROGRAM)
    is_plain = not any(signal.is_float or signal.page is not None for signal in message.signals)
    assert isinstance(plan, bytes) or not is_plain, plan
    if isinstance(plan, bytes):
        assert recalled(plan, sources, PROGRAM) == profile


def _value(signal: RandomSignal, drawn: st.DataObject) -> float:
    low, high = (-(1 << signal.length - 1), (1 << signal.length - 1) - 1) if signal.is_signed else (0, 1)
    raw = drawn.draw(st.integers(low, max(high, (1 << signal.length - 1) - 1)))
    return raw * float(signal.scale) + float(signal.offset)
