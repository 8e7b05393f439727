"""What may take the place of the bundle in force: one reason a row. And what becomes of the keys that go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.bundle import encode_bundle
from agent.command.cosign import DocumentKind, seal_document
from agent.command.trust import (
    TOMBSTONES_MAX,
    Bundle,
    BundleRefusal,
    KeyEntry,
    Role,
    SignedBundle,
    Transport,
    Trust,
    has_own_threshold,
    judge_bundle,
    judge_offer,
    key_records,
    open_bundle,
)
from agent.command.verify import authorise
from agent.model.command import Command, Reason
from agent.model.records import Tombstone
from tests.support.roots import (
    BUNDLE,
    DATE_UNIX_S,
    ENTRY,
    OTHER_ROOTS,
    ROOTS,
    STRANGERS,
    entry,
    private_key,
    public,
    roots_of,
    sealed,
    signed,
)

Keys = tuple[Ed25519PrivateKey, ...]

PRESENT = signed(BUNDLE)
NEXT = replace(BUNDLE, version=6)
WEAK = replace(ENTRY, public_key=bytes([1]) + bytes(31))
NEW_ROOTS = replace(BUNDLE, roots=roots_of((ROOTS[0], *OTHER_ROOTS[:2])))
"""One root stays, two are exchanged; so ROOTS[0] counts for both thresholds."""
ALL_NEW = replace(BUNDLE, roots=roots_of(OTHER_ROOTS))

ROWS: dict[str, tuple[Bundle, Keys, BundleRefusal | None]] = {
    # versions, with the same roots
    "next_version": (NEXT, ROOTS[:2], None),
    "next_version_by_other_two": (NEXT, ROOTS[1:], None),
    "next_version_by_all": (NEXT, ROOTS, None),
    "much_later_version": (replace(BUNDLE, version=500), ROOTS[:2], None),
    "the_very_same": (BUNDLE, ROOTS[:2], BundleRefusal.PRESENT),
    "the_very_same_by_others": (BUNDLE, ROOTS[1:], BundleRefusal.PRESENT),
    "same_version_other_content": (replace(BUNDLE, keys=()), ROOTS[:2], BundleRefusal.OTHER_CONTENT),
    "same_version_other_roots": (ALL_NEW, (*ROOTS, *OTHER_ROOTS), BundleRefusal.OTHER_CONTENT),
    "version_before": (replace(BUNDLE, version=4), ROOTS[:2], BundleRefusal.OLDER),
    "first_version": (replace(BUNDLE, version=1), ROOTS, BundleRefusal.OLDER),
    # signatures
    "one_of_two": (NEXT, ROOTS[:1], BundleRefusal.SIGNATURES),
    "one_and_a_stranger": (NEXT, (ROOTS[0], STRANGERS[0]), BundleRefusal.SIGNATURES),
    "strangers": (NEXT, STRANGERS, BundleRefusal.SIGNATURES),
    "two_and_a_stranger": (NEXT, (*ROOTS[:2], STRANGERS[0]), None),
    # fleets
    "another_fleet": (replace(NEXT, fleet=b"fleet--2"), ROOTS, BundleRefusal.FLEET),
    # other roots, or another threshold
    "new_roots_next_version": (replace(NEW_ROOTS, version=6), (*ROOTS[:2], OTHER_ROOTS[0]), None),
    "all_roots_new": (replace(ALL_NEW, version=6), (*ROOTS[:2], *OTHER_ROOTS[:2]), None),
    "new_roots_skip_a_version": (replace(ALL_NEW, version=7), (*ROOTS, *OTHER_ROOTS), BundleRefusal.SKIPPED),
    "only_new_roots_sign": (replace(ALL_NEW, version=6), OTHER_ROOTS, BundleRefusal.SIGNATURES),
    "only_one_old_root_signs": (
        replace(ALL_NEW, version=6),
        (ROOTS[0], *OTHER_ROOTS),
        BundleRefusal.SIGNATURES,
    ),
    "only_old_roots_sign": (replace(ALL_NEW, version=6), ROOTS, BundleRefusal.NEW_SIGNATURES),
    "one_new_root_too_few": (
        replace(ALL_NEW, version=6),
        (*ROOTS, OTHER_ROOTS[0]),
        BundleRefusal.NEW_SIGNATURES,
    ),
    "a_root_more": (replace(NEXT, roots=roots_of((*ROOTS, OTHER_ROOTS[0]))), ROOTS[:2], None),
    "a_root_more_skips": (
        replace(BUNDLE, version=7, roots=roots_of((*ROOTS, OTHER_ROOTS[0]))),
        ROOTS,
        BundleRefusal.SKIPPED,
    ),
    "lower_threshold": (replace(NEXT, threshold=1), ROOTS[:2], None),
    "lower_threshold_by_one": (replace(NEXT, threshold=1), ROOTS[:1], BundleRefusal.SIGNATURES),
    "lower_threshold_skips": (replace(BUNDLE, version=7, threshold=1), ROOTS, BundleRefusal.SKIPPED),
    "higher_threshold": (replace(NEXT, threshold=3), ROOTS, None),
    "higher_threshold_by_two": (replace(NEXT, threshold=3), ROOTS[:2], BundleRefusal.NEW_SIGNATURES),
}


@pytest.mark.hazard("H129")
@pytest.mark.hazard("H130")
@pytest.mark.parametrize(("bundle", "roots", "refusal"), ROWS.values(), ids=ROWS.keys())
def test_every_offer_has_its_one_reason_h129_h130(bundle: Bundle, roots: Keys, refusal: BundleRefusal | None) -> None:
    assert judge_bundle(PRESENT, signed(bundle, roots)) is refusal
    judged = judge_offer(PRESENT, sealed(bundle, roots))
    assert judged is refusal if refusal is not None else judged == signed(bundle, roots)


def test_what_is_wrong_with_its_form_is_a_reason_before_and_behind_the_signatures() -> None:
    payload = encode_bundle(NEXT)
    weak, unsound = payload | {8: encode_bundle(replace(NEXT, keys=(WEAK,)))[8]}, payload | {6: 9}
    for fields, roots, refusal in (
        (payload | {3: True}, ROOTS, BundleRefusal.MALFORMED),
        (payload | {1: 2}, ROOTS, BundleRefusal.FORMAT),
        (weak, ROOTS, BundleRefusal.WEAK_KEY),
        (unsound, ROOTS, BundleRefusal.UNSOUND),
        (weak, STRANGERS, BundleRefusal.SIGNATURES),
        (unsound, STRANGERS, BundleRefusal.SIGNATURES),
    ):
        assert judge_offer(PRESENT, seal_document(DocumentKind.BUNDLE, fields, roots)) is refusal


def test_keys_that_no_root_signed_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a small computer milliseconds; a broker could send it hundreds."""
    raw = sealed(replace(NEXT, keys=(entry("never seen before"),)), STRANGERS)
    looked_at: list[Bundle] = []
    monkeypatch.setattr("agent.command.trust.weak_keys", looked_at.append)
    assert judge_offer(PRESENT, raw) is BundleRefusal.SIGNATURES
    assert looked_at == []


