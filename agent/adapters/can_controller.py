"""What an interface says of itself: error frames, failures, and the kernel's files about it.

The unit may use no netlink, so the controller's state and error counters cannot be asked for.  The files in
/sys/class/net tell two things beside the error frames: how many frames the kernel counted, and whether there is a
carrier, which drivers take away for as long as a controller is bus-off.  So a bus-off from before the socket was
opened, or told in an error frame that was lost, is known too, and so is its end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from agent.adapters.can_edge import STATE_SHOWN, sign_of
from agent.adapters.can_port import state_after
from agent.adapters.clock import boot_s
from agent.errors import BusError
from agent.model.bus import BusLook, BusSign, LinkCounts
from agent.model.frame import BusState

INTERFACES = Path("/sys/class/net")

# The files are read before a change is told; however fast a state flaps, no oftener than this.
_LOOK_S_MIN = 1.0

# linux/if.h
_FLAG_UP = 0x1

# A number and a line's end.
_TOLD_BYTES_MAX = 64

_COUNTS = ("rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")


class Controller:
    """The state of one interface, over all the times it is opened. `on_state` is told each change, with its sign.

    `folder` is the kernel's about the interface, None where there is no kernel behind it.  `sent` is how many frames of
    ours left.  `on_look` is told what is counted at every `look` and before a change of state, once a second at most.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        sent: Callable[[], int],
        on_state: Callable[[BusState, BusSign], None],
        on_look: Callable[[BusLook], None],
    ) -> None:
        self.state: BusState | None = None
        self._files = KernelFiles(folder)
        self._sent = sent
        self._on_state = on_state
        self._on_look = on_look
        self._errors: Counter[BusSign] = Counter()
        self._looked_at_s = float("-inf")

    def close(self) -> None:
        """Nobody looks any more."""
        self._files.close()

    def opened(self) -> None:
        """The interface is open, and was read from."""
        self._tell(BusSign.NO_CARRIER if self._files.has_carrier() is False else BusSign.LINK_UP)

    def failed(self, error: BusError) -> None:
        """The interface failed, and is closed."""
        self._files.close()
        self._tell(BusSign.LINK_GONE if state_after(error) is BusState.GONE else BusSign.LINK_DOWN)

    def error_frame(self, error_class: int, data: bytes) -> None:
        """The controller spoke: id (without flags) and data of an error frame."""
        if (sign := sign_of(error_class, data)) is not None:
            self._errors[sign] += 1
            if sign in STATE_SHOWN:
                self._tell(sign)

    def heard(self) -> None:
        """A frame came. Bus-off hears nothing, so that something came means the controller has been restarted."""
        self._tell(BusSign.HEARD)

    def look(self) -> None:
        """Read the kernel's files; to be called every few seconds."""
        carrier = self._files.has_carrier()
        if carrier is False and self.state in (BusState.UP, BusState.ERROR_PASSIVE):
            self._tell(BusSign.NO_CARRIER)
        elif carrier and self.state is BusState.BUS_OFF:
            self._tell(BusSign.CARRIER)
        self._tell_look()

    def _tell(self, sign: BusSign) -> None:
        state = STATE_SHOWN.get(sign, BusState.UP)
        if state is not self.state:
            self.state = state
            self._tell_look()
            self._on_state(state, sign)

    def _tell_look(self) -> None:
        now_s = boot_s()
        if now_s - self._looked_at_s >= _LOOK_S_MIN:
            self._looked_at_s = now_s
            self._on_look(BusLook(dict(self._errors), self._sent(), self._files.counts()))


class KernelFiles:
    """The kernel's files about one interface; None is told of one that it does not have.

    They are kept open, for to open one costs ten times what reading it does, and eight are read every few seconds.  Of
    an interface that was taken away they say so, and those of one of the same name are opened anew.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._opened: dict[str, int] = {}

    def close(self) -> None:
        for opened in self._opened.values():
            os.close(opened)
        self._opened.clear()

    def has_carrier(self) -> bool | None:
        """Whether an interface that is up takes part in its bus; None if it is not up, or nobody says."""
        try:
            if not int(self._told("flags"), 16) & _FLAG_UP:
                return None
            return self._told("carrier").strip() != b"0"
        except (OSError, ValueError):
            return None

    def counts(self) -> LinkCounts | None:
        """The kernel's counts; None for an interface it does not have."""
        try:
            return LinkCounts(*(int(self._told(f"statistics/{name}")) for name in _COUNTS))
        except (OSError, ValueError):
            return None

    def _told(self, name: str) -> bytes:
        if self._folder is None:
            raise FileNotFoundError(name)
        if (opened := self._opened.get(name)) is not None:
            try:
                return os.pread(opened, _TOLD_BYTES_MAX, 0)
            except OSError:
                self.close()
        self._opened[name] = opened = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(opened, _TOLD_BYTES_MAX, 0)
