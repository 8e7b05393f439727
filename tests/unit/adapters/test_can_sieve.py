"""What is kept back of a bus's frames and when it is given: whatever comes in whatever order, whenever one asks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.can_raw import Message
from agent.adapters.can_sieve import Sieve
from agent.adapters.can_source import FrameCounts
from agent.model.reception import MessageId, Repeating

PATIENT, URGENT, EACH = 0x100, 0x200, 0x300
WANTED = {(PATIENT, False), (URGENT, True), (EACH, False)}
MASK = b"\xff\x0f"
REPEATING = [
    Repeating(MessageId("body", PATIENT, False), MASK, every_s=1.0),
    Repeating(MessageId("body", URGENT, True), MASK, every_s=2.0),
]

Given = tuple[int, bytes]


def frame(number: int = PATIENT, data: bytes = b"\x01\x02", *, is_extended: bool | None = None) -> can.Message:
    is_extended_id = number == URGENT if is_extended is None else is_extended
    return can.Message(arbitration_id=number, data=data, is_extended_id=is_extended_id)


class Bus:
    """A reader and a loop in one thread; `queued` went on by themselves and have not arrived yet."""

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self.sieve = Sieve(self.counts, WANTED, REPEATING, {(PATIENT, False)})
        self.queued: list[tuple[Message, float]] = []
        self.given: list[Message] = []
        self.times: list[float] = []

    def receive(self, message: Message, at_s: float = 0.0) -> None:
        if not self.queued:
            self.sieve.resume()
        if not self.sieve.keeps(message, at_s) and self.sieve.passes(message):
            self.queued.append((message, at_s))

    def take(self, now_s: float = 0.0, *, is_asked: bool = False, is_all: bool = False) -> None:
        """As `Intake.take` does."""
        due = self.sieve.due(now_s, is_all=is_all) if is_asked or is_all else ()
        came, self.queued = self.queued, []
        given = sorted([*self.sieve.take_news(now_s), *came], key=lambda each: each[1])
        given += self.sieve.take_due(due, now_s) if due else []
        self.given += (message for message, _ in given)
        self.times += (at_s for _, at_s in given)

    def left_out(self) -> Counter[tuple[int, bool]]:
        counts: Counter[tuple[int, bool]] = Counter()
        self.sieve.count_left_out(counts)
        return counts


def test_of_frames_that_say_the_same_the_newest_is_given_when_it_is_due() -> None:
    bus = Bus()
    for at_s in range(1, 6):
        bus.receive(frame(URGENT), float(at_s))
        bus.take()
    assert bus.times == [1.0]
    assert bus.left_out() == {(URGENT, True): 3}, "one may still be given"
    bus.take(5.0, is_asked=True)
    bus.take(5.5, is_asked=True)
    assert bus.times == [1.0, 5.0]
    bus.receive(frame(URGENT), 5.6)
    bus.take(6.9, is_asked=True)
    assert bus.times == [1.0, 5.0], "it is not due yet"
    bus.take(7.4, is_asked=True)
    assert bus.times == [1.0, 5.0, 5.6]
    assert bus.left_out().total() == 0, "since it was asked last"


def test_a_repetition_that_is_overtaken_while_the_loop_takes_what_came_is_left_out() -> None:
    bus = Bus()
    bus.receive(frame(URGENT))
    bus.take()
    bus.receive(frame(URGENT), 1.0)
    due = bus.sieve.due(1.0, is_all=False)
    bus.receive(frame(URGENT, b"\x02\x02"), 2.0)
    assert (len(due), bus.sieve.take_due(due, 2.0)) == (1, [])
    assert bus.left_out() == {(URGENT, True): 1}


def test_bits_nobody_wants_say_nothing_new_and_one_that_is_wanted_does() -> None:
    bus = Bus()
    for data in (b"\x01\x02", b"\x01\xf2", b"\x01\x12", b"\x01\x03", b"\x01\x12"):
        bus.receive(frame(data=data))
        bus.take()
    assert [bytes(message.data) for message in bus.given] == [b"\x01\x02", b"\x01\x03", b"\x01\x12"]


@pytest.mark.parametrize(
    ("other", "is_given"),
    [
        (frame(is_extended=True), False),
        (can.Message(arbitration_id=PATIENT, is_extended_id=False, is_remote_frame=True, dlc=2), False),
        (can.Message(arbitration_id=PATIENT, is_extended_id=False, data=b"\x01\x02", dlc=8), False),
        (can.Message(arbitration_id=PATIENT, is_extended_id=False, data=b"\x01\x02", is_error_frame=True), True),
        (frame(data=b"\x01"), True),
        (frame(data=b""), True),
    ],
    ids=["another format", "remote", "cut short on the line", "error", "too short", "empty"],
)
def test_what_only_looks_like_a_repetition_is_none(other: can.Message, is_given: bool) -> None:
    bus = Bus()
    for data in (b"\x01\x02", b"\x01\x00", b"\x00\x00"):
        bus.receive(frame(data=data))
        bus.receive(other)
        bus.take()
    assert bus.given.count(other) == 3 * is_given
    assert bus.counts.unwanted + bus.counts.garbled == 3 * (not is_given)
    assert bus.left_out().total() == 0


def test_after_an_error_frame_each_message_is_given_anew() -> None:
    bus = Bus()
    for message in (frame(URGENT), frame(URGENT), can.Message(is_error_frame=True), frame(URGENT)):
        bus.receive(message)
        bus.take()
    assert [message.arbitration_id for message in bus.given] == [URGENT, 0, URGENT]


def test_while_each_frame_is_wanted_none_is_kept_and_afterwards_the_first_is_given_sr_04() -> None:
    bus = Bus()
    bus.receive(frame())
    bus.sieve.want_each(is_each_wanted=True)
    for _ in range(3):
        bus.receive(frame())
    bus.sieve.want_each(is_each_wanted=False)
    bus.receive(frame())
    assert len(bus.queued) == 4, "as long as frames are on their way that must not be overtaken"
    bus.take()
    assert len(bus.given) == 5
    bus.receive(frame())
    bus.take()
    bus.receive(frame())
    bus.take()
    assert len(bus.given) == 6


def test_what_was_lost_on_its_way_is_not_compared_with() -> None:
    bus = Bus()
    bus.receive(frame(URGENT))
    lost, _ = bus.queued.pop()
    bus.sieve.lost(lost)
    bus.receive(frame(URGENT))
    bus.take()
    assert len(bus.given) == 1


NUMBERS = st.sampled_from([PATIENT, URGENT, EACH, 0x400])
CONTENTS = st.sampled_from([b"\x01\x02", b"\x01\xf2", b"\x02\x02", b"\x02\x02\x03", b"\x01"])
STEPS = st.lists(
    st.one_of(st.tuples(NUMBERS, CONTENTS), st.sampled_from(["take", "ask", "each", "not each"])), max_size=60
)


@given(STEPS, st.booleans())
def test_nothing_new_is_missed_nothing_comes_twice_or_too_late_and_each_frame_is_accounted_for(
    steps: list[tuple[int, bytes] | str], is_time_known: bool
) -> None:
    """With times that tell frames apart and with those of an adapter that gives none."""
    bus, received = Bus(), list[can.Message]()
    for now, step in enumerate(steps):
        at_s = float(now) if is_time_known else 0.0
        match step:
            case (number, data):
                received.append(frame(number, data))
                bus.receive(received[-1], at_s)
            case "take" | "ask":
                bus.take(float(now), is_asked=step == "ask")
            case _:
                bus.sieve.want_each(is_each_wanted=step == "each")
                if step == "each":
                    bus.take(float(now), is_all=True)
    bus.take(float(len(steps)), is_all=True)
    assert len(received) == len(bus.given) + bus.counts.unwanted + bus.left_out().total()
    # Those that are refused are all given; what they are given before makes no difference.
    assert [message for message in bus.given if is_short(message)] == [
        message
        for message in received
        if is_short(message) and (message.arbitration_id, message.is_extended_id) in WANTED
    ]
    for number in (PATIENT, URGENT, EACH):
        came, told = (
            [message for message in messages if message.arbitration_id == number and not is_short(message)]
            for messages in (received, bus.given)
        )
        places = [next(place for place, each in enumerate(came) if each is message) for message in told]
        assert places == sorted(set(places)), "in the order they came, each once"
        assert not came or said(told[-1]) == said(came[-1])
        if number == URGENT:
            assert changes(told) == changes(came)
        if number == EACH:
            assert told == came


def is_short(message: Message) -> bool:
    return len(message.data) < len(MASK)


def said(message: Message) -> bytes:
    """What of a message counts."""
    return bytes(a & b for a, b in zip(message.data, MASK, strict=False))


def changes(messages: Sequence[Message]) -> list[bytes]:
    """What was said, without what was said again."""
    return [content for content, _ in itertools.groupby(map(said, messages))]
