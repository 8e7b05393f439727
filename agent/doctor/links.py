"""CAN interfaces as the kernel shows them: files in /sys/class/net, and iproute2 for what only netlink tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.doctor.asking import NotAskedError, said_by
from agent.doctor.checks.bus import Controller, LinkFacts

INTERFACES = Path("/sys/class/net")

# linux/if_arp.h, linux/if.h
_TYPE_CAN = 280
_FLAG_UP = 0x1


def link_facts(channel: str, interfaces: Path = INTERFACES) -> LinkFacts:
    """What is known of an interface; never raises for one that is not there."""
    folder = interfaces / channel
    try:
        kind, flags = int((folder / "type").read_text()), int((folder / "flags").read_text(), 16)
    except (OSError, ValueError):
        return LinkFacts(is_there=False)
    if kind != _TYPE_CAN:
        return LinkFacts(is_there=True)
    is_up = bool(flags & _FLAG_UP)
    try:
        controller = controller_in(said_by(["ip", "-json", "-details", "link", "show", "dev", channel]))
    except NotAskedError as error:
        return LinkFacts(is_there=True, is_can=True, is_up=is_up, controller_why=str(error))
    return LinkFacts(is_there=True, is_can=True, is_up=is_up, controller=controller)


def controller_in(said: str) -> Controller | None:
    """The controller in what `ip -json -details link show` prints, None for a virtual interface.

    NotAskedError if it is not that.
    """
    try:
        document = json.loads(said)
        information: Any = document[0].get("linkinfo", {})
        kind = information.get("info_kind")
        if kind in ("vcan", "vxcan"):
            return None
        if kind != "can":
            raise NotAskedError("ip says nothing of the controller; iproute2 may be too old")
        data = information.get("info_data", {})
        bit_rate = data.get("bittiming", {}).get("bitrate", data.get("bittiming_bitrate"))
        is_listen_only = "LISTEN-ONLY" in data.get("ctrlmode", [])
        return Controller(bit_rate, is_listen_only, str(data.get("state", "")))
    except (ValueError, LookupError, AttributeError, TypeError):
        raise NotAskedError("ip answers in a form that is not understood") from None
