"""The engine with a trust bundle: who is obeyed before, while and after another one takes its place.

Time is virtual, the disk keeps what was made durable, and the power can be cut before every effect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.envelope import MessageKind, Ping, Result, encode_ping, seal
from agent.command.trust import Bundle, BundleRefusal, KeyEntry, OperatorEntry, Role, Transport, key_id
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Acknowledge, Effect, Log, Persist, Subscribe
from agent.model.events import ClockSet, ClockTrust, Delivery, StopAsked, Stored
from agent.model.records import BundleTaken, FloorRaised
from agent.trusting import FLOOR_INTERVAL_S, REFUSAL_LOG_INTERVAL_S
from tests.support.pair import CAR, COMMAND_KEY, KID, Pair, PowerCutError, Remains
from tests.support.roots import (
    BUNDLE,
    DATE_UNIX_S,
    EVERY_ACTION,
    OTHER_ROOTS,
    ROOTS,
    STRANGERS,
    private_key,
    public,
    roots_of,
    sealed,
)

MINE = KeyEntry(1, public(COMMAND_KEY), actions=EVERY_ACTION)
THEIRS_KEY = private_key("key of the second operator")
THEIRS = KeyEntry(2, public(THEIRS_KEY), actions=EVERY_ACTION)
FIRST = replace(BUNDLE, version=1, operators=(OperatorEntry(1), OperatorEntry(2)), keys=(MINE, THEIRS))


def later(version: int = 2, **changes: object) -> Bundle:
    return replace(FIRST, version=version, **changes)  # type: ignore[arg-type]


def started(bundle: Bundle = FIRST) -> Pair:
    pair = Pair(bundle_file=sealed(bundle))
    pair.run(1.0)
    return pair


def offer(
    pair: Pair, bundle: Bundle, roots: Sequence[Ed25519PrivateKey] = ROOTS[:2], *, operator: int = 1
) -> BundleRefusal | None:
    """Deliver it as a broker does that kept it; what came of it."""
    before = dict(dropped(pair))
    pair.deliver("bundle", sealed(bundle, roots), is_retained=True, operator=operator)
    new = [why for why, count in dropped(pair).items() if count != before.get(why, 0)]
    return BundleRefusal(new[0].removeprefix("bundle_")) if new else None


def dropped(pair: Pair) -> dict[str, int]:
    commands = pair.engine.status(pair.now_s)["commands"]
    assert isinstance(commands, dict)
    found = commands["dropped"]
    assert isinstance(found, dict)
    return found


def version(pair: Pair) -> int:
    return trust(pair)["version"]


def floor_unix_s(pair: Pair) -> int:
    return trust(pair)["floor_unix_s"]


def trust(pair: Pair) -> dict[str, int]:
    found = pair.engine.status(pair.now_s)["trust"]
    assert isinstance(found, dict)
    return found


def answer(pair: Pair, raw: bytes, operator: int = 1) -> Result | None:
    """What the car says to these bytes, if anything, once whatever it does is over."""
    count = len(pair.results())
    pair.deliver("cmd", raw, operator=operator)
    pair.run(12.0, until=lambda: any(result.stage.is_final for result in pair.results()[count:]))
    return pair.results()[-1] if len(pair.results()) > count else None


def asked(pair: Pair, entry: KeyEntry, key: Ed25519PrivateKey, action: Action = Action.UNLOCK) -> Result | None:
    """Answer to a command by this key, for the operator it is listed under."""
    return answer(pair, pair.command(action, key=key, kid=entry.kid, operator=entry.operator), entry.operator)


# --- who is obeyed ---------------------------------------------------------------------------------------------------


def test_a_command_of_a_listed_key_is_carried_out() -> None:
    pair = started()
    result = asked(pair, MINE, COMMAND_KEY)
    assert result is not None
    assert (result.stage, result.reason) == (Stage.VERIFIED, Reason.OK)


OTHER_KEY = private_key("another key")
OTHER = KeyEntry(1, public(OTHER_KEY), actions=EVERY_ACTION)

REFUSED: dict[str, tuple[KeyEntry, Reason]] = {
    "grant_key_h31": (replace(OTHER, role=Role.GRANT), Reason.ROLE),
    "time_key_h31": (replace(OTHER, role=Role.TIME), Reason.ROLE),
    "local_key_h32": (replace(OTHER, transports=frozenset({int(Transport.LOCAL)})), Reason.TRANSPORT),
    "expired_h34": (replace(OTHER, not_after_unix_s=DATE_UNIX_S - 1), Reason.KEY_EXPIRED),
    "revoked_h34": (replace(OTHER, is_revoked=True), Reason.KEY_REVOKED),
    "read_only_key_h35": (replace(OTHER, actions=frozenset({int(Action.REPORT)})), Reason.ACTION_NOT_ALLOWED),
}


@pytest.mark.hazard("H31")
@pytest.mark.hazard("H32")
@pytest.mark.hazard("H34")
@pytest.mark.hazard("H35")
@pytest.mark.parametrize(("entry", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_key_that_may_not_ask_is_told_so_and_moves_nothing_sr_03(entry: KeyEntry, reason: Reason) -> None:
    pair = started(replace(FIRST, keys=(MINE, entry)))
    result = asked(pair, entry, OTHER_KEY)
    assert result is not None
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, reason, Executed.NO)
    assert pair.lock_requests() == []


@pytest.mark.hazard("H34")
def test_a_key_expires_while_the_car_runs_h34() -> None:
    """The floor goes on with boot time: no clock of the machine has a say."""
    pair = started(replace(FIRST, keys=(MINE, replace(OTHER, not_after_unix_s=DATE_UNIX_S + 60))))
    pair.engine.receive_link(ClockSet(-1e9, ClockTrust.ESTIMATED), pair.now_s)
    assert asked(pair, OTHER, OTHER_KEY, Action.REPORT).reason is Reason.OK  # type: ignore[union-attr]
    pair.run(70.0)
    assert asked(pair, OTHER, OTHER_KEY, Action.REPORT).reason is Reason.KEY_EXPIRED  # type: ignore[union-attr]


@pytest.mark.hazard("H34")
def test_a_machine_clock_far_ahead_expires_no_key_h34() -> None:
    pair = started(replace(FIRST, keys=(MINE, replace(OTHER, not_after_unix_s=DATE_UNIX_S + 60))))
    pair.engine.receive_link(ClockSet(2**40, ClockTrust.ESTIMATED), pair.now_s)
    assert asked(pair, OTHER, OTHER_KEY, Action.REPORT).reason is Reason.OK  # type: ignore[union-attr]


@pytest.mark.hazard("H34")
def test_a_ping_of_a_key_that_may_not_ask_is_dropped() -> None:
    pair = started(replace(FIRST, keys=(MINE, replace(OTHER, is_revoked=True))))
    count = len(pair.hellos())
    pair.deliver("ping", seal(MessageKind.PING, encode_ping(Ping(CAR, 1, bytes(16))), OTHER_KEY, OTHER.kid))
    assert len(pair.hellos()) == count
    assert dropped(pair)["ping_key_revoked"] == 1


# --- what takes its place --------------------------------------------------------------------------------------------


ALL_NEW = roots_of(OTHER_ROOTS)

OFFERS: dict[str, tuple[Bundle, Sequence[Ed25519PrivateKey], str]] = {
    "older_h129": (later(version=4), ROOTS, "older"),
    "other_content_h129": (later(version=5, keys=(MINE,)), ROOTS, "other_content"),
    "skips_with_other_roots_h129": (later(version=7, roots=ALL_NEW), (*ROOTS, *OTHER_ROOTS), "skipped"),
    "one_signature_h130": (later(version=6), ROOTS[:1], "signatures"),
    "only_new_roots_h130": (later(version=6, roots=ALL_NEW), OTHER_ROOTS, "signatures"),
    "strangers_h130": (later(version=6), STRANGERS, "signatures"),
    "another_fleet": (later(version=6, fleet=b"fleet--2"), ROOTS, "fleet"),
}


@pytest.mark.hazard("H129")
@pytest.mark.hazard("H130")
@pytest.mark.parametrize(("bundle", "roots", "reason"), OFFERS.values(), ids=OFFERS.keys())
def test_an_offer_that_may_not_follow_changes_nothing_h129_h130(
    bundle: Bundle, roots: Sequence[Ed25519PrivateKey], reason: str
) -> None:
    pair = started(later(version=5))
    written = pair.disk.trust
    assert offer(pair, bundle, roots) is BundleRefusal(reason)
    assert (version(pair), pair.disk.trust) == (5, written)
    assert pair.ping().versions == (5, 0)
    result = asked(pair, THEIRS, THEIRS_KEY, Action.REPORT)
    assert result is not None and result.reason is Reason.OK


@pytest.mark.hazard("H129")
def test_the_bundle_in_force_is_no_news_and_no_fault_h129() -> None:
    """What the broker keeps comes again at each connection, on the topic of each operator, by whichever two roots."""
    pair = started()
    count = len(pair.performed)
    for operator, roots in ((1, ROOTS[:2]), (2, ROOTS[1:])):
        assert offer(pair, FIRST, roots, operator=operator) is None
    assert [type(effect) for effect in pair.performed[count:]] == [Acknowledge, Acknowledge]
    assert "bundle_present" not in dropped(pair)


def test_a_later_bundle_is_taken_told_and_acknowledged() -> None:
    pair = started()
    count = len(pair.performed)
    assert offer(pair, later(version=9), operator=2) is None
    done = pair.performed[count:]
    assert isinstance(done[0], Persist) and isinstance(done[0].records[0], BundleTaken)
    assert isinstance(done[1], Acknowledge)
    assert version(pair) == 9
    assert pair.hellos()[-1].versions == (9, 0)
    pair.run(1.0)
    (event,) = (event for event in pair.events() if event["kind"] == "trust" and event["version"] == 9)
    assert event["operators"] == [1, 2]
    assert not any(isinstance(effect, Subscribe) for effect in pair.performed)


def test_the_first_bundle_is_stored_and_told_too() -> None:
    pair = started()
    assert pair.disk.trust.version == 1
    assert [event["version"] for event in pair.events() if event["kind"] == "trust"] == [1]
    pair.restart()
    pair.run(1.0)
    assert len({event["seq"] for event in pair.events() if event["kind"] == "trust"}) == 1


def test_a_later_bundle_in_the_file_is_taken_at_start_and_an_older_one_is_not() -> None:
    """Service brings it on a stick; what the car was provisioned with stays lying about."""
    pair = started()
    offer(pair, later(version=4))
    pair.restart()
    assert version(pair) == 4
    pair.bundle_file = sealed(later(version=6, keys=(MINE,)))
    pair.restart()
    assert version(pair) == 6
    assert [stone.kid for stone in pair.disk.trust.tombstones] == [THEIRS.kid]


def test_noise_is_dropped_counted_and_logged_once_an_hour_for_each_reason() -> None:
    pair = started()

    def logged() -> list[object]:
        return [
            effect.fields["reason"]
            for effect in pair.performed
            if isinstance(effect, Log) and effect.event == "bundle_refused"
        ]

    for _ in range(3):
        pair.deliver("bundle", b"noise", is_retained=True)
        offer(pair, later(), ROOTS[:1])
    assert (dropped(pair)["bundle_malformed"], dropped(pair)["bundle_signatures"]) == (3, 3)
    assert logged() == ["malformed", "signatures"]
    pair.now_s += REFUSAL_LOG_INTERVAL_S
    pair.deliver("bundle", b"noise", is_retained=True)
    assert logged() == ["malformed", "signatures", "malformed"]


def test_with_keys_pinned_by_hand_no_bundle_is_taken() -> None:
    pair = Pair()
    pair.deliver("bundle", sealed(FIRST), is_retained=True)
    assert (version(pair), dropped(pair)) == (0, {"topic": 1})
    assert pair.ping().versions == (0, 0)


def test_two_bundles_at_once_are_judged_one_after_the_other() -> None:
    """The second is judged against the first, which is not yet durable, and each is in force when it is."""
    pair = started()
    for bundle in (later(version=3), later(version=2), later(version=4)):
        pair._delivery += 1
        pair.engine.receive_delivery(delivery_of(pair, sealed(bundle)), pair.now_s)
    assert version(pair) == 1
    pair.perform()
    assert version(pair) == 4
    assert dropped(pair) == {"bundle_older": 1}


def delivery_of(pair: Pair, raw: bytes) -> Delivery:
    return Delivery(f"v1/1/{CAR.hex()}/bundle", raw, True, pair._delivery)


def test_nothing_is_taken_while_the_agent_ends() -> None:
    pair = started()
    pair.engine.receive_link(StopAsked(is_final=False), pair.now_s)
    pair.deliver("bundle", sealed(later()))
    assert (version(pair), dropped(pair)) == (1, {"bundle_stopping": 1})


def test_a_store_that_fails_puts_no_bundle_in_force() -> None:
    pair = started()
    pair.is_store_broken = True
    pair.deliver("bundle", sealed(later()))
    assert (version(pair), pair.stopped) == (1, "store failed: disk full")


# --- a power cut (H131) ----------------------------------------------------------------------------------------------


def left_by_a_cut(number: int, *, is_first_start: bool, file: Bundle, offered: Bundle) -> Remains | None:
    """What is left if the power goes before the effect of this number; None if there are not so many."""
    left = iter(range(number))
    remains: list[Remains] = []

    def cut(pair: Pair, _effect: Effect) -> None:
        if next(left, None) is None:
            remains.append(pair.remains())
            raise PowerCutError

    pair = None if is_first_start else Pair(bundle_file=sealed(file))
    with contextlib.suppress(PowerCutError):
        if pair is None:
            Pair(bundle_file=sealed(file), before_effect=cut)
        else:
            pair.run(1.0)
            pair.before_effect = cut
            pair.deliver("bundle", sealed(offered), is_retained=True)
    return remains[0] if remains else None


@pytest.mark.hazard("H131")
@pytest.mark.parametrize("is_first_start", [True, False], ids=["first_start", "delivery"])
def test_a_power_cut_leaves_the_old_bundle_or_the_new_one_whole_h131(is_first_start: bool) -> None:
    """Cut before every effect of taking a bundle: after the next start the version, the keys, the tombstones and the
    floor are those of one bundle, and the one that the broker keeps is taken in the end.
    """
    new = later(date_unix_s=DATE_UNIX_S + 1000, keys=(MINE,))
    seen: list[tuple[int, int]] = []
    while True:
        remains = left_by_a_cut(len(seen), is_first_start=is_first_start, file=FIRST, offered=new)
        if remains is None:
            break
        stored = remains.disk.trust.version
        pair = Pair(remains=remains, bundle_file=sealed(FIRST))
        pair.run(0.1)
        seen.append((stored, version(pair)))
        is_new = version(pair) == 2
        assert [stone.kid for stone in pair.disk.trust.tombstones] == [THEIRS.kid] * is_new
        assert (floor_unix_s(pair) >= new.date_unix_s) == is_new
        assert floor_unix_s(pair) >= DATE_UNIX_S
        assert offer(pair, new) is None
        assert (version(pair), pair.disk.trust.version) == (2, 2)
    # From a bundle in no store to the file's, or from the file's to the offered one: once, and never back.
    assert set(seen) == ({(0, 1), (1, 1)} if is_first_start else {(1, 1), (2, 2)})
    assert seen == sorted(seen)


@pytest.mark.hazard("H131")
def test_a_bundle_is_not_in_force_before_it_is_durable_h131() -> None:
    pair = started()
    engine = pair.engine
    engine.receive_delivery(delivery_of(pair, sealed(later(keys=(MINE,)))), pair.now_s)
    effect = engine.next_effect()
    assert isinstance(effect, Persist)
    assert version(pair) == 1
    engine.receive_link(Stored(effect.token), pair.now_s)
    assert version(pair) == 2


# --- an operator goes (H132) -----------------------------------------------------------------------------------------


@pytest.mark.hazard("H132")
def test_a_command_ends_though_its_operator_is_removed_and_the_next_is_refused_h132() -> None:
    pair = started()
    raw = pair.command(Action.UNLOCK, key=THEIRS_KEY, kid=THEIRS.kid, operator=2)
    pair.deliver("cmd", raw, operator=2)
    assert pair.engine.is_commanding
    assert offer(pair, later(operators=(OperatorEntry(1),), keys=(MINE,))) is None
    assert pair.engine.is_commanding
    pair.run(10.0, until=lambda: not pair.engine.is_commanding)
    (entry,) = pair.disk.journal.values()
    assert entry.done is not None
    assert (entry.done.stage, entry.done.executed) == (Stage.VERIFIED, Executed.YES)
    frames = len(pair.lock_requests())
    result = asked(pair, THEIRS, THEIRS_KEY, Action.LOCK)
    assert result is not None
    assert (result.reason, result.executed) == (Reason.KEY_REVOKED, Executed.NO)
    assert len(pair.lock_requests()) == frames


@pytest.mark.hazard("H132")
def test_topics_and_telemetry_follow_the_operators_h132() -> None:
    pair = started()
    assert offer(pair, later(operators=(OperatorEntry(2), OperatorEntry(3)), keys=(THEIRS,))) is None
    assert [effect.operators for effect in pair.performed if isinstance(effect, Subscribe)] == [(2, 3)]
    count = len(pair.published)
    pair.run(700.0)
    told = {publish.topic.split("/")[1] for publish in pair.published[count:]}
    assert told == {"2"}


@pytest.mark.hazard("H132")
def test_what_was_carried_out_is_still_answered_after_the_key_has_gone_h132() -> None:
    pair = started()
    raw = pair.command(Action.UNLOCK, key=THEIRS_KEY, kid=THEIRS.kid, operator=2)
    first = answer(pair, raw, 2)
    offer(pair, later(keys=(MINE,)))
    assert answer(pair, raw, 2) == first
    assert first is not None and first.stage is Stage.VERIFIED


def test_a_key_that_comes_back_does_not_get_its_counters_anew() -> None:
    """Else a command of before could be obeyed again."""
    pair = started()
    raw = pair.command(Action.LOCK, key=THEIRS_KEY, kid=THEIRS.kid, operator=2, counter=5, lifetime_ms=100_000)
    assert asked(pair, THEIRS, THEIRS_KEY) is not None
    offer(pair, later(keys=(MINE,)))
    offer(pair, later(version=3))
    result = answer(pair, pair.command(Action.LOCK, key=THEIRS_KEY, kid=THEIRS.kid, operator=2, counter=1), 2)
    assert result is not None and result.reason is Reason.COUNTER
    assert answer(pair, raw, 2) is not None


def test_hello_has_no_counters_of_keys_that_are_gone() -> None:
    pair = started(replace(FIRST, keys=(MINE, OTHER)))
    asked(pair, OTHER, OTHER_KEY)
    assert pair.ping().counters.keys() == {OTHER.kid}
    offer(pair, later(keys=(MINE,)))
    assert pair.ping().counters.keys() == set()
    asked(pair, MINE, COMMAND_KEY, Action.LOCK)
    assert pair.ping().counters.keys() == {KID}


# --- the time floor --------------------------------------------------------------------------------------------------


def test_the_floor_is_kept_every_ten_minutes_while_a_bus_is_awake_sr_08() -> None:
    pair = started()
    pair.run(2 * FLOOR_INTERVAL_S + 1)
    kept = [record for effect in pair.performed for record in records(effect) if isinstance(record, FloorRaised)]
    assert len(kept) == 2
    assert pair.disk.trust.floor_unix_s == DATE_UNIX_S + 2 * FLOOR_INTERVAL_S


def records(effect: Effect) -> Sequence[object]:
    return effect.records if isinstance(effect, Persist) else ()


def test_a_sleeping_car_writes_no_floor_sr_08() -> None:
    pair = Pair(bundle_file=sealed(FIRST), is_asleep=True)
    pair.run(3 * FLOOR_INTERVAL_S)
    assert pair.disk.trust.floor_unix_s == DATE_UNIX_S
    assert floor_unix_s(pair) == DATE_UNIX_S + 3 * FLOOR_INTERVAL_S
    assert pair.engine.next_timer() > pair.now_s


def test_the_floor_goes_on_from_where_it_was_kept() -> None:
    pair = started()
    pair.run(FLOOR_INTERVAL_S + 30)
    pair.restart()
    assert floor_unix_s(pair) == DATE_UNIX_S + FLOOR_INTERVAL_S
    pair.engine.receive_link(StopAsked(is_final=True), pair.now_s + 50)
    pair.perform()
    pair.restart()
    assert floor_unix_s(pair) == DATE_UNIX_S + FLOOR_INTERVAL_S + 50


def test_a_floor_that_the_roots_set_back_is_not_raised_by_the_bundle_in_force() -> None:
    pair = started()
    pair.disk.trust = replace(pair.disk.trust, floor_unix_s=DATE_UNIX_S - 500)
    pair.restart()
    assert DATE_UNIX_S - 500 <= floor_unix_s(pair) < DATE_UNIX_S - 400
    offer(pair, FIRST)
    assert floor_unix_s(pair) < DATE_UNIX_S - 400


@pytest.mark.parametrize(
    ("clock", "expected_unix_s"),
    [
        (None, DATE_UNIX_S),
        (ClockSet(0.0, ClockTrust.FLOOR_ONLY), DATE_UNIX_S),
        (ClockSet(DATE_UNIX_S + 5000.0, ClockTrust.FLOOR_ONLY), DATE_UNIX_S + 6000),
        (ClockSet(0.0, ClockTrust.ESTIMATED), 1000),
    ],
    ids=["no_clock", "clock_behind", "clock_ahead", "synchronised"],
)
def test_hello_has_the_floor_where_there_is_no_better_time(clock: ClockSet | None, expected_unix_s: int) -> None:
    pair = started()
    if clock is not None:
        pair.engine.receive_link(clock, pair.now_s)
    unix_s = pair.ping().unix_s
    assert unix_s is not None
    assert abs(unix_s - expected_unix_s) <= 2


def test_ids_are_those_of_the_keys() -> None:
    assert key_id(public(COMMAND_KEY)) == KID
