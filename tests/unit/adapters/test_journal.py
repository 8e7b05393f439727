from __future__ import annotations

import errno
import io
import json
import logging
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.journal import (
    ERROR_LINES_MAX,
    LINE_CHARS_MAX,
    LINES_MAX,
    WINDOW_S,
    Journal,
    LibraryLog,
    is_journal_stream,
)
from agent.model.effects import Level, Log

KEY = bytes(range(32))

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(min_size=1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Written:
    """A journal on a text stream with a clock a test moves."""

    def __init__(self, *, has_priorities: bool = False) -> None:
        self.clock = Clock()
        self._stream = io.StringIO()
        self.journal = Journal(lambda: self._stream, has_priorities=has_priorities, clock=self.clock)

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def one(self, **fields: object) -> dict[str, Any]:
        self.journal.write(Log(Level.INFO, "event", fields))
        return self.documents()[-1]


def test_a_line_is_one_json_object_with_level_event_and_fields() -> None:
    assert Written().one(bus="body", count=3, share=0.5, is_up=True, why=None) == {
        "level": "info",
        "event": "event",
        "bus": "body",
        "count": 3,
        "share": 0.5,
        "is_up": True,
        "why": None,
    }


def test_a_field_cannot_take_the_place_of_level_or_event() -> None:
    assert Written().one(level="error", event="forged")["event"] == "event"


def test_journald_gets_the_priority_it_knows() -> None:
    written = Written(has_priorities=True)
    for level in Level:
        written.journal.write(Log(level, "event"))
    assert [line[:3] for line in written.lines()] == ["<3>", "<4>", "<5>", "<6>"]


@given(st.dictionaries(st.text(max_size=40), anything, max_size=40), st.text())
def test_every_line_is_json_of_bounded_length_sr_09(fields: dict[str, object], event: str) -> None:
    written = Written()
    written.journal.write(Log(Level.INFO, event, fields))
    (line,) = written.lines()
    assert len(line) <= LINE_CHARS_MAX
    assert json.loads(line)["level"] == "info"


def test_bytes_are_never_written_out_h139() -> None:
    written = Written()
    written.one(key=KEY, inside={"a": [KEY, bytearray(KEY), (KEY, memoryview(KEY))]}, name={KEY: 1})
    text = written.lines()[0]
    assert "[32 bytes]" in text
    for spelling in (KEY.hex(), KEY[16:].decode("latin-1"), repr(KEY[8:16])[2:-1]):
        assert spelling not in text


def test_what_is_named_like_a_secret_is_not_shown_h139() -> None:
    fields = {"password": "hunter2", "key_seed": "00ff", "nested": {"private_key": "abc"}}
    document = Written().one(**fields)
    assert document["password"] == document["key_seed"] == document["nested"]["private_key"] == "[not shown]"


def test_an_object_shows_its_type_and_not_itself_h139() -> None:
    assert Written().one(thing=Clock())["thing"] == "[Clock]"


def test_a_flood_is_cut_counted_and_said_sr_09() -> None:
    written = Written()
    for number in range(LINES_MAX + 70):
        written.journal.write(Log(Level.NOTICE, "flood", {"number": number}))
    assert len(written.lines()) == LINES_MAX
    written.clock.now_s += WINDOW_S
    written.one()
    assert written.documents()[-2] == {"level": "warning", "event": "log_lines_dropped", "count": 70}
    assert written.documents()[-1]["event"] == "event"


def test_a_flood_of_notices_does_not_hide_an_error() -> None:
    written = Written()
    for _ in range(LINES_MAX + 1):
        written.journal.write(Log(Level.NOTICE, "flood"))
    for _ in range(ERROR_LINES_MAX + 1):
        written.journal.write(Log(Level.ERROR, "the end"))
    assert sum(document["event"] == "the end" for document in written.documents()) == ERROR_LINES_MAX


def test_what_libraries_warn_of_becomes_a_line_without_traceback() -> None:
    written = Written()
    logger = logging.getLogger("test.library")
    logger.propagate = False
    logger.addHandler(LibraryLog(written.journal))
    logger.info("chatter")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("could not %s", "cope")
    assert written.documents() == [
        {
            "level": "error",
            "event": "library",
            "logger": "test.library",
            "text": "could not cope",
            "error": "ValueError: broken",
        }
    ]


def test_the_journals_stream_is_known_by_device_and_inode() -> None:
    read_end, write_end = os.pipe()
    try:
        status = os.fstat(write_end)
        assert is_journal_stream({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, write_end)
        assert not is_journal_stream({"JOURNAL_STREAM": "1:2"}, write_end)
        assert not is_journal_stream({}, write_end)
    finally:
        os.close(read_end)
        os.close(write_end)
    assert not is_journal_stream({"JOURNAL_STREAM": "1:2"}, 9999)


@pytest.mark.parametrize("value", ["a\nb", "a\u2028b", "\x1b[31mred"])
def test_a_text_cannot_begin_a_line_of_its_own(value: str) -> None:
    written = Written()
    assert written.one(text=value)["text"] == value
    assert len(written.lines()) == 1


class Broken(io.StringIO):
    """A stream that takes nothing while `error` is set; what it raises while flushing is `flush_error`."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.flush_error: Exception | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.flush_error is not None:
            raise self.flush_error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.ENOSPC, "full"), ValueError("closed file")])
@pytest.mark.parametrize("is_flushing", [False, True])
def test_a_line_that_cannot_be_written_is_counted_and_ends_nothing(error: Exception, is_flushing: bool) -> None:
    clock, stream = Clock(), Broken()
    journal = Journal(lambda: stream, has_priorities=False, clock=clock)
    setattr(stream, "flush_error" if is_flushing else "error", error)
    for _ in range(3):
        journal.write(Log(Level.INFO, "lost"))
    # Neither are the lost forgotten if the line that tells of them is lost too.
    clock.now_s += WINDOW_S
    journal.write(Log(Level.INFO, "lost"))
    stream.error = stream.flush_error = None
    clock.now_s += WINDOW_S
    journal.write(Log(Level.INFO, "event"))
    told, event = [json.loads(line) for line in stream.getvalue().splitlines()[-2:]]
    assert (told["event"], told["count"], event["event"]) == ("log_lines_dropped", 4, "event")


def test_a_stream_that_is_closed_ends_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    Journal(lambda: stream, has_priorities=True).write(Log(Level.ERROR, "event"))


def test_no_stream_at_all_ends_nothing() -> None:
    """Python has no `sys.stderr` if descriptor 2 was closed when it started."""
    Journal(lambda: None, has_priorities=False).write(Log(Level.ERROR, "event"))
