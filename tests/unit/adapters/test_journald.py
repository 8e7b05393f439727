"""Lines to journald's own socket: fields to filter by, bounded, never waited for, never a secret."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.adapters.journal import LINE_CHARS_MAX, LINES_MAX, WINDOW_S, Journal, journal_of
from agent.adapters.journald import FIELDS, VALUE_CHARS_MAX, Journald, Taken
from agent.model.effects import Level, Log

OWN = {"PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE", "CAR_EVENT"}
KEY = bytes(range(32))
CID = "00112233445566778899aabbccddeeff"

DATAGRAM_BYTES_MAX = LINE_CHARS_MAX + 12 * (VALUE_CHARS_MAX * 4 + 32)
"""The message, and some fields of characters that take four bytes each; journald takes 200 KiB and more."""


class Receiver:
    """journald's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def datagram(self) -> bytes:
        return self._socket.recv(1 << 20)

    def entry(self) -> dict[str, str]:
        """The next entry, read as the protocol says: every line a name and a value."""
        lines = self.datagram().decode().split("\n")
        assert lines.pop() == ""
        pairs = [line.partition("=") for line in lines]
        assert all(re.fullmatch("[A-Z][A-Z_]*", name) and equals for name, equals, _ in pairs)
        assert len({name for name, _, _ in pairs}) == len(pairs)
        return {name: value for name, _, value in pairs}

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path / "socket")
    yield made
    made._socket.close()


@pytest.fixture
def journald(receiver: Receiver) -> Iterator[Journald]:
    made = Journald(receiver.path)
    yield made
    made.close()


class Written:
    def __init__(self, journald: Journald) -> None:
        self.now_s = 1000.0
        self.stream = io.StringIO()
        self.journal = Journal(lambda: self.stream, has_priorities=True, clock=lambda: self.now_s, journald=journald)


def test_a_command_can_be_filtered_for_and_the_line_is_what_it_was(receiver: Receiver, journald: Journald) -> None:
    written = Written(journald)
    fields = {"command": "unlock", "cid": CID, "stage": "rejected", "reason": "rate_limited", "executed": "no"}
    written.journal.write(Log(Level.NOTICE, "command_finished", fields))
    entry = receiver.entry()
    assert json.loads(entry.pop("MESSAGE")) == {**fields, "level": "notice", "event": "command_finished"}
    assert entry == {
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "carshare-agent",
        "CAR_EVENT": "command_finished",
        "CAR_ACTION": "unlock",
        "CAR_COMMAND": CID,
        "CAR_STAGE": "rejected",
        "CAR_REASON": "rate_limited",
        "CAR_EXECUTED": "no",
    }
    assert written.stream.getvalue() == ""


def test_a_bus_can_be_filtered_for(receiver: Receiver, journald: Journald) -> None:
    Written(journald).journal.write(Log(Level.WARNING, "bus_changed", {"bus": "body", "state": "down"}))
    assert receiver.entry()["CAR_BUS"] == "body"


def test_fields_are_a_closed_set_that_names_no_secret_h139() -> None:
    assert set(FIELDS) == {"cid", "command", "stage", "reason", "executed", "operator", "bus"}
    assert all(re.fullmatch("CAR_[A-Z]+", name) for name in FIELDS.values())
    assert len(set(FIELDS.values()) | OWN) == len(FIELDS) + len(OWN)


def test_bytes_are_no_field_and_secrets_no_part_of_the_entry_h139(receiver: Receiver, journald: Journald) -> None:
    fields = dict.fromkeys(FIELDS, KEY) | {"private_key": "hunter2", "raw": KEY, "bus": ["hunter3"]}
    Written(journald).journal.write(Log(Level.INFO, "event", fields))
    said = receiver.datagram()
    assert b"[32 bytes]" in said
    for secret in (b"hunter2", KEY, KEY[8:16], KEY.hex().encode()):
        assert secret not in said
    assert b"CAR_BUS" not in said


