"""What a car refuses whoever signed it: one signed answer with its reason, and everything else as it was (SR-03).

The keys, the car and its bus are in order; each command is wrong in one way.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.command.envelope import MessageKind, Result, open_unverified, seal
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Log
from tests.support.attacked import MEMORY_GROWTH_BYTES_MAX
from tests.support.pair import COMMAND_KEY, KEYS, KID, VEHICLE_KEY, Pair

BEYOND_COUNTERS = 2**53
READ_ONLY = {KID: replace(KEYS[KID], actions=frozenset({Action.REPORT}))}

Deliver = Callable[[Pair], bytes]


def plain(**changes: object) -> Deliver:
    """An unlock that is wrong in what `changes` says, on the topic it belongs to; returns its bytes."""

    def deliver(pair: Pair) -> bytes:
        raw = pair.command(Action.UNLOCK, **changes)  # type: ignore[arg-type]
        pair.deliver("cmd", raw)
        return raw

    return deliver


def on_another_operators_topic(pair: Pair) -> bytes:
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw, operator=2)
    return raw


def of_another_version(pair: Pair) -> bytes:
    envelope = open_unverified(MessageKind.CMD, pair.command(Action.UNLOCK))
    assert envelope is not None
    raw = seal(MessageKind.CMD, {**envelope.payload, 1: 2}, COMMAND_KEY, KID)
    pair.deliver("cmd", raw)
    return raw


def hazard(number: str, deliver: Deliver, reason: Reason) -> object:
    return pytest.param(deliver, reason, id=number, marks=pytest.mark.hazard(number))


def refusal(pair: Pair, deliver: Deliver) -> Result:
    """The one answer to it. Whatever else a refusal must not touch is looked at here."""
    counters = pair.ping().counters
    journal, dropped = dict(pair.disk.journal), pair.engine.status(pair.now_s)["commands"]
    pair.performed.clear()
    tracemalloc.start()
    try:
        raw = deliver(pair)
        pair.run(1.0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MEMORY_GROWTH_BYTES_MAX
    assert pair.sent == []
    assert pair.disk.journal == journal
    assert pair.engine.status(pair.now_s)["commands"] == dropped
    assert pair.ping().counters == counters, "the engine goes on, and the next counter is what it was"
    said = " ".join(str(effect) for effect in pair.performed if isinstance(effect, Log))
    for secret in (raw, COMMAND_KEY.private_bytes_raw(), VEHICLE_KEY.private_bytes_raw()):
        assert secret.hex() not in said and str(secret) not in said
    (result,) = pair.results()
    return result


@pytest.mark.parametrize(
    ("deliver", "reason"),
    [
        hazard("H19", of_another_version, Reason.VERSION),
        hazard("H28", plain(car=b"othercar"), Reason.WRONG_CAR),
        hazard("H29", plain(operator=2), Reason.OPERATOR_MISMATCH),
        hazard("H30", on_another_operators_topic, Reason.OPERATOR_MISMATCH),
        hazard("H46", plain(lifetime_ms=30_100), Reason.TTL_TOO_LONG),
        hazard("H53", plain(counter=BEYOND_COUNTERS), Reason.BAD_PARAMS),
        hazard("H53", plain(counter=2**63 - 1), Reason.BAD_PARAMS),
    ],
)
def test_wrong_command_is_refused_with_its_reason_and_changes_nothing(deliver: Deliver, reason: Reason) -> None:
    pair = Pair()
    pair.run(2.0)
    result = refusal(pair, deliver)
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, reason, Executed.NO)
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED, "and shuts out nothing"


@pytest.mark.hazard("H35")
def test_read_only_key_unlocks_nothing() -> None:
    pair = Pair(keys=READ_ONLY)
    pair.run(2.0)
    result = refusal(pair, plain())
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.ACTION_NOT_ALLOWED, Executed.NO)
    assert pair.ask(Action.REPORT).executed is Executed.YES


@pytest.mark.hazard("H106")
def test_action_the_profile_has_no_recipe_for_is_unsupported() -> None:
    """A DBC without the signal gives no recipe (`tests/unit/profiles/test_recipes.py`): nothing is sent instead."""
    whole = Pair().profile
    pair = Pair(profile=replace(whole, recipes={Action.LOCK: whole.recipes[Action.LOCK]}))
    pair.run(2.0)
    result = refusal(pair, plain())
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.UNSUPPORTED_ACTION, Executed.NO)
    assert pair.ask(Action.LOCK).stage is Stage.VERIFIED


def test_link_that_only_listens_sends_nothing_and_caps_says_so_before_anybody_asks() -> None:
    """SR-01. As shipped: what is heard is told, and what would send is unsupported, a lock too."""
    pair = Pair(is_listen_only=True)
    pair.run(2.0)
    (caps,) = [json.loads(publish.payload) for publish in pair.published if publish.topic.endswith("/caps")]
    sending = {"unlock", "lock", "enable_drive", "disable_drive", "locate"}
    assert caps["actions"].keys() & sending == set()
    assert {action for action, why in caps["unsupported"].items() if "buses.body.listen_only" in why} >= sending
    for action in (Action.LOCK, Action.ENABLE_DRIVE):
        asked = pair.ask(action)
        assert (asked.stage, asked.reason, asked.executed) == (
            Stage.REJECTED,
            Reason.UNSUPPORTED_ACTION,
            Executed.NO,
        )
    assert pair.sent == []
    assert pair.ask(Action.REPORT).executed is Executed.YES
