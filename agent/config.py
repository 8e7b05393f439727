"""`agent.toml` as types, or every fault in it at once.

Paths stay text here; the edge reads them relative to the folder of the configuration file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

from agent.config_table import PowerTable, RelayTable, ReportingTable
from agent.faults import Fault, shown, syntax_fault, toml_line
from agent.model.command import Action
from agent.model.quick_dataclass import dataclass
from agent.model.table import Table, Within, believed, checked, keys_at
from agent.profiles.findings import Findings, expected_by, expected_of
from agent.profiles.schema import Profile

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

HexCar = Annotated[str, Within(pattern=r"^[0-9a-f]{16}$")]
HexKid = Annotated[str, Within(pattern=r"^[0-9a-f]{8}$")]
HexKey = Annotated[str, Within(pattern=r"^[0-9a-f]{64}$")]
ActionWord = Literal["unlock", "lock", "enable_drive", "disable_drive", "locate", "report", "check_return"]

ConditionWord = Literal[
    "ignition_off",
    "not_moving",
    "doors_closed",
    "windows_closed",
    "lights_off",
    "key_in_holder",
    "cards_in_holder",
    "plugged",
    "energy",
    "in_zone",
    "locked",
]

_INTERFACE_NAME = r"(?!\.\.?$)[^\s/:]{1,15}"
"""What Linux takes for a network interface's name (`dev_valid_name`), which counts bytes, where these are letters."""

ACTIONS = {action.name.lower(): action for action in Action}


