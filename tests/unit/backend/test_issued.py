"""The list of certificates, line by line on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.backend.issued import note_issued, note_revoked, read_issued
from agent.errors import ConfigurationError


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ca" / "issued.jsonl"
    assert read_issued(path) == {}
    note_issued(path, 0xABC, "0123456789abcdef")
    note_issued(path, 0xDEF, "backend-1")
    note_revoked(path, 0xABC)
    found = read_issued(path)
    assert {serial: one.subject for serial, one in found.items()} == {0xABC: "0123456789abcdef", 0xDEF: "backend-1"}
    assert found[0xABC].revoked_at is not None
    assert found[0xDEF].revoked_at is None


def test_a_second_revocation_keeps_the_date_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "issued.jsonl"
    note_issued(path, 1, "a")
    note_revoked(path, 1)
    path.write_text(path.read_text() + '{"event": "revoked", "serial": "1", "unix_s": 4102444800}\n')
    at = read_issued(path)[1].revoked_at
    assert at is not None
    assert at.year < 2100


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"event": "issued"}', '{"event": "issued", "serial": "xyz", "unix_s": 1}', "\x00" * 40]
)
def test_a_line_that_cannot_be_read_stops_everything(tmp_path: Path, line: str) -> None:
    """It may be the revocation of a stolen car."""
    path = tmp_path / "issued.jsonl"
    note_issued(path, 1, "a")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ConfigurationError, match=r"issued\.jsonl:2: not a line of this file"):
        read_issued(path)


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "issued.jsonl"
    note_issued(path, 1, "a")
    path.write_text(path.read_text() + '{"event": "iss')
    note_issued(path, 2, "b")
    assert path.read_text().splitlines()[2].startswith('{"event": "issued", "serial": "2"')
