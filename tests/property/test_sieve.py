"""A car received without the frames that repeat the last shows what it shows with them, and never as fresher."""

from __future__ import annotations

from collections.abc import Sequence

import can
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.can_raw import Message
from agent.adapters.can_sieve import Sieve
from agent.adapters.can_source import FrameCounts
from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality
from agent.profiles.watches import repeating
from agent.state.tracker import Tracker
from tests.support.plans import ODOMETER, SPEED, message_plan, profile_of, signal_plan

FRESHNESS_S = {SPEED: 1.0, ODOMETER: 4.0}
PROFILE = profile_of(
    *(
        message_plan(signal_plan(path, freshness_s=freshness_s), name=path, arbitration_id=0x100 + number)
        for number, (path, freshness_s) in enumerate(FRESHNESS_S.items())
    ),
    silent_after_s=10.0,
)
LATER_SHARE = 0.25 + 0.125
"""Of its freshness a value is given again after a quarter, and looked for after half of the shortest of those."""


class Car:
    def __init__(self) -> None:
        self._decoder, self._tracker = Decoder(PROFILE), Tracker(PROFILE)

    def hear(self, message: Message, at_s: float) -> None:
        frame = Frame("body", message.arbitration_id, bytes(message.data), at_s)
        self._tracker.hear(self._decoder.hear(frame), at_s)

    def value(self, path: str, now_s: float) -> object:
        reading = self._tracker.reading(path, now_s)
        return reading.value if reading.quality is Quality.OK else None

    def at_s(self, path: str, now_s: float) -> float:
        return self._tracker.reading(path, now_s).at_s


FRAMES = st.tuples(
    st.floats(min_value=0.01, max_value=2.0),
    st.sampled_from([0x100, 0x100, 0x101]),
    st.sampled_from([b"\x01", b"\x01\x09", b"\x01", b"\x02", b""]),
)


@given(st.lists(FRAMES, max_size=60), st.booleans())
def test_value_is_the_same_and_its_age_never_understated_sr_05(
    frames: Sequence[tuple[float, int, bytes]], is_patient: bool
) -> None:
    whole, kept = Car(), Car()
    wanted = [(message.arbitration_id, False) for message in PROFILE.messages]
    sieve = Sieve(FrameCounts(), wanted, repeating(PROFILE, "body"), wanted if is_patient else ())
    now_s, times_s = 100.0, {path: list[float]() for path in FRESHNESS_S}
    for gap_s, number, data in frames:
        now_s += gap_s
        message = can.Message(arbitration_id=number, is_extended_id=False, data=data)
        whole.hear(message, now_s)
        if not sieve.keeps(message, now_s) and sieve.passes(message):
            kept.hear(message, now_s)
        due = sieve.due(now_s, is_all=False)
        for told in (*sieve.take_news(now_s), *sieve.take_due(due, now_s)):
            kept.hear(*told)
        for path, freshness_s in FRESHNESS_S.items():
            times_s[path].append(whole.at_s(path, now_s))
            was_so_s = [at_s for at_s in times_s[path] if at_s <= now_s - LATER_SHARE * freshness_s]
            is_known = whole.value(path, now_s) is not None
            assert kept.value(path, now_s) in (whole.value(path, now_s), None)
            if is_known:
                assert max(was_so_s, default=0.0) <= kept.at_s(path, now_s) <= whole.at_s(path, now_s)
                is_shown = kept.value(path, now_s) is not None
                assert is_shown or now_s - kept.at_s(path, now_s) > freshness_s
