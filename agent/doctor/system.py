"""The computer and its systemd, looked at as root from outside the unit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agent.doctor.asking import NotAskedError, said_by
from agent.doctor.checks.broker import AllowList
from agent.doctor.checks.machine import StoreFacts
from agent.doctor.checks.unit import UNIT, KeyFacts

SYSTEMD_RUNS = Path("/run/systemd/system")
SEALED = Path("/etc/credstore.encrypted")
RESOLVER = Path("/etc/resolv.conf")
WATCHDOG = Path("/dev/watchdog0")

_UNIT_PROPERTIES = (
    *("LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts", "StatusText"),
    *("ConditionResult", "ConditionTimestampMonotonic", "WatchdogUSec", "NotifyAccess", "IPAddressAllow"),
    "IPAddressDeny",
)


def unit_properties() -> dict[str, str]:
    """What systemd knows of the unit; NotAskedError where systemd does not run."""
    return _shown(["systemctl", "show", UNIT, f"--property={','.join(_UNIT_PROPERTIES)}"])


def runtime_watchdog() -> str:
    """How long systemd may stand still before the board resets it, in systemd's words (`0`: for ever)."""
    return _shown(["systemctl", "show", "--property=RuntimeWatchdogUSec"]).get("RuntimeWatchdogUSec", "")


def allow_list(properties: dict[str, str], resolver: Path = RESOLVER) -> AllowList:
    """Whom the unit lets the agent speak to, and whom the system asks for names."""
    if not properties.get("IPAddressDeny"):
        return AllowList(None)
    try:
        lines = [line.split() for line in resolver.read_text().splitlines()]
    except OSError:
        lines = []
    servers = tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")
    return AllowList(tuple(properties.get("IPAddressAllow", "").split()), servers)


def key_facts(directory: Path, name: str, sealed: Path = SEALED) -> KeyFacts:
    """Where the key `name` of the configuration in `directory` is, and whether this machine can open a sealed one."""
    is_beside = (directory / name).exists()
    path = sealed / f"carshare-agent.{Path(name).name}"
    if not path.exists():
        return KeyFacts(name, is_beside, is_sealed=False)
    if os.geteuid() != 0:
        return KeyFacts(name, is_beside, is_sealed=True, opens_why="only root can try")
    try:
        # What it says is the key itself: it is thrown away here.
        said_by(["systemd-creds", "decrypt", f"--name={Path(name).name}", str(path), "-"])
    except NotAskedError as error:
        is_missing = shutil.which("systemd-creds") is None
        return KeyFacts(name, is_beside, is_sealed=True, opens=None if is_missing else False, opens_why=str(error))
    return KeyFacts(name, is_beside, is_sealed=True, opens=True)


def store_facts(path: Path, wanted_bytes: int) -> StoreFacts:
    """The store's folder; OSError if it may not be looked at."""
    try:
        system = os.statvfs(path)
    except FileNotFoundError:
        return StoreFacts(str(path), is_there=False)
    if not path.is_dir():
        return StoreFacts(str(path), is_there=True, is_folder=False)
    taken = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return StoreFacts(
        str(path),
        is_there=True,
        is_read_only=bool(system.f_flag & os.ST_RDONLY),
        free_bytes=system.f_bavail * system.f_frsize,
        wanted_bytes=max(0, wanted_bytes - taken),
    )


def has_watchdog(device: Path = WATCHDOG) -> bool:
    return device.exists()


def _shown(command: list[str]) -> dict[str, str]:
    if not SYSTEMD_RUNS.is_dir():
        raise NotAskedError("systemd does not run here")
    return dict(line.split("=", 1) for line in said_by(command).splitlines() if "=" in line)
