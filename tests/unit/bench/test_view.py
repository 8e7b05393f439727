"""The bench's picture fits every window and never shows a value that is not good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.bench.reported import Told
from agent.bench.view import View, picture

COMMAND = (
    "/home/somebody/carshare-agent/.venv/bin/carshare-backend --config /tmp/carshare-bench-x1/backend.toml unlock demo"
)


def told(value: object, quality: str = "ok", *, reason: str | None = None, last: object = None) -> Told:
    return Told(value, "km/h", quality, reason, 0.5, last, 100.0)


def view(**readings: Told) -> View:
    return View("a title", COMMAND, "the car", "the link", readings, ["first", "second"], "q quit | u unlock  l lock")


readings = st.dictionaries(
    st.text(max_size=80),
    st.builds(
        Told,
        st.none() | st.text() | st.floats() | st.booleans(),
        st.none() | st.text(),
        st.sampled_from(["ok", "stale", "invalid", "unknown", "odd"]),
        st.none() | st.text(),
        st.none() | st.floats(0, 1e6),
        st.none() | st.floats(),
        st.floats(0, 1e6),
    ),
    max_size=50,
)


@given(
    readings=readings, events=st.lists(st.text(), max_size=20), columns=st.integers(1, 200), lines=st.integers(1, 60)
)
def test_the_picture_fits_the_window_whatever_was_told(
    readings: dict[str, Told], events: list[str], columns: int, lines: int
) -> None:
    shown = picture(
        View("title " * 9, COMMAND, "car " * 20, "link", readings, events, "q quit | keys"),
        columns=columns,
        lines=lines,
        now_s=2e6,
        has_color=False,
    )
    assert len(shown) == lines
    assert all(len(line) <= columns and line.isprintable() for line in shown)


def test_a_value_is_shown_only_if_it_is_good() -> None:
    """SR-05: a stale value stands apart, as what it was."""
    shown = picture(
        view(
            good=told(51.5), stale=told(None, "stale", last=49.5), never=told(None, "unknown", reason="never_received")
        ),
        columns=100,
        lines=30,
        now_s=103.0,
        has_color=False,
    )
    good, stale, never = (next(line for line in shown if line.startswith(name)) for name in ("good", "stale", "never"))
    assert good.split() == ["good", "51.5", "km/h", "ok", "3.5", "s"]
    assert stale.split() == ["stale", "–", "stale", "(was", "49.5)", "3.5", "s"]
    assert never.split()[:4] == ["never", "–", "unknown", "(never_received)"]


def test_the_command_for_the_second_terminal_can_be_copied_from_any_window_that_shows_it() -> None:
    for columns in range(60, 130):
        shown = picture(view(), columns=columns, lines=30, now_s=0.0, has_color=False)
        start = next(index for index, line in enumerate(shown) if line.startswith("/home"))
        pieces = []
        for line in shown[start:]:
            pieces.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                break
        assert " ".join("".join(pieces).split()) == COMMAND


def test_a_window_too_short_says_how_much_it_leaves_out() -> None:
    many = {f"path{number}": told(number) for number in range(40)}
    shown = picture(view(**many), columns=80, lines=24, now_s=100.0, has_color=False)
    visible = sum(line.startswith("path") for line in shown)
    assert f"… {40 - visible} more; make the window taller" in shown
    assert "second" in shown


def test_what_was_told_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2J\r\n\x07"
    shown = picture(view(**{hostile: told(hostile)}), columns=80, lines=30, now_s=100.0, has_color=False)
    assert all(line.isprintable() for line in shown)


def test_color_is_only_around_the_text() -> None:
    plain = picture(view(a=told(1)), columns=80, lines=30, now_s=100.0, has_color=False)
    colored = picture(view(a=told(1)), columns=80, lines=30, now_s=100.0)
    assert plain != colored
    assert [line for line in colored if "\x1b[32m" in line]