@given(
    st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(max_size=20), st.text() | st.integers() | st.binary()),
    st.text(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_entry_is_whole_and_bounded_whatever_its_text_sr_09(
    receiver: Receiver, journald: Journald, fields: dict[str, object], event: str
) -> None:
    Written(journald).journal.write(Log(Level.INFO, event, fields))
    entry = receiver.entry()
    assert entry.keys() <= OWN | set(FIELDS.values())
    assert json.loads(entry["MESSAGE"])["level"] == "info"
    assert all(len(value) <= VALUE_CHARS_MAX for name, value in entry.items() if name != "MESSAGE")
    assert sum(len(name) + len(value.encode()) + 2 for name, value in entry.items()) <= DATAGRAM_BYTES_MAX


def test_a_value_to_filter_by_is_cut_to_size_sr_09(receiver: Receiver, journald: Journald) -> None:
    Written(journald).journal.write(Log(Level.INFO, "e" * 100, {"bus": "b" * VALUE_CHARS_MAX, "cid": "c" * 65}))
    entry = receiver.entry()
    assert {name: entry[name] for name in ("CAR_EVENT", "CAR_BUS", "CAR_COMMAND")} == {
        name: letter * VALUE_CHARS_MAX for name, letter in (("CAR_EVENT", "e"), ("CAR_BUS", "b"), ("CAR_COMMAND", "c"))
    }


def test_a_text_cannot_forge_a_field(receiver: Receiver, journald: Journald) -> None:
    fields = {"bus": "body\nCAR_COMMAND=forged\x1b[31m", "text": "x\nPRIORITY=0"}
    Written(journald).journal.write(Log(Level.INFO, "event\nMESSAGE=forged", fields))
    entry = receiver.entry()
    assert "CAR_COMMAND" not in entry
    assert entry["PRIORITY"] == "6"
    assert entry["CAR_BUS"] == "body CAR_COMMAND=forged [31m"


def test_where_journald_is_gone_lines_go_to_the_stream_and_back_once_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    journald = Journald(path)
    written = Written(journald)
    written.journal.write(Log(Level.INFO, "before"))
    receiver = Receiver(path)
    written.journal.write(Log(Level.INFO, "with"))
    assert receiver.entry()["CAR_EVENT"] == "with"
    receiver.close()
    written.journal.write(Log(Level.INFO, "without"))
    again = Receiver(path)
    written.journal.write(Log(Level.INFO, "again"))
    assert again.entry()["CAR_EVENT"] == "again"
    again.close()
    journald.close()
    lines = written.stream.getvalue().splitlines()
    assert [json.loads(line.removeprefix("<6>"))["event"] for line in lines] == ["before", "without"]


def test_a_journald_that_does_not_read_is_never_waited_for_and_what_is_lost_is_told_sr_09(
    receiver: Receiver, journald: Journald
) -> None:
    """A queue of datagrams that is full; the process would stand still at the next one if it waited."""
    room = 0
    while journald.send(6, "{}", "filling", {}) is Taken.YES:
        room += 1
    written = Written(journald)
    for _ in range(3):
        written.journal.write(Log(Level.INFO, "lost"))
    for _ in range(room):
        receiver.datagram()
    written.now_s += WINDOW_S
    written.journal.write(Log(Level.INFO, "event"))
    told = json.loads(receiver.entry()["MESSAGE"])
    assert (told["event"], told["count"]) == ("log_lines_dropped", 3)
    assert receiver.entry()["CAR_EVENT"] == "event"
    assert written.stream.getvalue() == ""


def test_a_flood_is_cut_before_it_reaches_journald_sr_09(receiver: Receiver, journald: Journald) -> None:
    written = Written(journald)
    taken = 0
    for _ in range(LINES_MAX + 7):
        written.journal.write(Log(Level.NOTICE, "flood"))
        try:
            taken += receiver.entry()["CAR_EVENT"] == "flood"
        except BlockingIOError:
            continue
    assert taken == LINES_MAX
    written.now_s += WINDOW_S
    written.journal.write(Log(Level.INFO, "event"))
    assert json.loads(receiver.entry()["MESSAGE"])["count"] == 7


def test_without_a_stream_of_journalds_a_process_writes_to_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    journal_of({"JOURNAL_STREAM": "1:2"}).write(Log(Level.INFO, "event", {"cid": CID}))
    journal_of({}).write(Log(Level.INFO, "event", {"cid": CID}))
    first, second = capsys.readouterr().err.splitlines()
    assert first == second == json.dumps({"cid": CID, "level": "info", "event": "event"})
