"""Trust under arbitrary input: the codec keeps everything and forgives nothing, and the floor never falls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.command.bundle import (
    COMMAND_KEYS_MAX,
    MASK_MAX,
    NUMBER_MAX,
    OPERATOR_NUMBER_MAX,
    Bundle,
    KeyEntry,
    OperatorEntry,
    Role,
    decode_bundle,
    encode_bundle,
    faults,
)
from agent.command.cosign import DOCUMENT_BYTES_MAX, DocumentKind, open_document, signers
from agent.command.trust import SignedBundle, open_bundle, seal_bundle
from agent.model.effects import Persist
from agent.model.records import BundleTaken, FloorRaised, FloorReset, RecoveredTrust
from agent.pending import Pending
from agent.trusting import FLOOR_INTERVAL_S, Beginning, Trusting, beginning
from tests.support.disk import trust_after
from tests.support.roots import BUNDLE, DATE_UNIX_S, ROOTS, private_key, public, sealed

NUMBERS = st.integers(0, NUMBER_MAX)
MASKS = st.integers(0, MASK_MAX).map(lambda mask: frozenset(bit for bit in range(32) if mask >> bit & 1))
KEYS = tuple(public(private_key(f"key {number}")) for number in range(12))


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Sound bundles, entries in any order."""
    numbers = draw(st.lists(st.integers(1, OPERATOR_NUMBER_MAX), min_size=1, max_size=4, unique=True))
    roots = draw(st.lists(st.sampled_from(ROOTS), min_size=1, unique=True))
    return Bundle(
        fleet=draw(st.binary(min_size=8, max_size=8)),
        version=draw(st.integers(1, NUMBER_MAX)),
        date_unix_s=draw(NUMBERS),
        roots=tuple(map(public, roots)),
        threshold=draw(st.integers(1, len(roots))),
        operators=tuple(OperatorEntry(number, draw(st.text(max_size=16))) for number in numbers),
        keys=tuple(
            KeyEntry(
                operator=draw(st.sampled_from(numbers)),
                public_key=public_key,
                role=draw(st.sampled_from(Role)) if index >= COMMAND_KEYS_MAX else Role.COMMAND,
                actions=draw(MASKS),
                transports=draw(MASKS),
                not_before_unix_s=min(dates := (draw(NUMBERS), draw(NUMBERS))),
                not_after_unix_s=max(dates),
                is_revoked=draw(st.booleans()),
            )
            for index, public_key in enumerate(draw(st.lists(st.sampled_from(KEYS), max_size=8, unique=True)))
        ),
    )


@given(bundles())
@settings(max_examples=100, deadline=None)
def test_a_bundle_comes_back_as_it_was_made(bundle: Bundle) -> None:
    raw = seal_bundle(bundle, ROOTS)
    opened = open_bundle(raw)
    assert isinstance(opened, SignedBundle)
    assert opened.bundle == decode_bundle(encode_bundle(bundle))
    assert {key.kid: key for key in opened.bundle.keys} == {key.kid: key for key in bundle.keys}
    assert seal_bundle(opened.bundle, ROOTS) == raw
    assert not list(faults(opened.bundle))


GOLDEN = sealed(replace(BUNDLE, keys=(*BUNDLE.keys, KeyEntry(2, KEYS[0]))))
GOLDEN_OPENED = open_bundle(GOLDEN)


def believed(raw: bytes) -> int:
    """How many of the roots signed it, as far as it is a bundle at all."""
    document = open_document(DocumentKind.BUNDLE, raw)
    return 0 if document is None else len(signers(document, BUNDLE.roots))


def test_the_golden_bundle_is_believed() -> None:
    assert believed(GOLDEN) == 2


@pytest.mark.parametrize("first", range(8), ids=lambda bit: f"bit{bit}")
def test_no_bit_of_a_bundle_can_be_flipped(first: int) -> None:
    """Each single bit: it is no document any more, or a signature has gone, and the threshold is missed."""
    for index in range(len(GOLDEN)):
        flipped = GOLDEN[:index] + bytes([GOLDEN[index] ^ 1 << first]) + GOLDEN[index + 1 :]
        assert believed(flipped) < 2, f"byte {index}"


