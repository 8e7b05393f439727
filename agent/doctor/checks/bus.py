"""One CAN bus: the link, its bit rate, whether it may send, what is heard on it, and whether that is this car."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.doctor.checks.finding import Finding, Verdict, fault, ok, unknown, warning
from agent.model.quick_dataclass import dataclass

_NAMES_MAX = 6
"""More missing messages than this are counted, not listed."""

_NETWORK = "/etc/systemd/network"


@dataclass(frozen=True, slots=True)
class Controller:
    """What the driver says of a CAN controller (`ip -json -details link show`). An interface without one is virtual."""

    bitrate_bps: int | None
    is_listen_only: bool
    state: str


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """An interface as /sys/class/net has it; `controller` None: virtual, or for `controller_why` not known."""

    is_there: bool
    is_can: bool = False
    is_up: bool = False
    controller: Controller | None = None
    controller_why: str = ""


@dataclass(frozen=True, slots=True)
class HeardFacts:
    """Frames of one bus. `how` says who listened and how long; `frames` counts all of them, whosever they are.

    `believed` are the messages of the profile of which a frame was taken, `refused` those of which none was;
    `mismatches` says in words whose frames are not what the profile says.
    """

    how: str
    frames: int
    errors: int
    believed: frozenset[str]
    refused: frozenset[str]
    mismatches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BusFacts:
    """All of one bus. `expected` are the messages the car sends by name, with their ids in words.

    `heard` is by doctor itself just now, `told` by the running agent since it began: the second witness, and the only
    one of a serial adapter, which nobody else can open meanwhile. `word` is the agent's for the bus (awake, down …).
    """

    name: str
    interface: str
    channel: str
    bitrate_bps: int
    is_listen_only: bool
    actions: tuple[str, ...]
    expected: Mapping[str, str]
    link: LinkFacts | None
    heard: HeardFacts | None
    heard_why: str = ""
    told: HeardFacts | None = None
    word: str = ""


def check_bus(bus: BusFacts) -> list[Finding]:
    """The findings of one bus, each named `can.<bus>.<what>`."""
    link, rate, heard, profile = _link(bus), _bit_rate(bus), _frames(bus), _profile(bus, _witnessed(bus))
    return [link, rate, _listen_only(bus), heard, profile, *_sending(bus, (link, rate, heard, profile))]


def _link(bus: BusFacts) -> Finding:
    name, link = f"can.{bus.name}.link", bus.link
    if link is None:
        return _adapter(bus)
    if not link.is_there:
        return fault(
            name,
            f"there is no interface {bus.channel}",
            "Plug the adapter in, or load its driver (a HAT needs its dtoverlay in /boot/firmware/config.txt); "
            f"`ip link` lists what there is. Another name belongs into agent.toml: buses.{bus.name}.channel",
        )
    if not link.is_can:
        return fault(
            name,
            f"{bus.channel} is no CAN interface",
            f"Name one in agent.toml: buses.{bus.name}.channel; see `ip link`",
        )
    if not link.is_up:
        return fault(
            name,
            f"{bus.channel} is down",
            f"systemd-networkd brings it up by 80-carshare-{bus.channel}.network: systemctl enable --now "
            f"systemd-networkd; then see networkctl status {bus.channel}",
        )
    state = "" if link.controller is None else link.controller.state
    if state == "BUS-OFF":
        return fault(
            name,
            f"{bus.channel} is bus-off: too many errors of its own, so the controller has cut itself off",
            "Look at the wiring (CAN-H and CAN-L exchanged, no termination, ground) and at the bit rate",
        )
    if state in ("ERROR-PASSIVE", "ERROR-WARNING"):
        return warning(
            name,
            f"{bus.channel} is up and counts errors ({state.lower()})",
            "Look at the bit rate, the wiring and the termination (60 ohms between CAN-H and CAN-L of a whole bus)",
        )
    return ok(name, f"{bus.channel} is up")


def _adapter(bus: BusFacts) -> Finding:
    """What is no interface of the kernel's (a serial line, a USB library) is the agent's to open."""
    name, adapter = f"can.{bus.name}.link", f"{bus.interface} {bus.channel}"
    if not bus.word:
        return unknown(name, f"{adapter} is opened by the agent, which is not there to be asked")
    if bus.word in ("awake", "asleep", "silent", "error_passive"):
        return ok(name, f"{adapter} is open")
    advice = "See journalctl --unit carshare-agent; the unit must be given the device: drop-ins/uart.conf"
    return fault(name, f"{adapter}: {bus.word}", advice)


def _bit_rate(bus: BusFacts) -> Finding:
    name, link = f"can.{bus.name}.bit_rate", bus.link
    if link is None:
        return ok(name, f"the agent sets {bus.interface} {bus.channel} to {_rate(bus.bitrate_bps)} itself")
    if not link.is_can:
        return unknown(name, f"{bus.channel} has none to ask for; the profile wants {_rate(bus.bitrate_bps)}")
    if link.controller is None:
        if link.controller_why:
            return unknown(name, link.controller_why)
        return ok(name, f"{bus.channel} is virtual and has none")
    found = link.controller.bitrate_bps
    if found == bus.bitrate_bps:
        return ok(name, _rate(found))
    return fault(
        name,
        f"{bus.channel} has {'none set' if found is None else _rate(found)}, the profile says {_rate(bus.bitrate_bps)}",
        _drop_in(bus.channel, "bit-rate.conf", f"BitRate={bus.bitrate_bps}"),
    )


def _listen_only(bus: BusFacts) -> Finding:
    name = f"can.{bus.name}.listen_only"
    key = f"buses.{bus.name}.listen_only"
    said = f"agent.toml says {key} = {str(bus.is_listen_only).lower()}"
    if bus.link is None or bus.link.controller is None:
        return unknown(name, f"whether the link may send is not known here; {said}")
    if bus.link.controller.is_listen_only and not bus.is_listen_only:
        return fault(
            name,
            f"{bus.channel} may only listen, and {said}: commands would send nothing and be reported as failed",
            f"In agent.toml: {key} = true, until sending is allowed; then systemctl restart carshare-agent",
        )
    if bus.is_listen_only and not bus.link.controller.is_listen_only:
        return warning(
            name,
            f"{bus.channel} acknowledges frames and could send, while {said}",
            f"If it is to listen only, remove the drop-in in {_NETWORK}/80-carshare-{bus.channel}.network.d that says "
            f"ListenOnly=no; if it may send, see can.{bus.name}.sending",
        )
    return ok(name, f"{bus.channel} {'only listens' if bus.is_listen_only else 'may send'}, and {said}")


def _frames(bus: BusFacts) -> Finding:
    name, heard = f"can.{bus.name}.frames", bus.heard or bus.told
    if heard is None:
        return unknown(name, bus.heard_why)
    if heard.frames:
        return ok(name, f"{heard.frames} frames, {heard.how}")
    if heard.errors:
        return fault(
            name,
            f"{heard.errors} errors and no frame, {heard.how}",
            "Frames that nobody can read are those of another bit rate, or of wires exchanged; look at both",
        )
    return warning(
        name,
        f"silence, {heard.how}",
        "Wake the car (open a door, switch the ignition on) and ask again; if it stays silent look at the wiring",
    )


def _witnessed(bus: BusFacts) -> HeardFacts | None:
    """What both have heard; what the agent heard earlier counts only while the bus is heard now, if that can be known.

    A message that comes now and is refused is this one bus's today, whatever was believed before; and so is one whose
    id means something else, of which an agent tells nothing.
    """
    heard, told = bus.heard, bus.told
    if heard is None or told is None or not heard.frames:
        return heard or told
    believed = heard.believed | (told.believed - heard.refused)
    refused = (heard.refused | told.refused) - believed
    how = f"{heard.how}, and {told.how}"
    return HeardFacts(how, heard.frames, heard.errors, believed, refused, heard.mismatches)


def _profile(bus: BusFacts, heard: HeardFacts | None) -> Finding:
    name = f"can.{bus.name}.profile"
    if heard is None:
        return unknown(name, bus.heard_why)
    if not heard.frames:
        return unknown(name, f"nothing was heard, {heard.how}", f"See can.{bus.name}.frames")
    missing = [message for message in bus.expected if message not in heard.believed | heard.refused]
    count = len(bus.expected)
    if refused := sorted(heard.refused & bus.expected.keys()):
        return fault(
            name,
            f"{_listed(bus, refused)}: heard, and refused every time for length, checksum or counter, {heard.how}",
            "This is another model, year or bus than the profile describes, or the profile is wrong: see candump",
        )
    if heard.mismatches:
        return fault(
            name,
            f"mismatch: {'; '.join(heard.mismatches[:_NAMES_MAX])}, {heard.how}",
            "These ids mean something else on this car, or the profile is wrong: record the bus, and see "
            "carshare-agent profile coverage",
        )
    if missing and len(missing) == count:
        return fault(
            name,
            f"none of the {len(missing)} messages the profile expects is among what was heard, {heard.how}",
            f"This is another bus or another car: check car.profile and buses.{bus.name}.channel in agent.toml",
        )
    if missing:
        return warning(
            name,
            f"not heard: {_listed(bus, missing)}; {count - len(missing)} of {count} were, {heard.how}",
            "Some are sent with the ignition on, or while driving or charging, only: bring the car into that state and "
            "ask again with --listen-s 60; else the profile does not fit",
        )
    return ok(name, f"all {count} messages the profile expects were heard, {heard.how}")


def _sending(bus: BusFacts, before: tuple[Finding, ...]) -> Iterator[Finding]:
    """Only once everything before is in order does anybody hear here how a car is allowed to be sent to."""
    name = f"can.{bus.name}.sending"
    controller = None if bus.link is None else bus.link.controller
    is_link_silent = controller is not None and controller.is_listen_only
    if not bus.actions or not (bus.is_listen_only or is_link_silent):
        return
    refused = f"this bus only listens, so {', '.join(bus.actions)} are answered unsupported_action"
    wanting = [finding.name for finding in before if finding.verdict is not Verdict.OK]
    if wanting:
        yield warning(name, refused, f"Leave it so until these are in order: {', '.join(wanting)}")
        return
    steps = [f"In agent.toml: buses.{bus.name}.listen_only = false; then systemctl restart carshare-agent"]
    if is_link_silent:
        steps.insert(0, _drop_in(bus.channel, "sending.conf", "ListenOnly=no"))
    advice = "\n".join(["Bit rate and ids are this car's: sending may be allowed, if this car is meant to be.", *steps])
    yield warning(name, refused, advice)


def _drop_in(channel: str, file: str, line: str) -> str:
    return (
        f"Write {_NETWORK}/80-carshare-{channel}.network.d/{file}:\n[CAN]\n{line}\n"
        f"Then: networkctl reload && networkctl reconfigure {channel}"
    )


def _listed(bus: BusFacts, names: list[str]) -> str:
    words = [f"{name} ({bus.expected[name]})" for name in names[:_NAMES_MAX]]
    more = len(names) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _rate(bits_per_second: int) -> str:
    return f"{bits_per_second / 1000:g} kbit/s"
