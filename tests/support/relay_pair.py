"""A car whose doors are worked by relays at the buttons of its key fob, and an agent beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from agent.config_table import RelayTable
from agent.model.command import Reason
from agent.model.effects import Effect, PulseRelay
from agent.model.events import FrameNotSent, FrameSent
from agent.model.pulse import Pulse
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.support.pair import FOLDER, STEP_S, Pair, PowerCutError

UNLOCK = Pulse("fob_unlock", 0.3, 0.2)
LOCK = Pulse("fob_lock", 0.3, 0.2)
BUTTONS = {"fob_unlock": False, "fob_lock": True}
"""Whether the car is locked once a button was pressed."""

LINES = {name: RelayTable(chip="/dev/gpiochip0", offset=17 + number) for number, name in enumerate(BUTTONS)}


@cache
def relay_profile(*, has_feedback: bool = True, has_wake: bool = True, times: int = 1, repeats_max: int = 2) -> Profile:
    """The demo car, its doors worked by pulses in place of frames."""
    text = (FOLDER / "profile.toml").read_text()
    for word, line in (("Unlock", "fob_unlock"), ("Lock", "fob_lock")):
        frames = f'frames = [ {{ bus = "body", message = "LockRequest", values = {{ Request = "{word}" }} }} ]\n'
        old = f"{frames}repeats_max = 10\ninterval_s = 0.1\n"
        assert text.count(old) == 1
        if not has_wake:
            old += 'wake = "body"\n'
            assert old in text
        pulses = f'pulses = [ {{ line = "{line}", pulse_s = 0.3, pause_s = 0.2, times = {times} }} ]\n'
        text = text.replace(old, f"{pulses}repeats_max = {repeats_max}\ninterval_s = {0.5 * times + 1.0}\n")
    if not has_feedback:
        for asked in ("false", "true"):
            path = "Vehicle.Carshare.CentralLock.IsLocked"
            text = text.replace(
                f'feedback = [ {{ path = "{path}", equals = {asked}, confirmations = 2 }} ]', "feedback = []"
            )
    parsed = parse_profile(text, {path.name: path.read_bytes() for path in FOLDER.glob("*.dbc")}, source="profile.toml")
    assert isinstance(parsed, Profile), parsed
    return parsed


class RelayPair(Pair):
    """`pulses` are those carried out, with the times at which the line closed. A dead fob hears nothing of them."""

    relays: Mapping[str, RelayTable] = LINES
    is_fob_dead = False
    has_power_within_pulses = True
    refusal: Reason | None = None
    pulses: list[tuple[Pulse, float]]

    def __init__(self, profile: Profile | None = None, **options: object) -> None:
        self.pulses = []
        super().__init__(profile=profile or relay_profile(), **options)  # type: ignore[arg-type]

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, PulseRelay):
            self.engine.receive_link(self._answer(effect), self.now_s)
        else:
            super()._perform(effect)

    def _answer(self, effect: PulseRelay) -> FrameSent | FrameNotSent:
        """As `adapters/relays.py` has it."""
        if self.now_s > effect.not_after_s or not self.engine.may_send(effect.token, self.now_s):
            return FrameNotSent(effect.token, Reason.EXPIRED)
        if self.refusal is not None:
            return FrameNotSent(effect.token, self.refusal)
        pulse = effect.pulse
        self.pulses.append((pulse, self.now_s))
        if not self.is_fob_dead:
            self.car.press_key_fob(self.now_s, is_locked=BUTTONS[pulse.line])
        if not self.has_power_within_pulses:
            raise PowerCutError
        self._hear_for(pulse.pulse_s)
        opened_at_s = self.now_s
        self._hear_for(pulse.pause_s)
        return FrameSent(effect.token, opened_at_s)

    def _hear_for(self, seconds: float) -> None:
        """The car goes on while the agent's performer waits for the relay."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            for frame in self.car.step(self.now_s):
                self.engine.receive_frame(frame, self.now_s)
