"""Who may ask for what: steps 1 to 8 and 14 of the order of checks."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from agent.command.envelope import MessageKind, encode_command, encode_ping, seal
from agent.command.payloads import CommandPayload, Ping
from agent.command.verify import Dropped, KeyRecord, Verified, authorise, verify
from agent.model.command import Action, Command, Reason
from tests.support.envelopes import (
    CAR,
    COMMAND_KEY,
    COMMAND_KID,
    KEYS,
    OPERATOR,
    PING,
    UNLOCK,
    VEHICLE_KEY,
    key_record,
    sign_by_hand,
)

OTHER_CAR = bytes(8)


def cmd(command: CommandPayload = UNLOCK) -> bytes:
    return seal(MessageKind.CMD, encode_command(command), COMMAND_KEY, COMMAND_KID)


def ping(payload: Ping = PING) -> bytes:
    return seal(MessageKind.PING, encode_ping(payload), COMMAND_KEY, COMMAND_KID)


def dropped_why(kind: MessageKind, raw: bytes, *, is_retained: bool = False) -> str | None:
    found = verify(kind, raw, is_retained=is_retained, keys=KEYS)
    return found.why if isinstance(found, Dropped) else None


def verified(kind: MessageKind, raw: bytes) -> Verified:
    found = verify(kind, raw, is_retained=False, keys=KEYS)
    assert isinstance(found, Verified)
    return found


def verdict(
    message: Command | Ping | CommandPayload,
    record: KeyRecord | None = None,
    *,
    topic_operator: int = OPERATOR,
    floor_unix_s: int = 1_790_000_000,
    attested_unix_s: int | None = None,
) -> Reason | None:
    if isinstance(message, CommandPayload):
        message = verified(MessageKind.CMD, cmd(message)).message
    return authorise(
        message,
        record or key_record(),
        topic_operator=topic_operator,
        car=CAR,
        floor_unix_s=floor_unix_s,
        attested_unix_s=attested_unix_s,
    )


def test_verified_command_has_what_was_sent_and_who_sent_it() -> None:
    found = verified(MessageKind.CMD, cmd(replace(UNLOCK, ref=bytes(8))))
    command = found.message
    assert found.record == KEYS[COMMAND_KID]
    assert isinstance(command, Command)
    assert (command.car, command.cid, command.operator, command.sid) == (CAR, UNLOCK.cid, OPERATOR, UNLOCK.sid)
    assert (command.counter, command.deadline_ms, command.action) == (1, 90_000, Action.UNLOCK)
    assert (command.kid, command.ref, command.parameters, command.version) == (COMMAND_KID, bytes(8), None, 1)


def test_digest_is_of_the_whole_envelope() -> None:
    found = verified(MessageKind.CMD, cmd()).message
    other = verified(MessageKind.CMD, cmd(replace(UNLOCK, counter=2))).message
    assert isinstance(found, Command) and isinstance(other, Command)
    assert found.digest == sha256(cmd()).digest()
    assert found.digest != other.digest


def test_verified_ping_has_its_nonce() -> None:
    assert verified(MessageKind.PING, ping()).message == PING


@pytest.mark.hazard("H57")
@pytest.mark.parametrize(("kind", "raw"), [(MessageKind.CMD, cmd()), (MessageKind.PING, ping())])
@pytest.mark.hazard("H57")
def test_h57_retained_message_is_dropped_however_good(kind: MessageKind, raw: bytes) -> None:
    assert dropped_why(kind, raw, is_retained=True) == "retained"
    assert dropped_why(kind, raw) is None


def test_drops_are_told_apart_for_the_counters() -> None:
    """None of this leaves the car (H140); the words are for its own counters."""
    assert dropped_why(MessageKind.CMD, b"") == "malformed"
    assert dropped_why(MessageKind.CMD, ping()) == "malformed"
    stranger = seal(MessageKind.CMD, encode_command(UNLOCK), VEHICLE_KEY, b"\x00\x00\x00\x02")
    assert dropped_why(MessageKind.CMD, stranger) == "unknown_key"
    forged = seal(MessageKind.CMD, encode_command(UNLOCK), VEHICLE_KEY, COMMAND_KID)
    assert dropped_why(MessageKind.CMD, forged) == "bad_signature"
    assert dropped_why(MessageKind.CMD, sign_by_hand("ping", b"\xa0")) == "malformed"


def test_good_command_and_good_ping_are_authorised() -> None:
    assert verdict(UNLOCK) is None
    assert verdict(PING) is None


@pytest.mark.hazard("H28")
def test_h28_command_for_another_car_is_refused() -> None:
    assert verdict(replace(UNLOCK, car=OTHER_CAR)) is Reason.WRONG_CAR
    assert verdict(replace(PING, car=OTHER_CAR)) is Reason.WRONG_CAR


@pytest.mark.hazard("H19")
def test_h19_other_version_is_refused() -> None:
    assert verdict(replace(UNLOCK, version=2)) is Reason.VERSION
    assert verdict(replace(UNLOCK, version=0)) is Reason.VERSION
    assert verdict(replace(PING, version=2)) is Reason.VERSION


@pytest.mark.hazard("H29")
def test_h29_operator_other_than_the_keys_is_refused() -> None:
    assert verdict(replace(UNLOCK, operator=8)) is Reason.OPERATOR_MISMATCH
    assert verdict(replace(UNLOCK, operator=8), topic_operator=8) is Reason.OPERATOR_MISMATCH
    assert verdict(UNLOCK, key_record(operator=8)) is Reason.OPERATOR_MISMATCH
    assert verdict(replace(PING, operator=8)) is Reason.OPERATOR_MISMATCH


@pytest.mark.hazard("H30")
def test_h30_command_on_another_operators_topic_is_refused() -> None:
    assert verdict(UNLOCK, topic_operator=8) is Reason.OPERATOR_MISMATCH
    assert verdict(PING, topic_operator=8) is Reason.OPERATOR_MISMATCH


def test_h31_key_of_another_role_signs_no_command() -> None:
    assert verdict(UNLOCK, key_record(role="grant")) is Reason.ROLE
    assert verdict(PING, key_record(role="grant")) is Reason.ROLE


def test_h32_key_for_another_transport_is_refused() -> None:
    assert verdict(UNLOCK, key_record(transports=frozenset({"reader"}))) is Reason.TRANSPORT


@pytest.mark.parametrize(
    ("floor_unix_s", "attested_unix_s", "reason"),
    [
        (1_800_000_000, None, None),  # the last second of the key
        (1_800_000_001, None, Reason.KEY_EXPIRED),  # the floor only rises by signed dates: it is past, for certain
        (0, None, None),  # a car that knows no time yet still obeys: deadlines do not need a calendar
        (1_779_999_999, None, None),  # a floor below not-before proves nothing: it is a lower bound
        (0, 1_779_999_999, Reason.KEY_EXPIRED),  # somebody signed that it is too early
        (0, 1_780_000_000, None),  # the first second of the key
    ],
)
def test_h34_key_outside_its_dates_is_refused(
    floor_unix_s: int, attested_unix_s: int | None, reason: Reason | None
) -> None:
    found = verdict(UNLOCK, floor_unix_s=floor_unix_s, attested_unix_s=attested_unix_s)
    assert found is reason


@pytest.mark.hazard("H35")
@pytest.mark.parametrize("action", list(Action))
def test_h35_action_outside_the_keys_mask_is_refused(action: Action) -> None:
    all_others = frozenset(int(other) for other in Action if other is not action)
    command = replace(UNLOCK, action=action)
    assert verdict(command, key_record(actions=all_others)) is Reason.ACTION_NOT_ALLOWED
    assert verdict(command, key_record(actions=frozenset({int(action)}))) is None


@pytest.mark.parametrize("action", [0, 8, 99, 2**63 - 1])
def test_action_that_does_not_exist_is_unsupported_even_if_a_record_allows_it(action: int) -> None:
    command = replace(UNLOCK, action=action)
    assert verdict(command) is Reason.UNSUPPORTED_ACTION
    assert verdict(command, key_record(actions=frozenset({action}))) is Reason.UNSUPPORTED_ACTION


def test_parameters_nobody_knows_are_refused_not_overlooked() -> None:
    """ "Unlock, but only the boot" must not become "unlock"."""
    assert verdict(replace(UNLOCK, parameters={1: "boot"})) is Reason.BAD_PARAMS
    assert verdict(replace(UNLOCK, parameters={})) is None


def test_h28_wrong_car_is_told_before_anything_of_this_cars_keys() -> None:
    command = replace(UNLOCK, car=OTHER_CAR, operator=8, version=2, action=99)
    assert verdict(command, key_record(role="grant")) is Reason.WRONG_CAR
