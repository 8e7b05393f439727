"""Length, checksum and rolling counter: what is refused is counted and gives no reading (SR-05)."""

from __future__ import annotations

from agent.decode.decoder import Decoder
from agent.decode.screen import Screen, Verdict
from agent.model.frame import BitField
from agent.model.recipe import ChecksumField
from agent.profiles.checksums import ALGORITHMS, PayloadChecksum
from agent.profiles.schema import CounterRule, MessagePlan
from tests.support.small_car import HEAD, frame, parsed, signal_table

COUNTER = BitField(shift=8, length=4, is_little_endian=True, size_bytes=4)
CHECKSUM = BitField(shift=0, length=8, is_little_endian=True, size_bytes=4)


def plan(*, has_checksum: bool = False, step_max: int | None = None) -> MessagePlan:
    compute = PayloadChecksum(ALGORITHMS["crc8_sae_j1850"], CHECKSUM)
    return MessagePlan(
        bus="body",
        arbitration_id=768,
        is_extended_id=False,
        is_fd=False,
        name="Lock",
        length_bytes=4,
        checksum=ChecksumField("crc8_sae_j1850", CHECKSUM, compute) if has_checksum else None,
        counter=CounterRule(COUNTER, step_max, reset_after_s=1.0) if step_max is not None else None,
        selector=None,
        signals=(),
    )


def counted(value: int) -> bytes:
    return COUNTER.insert(bytes(4), value)


def verdicts(screen: Screen, *values: int, step_s: float = 0.1) -> list[Verdict]:
    """Verdicts on frames with these counter values, `step_s` apart."""
    return [screen.judge(counted(value), index * step_s) for index, value in enumerate(values)]


OK, JUMP = Verdict.BELIEVED, Verdict.COUNTER


def test_a_frame_shorter_than_the_message_is_refused_and_counted() -> None:
    screen = Screen(plan())
    assert screen.judge(bytes(3), 0.0) is Verdict.LENGTH
    assert screen.judge(b"", 0.1) is Verdict.LENGTH
    assert screen.judge(bytes(4), 0.2) is Verdict.BELIEVED
    assert (screen.counts.received, screen.counts.refused_length) == (3, 2)


def test_bytes_beyond_the_message_do_not_count() -> None:
    screen = Screen(plan(has_checksum=True))
    sound = CHECKSUM.insert(bytes(4), ALGORITHMS["crc8_sae_j1850"].over(bytes(3)))
    assert screen.judge(sound + b"\xff\xff", 0.0) is Verdict.BELIEVED


def test_a_wrong_checksum_is_refused_and_counted() -> None:
    screen = Screen(plan(has_checksum=True))
    sound = CHECKSUM.insert(bytes(4), ALGORITHMS["crc8_sae_j1850"].over(bytes(3)))
    for bit in range(32):
        corrupt = (int.from_bytes(sound, "big") ^ 1 << bit).to_bytes(4, "big")
        assert screen.judge(corrupt, 0.0) is Verdict.CHECKSUM
    assert screen.judge(sound, 0.0) is Verdict.BELIEVED
    assert (screen.counts.received, screen.counts.refused_checksum) == (33, 32)


def test_the_counter_may_grow_by_one_to_step_max_and_rolls_over() -> None:
    assert verdicts(Screen(plan(step_max=3)), 13, 14, 0, 3, 4) == [OK] * 5


def test_a_repeated_counter_is_refused_for_as_long_as_it_stands_still() -> None:
    screen = Screen(plan(step_max=3))
    assert verdicts(screen, 5, 5, 5, 5, 6) == [OK, JUMP, JUMP, JUMP, OK]
    assert screen.counts.refused_counter == 3


def test_a_counter_that_jumps_or_falls_back_is_refused() -> None:
    assert verdicts(Screen(plan(step_max=3)), 5, 9) == [OK, JUMP]
    assert verdicts(Screen(plan(step_max=3)), 5, 4) == [OK, JUMP]


