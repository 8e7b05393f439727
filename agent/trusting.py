"""Whom the car believes while it runs: the keys in force, the offers to replace them, and how late it is at least.

A bundle takes effect once it is durable, never before; the next one is judged against it already (H131).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.command.trust import (
    BundleRefusal,
    SignedBundle,
    Trust,
    has_own_threshold,
    judge_bundle,
    judge_offer,
    key_records,
    open_bundle,
)
from agent.command.verify import KeyRecord
from agent.model.effects import Level, Subscribe
from agent.model.quick_dataclass import dataclass
from agent.model.records import BundleTaken, FloorRaised, RecoveredTrust
from agent.pending import Pending

# What a power cut can cost of the floor, and 144 writes a day at most (amendment A10).
FLOOR_INTERVAL_S = 600.0

# A floor that is due while all buses sleep waits for one to wake: a parked car must not write for weeks.
ASLEEP_RETRY_S = 10.0

# A broker that keeps bringing a bundle nobody can take fills no log with it.
REFUSAL_LOG_INTERVAL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a car believes when it starts.

    `is_stored` tells a bundle of the store from one that root put in a file; `offered` is the file's where it may take
    the place of the store's; `notes` are findings a person should hear of.
    """

    trust: Trust
    is_stored: bool
    floor_unix_s: int
    offered: SignedBundle | None = None
    notes: tuple[str, ...] = ()


def beginning(recovered: RecoveredTrust, file: bytes | None) -> Beginning | str:
    """What to believe at start, or in words why there is nothing to believe.

    `file` is the bundle that root installed, None if it cannot be read.  It is believed without a bundle before it,
    if enough of its own roots signed it; beside one in the store it is an offer like any other.
    """
    installed = BundleRefusal.MALFORMED if file is None else _self_signed(file)
    if recovered.raw is None:
        if isinstance(installed, BundleRefusal):
            return "no trust bundle yet, and the bundle file " + _words(file, installed)
        floor_unix_s = max(recovered.floor_unix_s, installed.bundle.date_unix_s)
        return Beginning(Trust(installed), is_stored=False, floor_unix_s=floor_unix_s)
    stored = _self_signed(recovered.raw)
    if isinstance(stored, BundleRefusal):
        # The store is whole and these bytes are not: no older bundle may profit from it.
        found = f"the stored trust bundle (version {recovered.version}) is not sound ({stored}), "
        if isinstance(installed, BundleRefusal):
            return found + "and the bundle file " + _words(file, installed)
        if installed.bundle.version < recovered.version:
            return found + f"and the bundle file is older (version {installed.bundle.version})"
        trust = Trust(installed, recovered.tombstones)
        floor_unix_s = max(recovered.floor_unix_s, installed.bundle.date_unix_s)
        return Beginning(trust, False, floor_unix_s, notes=(found + "the bundle file took its place",))
    trust = Trust(stored, recovered.tombstones)
    if isinstance(installed, BundleRefusal):
        notes = () if file is None else ("the bundle file " + _words(file, installed),)
        return Beginning(trust, True, recovered.floor_unix_s, notes=notes)
    match judge_bundle(stored, installed):
        case None:
            return Beginning(trust, True, recovered.floor_unix_s, installed)
        case BundleRefusal.PRESENT | BundleRefusal.OLDER:
            return Beginning(trust, True, recovered.floor_unix_s)  # what it was provisioned with
        case refusal:
            notes = (f"the bundle file cannot follow the stored bundle ({refusal})",)
            return Beginning(trust, True, recovered.floor_unix_s, notes=notes)


