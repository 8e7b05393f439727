"""Records on their way while the card fails, comes back, and the engine goes on meanwhile."""

from __future__ import annotations

from agent.config_table import ReportingTable
from agent.forwarding import STORE_RETRY_S, Forwarding
from agent.model.effects import Persist, Publish
from agent.model.records import OutboxFound, OutboxStored, SequenceReserved
from agent.pending import Pending
from agent.session import Session
from agent.uplink.outbox import REMOVALS_MAX


class Bench:
    """A forwarding whose effects are looked at one by one."""

    def __init__(self) -> None:
        self.pending = Pending(1)
        self.forwarding = Forwarding(
            "v1/1/5ca1ab1e0ddba115/evt",
            OutboxFound(),
            ReportingTable(),
            Session(b"session1", 0.0),
            self.pending,
            boot_id="boot",
            now_s=0.0,
        )

    def writes(self) -> list[Persist]:
        """Writes asked for since the last time, but for those that reserve numbers."""
        effects = iter(self.pending.pop, None)
        return [
            effect
            for effect in effects
            if isinstance(effect, Persist) and not isinstance(effect.records[0], SequenceReserved)
        ]

    def fail(self, now_s: float) -> None:
        """The next record finds a full card."""
        self.forwarding.tell("bus_awake", {"bus": "body"}, now_s)
        (write,) = self.writes()
        assert self.forwarding.store_failed(write.token, "full", now_s)
        assert self.writes() == []


def stored(write: Persist) -> list[int]:
    return [record.sequence for record in write.records if isinstance(record, OutboxStored)]


def test_what_came_up_while_the_card_was_tried_again_is_made_durable_too() -> None:
    bench = Bench()
    bench.fail(1.0)
    now_s = 1.0 + STORE_RETRY_S
    bench.forwarding.handle_timer(now_s)
    (retry,) = bench.writes()
    assert stored(retry) == [1, 2]
    bench.forwarding.tell("bus_awake", {"bus": "body"}, now_s)
    assert bench.writes() == []
    assert bench.forwarding.stored(retry.token, now_s)
    late, told = bench.writes()
    assert (stored(late), stored(told)) == ([3], [4])


def test_card_that_stays_full_is_tried_again_at_its_pace() -> None:
    """SR-09."""
    bench = Bench()
    bench.fail(0.0)
    tries = 0
    for second in range(600):
        bench.forwarding.handle_timer(float(second))
        for write in bench.writes():
            tries += 1
            bench.forwarding.store_failed(write.token, "full", float(second))
    assert 600 / STORE_RETRY_S - 2 <= tries <= 600 / STORE_RETRY_S


def test_what_never_was_on_the_card_is_not_remembered_to_be_removed() -> None:
    """SR-09: a card that is dead for a year, with a broker that takes everything."""
    bench = Bench()
    bench.fail(0.0)
    bench.forwarding.connected(0.0)
    for _ in range(10 * REMOVALS_MAX):
        bench.forwarding.tell("bus_awake", {"bus": "body"}, 0.0)
        bench.forwarding.pump(0.0)
        for effect in iter(bench.pending.pop, None):
            if isinstance(effect, Publish) and effect.token is not None:
                bench.forwarding.published(effect.token, None, 0.0)
    assert not bench.forwarding._owed_removals
    assert bench.forwarding.status()["outbox_records"] == 0


def test_write_of_somebody_else_is_not_ours() -> None:
    bench = Bench()
    assert not bench.forwarding.store_failed(99, "full", 0.0)
    assert not bench.forwarding.stored(99, 0.0)
