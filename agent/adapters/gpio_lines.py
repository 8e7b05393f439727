"""Lines of the kernel's GPIO chips, by libgpiod. Imported only where relays are configured.

Run on the kernel's simulator (`tests/booted/test_gpio.py`), and on no board yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import gpiod
from gpiod.line import Direction, Value

from agent.model.quick_dataclass import dataclass

CONSUMER = "carshare-agent"
"""Whom the kernel names as the line's user."""


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Line `offset` of the chip at the path `chip`; active low: its relay closes when the line is pulled down."""

    chip: str
    offset: int
    is_active_low: bool


class GpioLines:
    """The lines by their names in the profile, held as outputs from the first `hold` on, so nobody else can drive them.

    A process that ends, however it does, gives its lines back. What their level is then is the driver's: most make them
    inputs; Raspberry Pi's kernels keep the level unless told otherwise (`persist_gpio_outputs`, see systemd/README.md).
    """

    def __init__(self, places: Mapping[str, LinePlace]) -> None:
        self._places = places
        self._held: dict[str, gpiod.LineRequest] = {}

    def hold(self) -> None:
        for chip in {place.chip for place in self._places.values()} - self._held.keys():
            wanted: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = {
                place.offset: gpiod.LineSettings(
                    direction=Direction.OUTPUT, active_low=place.is_active_low, output_value=Value.INACTIVE
                )
                for place in self._places.values()
                if place.chip == chip
            }
            self._held[chip] = gpiod.request_lines(chip, consumer=CONSUMER, config=wanted)

    def close(self, line: str) -> None:
        self.open_all()
        place = self._places[line]
        self._held[place.chip].set_value(place.offset, Value.ACTIVE)

    def open_all(self) -> None:
        for chip, request in self._held.items():
            offsets = [place.offset for place in self._places.values() if place.chip == chip]
            request.set_values(dict.fromkeys(offsets, Value.INACTIVE))

    def release(self) -> None:
        held, self._held = self._held, {}
        for request in held.values():
            request.release()
