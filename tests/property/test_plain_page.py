"""What `PlainPage` says of any frames is what `Page` says of them; which pages may be read so; and what a run holds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.decode.meaning import meaning_of
from agent.decode.page import Page
from agent.decode.plain_page import PlainPage, is_plain, run_of
from agent.model.frame import BitField
from agent.model.reading import Quality, Reading, Value
from agent.profiles.message_spec import raw_range
from agent.profiles.schema import SettleRule, SignalPlan
from tests.support.plans import message_plan, signal_plan

LENGTH_BYTES = 8
FRESHNESS_S = 1.0


@st.composite
def fields(draw: st.DrawFn) -> list[BitField]:
    """Fields that share no bit, with gaps between them, in one byte order."""
    is_little_endian = draw(st.booleans())
    found: list[BitField] = []
    at_bit = 0
    while at_bit < 8 * LENGTH_BYTES and len(found) < 10:
        at_bit += draw(st.sampled_from((0, 0, 1, 3)))
        length = draw(st.sampled_from((1, 2, 4, 5, 8, 12, 16, 33)))
        if at_bit + length > 8 * LENGTH_BYTES:
            break
        found.append(BitField(at_bit, length, is_little_endian, LENGTH_BYTES, is_signed=draw(st.booleans())))
        at_bit += length
    return draw(st.permutations(found))


@st.composite
def signal_plans(draw: st.DrawFn, path: str, field: BitField) -> SignalPlan:
    """A signal of that field: words or a number, of any scale, within limits and with markers or not."""
    lowest, highest = raw_range(field)
    raws = st.integers(lowest, highest)
    spans = st.tuples(raws, raws).map(lambda ends: (min(ends), max(ends)))
    meant: st.SearchStrategy[Value] = st.sampled_from(("on", "off", True, 3))
    words = draw(st.one_of(st.none(), st.dictionaries(raws, meant, max_size=4)))
    limits = sorted(draw(st.tuples(raws, raws)))
    scale, digits = draw(st.sampled_from(((1.0, 0), (0.1, 1), (0.5, 1), (-0.25, 2), (2.0, 0), (1 / 3.6, 6))))
    return replace(
        signal_plan(path, choices=words, freshness_s=FRESHNESS_S),
        field=field,
        datatype=draw(st.sampled_from(("float", "uint16"))) if words is None else "string",
        scale=scale,
        offset=draw(st.sampled_from((0.0, -40.0, 0.5))),
        digits=digits,
        invalid_raw=draw(st.frozensets(st.one_of(raws, st.sampled_from((lowest, highest))), max_size=2)),
        invalid_ranges=tuple(draw(st.lists(spans, max_size=2))),
        minimum=draw(st.sampled_from((None, limits[0] * scale))),
        maximum=draw(st.sampled_from((None, limits[1] * scale))),
    )


@st.composite
def pages(draw: st.DrawFn) -> list[SignalPlan]:
    found = draw(fields().filter(bool))
    return [draw(signal_plans(f"Vehicle.S{number}", field)) for number, field in enumerate(found)]


def told(readings: object) -> list[str]:
    """As text, so that 1 is not 1.0; the order of signals in one frame says nothing."""
    assert isinstance(readings, list | tuple)
    return sorted(map(repr, readings))


@given(pages(), st.data())
def test_a_plain_page_says_what_a_page_says(plans: list[SignalPlan], drawn: st.DataObject) -> None:
    """SR-05: limits, markers and words, on time, late and out of order."""
    message, choices = message_plan(*plans), {plan.path: () for plan in plans}
    message = replace(message, length_bytes=LENGTH_BYTES)
    page, plain = Page(message, 0, plans, choices), PlainPage(message, 0, plans, choices)
    assert is_plain(plans)
    bits, at_s = drawn.draw(st.integers(0, (1 << 64) - 1)), 100.0
    for _ in range(drawn.draw(st.integers(1, 8))):
        flipped = drawn.draw(
            st.one_of(st.just(0), st.integers(0, 63).map(lambda bit: 1 << bit), st.integers(0, 1 << 63))
        )
        bits ^= flipped
        at_s += drawn.draw(st.sampled_from((0.1, 0.1, 0.0, 1.0, 1.5, -0.1, -3.0)))
        data = bits.to_bytes(LENGTH_BYTES, "little")
        assert told(plain.hear(data, at_s)) == told(page.hear(data, at_s))
        assert told(plain.readings(at_s)) == told(page.readings(at_s))
        assert (plain.at_s, plain.last) == (page.at_s, page.last)


@given(fields().filter(bool), st.data())
def test_each_raw_value_of_a_run_is_ok_and_means_what_the_run_says(found: list[BitField], drawn: st.DataObject) -> None:
    plan = drawn.draw(signal_plans("Vehicle.Speed", found[0]))
    run, meaning = run_of(plan), meaning_of(plan)
    if run.first <= run.last:
        for raw in {run.first, run.last, drawn.draw(st.integers(run.first, run.last))}:
            assert meaning(raw) == (run.value(raw), Quality.OK, None)


def test_a_run_goes_from_limit_to_limit_without_the_markers_at_its_ends() -> None:
    speed = replace(
        signal_plan("Vehicle.Speed", invalid_raw=frozenset({0xFE, 0})),
        datatype="float",
        scale=0.5,
        digits=1,
        minimum=0.0,
        maximum=127.0,
        invalid_ranges=((0xFC, 0xFD),),
    )
    assert run_of(speed)[:2] == (1, 0xFB)
    assert run_of(replace(speed, maximum=10.0))[:2] == (1, 20)


def test_what_means_something_else_in_another_frame_is_not_plain() -> None:
    one, other = signal_plan("Vehicle.A"), signal_plan("Vehicle.B", byte=1)
    assert is_plain([one, other])
    assert not is_plain([one, replace(other, settle=SettleRule(1.0))])
    assert not is_plain([one, replace(other, field=BitField(7, 2, is_little_endian=True, size_bytes=2))])
    assert not is_plain([one, replace(other, field=BitField(0, 8, is_little_endian=False, size_bytes=2))])


def test_a_reading_of_a_plain_page_is_a_reading() -> None:
    """It is put together past the class's own constructor."""
    plan = signal_plan("Vehicle.A", byte=1, freshness_s=FRESHNESS_S)
    page = PlainPage(message_plan(plan), 0, [plan], {plan.path: ()})
    page.hear(bytes(2), 1.0)
    (reading,) = page.hear(bytes((0, 9)), 1.5)
    assert reading == Reading("Vehicle.A", 9, None, 1.5, Quality.OK, None, "Status")
    assert type(reading) is Reading
