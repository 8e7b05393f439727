"""A car that sleeps for ten hours in virtual time: every frame the agent sends, every message it publishes (SR-08)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from agent.model.command import Action, Stage
from agent.model.effects import Effect, Publish, SendFrame
from tests.support.pair import Pair

NIGHT_S = 10 * 3600.0
ASKED_AT_S = {2.5 * 3600.0: Action.UNLOCK, 6.0 * 3600.0: Action.LOCK}

TURN_S = 5.0

ECHO_S, HEARTBEAT_S = 300.0, 600.0
"""What a sleeping car sends: requirement R13, and the heartbeat of the pair's configuration."""

COMMAND_S = 20.0
"""A command from sleep has its result within this: wake call, settling, and the lock's own time."""


@dataclass
class Night:
    """What left the agent, with the second of the night."""

    pair: Pair
    frames_s: list[float] = field(default_factory=list)
    messages_s: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began_s = self.pair.now_s
        self.pair.before_effect = self._note

    def _note(self, pair: Pair, effect: Effect) -> None:
        if isinstance(effect, SendFrame):
            self.frames_s.append(pair.now_s - self._began_s)
        elif isinstance(effect, Publish):
            self.messages_s.append((pair.now_s - self._began_s, effect.topic.rsplit("/", 1)[-1]))

    def sleep_until(self, second: float) -> None:
        """Car and agent are asked every five seconds: whatever either would do in between, it does then."""
        pair, until_s = self.pair, self._began_s + second
        while pair.now_s < until_s:
            pair.now_s = min(pair.now_s + TURN_S, until_s)
            assert pair.car.step(pair.now_s) == [], "a sleeping car says nothing"
            pair.engine.handle_timer(pair.now_s)
            pair.perform()


def is_asked(second: float) -> bool:
    """Whether a command may be under way then."""
    return any(at_s <= second <= at_s + COMMAND_S for at_s in ASKED_AT_S)


def test_ten_hours_of_sleep_have_no_frame_but_those_of_two_commands_sr_08() -> None:
    pair = Pair(is_asleep=True)
    pair.run(10.0)
    night = Night(pair)
    for at_s, action in ASKED_AT_S.items():
        night.sleep_until(at_s)
        assert pair.car.is_asleep, "nothing woke it"
        pair.deliver("cmd", pair.command(action))
        pair.run(COMMAND_S)
        assert pair.final_results()[-1].stage is Stage.VERIFIED
        pair.car.sleep(pair.now_s)
    night.sleep_until(NIGHT_S)
    assert len(night.frames_s) == len(pair.sent)
    assert [second for second in night.frames_s if not is_asked(second)] == []
    assert all(any(at_s <= second <= at_s + COMMAND_S for second in night.frames_s) for at_s in ASKED_AT_S)
    assert pair.car.is_asleep, "nothing keeps it awake"
    # From half an hour after the lock on, what a sleeping car tells.
    rest_s = NIGHT_S - 6.5 * 3600.0
    rest = [(second, kind) for second, kind in night.messages_s if second > NIGHT_S - rest_s]
    assert Counter(kind for _, kind in rest) == {"echo": rest_s // ECHO_S, "state": rest_s // HEARTBEAT_S}
    echoes_s = [second for second, kind in rest if kind == "echo"]
    assert all(then_s - first_s > ECHO_S - 1e-6 for first_s, then_s in pairwise(echoes_s))
