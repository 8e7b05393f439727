"""Which numbers will not come: spans with counts, a bounded number of them, so that a hole can be told from a loss."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.records import Span

SPANS_MAX = 64
"""Of a busy week every second number may be a sample that gave way: then neighbours become one span, whose count
still says how many of it are missing. So many fit into one record of 3 KiB."""


def with_number(spans: tuple[Span, ...], sequence: int) -> tuple[Span, ...]:
    """The spans with one more number given up, in order of their numbers; at most `SPANS_MAX`."""
    return bounded((*spans, Span(sequence, sequence, 1)))


def bounded(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans that touch or overlap are one, and the nearest neighbours become one until there are few enough."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.first):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = _joined(merged[-1], span)
        else:
            merged.append(span)
    while len(merged) > SPANS_MAX:
        nearest = min(range(len(merged) - 1), key=lambda index: merged[index + 1].first - merged[index].last)
        merged[nearest : nearest + 2] = [_joined(merged[nearest], merged[nearest + 1])]
    return tuple(merged)


def _joined(one: Span, other: Span) -> Span:
    return Span(
        min(one.first, other.first), max(one.last, other.last), one.count + other.count, one.unused + other.unused
    )
