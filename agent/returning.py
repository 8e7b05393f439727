"""The end of a rental: what is asked of the car for each operator, and how it stands."""

from __future__ import annotations

from agent.config import Config
from agent.model.command import Answer, ConditionAnswer, Reason
from agent.model.reading import Reading
from agent.policy.end_of_rental import Rules, answers, rules_of
from agent.policy.permits import Verdict, permit
from agent.profiles.recipes import CONDITIONS
from agent.profiles.schema import Profile
from agent.telemetry import Telemetry


class Returning:
    """Judged on what is known at the moment: nothing is sent and nobody woken for it."""

    def __init__(self, profile: Profile, config: Config, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._general = rules_of(profile.return_conditions, profile.paths)
        self._own: dict[int, Rules] = {
            table.operator: rules_of(
                profile.return_conditions,
                profile.paths,
                wanted=None if table.conditions is None else [CONDITIONS[word] for word in table.conditions],
                energy_percent_min=table.energy_percent_min,
            )
            for table in config.end_of_rental
        }

    def conditions(self, operator: int, now_s: float) -> tuple[ConditionAnswer, ...]:
        """Each condition this operator asks for, as it stands; none if it asks for none."""
        return answers(self._rules(operator), lambda path: self._telemetry.reading(path, now_s), now_s)

    def verdict(self, operator: int, now_s: float) -> Verdict:
        """Why no rental of this operator may end now, None if it may; and the readings, the decisive one first."""
        rules = self._rules(operator)
        if not rules:
            return Reason.UNSUPPORTED_ACTION, ()
        asked = [rule for each in rules.values() for rule in each]

        def read(path: str) -> Reading:
            return self._telemetry.reading(path, now_s)

        reason, readings = permit(asked, read, now_s)
        if reason is None and any(each.answer is not Answer.YES for each in self.conditions(operator, now_s)):
            # What this car cannot tell is not known to hold.
            reason = Reason.RETURN_CONDITION
        return reason, readings

    def _rules(self, operator: int) -> Rules:
        return self._own.get(operator, self._general)
