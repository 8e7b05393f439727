"""The unit: installed, enabled, running, watched; and the keys it is given."""

from __future__ import annotations

from collections.abc import Mapping

from agent.doctor.checks.finding import Finding, fault, ok, unknown, warning
from agent.model.quick_dataclass import dataclass

UNIT = "carshare-agent.service"

_LOG = "journalctl --unit carshare-agent --lines 50"

# systemd.exec(5): the unit's credentials could not be set up.
_STATUS_CREDENTIALS = "243"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Where one of the car's keys is: beside the configuration, sealed for systemd, or both.

    `opens`: whether this machine can open the sealed one; None: not tried (`opens_why`).
    """

    name: str
    is_beside: bool
    is_sealed: bool
    opens: bool | None = None
    opens_why: str = ""


def check_unit(shown: Mapping[str, str]) -> list[Finding]:
    """Of what `systemctl show` says of the unit: is it there, does it run and why not, is it watched."""
    if shown.get("LoadState") != "loaded":
        found = f"{UNIT} is not installed ({shown.get('LoadState', 'no answer')})"
        return [fault("service.unit", found, "Install the Debian package carshare-agent")]
    is_enabled = shown.get("UnitFileState") in ("enabled", "enabled-runtime")
    enabled = (
        ok("service.unit", f"{UNIT} is installed, and begins at boot")
        if is_enabled
        else warning(
            "service.unit", f"{UNIT} does not begin at boot ({shown.get('UnitFileState')})", f"systemctl enable {UNIT}"
        )
    )
    return [enabled, _running(shown), _watchdog(shown)]


def _running(shown: Mapping[str, str]) -> Finding:
    name, state = "service.running", shown.get("ActiveState", "")
    if state == "active":
        restarts = shown.get("NRestarts", "0")
        again = "" if restarts == "0" else f"; started again {restarts} times since boot"
        return ok(name, f"{shown.get('StatusText') or 'active'}{again}")
    if shown.get("ConditionResult") == "no" and shown.get("ConditionTimestampMonotonic", "0") != "0":
        advice = (
            f"/etc/carshare-agent/agent.toml was missing when it was started; once it is there: systemctl start {UNIT}"
        )
        return fault(name, "not started: its condition does not hold", advice)
    if shown.get("ExecMainStatus") == _STATUS_CREDENTIALS:
        advice = "The unit's sealed keys cannot be opened: see the checks of keys"
        return fault(name, f"{state}: ended with status 243, credentials", advice)
    found = (
        f"{state} ({shown.get('SubState')}), last result {shown.get('Result')}, status {shown.get('ExecMainStatus')}"
    )
    if shown.get("Result") == "start-limit-hit":
        found += "; it failed ten times in ten minutes and is now tried every ten minutes"
    return fault(name, found, f"See {_LOG}; mended, systemctl restart {UNIT}")


def _watchdog(shown: Mapping[str, str]) -> Finding:
    name, interval = "service.watchdog", shown.get("WatchdogUSec", "")
    if interval in ("", "0", "infinity"):
        return fault(name, "systemd does not watch the agent", "Take WatchdogSec=0 out of the drop-ins of the unit")
    if shown.get("NotifyAccess") not in ("main", "exec", "all"):
        advice = "NotifyAccess=main belongs into the unit; see systemctl cat carshare-agent"
        return fault(
            name, f"the agent cannot tell systemd that it works (NotifyAccess={shown.get('NotifyAccess')})", advice
        )
    return ok(name, f"systemd begins the agent anew if it does not work for {interval}")


def check_key(key: KeyFacts, *, is_unit_installed: bool) -> Finding:
    name = f"key.{key.name}"
    sealed = f"/etc/credstore.encrypted/carshare-agent.{key.name}"
    seal = f"systemd-creds encrypt --name={key.name} {key.name} {sealed} && rm {key.name}"
    if not key.is_sealed:
        if not key.is_beside:
            return fault(name, f"there is none, neither beside agent.toml nor at {sealed}", "carshare-agent provision")
        if not is_unit_installed:
            return ok(name, "beside agent.toml")
        return fault(
            name,
            "beside agent.toml only, where the service may not read it",
            f"Seal it for this machine, in the folder of agent.toml: {seal}",
        )
    if key.is_beside:
        return fault(
            name,
            f"sealed at {sealed}, and beside agent.toml too: the service takes the second, and may not read it",
            f"Remove {key.name} beside agent.toml, once a copy that you trust is where nobody else is",
        )
    if key.opens is None:
        return unknown(name, f"sealed at {sealed}; whether it can be opened: {key.opens_why}")
    if not key.opens:
        return fault(
            name,
            f"sealed at {sealed}, and cannot be opened: {key.opens_why}",
            "It was sealed on another machine, under another name, or the machine's own key is new; seal it again from "
            "the original, or enrol the car anew",
        )
    return ok(name, f"sealed at {sealed}, and can be opened here")
