"""What the virtual car makes of the frames others put on its buses: the profile's own recipes, from the other side."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from agent.model.command import Action
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.model.recipe import FrameTemplate
from agent.profiles.schema import Profile

ROUND_S_MAX = 1.0  # the frames of a recipe are sent one after the other; what comes later belongs to another round


@dataclass(frozen=True, slots=True)
class Heard:
    """A request, once all its frames have come; `counter` is that of the last one, None if it has none.

    One whose frame has a wrong checksum is told of at that frame.
    """

    action: Action
    counter: int | None
    is_checksum_good: bool


class WakeHeard(Enum):
    """How far a wake-up has come."""

    NOTHING = "nothing"
    FRAME = "frame"
    WHOLE = "whole"


class CarEar:
    """Recognises wake-ups and requests by their frames, in order, within a second."""

    def __init__(self, profile: Profile) -> None:
        self._wakes = [_Round(frames) for frames in _wakes(profile)]
        self._requests = [(action, _Round(recipe.frames)) for action, recipe in profile.recipes.items()]

    def wake(self, frame: Frame, now_s: float) -> WakeHeard:
        """Whether the frame wakes the car; a sleeping one listens for nothing else."""
        heard = WakeHeard.NOTHING
        for one in self._wakes:
            if (template := one.hear(frame, now_s)) is None:
                continue
            if not _is_sound(frame, template):
                one.forget()
            elif heard is not WakeHeard.WHOLE:
                heard = WakeHeard.WHOLE if one.is_whole else WakeHeard.FRAME
        return heard

    def requests(self, frame: Frame, now_s: float) -> Iterator[Heard]:
        """The requests that the frame completes."""
        for action, one in self._requests:
            if (template := one.hear(frame, now_s)) is None:
                continue
            counter = None if template.counter is None else template.counter.extract(frame.data)
            if not _is_sound(frame, template):
                one.forget()
                yield Heard(action, counter, is_checksum_good=False)
            elif one.is_whole:
                yield Heard(action, counter, is_checksum_good=True)


class _Round:
    """The frames of one recipe, and how many of them have come."""

    def __init__(self, templates: tuple[FrameTemplate, ...]) -> None:
        self._templates = templates
        self._plain = tuple(_plain(template.data, template) for template in templates)
        self._count = 0
        self._at_s = 0.0

    def __deepcopy__(self, _memo: object) -> _Round:
        copied = _Round(self._templates)
        copied._count, copied._at_s = self._count, self._at_s
        return copied

    @property
    def is_whole(self) -> bool:
        """Whether the frame just heard was the last one."""
        return self._count == len(self._templates)

    def forget(self) -> None:
        """The round begins anew."""
        self._count = 0

    def hear(self, frame: Frame, now_s: float) -> FrameTemplate | None:
        """Which of the frames it is, if it is the next one or the first one."""
        if self.is_whole or now_s - self._at_s > ROUND_S_MAX:
            self._count = 0
        for number in (self._count, 0):
            if number < len(self._templates) and self._is(frame, number):
                self._count, self._at_s = number + 1, now_s
                return self._templates[number]
        return None

    def _is(self, frame: Frame, number: int) -> bool:
        template = self._templates[number]
        if (frame.bus, frame.arbitration_id, frame.is_extended_id) != (
            template.bus,
            template.arbitration_id,
            template.is_extended_id,
        ):
            return False
        return len(frame.data) == len(template.data) and _plain(frame.data, template) == self._plain[number]


def _plain(data: bytes, template: FrameTemplate) -> bytes:
    """The payload without what the sender computes."""
    if template.counter is not None:
        data = template.counter.insert(data, 0)
    return data if template.checksum is None else template.checksum.field.insert(data, 0)


def _is_sound(frame: Frame, template: FrameTemplate) -> bool:
    checksum = template.checksum
    return checksum is None or checksum.field.extract(frame.data) == checksum.compute(frame.data)


def _wakes(profile: Profile) -> Iterator[tuple[FrameTemplate, ...]]:
    wakes = [recipe.wake for recipe in profile.recipes.values() if recipe.wake is not None]
    seen: list[tuple[FrameTemplate, ...]] = []
    for wake in wakes:
        if wake.frames not in seen:
            seen.append(wake.frames)
            yield wake.frames
