"""What a test may need of the machine, and what happens where that is missing.

A laptop without it skips the test and says what to install; with `CI=true` that is a failure, and so is every other
skip but the one of recordings that may not be published.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from tests.support import contract
from tests.support.hazards import properties_of
from tests.support.uml import find_tool, missing_tools

IS_CI = os.environ.get("CI") == "true"

SKIP_ALLOWED = "recordings of real cars"
"""Recordings of real cars state no licence, so they lie outside the repository and a fresh clone has none."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that tests with the marker `marker` need; `remedy` tells a person how to get it."""

    marker: str
    is_present: Callable[[], bool]
    remedy: str


def has_vcan() -> bool:
    """Whether this kernel speaks CAN and has an interface `vcan0` that is up."""
    if not hasattr(socket, "AF_CAN"):
        return False
    try:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as can:
            can.bind(("vcan0",))
            can.send(bytes(16))  # ENETDOWN if the interface is down; id 0 with no data harms no listener
    except OSError:
        return False
    return True


def has_mosquitto() -> bool:
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin") is not None


def can_boot_systems() -> bool:
    tools = ("mmdebstrap", "mke2fs", "depmod", "dpkg-deb")
    return os.geteuid() == 0 and not missing_tools() and all(find_tool(tool) for tool in tools)


def has_systemd_analyze() -> bool:
    return find_tool("systemd-analyze") is not None


CAPABILITIES = (
    Capability("vcan", has_vcan, "no vcan0 here; ./test runs these tests in user-mode Linux"),
    Capability(
        "booted",
        can_boot_systems,
        "booting whole systems takes root, x86-64 and: apt-get install user-mode-linux kmod mmdebstrap e2fsprogs gcc",
    ),
    Capability("service_manager", has_systemd_analyze, "no systemd-analyze here: apt-get install systemd"),
    Capability("broker", has_mosquitto, "no Mosquitto here: apt-get install mosquitto"),
)


def pytest_configure(config: pytest.Config) -> None:
    contract.watch()
    folder = Path(tempfile.mkdtemp(prefix="contract-"))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    contract.have_others_watched(folder)
    # A shell starts what runs in its background with SIGINT ignored, and so would be every program a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not IS_CI:
        # No test is timed: how long an example takes says how busy the machine is. CI's own profile has this and more.
        hypothesis.settings.register_profile("untimed", deadline=None)
        hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--booted", action="store_true", help="also the tests that boot whole systems, minutes each (./test --booted)"
    )
    parser.addoption(
        "--leave-vcan",
        metavar="FILE",
        type=Path,
        help="leave the tests that need vcan0 to another run and list them in FILE, for pytest @FILE",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties += properties_of(item)


@pytest.hookimpl(trylast=True)  # after pytest's own -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--booted"):
        leave(config, items, "booted")
    if (left_to := config.getoption("--leave-vcan")) is not None:
        left_to.write_text("".join(f"{item.nodeid}\n" for item in leave(config, items, "vcan")))


def leave(config: pytest.Config, items: list[pytest.Item], marker: str) -> list[pytest.Item]:
    """Take the tests with a marker out of this run; which they are."""
    left = [item for item in items if item.get_closest_marker(marker)]
    items[:] = [item for item in items if not item.get_closest_marker(marker)]
    if left:
        config.hook.pytest_deselected(items=left)
    return left


def pytest_sessionfinish() -> None:
    if folder := os.environ.get("CONTRACT_SEEN"):
        contract.write_kinds_seen(Path(folder))


@cache
def is_missing(capability: Capability) -> bool:
    return not capability.is_present()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for capability in CAPABILITIES:
        if item.get_closest_marker(capability.marker) and is_missing(capability):
            pytest.skip(f"{capability.marker}: {capability.remedy}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    contract.take_findings()
    outcome = yield
    refuse_breach(item)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    outcome = yield
    refuse_breach(item)
    return outcome


def refuse_breach(item: pytest.Item) -> None:
    """Fail the test in which the agent published what `agent/asyncapi.yaml` does not allow."""
    found = contract.take_findings()
    if found and not item.get_closest_marker("made_up_messages"):
        pytest.fail("published against agent/asyncapi.yaml:\n" + "\n".join(found), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure in CI, where nobody reads the list of skips."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if IS_CI and report.skipped and SKIP_ALLOWED not in reason:
        report.outcome = "failed"
        report.longrepr = f"skips are failures where CI=true: {reason}"