@dataclass(frozen=True, slots=True, kw_only=True)
class CarTable(Table):
    """Who this car is. `id` is the random 8-byte id from provisioning, never the VIN."""

    id: HexCar
    profile: Annotated[str, Within(min_length=1)]
    key_file: Annotated[str, Within(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTable(Table):
    """The CAN interface behind one of the profile's buses, in python-can's words, and who looks at its frames first.

    `listen_only` says that the link may not send: systemd-networkd sets the controller up so, and the agent, which may
    not ask the kernel (no netlink in its unit), could not tell a frame that was never sent from one nobody answered.
    """

    interface: Annotated[str, Within(min_length=1)] = "socketcan"
    channel: Annotated[str, Within(min_length=1)]
    reception: Literal["kernel", "frames"] = "kernel"
    listen_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTable(Table):
    """The MQTT broker. Without `ca_file` the connection is plain.

    That only one to a loopback address may be, unless `allow_unencrypted_network` says in plain words that it may.
    """

    host: Annotated[str, Within(min_length=1)]
    port: Annotated[int, Within(ge=1, le=65535)] = 8883
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    keep_alive_s: Annotated[int, Within(ge=5, le=1200)] = 330
    allow_unencrypted_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandKeyTable(Table):
    """One key that may sign commands; `id` is the first 4 bytes of SHA-256 of the public key."""

    id: HexKid
    public_key: HexKey
    actions: Annotated[list[ActionWord], Within(min_length=1)]
    not_before_unix_s: Annotated[int, Within(ge=0)] = 0
    not_after_unix_s: Annotated[int, Within(ge=0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTable(Table):
    """An operator and its keys; eight at most, because a `hello` has room for the counters of eight."""

    number: Annotated[int, Within(ge=1, le=2**31 - 1)]
    name: str = ""
    command_keys: Annotated[list[CommandKeyTable], Within(min_length=1, max_length=8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustTable(Table):
    """Where root installed the bundle this car begins with; later ones come by the broker and are kept in the store."""

    bundle_file: Annotated[str, Within(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTable(Table):
    directory: Annotated[str, Within(min_length=1)] = "/var/lib/carshare-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfRentalTable(Table):
    """What one operator asks of the car at the end of a rental, in place of all that the profile can tell."""

    operator: Annotated[int, Within(ge=1, le=2**31 - 1)]
    conditions: Annotated[list[ConditionWord], Within(min_length=1, max_length=11)] | None = None
    energy_percent_min: Annotated[float, Within(ge=0.0, le=100.0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTable(Table):
    socket: Annotated[str, Within(min_length=1)] = "/run/carshare-agent/status.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Table):
    """The whole of `agent.toml`. Every key with its default, unit and reason: `systemd/agent.toml`."""

    car: CarTable
    buses: Annotated[dict[str, BusTable], Within(min_length=1)]
    relays: Annotated[dict[str, RelayTable], Within(max_length=16)] = field(default_factory=dict)
    broker: BrokerTable
    trust: TrustTable | None = None
    operators: Annotated[list[OperatorTable], Within(max_length=16)] = field(default_factory=list)
    store: StoreTable = StoreTable()
    reporting: ReportingTable = ReportingTable()
    end_of_rental: Annotated[list[EndOfRentalTable], Within(max_length=16)] = field(default_factory=list)
    power: PowerTable = PowerTable()
    status: StatusTable = StatusTable()


def parse_config(text: str, *, source: str) -> Config | list[Fault]:
    """The configuration in a TOML text, or all its faults with line and key; never raises for bad input."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return [syntax_fault(source, error)]
    findings = Findings(text, source)
    from pydantic import ValidationError

    try:
        config = checked(Config, document)
    except ValidationError as error:
        _tell(findings, error.errors(include_url=False, include_context=False))
        return findings.listed()
    _cross_checks(config, findings)
    return findings.listed() or config


def believe_config(text: str) -> Config | None:
    """What a text says that `parse_config` took before: whoever asks has to know that of it.

    None if `parse_config` would not take it, as far as this can be told without looking at bounds.
    """
    try:
        return believed(Config, tomllib.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def check_against_profile(config: Config, profile: Profile, text: str, *, source: str) -> list[Fault]:
    """Faults that only show with the profile at hand: buses without an interface, interfaces without a bus."""
    names = [bus.name for bus in profile.buses]
    # Where the car only answers an installation may do without asking.
    optional = {bus.name for bus in profile.buses if bus.awake_with is not None}
    faults = [
        Fault(
            source,
            f"buses.{name}",
            0,
            f"the profile {profile.name} has a bus {name!r} without an interface here",
            f'a table [buses.{name}] with channel = "can0" or the like',
        )
        for name in names
        if name not in config.buses and name not in optional
    ]
    faults += [
        Fault(
            source,
            f"buses.{name}",
            toml_line(text, ("buses", name)),
            f"the profile {profile.name} has no bus {name!r}",
            "one of " + ", ".join(names),
        )
        for name in config.buses
        if name not in names
    ]
    # A line without a relay here is no fault: its actions are unsupported, as of a car that is wired later.
    lines = {pulse.line for pulse in profile.pulse_list}
    faults += [
        Fault(
            source,
            f"relays.{name}",
            toml_line(text, ("relays", name)),
            f"the profile {profile.name} pulses no line {name!r}",
            expected_of(lines, name),
        )
        for name in config.relays
        if name not in lines
    ]
    return faults


def _cross_checks(config: Config, findings: Findings) -> None:
    for name, problem in config.power.faults():
        findings.add(("power", name), problem, "resume_v > warn_v > shed_v > off_v")
    for name, bus in config.buses.items():
        if bus.interface == "socketcan" and not re.fullmatch(_INTERFACE_NAME, bus.channel):
            problem = f"{shown(bus.channel)} is a name that the kernel gives no interface"
            findings.add(("buses", name, "channel"), problem, "one that `ip link` lists, such as can0")
    broker = config.broker
    if (broker.certificate_file is None) != (broker.key_file is None):
        findings.add(("broker",), "certificate_file and key_file go together", "both or none")
    if broker.certificate_file is not None and broker.ca_file is None:
        expected = "the CA file that signed the broker's certificate"
        findings.add(("broker",), "certificate_file without ca_file", expected)
    if broker.allow_unencrypted_network and broker.ca_file is not None:
        problem = "true beside a ca_file, which says that the connection is TLS"
        findings.add(("broker", "allow_unencrypted_network"), problem, "one of the two")
    seen_numbers: set[int] = set()
    seen_kids: set[str] = set()
    for index, operator in enumerate(config.operators):
        if operator.number in seen_numbers:
            problem = f"operator {operator.number} stands here twice"
            findings.add(("operators", index, "number"), problem, "one table an operator")
        seen_numbers.add(operator.number)
        for position, key in enumerate(operator.command_keys):
            where = ("operators", index, "command_keys", position)
            if key.id in seen_kids:
                findings.add((*where, "id"), f"key id {key.id} stands here twice", "distinct key ids")
            seen_kids.add(key.id)
            if key.not_after_unix_s is not None and key.not_after_unix_s < key.not_before_unix_s:
                findings.add(
                    (*where, "not_after_unix_s"), "ends before it begins", "not_after_unix_s >= not_before_unix_s"
                )
    _check_end_of_rental(config, findings)
    lines: dict[tuple[str, int], str] = {}
    for name, relay in config.relays.items():
        if (other := lines.setdefault((relay.chip, relay.offset), name)) != name:
            findings.add(("relays", name, "offset"), f"the line of relays.{other} too", "one line a relay")
    if config.trust is not None and config.operators:
        findings.add(("operators",), "stands beside [trust]", "one of the two: the trust bundle has the operators")
    elif config.trust is None and not config.operators:
        findings.add(("trust",), "nobody to take commands from", "a table [trust], or [[operators]] for one car alone")
    is_pinned = config.trust is None and bool(config.operators)
    if is_pinned and config.reporting.operator is not None and config.reporting.operator not in seen_numbers:
        expected = "one of " + ", ".join(map(str, sorted(seen_numbers)))
        findings.add(("reporting", "operator"), f"no operator has the number {config.reporting.operator}", expected)


def _check_end_of_rental(config: Config, findings: Findings) -> None:
    seen: set[int] = set()
    for index, table in enumerate(config.end_of_rental):
        if table.operator in seen:
            problem = f"operator {table.operator} stands here twice"
            findings.add(("end_of_rental", index, "operator"), problem, "one table an operator")
        seen.add(table.operator)
        if table.energy_percent_min is not None and "energy" not in (table.conditions or ["energy"]):
            problem = "a minimum of what is not asked for"
            findings.add(("end_of_rental", index, "energy_percent_min"), problem, '"energy" among the conditions')


def _tell(findings: Findings, details: Iterable[ErrorDetails]) -> None:
    meant: set[tuple[str | int, ...]] = set()  # by a key that is written otherwise, and told with it
    for detail in sorted(details, key=lambda detail: detail["type"] != "unexpected_keyword_argument"):
        path, kind = detail["loc"], detail["type"]
        if kind == "unexpected_keyword_argument":
            known = keys_at(Config, path[:-1])
            findings.add(path, "unknown key", expected_of(known, str(path[-1])))
            meant |= {(*path[:-1], key) for key in get_close_matches(str(path[-1]), known)}
        elif kind != "missing":
            findings.add(path, f"{shown(detail['input'])} does not fit", expected_by(detail["msg"]))
        elif path not in meant:
            findings.add(path, "missing", "a value; there is no default")
