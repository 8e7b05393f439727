"""The numbered suite of `hw-tests/` on two real controllers' drivers, in a PC that QEMU emulates; `./test --booted`."""

# ruff: noqa: T201 - times and the guest's own words, for the report
from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.booted.conftest import Package
from tests.booted.qemu import boot
from tests.booted.system import ROOT, Boot

pytestmark = [pytest.mark.booted, pytest.mark.timeout(1500)]

BOOT_TIMEOUT_S = 1200.0

GUEST = """
. /host/mounts.sh
networkctl --no-pager list
for link in can0 can1; do
    /lib/systemd/systemd-networkd-wait-online --interface=$link:carrier --timeout=60
    ip -details -json link show dev $link >/host/$link.json
done
cut -d ' ' -f 1 /proc/uptime >/host/booted_s
mount -t tmpfs tmp /tmp
cd {root} && PYTHONDONTWRITEBYTECODE=1 {python} -m pytest -p no:cacheprovider hw-tests \
    -k '{which}' --bench hw-tests/bench.qemu.toml --reports /host --durations=5
echo $? >/host/status
"""

ELSEWHERE = "not not_called_verified and not ignition and not test_5 and not test_8"
"""No other on a controller than on vcan, and each takes a minute here; test 8: `test_gpio.py`."""

SHIPPED = {"bitrate": 500_000, "sample_point": "0.875", "restart_ms": 1000}


def numbered_tests(_package: Package, folder: Path) -> Boot:
    script = GUEST.format(which=ELSEWHERE, root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable))
    (folder / "guest.sh").write_text(script)
    return boot(folder, timeout_s=BOOT_TIMEOUT_S)


@pytest.mark.boots(plan=numbered_tests)
def test_networkd_brings_the_controllers_up_and_the_numbered_tests_pass(booted: Boot) -> None:
    """Links by `systemd/network` and the drop-in that allows sending; agent on can0, virtual car on can1."""
    folder, said = booted.folder, booted.said
    booted_s = float((folder / "booted_s").read_text())
    print(f"links up after {booted_s:.0f} s, {booted.seconds:.0f} s from power-on to power-off\n{said}")
    for name in ("can0", "can1"):
        (link,) = json.loads((folder / f"{name}.json").read_text())
        controller = link["linkinfo"]["info_data"]
        found = {
            "bitrate": controller["bittiming"]["bitrate"],
            "sample_point": controller["bittiming"]["sample_point"],
            "restart_ms": controller["restart_ms"],
        }
        assert found == SHIPPED, name
        assert "LISTEN-ONLY" not in controller.get("ctrlmode", []), name
    assert (folder / "status").read_text().strip() == "0", said
    (report,) = (json.loads(path.read_text()) for path in folder.glob("qemu*.json"))
    assert {each["driver"] for each in report["channels"].values()} == {"kvaser_pci"}
    passed = {each["number"] for each in report["results"] if each["outcome"] == "passed"}
    assert {1, 2, 3, 6} <= passed
    print(next(folder.glob("qemu*.md")).read_text())
