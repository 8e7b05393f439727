"""Store and forward: what is kept, what is sent again, and what gives way when there is no more room (SR-07, SR-09)."""

from __future__ import annotations

import pytest

from agent.model.records import GivenUp, OutboxHeld, OutboxRemoved, OutboxStored, Priority, Span
from agent.uplink.outbox import IN_FLIGHT_MAX, LANE_SHARE, REMOVALS_MAX, UNWRITTEN_BYTES_MAX, Outbox

AGE_S_MAX = 1000


def record(sequence: int, priority: int = Priority.SAMPLE, size_bytes: int = 10) -> OutboxStored:
    return OutboxStored(sequence, priority, bytes(size_bytes))


def event(sequence: int, size_bytes: int = 10) -> OutboxStored:
    return record(sequence, Priority.EVENT, size_bytes)


def outbox(*records: OutboxStored, records_max: int = 100, bytes_max: int = 10_000) -> Outbox:
    held = [OutboxHeld(each.sequence, each.priority, len(each.payload), each.made_s) for each in records]
    return Outbox(held, records_max=records_max, bytes_max=bytes_max, age_s_max=AGE_S_MAX)


def gone(*sequences: int) -> tuple[OutboxRemoved, GivenUp]:
    """What is to be durable in one write, of numbers that lie apart."""
    return OutboxRemoved(sequences), GivenUp(tuple(Span(each, each, 1) for each in sequences))


def sent(box: Outbox) -> list[int]:
    return [record.sequence for record in box.to_send()]


def test_record_is_sent_once_it_is_durable() -> None:
    """A record is never told before it is kept, or its number could be told again for something else."""
    box = outbox()
    assert box.add(record(1)) == (record(1),)
    assert sent(box) == []
    box.stored(1)
    assert [(pick.sequence, pick.payload) for pick in box.to_send()] == [(1, record(1).payload)]
    assert sent(box) == []


def test_records_of_the_last_run_are_sent_in_order_of_their_numbers() -> None:
    assert sent(outbox(record(9), event(3), record(5))) == [3, 5, 9]


def test_acknowledged_record_is_gone() -> None:
    box = outbox(record(1), record(2))
    sent(box)
    box.settled(1, is_acknowledged=True)
    box.link_changed()
    assert sent(box) == [2]
    assert len(box) == 1


def test_refused_record_is_sent_again() -> None:
    box = outbox(record(1), record(2))
    sent(box)
    box.settled(1, is_acknowledged=False)
    assert sent(box) == [1]


def test_lost_link_sends_what_was_under_way_again() -> None:
    """H78: the broker may have had it; the same number tells."""
    box = outbox(record(1), record(2))
    assert sent(box) == [1, 2]
    box.link_changed()
    assert sent(box) == [1, 2]


def test_only_so_many_are_under_way_at_once() -> None:
    """SR-09."""
    box = outbox(*(record(number) for number in range(30)), *(event(number) for number in range(30, 60)))
    assert len(sent(box)) + len(sent(box)) <= IN_FLIGHT_MAX
    assert sent(box) == []


def test_a_week_of_samples_leaves_room_for_an_event_and_the_other_way_round() -> None:
    """Each lane has slots that no other takes, so nothing waits behind what came before it but is less urgent."""
    share = IN_FLIGHT_MAX - 2 * LANE_SHARE
    box = outbox(*(record(number) for number in range(50)))
    assert sent(box) == list(range(share))
    box.add(event(50))
    box.stored(50)
    assert sent(box) == [50]
    full = outbox(*(event(number) for number in range(50)), record(50))
    assert sent(full) == [*range(share), 50]
    full.add(event(51))
    full.stored(51)
    assert sent(full) == [51]


def test_refused_record_holds_up_none_behind_it() -> None:
    box = outbox(*(record(number) for number in range(20)))
    first = sent(box)
    for number in first:
        box.settled(number, is_acknowledged=False)
    assert not set(sent(box)) & set(first)


