"""What the vehicle state says to be told, as it changes and as time goes by; and when time alone may change it next.

A look goes through what may have grown old, and through the buses for silence.  Where the kernel watches there is
little such, for it is said when something stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.accounting import Accounting
from agent.bus_watch import BusWatch
from agent.model.reading import Reading
from agent.model.use import VehicleUse
from agent.observing import Observing
from agent.policy.reporting import Reporter
from agent.policy.vehicle_use import USE_PATHS, vehicle_use
from agent.profiles.schema import Profile

# Where something may grow old or silent it is looked at so often: well under the tightest freshness that anybody can
# read remotely.
LOOK_INTERVAL_S = 0.5

# And where all goes on or sleeps: for what is due in minutes.  A suspend, which no timer counts, shows no later either.
QUIET_LOOK_S = 10.0


class Lookout:
    """Readings to the reporter, and the use of the car. `further_at` is until when others want no look."""

    def __init__(
        self,
        profile: Profile,
        observing: Observing,
        reporter: Reporter,
        account: Accounting,
        buses: BusWatch,
        further_at: Callable[[], float],
        now_s: float,
    ) -> None:
        self._paths = profile.paths
        self._decoder = observing.decoder
        self._tracker = observing.tracker
        self._reporter = reporter
        self._account = account
        self._buses = buses
        self._further_at = further_at
        self.use = VehicleUse.ASLEEP
        self._is_shedding = False
        self._looked_at_s = float("-inf")
        self._at_s = now_s
        # Paths by which more is told than their own value.
        self._telling = USE_PATHS.union(path for path, derived in self._tracker.dependents.items() if derived)
        events = (path for path, rule in profile.report_rules.items() if rule.is_event)
        self._only_samples = profile.broadcast_paths.difference(self._telling, events)

    @property
    def pace_use(self) -> VehicleUse:
        """The use by whose pace things are told."""
        return VehicleUse.ASLEEP if self._is_shedding else self.use

    def shed(self, *, is_shedding: bool) -> None:
        """Tell no oftener than of a sleeping car from now on, or as the car is used again."""
        self._is_shedding = is_shedding
        self._reporter.use(self.pace_use)

    def observe(self, changed: Iterable[Reading], now_s: float) -> None:
        """As it stands now: what waited in the kernel's buffer for long may be stale already (SR-05).

        What is not is taken as it stood when it came, so that of an input that changed and changed back meanwhile both
        are seen. Of a path that already has one of this quality waiting to be told there is nothing to consider:
        what leaves is what is known then (`look_if_due`).
        """
        standing_of, observe, telling = self._tracker.standing, self._reporter.observe, self._telling
        waiting, only_samples, young_s = self._reporter.waiting, self._only_samples, self._tracker.tightest_s
        for reading in changed:
            path, _, _, at_s, quality, reason, _ = reading
            if reason is not None:
                self._account.value_refused(reading)
            if path in only_samples and now_s - at_s <= young_s:
                waits = waiting.get(path)
                if waits is not None and waits[4] is quality:
                    continue
            standing = standing_of(reading, now_s)
            observe(standing, at_s if standing is reading else now_s)
            if path in telling:
                self._observe_by(path, now_s)

    def _observe_by(self, path: str, now_s: float) -> None:
        """What else a new value of this path tells."""
        for dependent in self._tracker.dependents[path]:
            self._reporter.observe(self._tracker.reading(dependent, now_s), now_s)
        if path in USE_PATHS:
            self.look_by(now_s + LOOK_INTERVAL_S)

    def observe_all(self, now_s: float, *, only_aging: bool = False) -> None:
        """A sample that waited is told as it stands now, not as it stood when it came (SR-05)."""
        for path in self._tracker.paths:
            if only_aging and not self._tracker.may_age(path):
                continue
            self._reporter.observe(self._tracker.reading(path, now_s), now_s)

    def look_by(self, at_s: float) -> None:
        """Look at this time at the latest, but not again at once."""
        self._at_s = min(self._at_s, max(at_s, self._looked_at_s + LOOK_INTERVAL_S))

    def next_at(self) -> float:
        """When `look_if_due` is wanted next."""
        due_at_s, at_s = self._reporter.next_due_at(), self._at_s
        return at_s if due_at_s is None or due_at_s > at_s else due_at_s

    def look_if_due(self, now_s: float) -> bool:
        """What time alone changes: values grow old, buses fall silent. What is to be told is told as it stands."""
        if now_s < self._at_s and not self._is_telling(now_s):
            return False
        self.use = vehicle_use(
            lambda path: self._tracker.reading(path, now_s) if path in self._paths else None,
            is_asleep=not self._buses.is_any_awake(now_s),
        )
        # However old: when a bus falls silent every value of it is stale before that is noticed.
        last_use = vehicle_use(self._tracker.last_known, is_asleep=False)
        self._buses.handle_time(now_s, is_in_use=last_use is VehicleUse.DRIVING)
        self._reporter.use(self.pace_use)
        # By the pace of this use, for what is about to be told by it must be as it stands now.
        self.observe_all(now_s, only_aging=not self._is_telling(now_s))
        self._looked_at_s = now_s
        return True

    def _is_telling(self, now_s: float) -> bool:
        """Whether something is to be told now, and so all of it as it stands now."""
        wanted = (self._reporter.next_due_at(), self._reporter.next_overdue_at())
        return any(at_s is not None and now_s >= at_s for at_s in wanted)

    def looked(self, now_s: float) -> None:
        """All that this look showed is told: when the next is wanted, if nothing is heard until then."""
        soonest_s = now_s if self._decoder.has_unsettled else now_s + QUIET_LOOK_S
        if (stale_at_s := self._tracker.next_stale_at(now_s)) is not None:
            # And once before: what repeats itself on a bus that is read frame by frame may be kept until a look.
            soonest_s = min(soonest_s, stale_at_s - LOOK_INTERVAL_S)
        wanted = (self._reporter.next_overdue_at(), self._buses.next_at(now_s))
        soonest_s = min(soonest_s, self._further_at(), *(at_s for at_s in wanted if at_s is not None))
        self._at_s = max(now_s + LOOK_INTERVAL_S, soonest_s)
