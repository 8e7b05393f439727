"""What ended commands leave behind: until when one may still take effect, or be answered."""

from __future__ import annotations

import math

from agent.command.exchange import Exchange
from agent.model.command import Action, Executed

# Only one of these can undo what the other does; a lock that may still close says nothing of the immobiliser.
_OPPOSITES = {
    Action.UNLOCK: Action.LOCK,
    Action.LOCK: Action.UNLOCK,
    Action.ENABLE_DRIVE: Action.DISABLE_DRIVE,
    Action.DISABLE_DRIVE: Action.ENABLE_DRIVE,
}


class OpenEnds:
    """What the commands of this run of the agent have left behind."""

    def __init__(self) -> None:
        self._effect_until_s: dict[Action, float] = {}
        self._late_until_s: dict[str, float] = {}

    def ended(self, action: Action, bus: str | None, lifecycle: Exchange, executed: Executed) -> None:
        """A command came to its end, and this is known of what it did."""
        if executed is Executed.UNKNOWN:
            self._effect_until_s[action] = max(lifecycle.effect_until_s, self._effect_until(action))
        if bus is not None:
            self._late_until_s[bus] = max(lifecycle.late_until_s, self.late_until_s(bus))

    def settled_at_s(self, action: Action) -> float:
        """Until when an earlier command may still undo what this one does."""
        opposite = _OPPOSITES.get(action)
        return -math.inf if opposite is None else self._effect_until(opposite)

    def late_until_s(self, bus: str) -> float:
        """Until when a control unit on the bus may still answer an earlier command."""
        return self._late_until_s.get(bus, -math.inf)

    def _effect_until(self, action: Action) -> float:
        return self._effect_until_s.get(action, -math.inf)
