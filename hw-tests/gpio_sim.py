"""Relays that are lines of the kernel's GPIO simulator, which tells how each stands beside the driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from agent.config_table import RelayTable

LOOK_S = 0.005
LATE_SHARE, LATE_S = 0.05, 1.5
"""How much longer than asked a pulse may be where every instruction is emulated; a shorter one is none."""

Change = tuple[float, str, bool]


class SimulatedRelays:
    """Notes when each line changes, from its making to `close`."""

    def __init__(self, relays: Mapping[str, RelayTable]) -> None:
        self._files = {name: _file(table) for name, table in relays.items()}
        self._closed_at = {name: "0" if table.active_low else "1" for name, table in relays.items()}
        self._changes: list[Change] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def is_closed(self, name: str) -> bool:
        """How the line stands at this moment."""
        return self._files[name].read_text().strip() == self._closed_at[name]

    def closed_alone(self, name: str, seconds: float) -> bool:
        """Whether it closed and opened once since this was asked last, after about so long, and no other line moved."""
        time.sleep(4 * LOOK_S)
        changes, self._changes = self._changes, []
        if [(who, is_closed) for _, who, is_closed in changes] != [(name, True), (name, False)]:
            return False
        lasted_s = changes[1][0] - changes[0][0]
        return seconds * (1 - LATE_SHARE) <= lasted_s <= seconds + LATE_S

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        stands = {name: self.is_closed(name) for name in self._files}
        while not self._is_over.wait(LOOK_S):
            for name, before in stands.items():
                if (now := self.is_closed(name)) is not before:
                    stands[name] = now
                    self._changes.append((time.monotonic(), name, now))


def _file(table: RelayTable) -> Path:
    """Where the simulator tells the line's level: beside its chip, among the devices."""
    chip = Path("/sys/bus/gpio/devices", Path(table.chip).name).resolve()
    return chip.parent / chip.name / f"sim_gpio{table.offset}" / "value"
