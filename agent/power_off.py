"""The power cut in order: the process has ended its work and closed its stores before the supervisor is asked.

Absent a supervisor nothing of this happens: the engine asks none that it has not heard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.adapters.journal import write_log
from agent.adapters.supervisor import Supervisor
from agent.errors import SupervisorError
from agent.model.effects import Level, Log, RequestPowerOff
from agent.model.power import SupervisorNews

if TYPE_CHECKING:
    from agent.adapters.power_supervisor import PowerSupervisor

# After the time agreed on the power may stay on for so long until it counts as not cut: a relay drops, a capacitor
# empties.
CUT_MARGIN_S = 30.0

# systemd's watchdog is fed while nothing is done but to wait for the end; its time is 30 s.
FEED_S = 5.0


class PowerOff:
    """Listens to the power supervisor and asks it for the last thing. `device` is its port; None: there is none.

    `on_progress` is called by `PowerSupervisor` as it says.
    """

    def __init__(
        self,
        device: str | None,
        on_news: Callable[[SupervisorNews], None],
        systemd: Supervisor,
        on_progress: Callable[[float], None],
    ) -> None:
        self._port = None if device is None else _supervisor(device, on_news, on_progress)
        self._systemd = systemd
        self._wanted = asyncio.Event()
        self._request: RequestPowerOff | None = None

    def ending(self) -> None:
        """The process ends. systemd, which would soon kill it then, is not told if it is to wait for the power."""
        if self._request is None:
            self._systemd.notify("STOPPING=1")

    def want(self, request: RequestPowerOff) -> None:
        """The engine asks for the power to be cut: whoever waits in `wanted_or` goes on."""
        self._request = request
        self._wanted.set()

    async def wanted_or(self, stop: asyncio.Event) -> None:
        """Wait until the process is to end, for whichever reason."""
        waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._wanted.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def listen(self) -> None:
        """Pass on what the supervisor says, until cancelled."""
        if self._port is not None:
            await self._port.listen()

    async def carry_out(self, stop: asyncio.Event) -> None:
        """Ask for the power to be cut, if that is why the process ends, and wait for it or for `stop`.

        Called once all is told and the stores are closed. A supervisor that refuses, or does not cut, is logged; the
        process then ends, and whoever started it does so again. Of a system that goes down anyway nothing is asked.
        """
        if self._request is None or self._port is None or stop.is_set():
            return
        request = self._request
        fields = {"after_s": request.after_s, "reason": request.reason}
        try:
            await self._port.request_off(request.after_s)
        except SupervisorError as error:
            write_log(Log(Level.ERROR, "power_off_refused", {**fields, "error": str(error)}))
            return
        write_log(Log(Level.NOTICE, "power_off_agreed", fields))
        self._systemd.notify(f"STATUS=waiting for the power to be cut within {request.after_s:g} s")
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + request.after_s + CUT_MARGIN_S
        while loop.time() < ends_s and not stop.is_set():
            self._systemd.notify("WATCHDOG=1")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(FEED_S, max(0.0, ends_s - loop.time()))):
                    await stop.wait()
        if not stop.is_set():
            write_log(Log(Level.ERROR, "power_not_cut", fields))


def _supervisor(
    device: str, on_news: Callable[[SupervisorNews], None], on_progress: Callable[[float], None]
) -> PowerSupervisor:
    """Most cars have none, and need no library for serial ports."""
    from agent.adapters.power_supervisor import PowerSupervisor

    return PowerSupervisor(device, on_news, on_progress)
