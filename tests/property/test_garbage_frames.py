"""No bytes and no text make the profile parser or the decoder raise; what they say of garbage is told as values."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.faults import Fault
from agent.model.frame import Frame
from agent.profiles.parse import named_files, parse_profile
from agent.profiles.schema import Profile
from tests.support.honest_readings import is_honest
from tests.support.small_car import BATTERY, DBC, parsed, signal_table, small_profile_text

DEMO = Path(__file__).resolve().parents[2] / "dbc" / "demo_hatchback"
DEMO_TEXT = (DEMO / "profile.toml").read_text()
DEMO_FILES = {path.name: path.read_bytes() for path in DEMO.glob("*.dbc")}
SUFFIXES = ("dbc", "kcd", "arxml", "sym", "txt")


def sound(text: str, files: dict[str, bytes]) -> Profile:
    profile = parse_profile(text, files, source="profile.toml")
    assert not isinstance(profile, list), profile
    return profile


def look_at(found: Profile | list[Fault]) -> None:
    """Either a profile that decodes, or at least one fault that a person can read."""
    if isinstance(found, Profile):
        Decoder(found)
    else:
        assert found
        assert all(str(fault) and fault.line >= 0 for fault in found)


PROFILES = (
    sound(DEMO_TEXT, DEMO_FILES),
    parsed(
        small_profile_text(
            signal_table(
                f"{BATTERY}.Range",
                "Lock",
                "LockCounter",
                'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }',
            )
        )
    ),
)
IDS = sorted({(plan.arbitration_id, plan.is_extended_id) for profile in PROFILES for plan in profile.messages})


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Frames of which most have an identifier that means something."""
    known = st.sampled_from(IDS)
    arbitration_id, is_extended_id = draw(st.one_of(known, known, st.tuples(st.integers(0, 2**32), st.booleans())))
    return Frame(
        bus=draw(st.sampled_from(("body", "body", "body", "", "elsewhere"))),
        arbitration_id=arbitration_id,
        data=draw(st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=64))),
        received_at_s=draw(st.floats(-10.0, 1e9)),
        is_extended_id=is_extended_id,
        is_fd=draw(st.booleans()),
    )


@given(st.sampled_from(PROFILES), st.lists(frames(), max_size=20))
@settings(max_examples=300, deadline=None)
def test_no_frame_makes_the_decoder_raise_and_no_reading_is_dishonest(profile: Profile, sent: list[Frame]) -> None:
    decoder = Decoder(profile)
    for frame in sent:
        assert all(is_honest(reading) for reading in decoder.receive(frame))
    for counts in decoder.counts.values():
        assert counts.refused_length + counts.refused_checksum + counts.refused_counter <= counts.received <= len(sent)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    named_files(text)
    look_at(parse_profile(text, DEMO_FILES, source="profile.toml"))


TOML_VALUES = st.recursive(
    st.one_of(
        st.sampled_from(("true", "nan", "-inf", "1979-05-27", "07:32:00", '""', "{ }", "[ ]", "0xFFFFFFFFFFFFFFFFFF")),
        st.integers().map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(str),
        st.text("abcMotionStaus.", max_size=12).map(lambda text: f'"{text}"'),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[ {', '.join(values)} ]"),
        st.lists(inner, max_size=3).map(
            lambda values: "{ " + ", ".join(f"k{index} = {value}" for index, value in enumerate(values)) + " }"
        ),
    ),
    max_leaves=4,
)
LINES = DEMO_TEXT.splitlines()
VALUE_LINES = [number for number, line in enumerate(LINES) if "=" in line and not line.startswith("#")]


@given(st.lists(st.tuples(st.sampled_from(VALUE_LINES), st.one_of(st.none(), TOML_VALUES)), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_in_a_profile_makes_the_parser_raise(changes: list[tuple[int, str | None]]) -> None:
    lines: list[str | None] = list(LINES)
    for number, value in changes:
        key = LINES[number].split("=")[0]
        lines[number] = f"{key}= {value}" if value is not None else None
    text = "\n".join(line for line in lines if line is not None)
    named_files(text)
    look_at(parse_profile(text, DEMO_FILES, source="profile.toml"))


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_slip_of_the_pen_makes_the_parser_raise(drawn: st.DataObject) -> None:
    """One piece of the text, or of the DBC, taken out, doubled or overwritten."""
    is_profile = drawn.draw(st.booleans())
    text = DEMO_TEXT if is_profile else DEMO_FILES["vehicle.dbc"].decode()
    start = drawn.draw(st.integers(0, len(text) - 1))
    end = start + drawn.draw(st.integers(0, 12))
    new = drawn.draw(st.one_of(st.just(""), st.just(text[start:end] * 2), st.text(max_size=8)))
    text = text[:start] + new + text[end:]
    files = DEMO_FILES if is_profile else {"vehicle.dbc": text.encode("utf-8", "replace")}
    look_at(parse_profile(text if is_profile else DEMO_TEXT, files, source="profile.toml"))


@given(st.sampled_from(SUFFIXES), st.one_of(st.binary(), st.text().map(str.encode)))
@settings(max_examples=150, deadline=None)
def test_no_bytes_in_a_database_make_the_parser_raise(suffix: str, content: bytes) -> None:
    text = DEMO_TEXT.replace("vehicle.dbc", f"vehicle.{suffix}")
    look_at(parse_profile(text, {f"vehicle.{suffix}": content}, source="profile.toml"))


DBC_NUMBERS = st.sampled_from(("0", "-1", "1e999", "9" * 400, "4294967295", "64", "1e-320", "65", "7"))


@given(st.lists(st.tuples(st.integers(0, 200), DBC_NUMBERS), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_number_in_a_dbc_makes_the_parser_raise(changes: list[tuple[int, str]]) -> None:
    words = _split_numbers(DBC)
    numbers = [place for place, word in enumerate(words) if word[:1].isdigit()]
    for which, value in changes:
        words[numbers[which % len(numbers)]] = value
    files = {"small.dbc": "".join(words).encode()}
    found = parse_profile(small_profile_text(), files, source="profile.toml")
    look_at(found)
    if isinstance(found, Profile):
        decoder = Decoder(found)
        for plan in found.messages:
            for payload in (bytes(64), b"\xff" * 64, b"\x80" * 64):
                frame = Frame("body", plan.arbitration_id, payload, 1.0, plan.is_extended_id)
                assert all(is_honest(reading) for reading in decoder.receive(frame))


def _split_numbers(text: str) -> list[str]:
    words = [""]
    for character in text:
        if words[-1] and character.isdigit() != words[-1][-1:].isdigit():
            words.append("")
        words[-1] += character
    return words
