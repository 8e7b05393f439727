"""What a frame tells, changes only and the rest seen again, comes to the same state as every reading of every frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.profiles.schema import Profile
from agent.state.tracker import Tracker
from tests.support.small_car import VECTORS, parsed, signal_table, small_profile_text

VALID_WHEN = 'valid_when = { message = "Lock", signal = "Miles", values = [1] }'
DRIVING_ONLY = 'valid_when = { message = "Motion", signal = "Gear", values = ["Drive"] }'
UNIT_BY = 'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }'
PROFILES = tuple(
    parsed(text)
    for text in (
        small_profile_text(),
        small_profile_text(signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked")),
        small_profile_text().replace(
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer"),
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", UNIT_BY),
        ),
        small_profile_text().replace(
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer"),
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", f"{VALID_WHEN}\n{UNIT_BY}"),
        ),
        small_profile_text().replace(
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer"),
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", "settle_s = 0.3\nmax_step = 20.0")
            + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked", "settle_s = 0.2"),
        ),
        small_profile_text().replace(
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer"),
            signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", f"{DRIVING_ONLY}\nsettle_s = 0.2"),
        ),
    )
)
PAYLOADS = [
    (arbitration_id, is_extended, bytes.fromhex(payload)) for arbitration_id, is_extended, payload, _ in VECTORS
]
PAYLOADS.append((768, False, bytes(4)))


STEPS_S = (0.1, 0.1, 0.0, 0.2, 1.0, 10.0, -0.1, -0.2, -1.0)
"""From one frame to the next; the messages of the small car are fresh for some tenths of a second."""


@st.composite
def traffic(draw: st.DrawFn) -> list[Frame]:
    """Frames of one or two messages, often the same as another, and not always later than the one before."""
    chosen = draw(st.lists(st.sampled_from(PAYLOADS), min_size=1, max_size=2))
    at_s, frames = 20.0, []
    for step_s in draw(st.lists(st.sampled_from(STEPS_S), max_size=20)):
        arbitration_id, is_extended, payload = draw(st.sampled_from(chosen))
        flipped = draw(st.sampled_from([0, 0, 1, 1 << 20]))
        data = (int.from_bytes(payload) ^ flipped).to_bytes(len(payload))
        length = draw(st.sampled_from([len(data)] * 4 + [1, 16]))
        at_s += step_s
        frames.append(Frame("body", arbitration_id, data[:length].ljust(length, b"\x00"), at_s, is_extended))
    return frames


@given(st.sampled_from(PROFILES), traffic(), st.sampled_from(STEPS_S))
def test_changes_and_what_was_seen_again_are_all_there_is_to_know(
    profile: Profile, frames: list[Frame], asked_after_s: float
) -> None:
    """SR-05: no value lives longer for it, and none dies earlier."""
    decoder, tracker = Decoder(profile), Tracker(profile)
    whole_decoder, whole = Decoder(profile), Tracker(profile)
    for frame in frames:
        at_s = frame.received_at_s
        groups, changed = heard = decoder.hear(frame)
        tracker.hear(heard, at_s)
        readings = whole_decoder.receive(frame)
        whole.fold(readings)
        assert decoder.readings(groups, at_s) == readings
        assert set(changed) <= set(readings)
        assert tracker.snapshot(at_s + asked_after_s) == whole.snapshot(at_s + asked_after_s)
    assert _times(tracker, profile.paths) == _times(whole, profile.paths)


def _times(tracker: Tracker, paths: tuple[str, ...]) -> list[Reading | None]:
    return [tracker.last_known(path) for path in paths]