def test_the_table_has_every_reason_of_a_judgement() -> None:
    """Four are of its form."""
    at_import = {BundleRefusal.MALFORMED, BundleRefusal.FORMAT, BundleRefusal.WEAK_KEY, BundleRefusal.UNSOUND}
    assert {refusal for _, _, refusal in ROWS.values()} == {None, *BundleRefusal} - at_import


@pytest.mark.hazard("H130")
def test_a_root_cannot_count_twice_h130() -> None:
    """The same signature again, in a document put together by hand: it is none at all."""
    once = sealed(NEXT, ROOTS[:1])
    entry_bytes = once[once.rindex(b"\x81\x83") + 1 :]
    twice = once[: once.rindex(b"\x81\x83")] + b"\x82" + entry_bytes * 2
    assert open_bundle(twice) is BundleRefusal.MALFORMED
    assert isinstance(open_bundle(once), SignedBundle)


def test_a_first_bundle_needs_enough_of_its_own_roots() -> None:
    assert has_own_threshold(signed(BUNDLE, ROOTS[1:]))
    assert not has_own_threshold(signed(BUNDLE, ROOTS[:1]))
    assert not has_own_threshold(signed(BUNDLE, STRANGERS))


def test_what_judge_allows_has_its_own_threshold_again() -> None:
    """So a stored bundle can be looked at by itself at the next start, whatever followed what."""
    for bundle, roots, refusal in ROWS.values():
        if refusal is None:
            assert has_own_threshold(signed(bundle, roots))


# --- keys that go ----------------------------------------------------------------------------------------------------


def stone(key: KeyEntry) -> Tombstone:
    return Tombstone(key.kid, key.operator, key.public_key, key.role)


def succession(*lists: tuple[KeyEntry, ...]) -> Trust:
    trust = Trust(signed(replace(BUNDLE, version=1, keys=lists[0])))
    for version, keys in enumerate(lists[1:], 2):
        trust = trust.succeeded_by(signed(replace(BUNDLE, version=version, keys=keys)))
    return trust


A, B, C = entry("a"), entry("b", 2), entry("c", role=Role.GRANT)


def test_a_key_that_is_gone_leaves_a_tombstone() -> None:
    assert succession((A, B), (B,)).tombstones == (stone(A),)
    assert set(succession((A, B, C), (B,), ()).tombstones) == {stone(A), stone(B), stone(C)}


def test_a_key_that_comes_back_leaves_its_tombstone() -> None:
    trust = succession((A,), (), (A,))
    assert trust.tombstones == ()
    assert not key_records(trust)[A.kid].is_revoked


