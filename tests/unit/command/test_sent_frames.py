"""What is known of frames that left, round by round; what a command makes of it: `test_lifecycle_echoes.py`."""

from __future__ import annotations

from agent.command.sent_frames import ECHO_WAIT_S, Carried, SentFrames


def test_frames_of_a_round_broken_off_do_not_complete_another() -> None:
    sent = SentFrames()
    sent.left(1, 10.0, is_echo_due=False, round_number=1, ends_round=False)
    assert not sent.has_complete_round and sent.complete_by_s < 0
    sent.left(2, 10.1, is_echo_due=True, round_number=2, ends_round=False)
    sent.left(3, 10.2, is_echo_due=True, round_number=2, ends_round=True)
    assert not sent.has_complete_round and sent.complete_by_s == 10.2 + ECHO_WAIT_S
    sent.echoed(2)
    sent.echoed(3)
    assert sent.has_complete_round and sent.carried is Carried.ACKNOWLEDGED
    assert (sent.count, sent.echo_count) == (3, 2)


def test_where_the_driver_does_not_tell_nothing_is_claimed_and_nothing_waited_for() -> None:
    sent = SentFrames()
    assert sent.document() == {}
    sent.left(1, 10.0, is_echo_due=False, round_number=1, ends_round=True)
    assert sent.has_complete_round and sent.document() == {"frames": "handed_over", "frames_sent": 1}