def acknowledge(box: Outbox, count: int) -> None:
    """The broker takes the next so many records, one after the other."""
    for _ in range(count):
        first, *others = sent(box)
        box.settled(first, is_acknowledged=True)
        for other in others:
            box.settled(other, is_acknowledged=False)
        box.link_changed()


def test_removals_are_made_durable_together() -> None:
    box = outbox(*(record(number) for number in range(REMOVALS_MAX)))
    acknowledge(box, REMOVALS_MAX - 1)
    assert box.removals() is None
    acknowledge(box, 1)
    assert box.removals() == OutboxRemoved(tuple(range(REMOVALS_MAX)))
    assert box.removals() is None


def test_removals_can_be_forced_before_the_end() -> None:
    box = outbox(record(1))
    assert box.removals(is_forced=True) is None
    acknowledge(box, 1)
    assert box.removals(is_forced=True) == OutboxRemoved((1,))


# --- what gives way -----------------------------------------------------------------------------------------------


def test_oldest_sample_gives_way_first() -> None:
    box = outbox(event(1), record(2), record(3), records_max=3)
    assert box.add(record(4)) == (record(4), *gone(2))
    assert sent(box) == [1, 3]
    assert box.given_up_count == 1


def test_event_gives_way_only_when_there_are_no_samples() -> None:
    """SR-07: the declared order."""
    box = outbox(event(1), record(2), event(3), records_max=3)
    assert box.add(event(4)) == (event(4), *gone(2))
    assert box.add(event(5)) == (event(5), OutboxRemoved((1,)), GivenUp((Span(1, 2, 2),)))
    assert box.given_up_count == 2


def test_sample_displaces_no_event() -> None:
    """SR-07: a car that stood in a garage for a month keeps its events, and counts the samples it could not keep."""
    box = outbox(event(1), event(2), records_max=2)
    assert box.add(record(3)) == (GivenUp((Span(3, 3, 1),)),)
    box.stored(3)
    assert sent(box) == [1, 2]
    assert box.given_up_count == 1


def test_bytes_are_bounded_too() -> None:
    """SR-09."""
    box = outbox(record(1, size_bytes=40), record(2, size_bytes=40), bytes_max=100)
    assert box.add(record(3, size_bytes=60)) == (record(3, size_bytes=60), *gone(1))
    assert box.add(record(4, size_bytes=100)) == (
        record(4, size_bytes=100),
        OutboxRemoved((2, 3)),
        GivenUp((Span(1, 3, 3),)),
    )
    box.stored(4)
    sent(box)
    box.settled(4, is_acknowledged=True)
    assert box.add(record(5, size_bytes=100)) == (record(5, size_bytes=100),)


@pytest.mark.parametrize("priority", [Priority.EVENT, Priority.SAMPLE])
def test_record_larger_than_all_the_room_displaces_nothing(priority: int) -> None:
    box = outbox(event(1), record(2), bytes_max=100)
    assert box.add(record(3, priority, size_bytes=101)) == (GivenUp((Span(3, 3, 1),)),)
    assert sent(box) == [1, 2]
    assert box.given_up_count == 1


def test_record_under_way_is_not_given_up() -> None:
    """SR-07: the broker may be taking it this moment, and what was counted as given up must not arrive all the same."""
    box = outbox(*(record(number) for number in range(5)), records_max=5)
    assert sent(box) == [0, 1, 2, 3, 4]
    box.settled(4, is_acknowledged=False)
    assert box.add(event(99)) == (event(99), *gone(4))
    box.settled(0, is_acknowledged=True)
    assert box.removals(is_forced=True) == OutboxRemoved((0,))


def test_tightened_bounds_are_kept_from_the_next_record_on() -> None:
    box = outbox(*(record(number) for number in range(10_000)), records_max=100)
    records = box.add(event(10_000))
    assert len(box) == 100
    assert records == (event(10_000), OutboxRemoved(tuple(range(9901))), GivenUp((Span(0, 9900, 9901),)))
    assert box.given_up_count == 9901


def test_write_that_comes_through_for_a_dropped_record_leaves_nothing_behind() -> None:
    box = outbox(records_max=1)
    box.add(record(1))
    box.add(event(2))
    box.stored(1)
    assert sent(box) == []
    box.stored(2)
    assert sent(box) == [2]