def test_tombstones_have_a_bound_and_the_oldest_go_sr_09() -> None:
    keys = [entry(f"key {number}") for number in range(TOMBSTONES_MAX + 3)]
    trust = succession(*((key,) for key in keys), ())
    assert trust.tombstones == tuple(stone(key) for key in keys[-TOMBSTONES_MAX:])


def test_records_say_what_the_bundle_says() -> None:
    key = replace(
        ENTRY,
        actions=frozenset({1, 6}),
        transports=frozenset({Transport.MQTT, Transport.LOCAL, 9}),
        not_before_unix_s=10,
        not_after_unix_s=20,
    )
    record = key_records(Trust(signed(replace(BUNDLE, keys=(key,)))))[key.kid]
    assert (record.kid, record.operator, record.actions) == (key.kid, 1, key.actions)
    assert record.public_key.public_bytes_raw() == key.public_key
    assert (record.role, record.transports) == ("command", frozenset({"mqtt", "local"}))
    assert (record.not_before_unix_s, record.not_after_unix_s, record.is_revoked) == (10, 20, False)


def test_a_row_of_the_store_that_rotted_is_no_key() -> None:
    """The bundle is signed, tombstones are not: one that makes no sense must not keep the agent from starting."""
    rotten = (Tombstone(b"kid1", 1, bytes(32), 1), Tombstone(b"kid2", 1, A.public_key, 9))
    assert key_records(Trust(signed(BUNDLE), rotten)).keys() == {ENTRY.kid}


def command(operator: int = 1, action: int = 1) -> Command:
    return Command(b"car-----", bytes(16), operator, b"sid-----", 1, 1, action, b"kid-", bytes(32))


def verdict(keys: tuple[KeyEntry, ...], *, gone: tuple[KeyEntry, ...] = (), floor_unix_s: int = DATE_UNIX_S) -> object:
    """What the holder of "the key" is told when it asks for an unlock."""
    record = key_records(succession((*keys, *gone), keys))[entry("the key").kid]
    return authorise(command(), record, topic_operator=1, car=b"car-----", floor_unix_s=floor_unix_s)


THE_KEY = entry("the key")

AUTHORITY: dict[str, tuple[tuple[KeyEntry, ...], tuple[KeyEntry, ...], Reason | None]] = {
    "in_order": ((THE_KEY,), (), None),
    "grant_key": ((replace(THE_KEY, role=Role.GRANT),), (), Reason.ROLE),
    "time_key": ((replace(THE_KEY, role=Role.TIME),), (), Reason.ROLE),
    "local_only": ((replace(THE_KEY, transports=frozenset({1})),), (), Reason.TRANSPORT),
    "no_transport": ((replace(THE_KEY, transports=frozenset()),), (), Reason.TRANSPORT),
    "revoked": ((replace(THE_KEY, is_revoked=True),), (), Reason.KEY_REVOKED),
    "gone": ((), (THE_KEY,), Reason.KEY_REVOKED),
    "revoked_and_expired": ((replace(THE_KEY, is_revoked=True, not_after_unix_s=1),), (), Reason.KEY_REVOKED),
    "expired": ((replace(THE_KEY, not_after_unix_s=DATE_UNIX_S - 1),), (), Reason.KEY_EXPIRED),
    "last_second": ((replace(THE_KEY, not_after_unix_s=DATE_UNIX_S),), (), None),
    "action_not_listed": ((replace(THE_KEY, actions=frozenset({6})),), (), Reason.ACTION_NOT_ALLOWED),
}


@pytest.mark.hazard("H31")
@pytest.mark.hazard("H32")
@pytest.mark.hazard("H34")
@pytest.mark.hazard("H35")
@pytest.mark.parametrize(("keys", "gone", "reason"), AUTHORITY.values(), ids=AUTHORITY.keys())
def test_what_a_key_may_do_is_what_the_bundle_says_h31_h32_h34_h35(
    keys: tuple[KeyEntry, ...], gone: tuple[KeyEntry, ...], reason: Reason | None
) -> None:
    assert verdict(keys, gone=gone) is reason


@pytest.mark.hazard("H34")
def test_a_key_is_too_early_by_a_signed_time_only_h34() -> None:
    record = key_records(Trust(signed(replace(BUNDLE, keys=(replace(THE_KEY, not_before_unix_s=1000),)))))[THE_KEY.kid]
    for attested_unix_s, reason in ((None, None), (999, Reason.KEY_EXPIRED), (1000, None)):
        found = authorise(
            command(),
            record,
            topic_operator=1,
            car=b"car-----",
            floor_unix_s=0,
            attested_unix_s=attested_unix_s,
        )
        assert found is reason


def test_public_helper_agrees_with_the_entry() -> None:
    assert public(private_key("the key")) == THE_KEY.public_key
