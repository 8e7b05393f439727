from __future__ import annotations

import threading

import pytest

from agent.adapters.daemon_thread import DaemonThread


def test_calls_are_made_one_after_another_in_order_in_one_thread() -> None:
    thread, made = DaemonThread("test"), list[tuple[int, str]]()

    def make(number: int) -> None:
        made.append((number, threading.current_thread().name))

    answers = [thread.submit(make, number) for number in range(100)]
    for answer in answers:
        answer.result(10)
    assert made == [(number, "test") for number in range(100)]
    thread.shutdown()


def test_what_a_call_raises_is_raised_to_who_waits_and_the_next_is_made() -> None:
    thread = DaemonThread("test")
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda: 1 // 0).result(10)
    assert thread.submit(divmod, 7, 2).result(10) == (3, 1)
    thread.shutdown()


def test_a_call_given_up_before_its_turn_is_not_made() -> None:
    thread, turn, made = DaemonThread("test"), threading.Event(), list[str]()
    thread.submit(turn.wait)
    given_up, kept = thread.submit(made.append, "given up"), thread.submit(made.append, "kept")
    assert given_up.cancel()
    turn.set()
    kept.result(10)
    assert made == ["kept"]
    thread.shutdown()


def test_shutting_down_makes_what_was_asked_for_and_takes_no_more() -> None:
    thread, turn = DaemonThread("test"), threading.Event()
    thread.submit(turn.wait)
    last = thread.submit(divmod, 7, 2)
    thread.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        thread.submit(divmod, 7, 2)
    turn.set()
    assert last.result(10) == (3, 1)
    thread.shutdown()
    assert not [running for running in threading.enumerate() if running.name == "test"]


def test_a_thread_nobody_asked_for_anything_is_none() -> None:
    DaemonThread("test").shutdown()