class Trusting:
    """Keys, operators and time floor. Without a `start` the keys are pinned by hand: no change, and no signed time."""

    def __init__(
        self,
        start: Beginning | None,
        pending: Pending,
        *,
        pinned: Mapping[bytes, KeyRecord],
        operators: Sequence[int],
        now_s: float,
    ) -> None:
        self._pending = pending
        self._in_force = None if start is None else start.trust
        self._latest = self._in_force
        self._under_way: dict[int, tuple[Trust, int]] = {}
        self._refused_at_s: dict[str, float] = {}
        self._floor_unix_s = 0 if start is None else start.floor_unix_s
        self._floor_at_s = now_s
        self._kept_unix_s = self._floor_unix_s
        self._keep_at_s = now_s + FLOOR_INTERVAL_S
        self.keys: Mapping[bytes, KeyRecord] = pinned
        self.operators = tuple(operators)
        if start is None:
            return
        self._put_in_force(start.trust)
        if not start.is_stored:
            self._persist(start.trust, now_s)
        if start.offered is not None:
            self._persist(start.trust.succeeded_by(start.offered), now_s)

    @property
    def is_rooted(self) -> bool:
        """Whether there are roots, who can change what is believed."""
        return self._in_force is not None

    @property
    def version(self) -> int:
        """Of the bundle in force; 0 without one."""
        return 0 if self._in_force is None else self._in_force.bundle.version

    def command_kids(self, operator: int) -> tuple[bytes, ...]:
        """Keys of this operator that are no tombstones."""
        listed = None if self._in_force is None else {key.kid for key in self._in_force.bundle.keys}
        return tuple(
            record.kid
            for record in self.keys.values()
            if record.operator == operator and (listed is None or record.kid in listed)
        )

    def status(self, now_s: float) -> dict[str, object]:
        """For the local status socket."""
        return {
            "version": self.version,
            "operators": list(self.operators),
            "floor_unix_s": self.floor_unix_s(now_s),
        }

    def floor_unix_s(self, now_s: float) -> int:
        """It is no earlier than this: the newest signed date taken in, and the boot time since. 0 if none was."""
        if self._floor_unix_s == 0:
            return 0
        return self._floor_unix_s + int(max(0.0, now_s - self._floor_at_s))

    def offer(self, raw: bytes, now_s: float) -> BundleRefusal | None:
        """A stranger offers a bundle: make it durable if it may follow the present one, else say why not."""
        if (latest := self._latest) is None:
            return BundleRefusal.FLEET  # no roots, no fleet
        judged = judge_offer(latest.signed, raw)
        if isinstance(judged, SignedBundle):
            self._persist(latest.succeeded_by(judged), now_s)
            return None
        if judged is not BundleRefusal.PRESENT:
            self._note_refusal(judged, now_s)
        return judged

    def stored(self, token: int, now_s: float) -> bool:
        """A write came through; True if it was a bundle's, which is in force from now on."""
        if (found := self._under_way.pop(token, None)) is None:
            return False
        trust, floor_unix_s = found
        before = self.operators
        self._put_in_force(trust)
        self._floor_unix_s = max(self.floor_unix_s(now_s), floor_unix_s)
        self._floor_at_s = max(self._floor_at_s, now_s)
        self._kept_unix_s, self._keep_at_s = max(self._kept_unix_s, floor_unix_s), now_s + FLOOR_INTERVAL_S
        self._pending.log(Level.NOTICE, "bundle_taken", version=trust.bundle.version)
        if self.operators != before:
            self._pending.add(Subscribe(self.operators))
        return True

    def handle_timer(self, now_s: float, *, is_awake: bool) -> None:
        """Keep the floor from time to time, while there is a reason for the card to be awake."""
        if not self.is_rooted or now_s < self._keep_at_s:
            return
        if is_awake:
            self.keep_floor(now_s)
        else:
            self._keep_at_s = now_s + ASLEEP_RETRY_S

    def keep_floor(self, now_s: float) -> None:
        """Make the floor durable as it stands now."""
        floor_unix_s = self.floor_unix_s(now_s)
        self._keep_at_s = now_s + FLOOR_INTERVAL_S
        if floor_unix_s > self._kept_unix_s:
            self._kept_unix_s = floor_unix_s
            self._pending.persist(FloorRaised(floor_unix_s))

    def next_timer(self) -> float:
        return self._keep_at_s if self.is_rooted else float("inf")

    def _persist(self, trust: Trust, now_s: float) -> None:
        """The bundle, its tombstones and the date it brings, in one transaction."""
        bundle = trust.bundle
        floor_unix_s = max(self.floor_unix_s(now_s), bundle.date_unix_s)
        token = self._pending.persist(BundleTaken(bundle.version, trust.signed.raw, trust.tombstones, floor_unix_s))
        self._under_way[token] = trust, floor_unix_s
        self._latest = trust

    def _put_in_force(self, trust: Trust) -> None:
        self._in_force = trust
        self.keys = key_records(trust)
        self.operators = tuple(operator.number for operator in trust.bundle.operators)

    def _note_refusal(self, refusal: BundleRefusal, now_s: float) -> None:
        # By reason, of which there are a dozen.
        if now_s - self._refused_at_s.get(refusal, float("-inf")) >= REFUSAL_LOG_INTERVAL_S:
            self._refused_at_s[refusal] = now_s
            self._pending.log(Level.WARNING, "bundle_refused", reason=refusal.value, in_force=self.version)


def _self_signed(raw: bytes) -> SignedBundle | BundleRefusal:
    signed = open_bundle(raw)
    if isinstance(signed, BundleRefusal) or has_own_threshold(signed):
        return signed
    return BundleRefusal.SIGNATURES


def _words(file: bytes | None, refusal: BundleRefusal) -> str:
    return "cannot be read" if file is None else f"is not sound ({refusal})"
