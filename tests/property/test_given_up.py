"""Laws of the spans of numbers that will not come: bounded, and never fewer or more than there were."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.model.records import Span
from agent.uplink.given_up import SPANS_MAX, bounded, with_number

NUMBERS = st.sets(st.integers(1, 2000), max_size=400)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_every_number_given_up_is_in_a_span_and_counted_once(numbers: set[int], chance: object) -> None:
    order = sorted(numbers)
    chance.shuffle(order)  # type: ignore[attr-defined]
    spans: tuple[Span, ...] = ()
    for number in order:
        spans = with_number(spans, number)
        assert len(spans) <= SPANS_MAX
    assert sum(span.count for span in spans) == len(numbers)
    assert all(any(span.first <= number <= span.last for span in spans) for number in numbers)
    assert all(before.last < after.first for before, after in pairwise(spans))
    assert all({span.first, span.last} <= numbers for span in spans), "no wider than they need be"


@given(NUMBERS, st.integers(2001, 3000))
def test_unused_numbers_are_counted_apart_however_spans_are_joined(numbers: set[int], last: int) -> None:
    spans: tuple[Span, ...] = (Span(2001, last, 0, last - 2000),)
    for number in numbers:
        spans = with_number(spans, number)
    assert sum(span.unused for span in spans) == last - 2000
    assert sum(span.count for span in spans) == len(numbers)
    assert bounded(spans) == spans
