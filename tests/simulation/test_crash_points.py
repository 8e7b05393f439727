"""SR-02, H73 to H78: the power is cut before every single effect of a command, and the agent starts again."""

from __future__ import annotations

import pytest

from agent.bench.car import CarFault
from agent.model.command import Action, Executed, Stage
from tests.support.pair import Pair, PowerCutError

FAULTS = [None, CarFault.LOCK_IGNORES, CarFault.LOCK_SILENT, CarFault.WAKE_DEAF]


def prepared(fault: CarFault | None, *, is_asleep: bool) -> tuple[Pair, bytes]:
    pair = Pair(is_asleep=is_asleep)
    pair.run(2.0)
    if fault is not None:
        pair.car.set_fault(fault, pair.now_s, is_on=True)
    return pair, pair.command(Action.UNLOCK)


def effects_of_one_command(fault: CarFault | None, *, is_asleep: bool) -> int:
    pair, raw = prepared(fault, is_asleep=is_asleep)
    pair.performed.clear()
    pair.deliver("cmd", raw)
    pair.run(8.0)
    return len(pair.performed)


@pytest.mark.parametrize("is_asleep", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_cut_leads_to_a_second_actuation_or_to_a_verified_that_was_not(
    fault: CarFault | None, is_asleep: bool
) -> None:
    """SR-02, SR-04: after any cut the same bytes, sent again and again, move nothing more and get one honest end."""
    count = effects_of_one_command(fault, is_asleep=is_asleep)
    assert count > 10
    for cut in range(count):
        pair, raw = prepared(fault, is_asleep=is_asleep)
        pair.effects_until_cut = cut
        try:
            pair.deliver("cmd", raw)
            pair.run(8.0)
        except PowerCutError:
            pass
        else:
            # The last effects of a run may come in another order of time; then there is nothing to cut.
            continue
        sent_before = len(pair.lock_requests())
        had_intent = bool(pair.disk.journal)
        pair.published.clear()
        pair.restart()
        for _ in range(3):
            pair.deliver("cmd", raw)
            pair.run(3.0)

        where = f"cut before effect {cut} of {count}"
        assert len(pair.lock_requests()) == sent_before, where
        assert sent_before == 0 or had_intent, where
        results = pair.final_results()
        ends = {(result.stage, result.executed) for result in results}
        assert len(ends) == 1, f"{where}: {ends}"
        ((stage, executed),) = ends
        if not had_intent:
            assert (stage, executed) == (Stage.REJECTED, Executed.NO), where
        elif sent_before and executed is Executed.NO:
            # A lock unit that ignored us to the end of the window, said before the cut.
            assert fault is CarFault.LOCK_IGNORES, where
        if stage is Stage.VERIFIED:
            assert not pair.car.lock.is_locked, where
        if stage is Stage.INTERRUPTED:
            assert executed is Executed.UNKNOWN, where


def test_interrupted_command_is_reported_with_the_state_read_back() -> None:
    """H76: cut after the actuation, before the end is durable; the read-back shows the lock open."""
    pair, raw = prepared(None, is_asleep=False)
    with pytest.raises(PowerCutError):
        pair.deliver("cmd", raw)
        for _ in range(1000):
            pair.run(0.01)
            if not pair.car.lock.is_locked:
                pair.effects_until_cut = 0
    pair.published.clear()
    pair.restart()
    pair.run(3.0)
    (result,) = pair.final_results()
    assert (result.stage, result.executed) == (Stage.INTERRUPTED, Executed.UNKNOWN)
    (piece,) = result.evidence
    assert (piece.path, piece.value) == ("Vehicle.Carshare.CentralLock.IsLocked", False)


def test_every_record_of_the_outbox_reaches_the_broker_once_numbered_over_any_number_of_cuts() -> None:
    """SR-07: no sequence number is given twice, and nothing kept is lost."""
    pair = Pair()
    numbers: list[int] = []
    for cut in (3, 17, 40, 55, 90):
        pair.effects_until_cut = cut
        with pytest.raises(PowerCutError):
            for second in range(300):
                pair.car.press_key_fob(pair.now_s, is_locked=second % 2 == 0)
                pair.run(1.0)
        kept = set(pair.disk.outbox)
        pair.published.clear()
        pair.restart()
        pair.run(0.2)
        told = [int(str(event["seq"])) for event in pair.events()]
        assert kept <= set(told)
        numbers += [number for number in told if number not in kept]
    assert len(numbers) == len(set(numbers))
