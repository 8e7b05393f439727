"""The unit as shipped: each hardening directive with its value, and what systemd makes of all of them together.

That they hold on a running system is shown by `./test --booted`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "carshare-agent.service"
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))

DIRECTIVES = {
    "Type": ["notify"],
    "NotifyAccess": ["main"],
    "WatchdogSec": ["30"],
    "Restart": ["always"],
    "RestartSec": ["2"],
    "TimeoutStartSec": ["90"],
    "TimeoutStopSec": ["15"],
    "DynamicUser": ["yes"],
    "User": ["carshare-agent"],
    "SupplementaryGroups": ["dialout"],
    "UMask": ["0077"],
    "StateDirectory": ["carshare-agent"],
    "StateDirectoryMode": ["0700"],
    "RuntimeDirectory": ["carshare-agent"],
    "RuntimeDirectoryMode": ["0750"],
    "LoadCredentialEncrypted": [
        "vehicle.key:/etc/credstore.encrypted/carshare-agent.vehicle.key",
        "tls.key:/etc/credstore.encrypted/carshare-agent.tls.key",
    ],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "NoNewPrivileges": ["yes"],
    "PrivateUsers": ["yes"],
    "KeyringMode": ["private"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateMounts": ["yes"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "PrivateIPC": ["yes"],
    "RemoveIPC": ["yes"],
    "ProtectClock": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectControlGroups": ["yes"],
    "LockPersonality": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "RestrictNamespaces": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "SystemCallErrorNumber": ["EPERM"],
    "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6 AF_CAN"],
    "IPAddressDeny": ["any"],
    "IPAddressAllow": ["localhost"],
    "DevicePolicy": ["closed"],
    "DeviceAllow": ["char-ttyUSB rw", "char-ttyACM rw"],
    "MemoryMax": ["256M"],
    "TasksMax": ["64"],
    "LimitCORE": ["0"],
    "LimitNOFILE": ["1024"],
    "OOMPolicy": ["stop"],
    "LogRateLimitIntervalSec": ["30"],
    "LogRateLimitBurst": ["300"],
}


def settings(text: str) -> dict[str, list[str]]:
    """Every setting of a unit's text with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def exposure(folder: Path, *drop_ins: Path) -> float:
    """What `systemd-analyze security` says of the unit with these drop-ins; 0 is best."""
    units = folder / "etc/systemd/system"
    (units / f"{UNIT.name}.d").mkdir(parents=True)
    shutil.copy(UNIT, units)
    for drop_in in drop_ins:
        shutil.copy(drop_in, units / f"{UNIT.name}.d")
    command = ["systemd-analyze", "security", "--offline=true", f"--root={folder}", "--no-pager", UNIT.name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    return float(found)


def test_the_unit_has_each_directive_with_its_value() -> None:
    found = settings(UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0])
    assert "carshare-agent" in found.pop("ExecStart")[0]
    assert found == DIRECTIVES


def test_a_threshold_alone_does_not_see_an_allow_list_of_everything() -> None:
    """Why the values are read: systemd's judgement of this unit is as good as of the shipped one."""
    open_to_all = UNIT.read_text().replace("IPAddressAllow=localhost", "IPAddressAllow=any")
    found = settings(open_to_all)
    assert {key: found[key] for key in DIRECTIVES if found[key] != DIRECTIVES[key]} == {"IPAddressAllow": ["any"]}


def test_a_crash_loop_is_counted_and_handed_over() -> None:
    """H89: ten starts in ten minutes, and then the slow ones."""
    found = settings(UNIT.read_text().partition("[Unit]")[2].partition("[Service]")[0])
    wanted = {"StartLimitIntervalSec": ["600"], "StartLimitBurst": ["10"], "OnFailure": ["carshare-agent-slow.service"]}
    assert {key: found.get(key) for key in wanted} == wanted
    assert "failed=10 " in (SYSTEMD / "slow-restarts").read_text()


def test_every_hardening_line_is_explained() -> None:
    explained = (SYSTEMD / "README.md").read_text()
    service = UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0]
    missing = [key for key in settings(service) if f"`{key}" not in explained]
    assert not missing


@pytest.mark.service_manager
def test_the_exposure_is_1_4_and_1_2_with_a_fixed_serial_port(tmp_path: Path) -> None:
    threshold = ["systemd-analyze", "security", "--offline=true", "--threshold=14", "--no-pager", str(UNIT)]
    assert subprocess.run(threshold, capture_output=True).returncode == 0
    assert exposure(tmp_path / "as-shipped") <= 1.4
    assert exposure(tmp_path / "fixed-port", SYSTEMD / "drop-ins/uart.conf") <= 1.2


@pytest.mark.service_manager
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """`verify` warns of keys and values it does not know; the program itself is not installed here."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for path in (UNIT, SYSTEMD / "carshare-agent-slow.service"):
        text = re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", path.read_text())
        (units / path.name).write_text(text)
    for drop_in in DROP_INS:
        if "[Service]" in drop_in.read_text():
            (units / f"{UNIT.name}.d").mkdir(exist_ok=True)
            shutil.copy(drop_in, units / f"{UNIT.name}.d")
    said = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            *(str(units / name) for name in (UNIT.name, "carshare-agent-slow.service")),
        ],
        capture_output=True,
        text=True,
    )
    complaints = [line for line in said.stderr.splitlines() if str(tmp_path) in line or "carshare" in line]
    assert not complaints