def test_no_bundle_can_be_cut_short_or_made_longer() -> None:
    for length in range(len(GOLDEN)):
        assert open_document(DocumentKind.BUNDLE, GOLDEN[:length]) is None
    for more in range(256):
        assert open_document(DocumentKind.BUNDLE, GOLDEN + bytes([more])) is None


@settings(deadline=None)
@given(st.binary(max_size=DOCUMENT_BYTES_MAX + 8) | st.binary(max_size=40).map(lambda noise: GOLDEN[:90] + noise))
def test_no_noise_is_a_bundle_or_an_exception(raw: bytes) -> None:
    assert not isinstance(open_bundle(raw), SignedBundle)


# --- the floor -------------------------------------------------------------------------------------------------------


@dataclass
class Floor:
    """A car that is offered bundles, waits, and loses power; `highest_unix_s` is what the roots and the clock allow."""

    now_s: float = 1000.0
    durable: RecoveredTrust = field(default_factory=RecoveredTrust)
    version: int = 1
    highest_unix_s: int = DATE_UNIX_S
    awake: bool = True

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        begun = beginning(self.durable, sealed(replace(BUNDLE, version=1)))
        assert isinstance(begun, Beginning)
        self.pending = Pending(1)
        self.trusting = Trusting(begun, self.pending, pinned={}, operators=(), now_s=self.now_s)
        self.perform()

    def perform(self) -> None:
        while (effect := self.pending.pop()) is not None:
            if isinstance(effect, Persist):
                for record in effect.records:
                    assert isinstance(record, BundleTaken | FloorRaised | FloorReset)
                    self.durable = trust_after(self.durable, record)
                self.trusting.stored(effect.token, self.now_s)

    @property
    def floor_unix_s(self) -> int:
        return self.trusting.floor_unix_s(self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.highest_unix_s += int(seconds) + 1
        self.trusting.handle_timer(self.now_s, is_awake=self.awake)
        self.perform()

    def offer(self, date_unix_s: int, *, is_signed: bool, is_newer: bool) -> None:
        version = self.version + 1 if is_newer else 1
        raw = sealed(replace(BUNDLE, version=version, date_unix_s=date_unix_s), ROOTS[: 2 if is_signed else 1])
        refusal = self.trusting.offer(raw, self.now_s)
        if refusal is None:
            self.version = version
            self.highest_unix_s = max(self.highest_unix_s, date_unix_s)
        assert (refusal is None) == (is_signed and is_newer)
        self.perform()


DATES = st.integers(DATE_UNIX_S - 10_000, DATE_UNIX_S + 10_000)
EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 4 * FLOOR_INTERVAL_S)),
    st.tuples(st.just("signed"), DATES),
    st.tuples(st.just("unsigned"), DATES),
    st.tuples(st.just("old"), DATES),
    st.tuples(st.just("cut"), st.none()),
    st.tuples(st.just("sleep"), st.booleans()),
)


@given(st.lists(EVENTS, max_size=20))
@settings(max_examples=150, deadline=None)
def test_the_floor_never_falls_and_rises_by_signed_dates_and_elapsed_time_alone(
    events: list[tuple[str, float | int | bool | None]],
) -> None:
    """Within a run it does not fall; over a power cut it falls to what was durable at most; and it is never above the
    latest date that roots signed, with the time that has gone by since.
    """
    car = Floor()
    for name, value in events:
        before = car.floor_unix_s
        match name, value:
            case "wait", float():
                car.wait(value)
                assert car.floor_unix_s >= before + int(value)
                if car.awake and value >= FLOOR_INTERVAL_S:
                    assert car.durable.floor_unix_s == car.floor_unix_s
            case "signed" | "unsigned" | "old", int():
                car.offer(value, is_signed=name != "unsigned", is_newer=name != "old")
                assert car.floor_unix_s == (max(before, value) if name == "signed" else before)
                assert name != "signed" or car.durable.floor_unix_s >= value
            case "cut", _:
                car.start()
                assert car.durable.floor_unix_s == car.floor_unix_s <= before
            case "sleep", bool():
                car.awake = not value
        assert car.floor_unix_s >= car.durable.floor_unix_s
        assert car.floor_unix_s <= car.highest_unix_s
