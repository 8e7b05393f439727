"""Counters, checksums and constant bytes of an unknown bus, and a first DBC that any reader takes."""

from __future__ import annotations

import random

import cantools.database
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.frame import Frame
from agent.profile_tools.dbc_lint import lint_dbc
from agent.profile_tools.draft import BitRange, Draft, Findings
from agent.profile_tools.draft_report import dbc_text, documents, lines
from agent.profiles.checksums import ALGORITHMS


def findings(payloads: list[bytes]) -> Findings:
    draft = Draft()
    draft.hear(Frame("can0", 0x100, data, number / 100) for number, data in enumerate(payloads))
    (seen,) = draft.ids.values()
    return seen.findings()


@pytest.mark.parametrize(
    ("shift", "length", "count"), [(0, 4, 100), (4, 4, 100), (0, 8, 600), (2, 3, 60), (6, 2, 60), (0, 6, 200)]
)
def test_counter_is_found_at_its_place(shift: int, length: int, count: int) -> None:
    rest = random.Random(1)  # noqa: S311
    payloads = []
    for number in range(count):
        other = rest.randrange(256) & ~((1 << length) - 1 << shift)
        payloads.append(bytes([other | number % (1 << length) << shift, rest.randrange(256)]))
    assert findings(payloads).counters == (BitRange(0, shift, length),)


def test_counter_is_found_though_frames_were_lost() -> None:
    kept = [bytes([number % 16]) for number in range(300) if number % 19]
    assert findings(kept).counters == (BitRange(0, 0, 4),)


def test_state_beside_a_counter_is_no_part_of_it() -> None:
    assert findings([bytes([number % 16 | (number > 300) << 4]) for number in range(600)]).counters == (
        BitRange(0, 0, 4),
    )


def test_noise_and_slow_values_are_no_counters() -> None:
    rest = random.Random(2)  # noqa: S311
    assert findings([rest.randbytes(4) for _ in range(500)]).counters == ()
    assert findings([bytes([number // 10]) for number in range(500)]).counters == ()


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("name", [name for name, each in ALGORITHMS.items() if each.length == 8])
def test_checksum_is_found_by_its_algorithm(name: str, place: int) -> None:
    rest = random.Random(3)  # noqa: S311
    payloads = []
    for number in range(60):
        covered = bytes([number % 16]) + rest.randbytes(6)
        checksum = ALGORITHMS[name].over(covered) ^ (number == 30)  # one frame was damaged
        payloads.append(covered[:place] + bytes([checksum]) + covered[place:])
    # By an exclusive or every byte is that of all others, and the last one is the best guess.
    assert findings(payloads).checksum == (7 if name == "xor8" else place, name)


def test_noise_has_no_checksum_and_few_payloads_prove_none() -> None:
    rest = random.Random(4)  # noqa: S311
    assert findings([rest.randbytes(8) for _ in range(500)]).checksum is None
    assert findings([bytes([number, number]) for number in range(7)] * 10).checksum is None


def test_constant_and_changing_bits() -> None:
    found = findings([bytes([0xA5, number & 1, 0]) for number in range(20)])
    assert (found.changing, found.constant) == ((0, 1, 0), {0: 0xA5, 2: 0})


def test_byte_that_is_not_in_every_frame_is_not_constant() -> None:
    assert findings([b"\x01\x02", b"\x01"]).constant == {0: 1}


def drafted() -> Draft:
    rest = random.Random(5)  # noqa: S311
    frames = []
    for number in range(200):
        covered = bytes([0x10 * (number % 16) | 5]) + rest.randbytes(5) + b"\x00"
        data = covered + bytes([ALGORITHMS["crc8_sae_j1850"].over(covered)])
        frames.append(Frame("can0", 0x1A0, data, number / 10))
        frames.append(Frame("can0", 0x18DAF110, bytes([number % 3]), number / 10 + 0.01, is_extended_id=True))
        frames.append(Frame("can0", 0x2, bytes(12), number / 10 + 0.02, is_fd=True))
    draft = Draft()
    draft.hear(frames)
    return draft


def test_dbc_is_read_by_cantools_and_has_nothing_to_complain_of() -> None:
    text = dbc_text(drafted().ids)
    database = cantools.database.load_string(text, "dbc", strict=True)
    assert isinstance(database, cantools.database.Database)
    assert lint_dbc("draft.dbc", "draft.dbc", text.encode()) == []
    message = database.get_message_by_name("Id1A0")
    assert (message.frame_id, message.length, message.cycle_time) == (0x1A0, 8, 100)
    names = [signal.name for signal in message.signals]
    assert names == ["Counter0", "Byte1", "Byte2", "Byte3", "Byte4", "Byte5", "Checksum7"]
    assert database.get_message_by_name("Id18DAF110").is_extended_frame
    assert database.get_message_by_name("Id002").length == 12


def test_table_and_documents_name_what_was_found() -> None:
    row = next(line for line in lines(drafted()) if "0x1A0" in line)
    assert "byte 0 bits 4-7" in row
    assert "byte 7 crc8_sae_j1850" in row
    told = {each["id"]: each for each in documents(drafted())}
    assert told["0x1A0"]["counters"] == [{"byte": 0, "bit": 4, "length": 4}]
    assert told["0x1A0"]["checksum"] == {"byte": 7, "algorithm": "crc8_sae_j1850"}
    assert told["0x18DAF110"]["period_s"] == 0.1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.binary(max_size=64)), min_size=1, max_size=40))
def test_dbc_of_any_frames_is_read_by_cantools(frames: list[tuple[int, bool, bytes]]) -> None:
    draft = Draft()
    draft.hear(Frame("", number, data, at / 10, is_extended) for at, (number, is_extended, data) in enumerate(frames))
    text = dbc_text(draft.ids)
    database = cantools.database.load_string(text, "dbc", strict=True)
    assert isinstance(database, cantools.database.Database)
    assert len(database.messages) == len(draft.ids)
    assert lint_dbc("draft.dbc", "draft.dbc", text.encode()) == []
