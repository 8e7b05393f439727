"""Relays: one pulse at a time, of the profile's lines alone, in a thread that opens the line whatever the loop does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from agent.adapters.clock import boot_s
from agent.errors import AgentError
from agent.model.command import Reason
from agent.model.pulse import Pulse

CLOSED_S_LIMIT: Final = 2.0
"""However a profile came by a longer pulse, no line is closed for longer: a held button means something else."""


class PulseRefused(AgentError):  # noqa: N818 - a refusal, not an error, in the words of the effects it answers
    """The line was not closed (for `internal`: perhaps it was), and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RelayLines(Protocol):
    """All lines of the installation. Each method raises OSError if the device does not do it."""

    def hold(self) -> None:
        """Have every line, open; one that is held already stays as it is."""

    def close(self, line: str) -> None:
        """Close this line and no other."""

    def open_all(self) -> None:
        """Open every line."""

    def release(self) -> None:
        """Give the lines back to the kernel; never raises. The next `hold` takes them anew, open."""


class Relays:
    """Pulses `lines`, of which `pulses` are all that is allowed: the second of two checks (SR-01).

    One thread does it all, so no two lines are ever closed at once, and none before the pause after the last is over.
    It is no daemon: whoever ends the process in good order waits for the line to be opened.
    """

    def __init__(
        self,
        pulses: Iterable[Pulse],
        lines: RelayLines,
        *,
        now_s: Callable[[], float] = boot_s,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._longest_s: dict[str, float] = {}
        self._pause_s: dict[str, float] = {}
        for pulse in pulses:
            self._longest_s[pulse.line] = max(pulse.pulse_s, self._longest_s.get(pulse.line, 0.0))
            self._pause_s[pulse.line] = min(pulse.pause_s, self._pause_s.get(pulse.line, pulse.pause_s))
        self._lines = lines
        self._now_s = now_s
        self._wait = wait
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="relays")

    async def pulse(self, pulse: Pulse, not_after_s: float, may_pulse: Callable[[], bool]) -> float:
        """Carry the pulse out; when the line was opened again (boot time), told once the pause after it is over.

        PulseRefused if it is not allowed, comes too late, is not wanted any more, or the line cannot be had.
        """
        if not self._is_allowed(pulse):
            raise PulseRefused(Reason.INTERNAL, f"not on the list of pulses: {pulse}")
        if not may_pulse():
            raise PulseRefused(Reason.EXPIRED, f"{pulse.line}: not wanted any more")
        # Cancelled, one that has begun goes on to its end, and one that waits for its turn is not carried out.
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._carry_out, pulse, not_after_s)

    def _is_allowed(self, pulse: Pulse) -> bool:
        longest_s = min(self._longest_s.get(pulse.line, 0.0), CLOSED_S_LIMIT)
        return 0.0 < pulse.pulse_s <= longest_s and pulse.pause_s >= self._pause_s[pulse.line]

    def _carry_out(self, pulse: Pulse, not_after_s: float) -> float:
        try:
            self._lines.hold()
        except OSError as error:
            raise PulseRefused(Reason.CAN_DOWN, f"{pulse.line}: {error}") from error
        if self._now_s() > not_after_s:
            raise PulseRefused(Reason.EXPIRED, f"{pulse.line}: too late")
        try:
            try:
                self._lines.close(pulse.line)
                self._wait(pulse.pulse_s)
            finally:
                self._lines.open_all()
        except OSError as error:
            # The kernel opens what nobody holds; what the device did until now nobody knows.
            self._lines.release()
            raise PulseRefused(Reason.INTERNAL, f"{pulse.line}: {error}") from error
        opened_at_s = self._now_s()
        self._wait(pulse.pause_s)
        return opened_at_s