# --- age ----------------------------------------------------------------------------------------------------------


def test_what_is_too_old_is_given_up_whatever_its_priority() -> None:
    box = outbox(OutboxStored(1, Priority.EVENT, b"", 10), OutboxStored(2, Priority.SAMPLE, b"", 20))
    assert box.expire(10 + AGE_S_MAX) == ()
    assert box.expire(11 + AGE_S_MAX) == gone(1)
    assert box.expire(1e9) == (OutboxRemoved((2,)), GivenUp((Span(1, 2, 2),)))
    assert len(box) == 0


def test_gap_record_grows_no_older() -> None:
    """SR-07: there is one at a time, and what it tells would be told nowhere else."""
    box = outbox(OutboxStored(1, Priority.GAP, b"gap", 0), records_max=1)
    assert box.expire(1e9) == ()
    box.add(record(2))
    assert len(box) == 2


# --- what was given up --------------------------------------------------------------------------------------------


def test_gap_is_told_once_and_the_next_one_after_it_has_arrived() -> None:
    box = outbox(event(1), records_max=1)
    box.add(event(2))
    assert box.untold == (Span(1, 1, 1),)
    gap = OutboxStored(3, Priority.GAP, b"gap")
    assert box.add_gap(gap) == (gap, GivenUp(()))
    box.add(event(4))
    assert not box.untold
    assert box.given_up() == GivenUp((Span(2, 2, 1),))
    box.stored(3)
    sent(box)
    box.settled(3, is_acknowledged=True)
    assert box.untold == (Span(2, 2, 1),)


def test_gap_found_at_start_waits_for_no_room() -> None:
    """SR-07: what a power cut found not told is told by the next run, beyond the bounds if it must be."""
    box = Outbox([], [Span(5, 9, 2, 3)], records_max=1, bytes_max=10, age_s_max=AGE_S_MAX)
    assert box.untold == (Span(5, 9, 2, 3),)
    box.add(event(10))
    box.add_gap(OutboxStored(11, Priority.GAP, bytes(2000)))
    assert len(box) == 2


def test_numbers_no_record_ever_had_are_told_apart() -> None:
    box = outbox()
    box.skip(58, 1000)
    assert box.given_up() == GivenUp((Span(58, 1000, 0, 943),))
    assert box.given_up_count == 0


# --- a card that takes nothing ------------------------------------------------------------------------------------


def test_record_the_card_does_not_take_is_told_from_memory() -> None:
    box = outbox()
    box.add(event(1))
    box.not_stored(1)
    (pick,) = box.to_send()
    assert pick.payload == event(1).payload
    assert box.volatile == (event(1),)
    box.link_changed()
    (pick,) = box.to_send()
    assert pick.payload == event(1).payload
    box.settled(1, is_acknowledged=True)
    assert not box.volatile
    assert box.memory_bytes == 0


def test_memory_is_bounded_while_the_card_takes_nothing() -> None:
    """SR-09: samples go first here too, and what goes is counted."""
    size = UNWRITTEN_BYTES_MAX // 10
    box = outbox(bytes_max=1 << 30)
    for number in range(30):
        box.add(event(number, size) if number % 3 == 0 else record(number, size_bytes=size))
        box.not_stored(number)
        assert box.memory_bytes <= UNWRITTEN_BYTES_MAX
    assert [each.sequence for each in box.volatile] == list(range(0, 30, 3))
    assert box.given_up_count == 20


def test_payload_that_is_durable_is_not_held_in_memory() -> None:
    """SR-09: a week without a broker is kept on the card."""
    box = outbox()
    for number in range(50):
        box.add(record(number))
        box.stored(number)
        box.forget_payloads()
    assert box.memory_bytes == 0
    assert {pick.payload for pick in box.to_send()} == {None}


def test_record_that_cannot_be_read_back_is_given_up_and_counted() -> None:
    box = outbox(event(1), event(2))
    sent(box)
    assert box.lost([1]) == gone(1)
    assert box.lost([1]) == ()
    assert len(box) == 1