def test_two_frames_that_follow_each_other_after_a_jump_are_a_new_beginning() -> None:
    assert verdicts(Screen(plan(step_max=2)), 5, 10, 11, 12) == [OK, JUMP, OK, OK]


def test_a_foreign_frame_costs_no_good_frame() -> None:
    assert verdicts(Screen(plan(step_max=2)), 5, 12, 6, 7, 12, 8) == [OK, JUMP, OK, OK, JUMP, OK]


def test_after_a_silence_longer_than_the_reset_any_value_is_a_new_beginning() -> None:
    assert verdicts(Screen(plan(step_max=1)), 5, 9, step_s=1.0) == [OK, JUMP]
    assert verdicts(Screen(plan(step_max=1)), 5, 9, 9, step_s=1.01) == [OK, OK, OK]


def test_a_corrupt_frame_does_not_move_the_counter() -> None:
    screen = Screen(plan(has_checksum=True, step_max=1))
    compute = PayloadChecksum(ALGORITHMS["crc8_sae_j1850"], CHECKSUM)
    frames = [CHECKSUM.insert(counted(value), compute(counted(value))) for value in (1, 2, 3)]
    corrupt = bytes([frames[1][0] ^ 1]) + frames[1][1:]
    judged = [screen.judge(data, 0.0) for data in (frames[0], corrupt, frames[1], frames[2])]
    assert judged == [OK, Verdict.CHECKSUM, OK, OK]


def test_every_step_of_a_counter_is_judged_by_its_distance_alone() -> None:
    for start in range(16):
        for step in range(16):
            first, second = verdicts(Screen(plan(step_max=4)), start, (start + step) % 16)
            assert (first, second is OK) == (OK, 1 <= step <= 4)


LOCK = (
    HEAD
    + """
[[messages]]
message = "Lock"
checksum = { algorithm = "crc8_sae_j1850", signal = "LockCrc" }
counter = { signal = "LockCounter", step_max = 1 }
"""
    + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked")
)


def locked(counter: int, *, is_corrupt: bool = False) -> str:
    payload = bytes([0, counter, 1, 0])
    checksum = ALGORITHMS["crc8_sae_j1850"].over(payload[1:]) ^ is_corrupt
    return bytes([checksum, *payload[1:]]).hex()


def test_a_refused_frame_gives_no_reading_and_is_told_until_a_good_one_comes() -> None:
    """SR-05: neither a corrupt nor a repeated frame is shown or used as a value."""
    decoder = Decoder(parsed(LOCK))
    assert not decoder.refused_last("Lock")
    assert len(decoder.receive(frame(768, locked(1)))) == 1
    for refused in (locked(2, is_corrupt=True), locked(1), locked(2)[:6]):
        assert decoder.receive(frame(768, refused)) == ()
        assert decoder.refused_last("Lock")
    assert len(decoder.receive(frame(768, locked(2)))) == 1
    assert not decoder.refused_last("Lock")
    counts = decoder.counts["Lock"]
    assert (counts.received, counts.refused_length, counts.refused_checksum, counts.refused_counter) == (5, 1, 1, 1)


def test_a_refusal_is_over_with_a_frame_that_repeats_the_last_good_one() -> None:
    decoder = Decoder(parsed(HEAD + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked")))
    for payload, is_refused in ((locked(1), False), (locked(1)[:6], True), (locked(1), False), (locked(1), False)):
        decoder.hear(frame(768, payload))
        assert decoder.refused_last("Lock") is is_refused


def test_the_counter_is_followed_while_the_rest_of_the_payload_does_not_change() -> None:
    """SR-05: a sender that hangs repeats its last frame; its unchanged payload must not pass for news."""
    decoder = Decoder(parsed(LOCK))
    received = [bool(decoder.receive(frame(768, locked(value), at_s))) for at_s, value in enumerate((1, 2, 2, 2, 3))]
    assert received == [True, True, False, False, True]
