"""What is known of the health of a CAN bus, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agent.model.quick_dataclass import dataclass


class BusHealth(StrEnum):
    """How a bus is, from nothing known to worst. The first three names of ISO 11898-1's fault confinement are its own.

    `silent`: the link is up, and a car that drives is not heard; a car that sleeps is silent too, and `error_active`.
    """

    UNKNOWN = "unknown"
    ERROR_ACTIVE = "error_active"
    SILENT = "silent"
    ERROR_PASSIVE = "error_passive"
    BUS_OFF = "bus_off"
    DOWN = "down"
    REMOVED = "removed"


class BusSign(StrEnum):
    """One thing that tells of a bus: about its link, its controller (error frames), its frames, or about time."""

    LINK_UP = "link_up"
    LINK_DOWN = "link_down"
    LINK_GONE = "link_gone"
    CARRIER = "carrier"
    """By the kernel's files the controller takes part; drivers take the carrier away for as long as it is bus-off."""
    NO_CARRIER = "no_carrier"
    CONTROLLER_ACTIVE = "controller_active"
    CONTROLLER_WARNING = "controller_warning"
    CONTROLLER_PASSIVE = "controller_passive"
    CONTROLLER_OFF = "controller_off"
    CONTROLLER_RESTARTED = "controller_restarted"
    PROTOCOL_ERROR = "protocol_error"
    NO_ACKNOWLEDGEMENT = "no_acknowledgement"
    SEND_TIMEOUT = "send_timeout"
    OVERFLOW = "overflow"
    """The controller had no room for a frame that came."""
    HEARD = "heard"
    """A frame of the profile came."""
    TRAFFIC = "traffic"
    """Frames came, by the kernel's count, though none of the profile's."""
    SILENCE = "silence"
    """Neither for the profile's time, and the car was last heard driving."""
    REST = "rest"
    """Silence is no wonder any more: the car was heard not to drive."""


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """The kernel's counts of one interface since it was made (`/sys/class/net/<name>/statistics`)."""

    rx_packets: int
    tx_packets: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class BusLook:
    """What the edge counted of a bus since the agent began: error frames by what they say, frames of ours, and the
    kernel's counts; `link` is None where there is no kernel behind the interface, or it is not there.
    """

    errors: Mapping[BusSign, int]
    sent: int = 0
    link: LinkCounts | None = None
