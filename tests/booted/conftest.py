"""Boots beside each other: a guest in user-mode Linux has one processor, and this machine may have more.

A test says what it boots by `@boots(plan)`; all that are selected are begun in the order of the tests, as many at once
as there are processors, and each test waits for its own. None shares anything with another but what nobody changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.booted.system import BUILD, ROOT, Boot
from tests.support import guest

AT_ONCE_MAX = 4
"""Each takes 1 GiB of memory and as much of the disk."""

Package = Callable[[], Path]
Plan = Callable[[Package, Path], Boot]
"""Prepares the folder that the guest gets, boots, and returns once the guest has ended."""


class DebianPackage:
    """The package of this tree, built when it is asked for first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: Path | None = None

    def __call__(self) -> Path:
        with self._lock:
            if self._built is None:
                self._built = build("amd64")
        return self._built


QUICK = {"DPKG_DEB_COMPRESSOR_LEVEL": "1"}
"""A few megabytes more; to press out the last of them takes half of the time that a package is built in."""


def build(arch: str) -> Path:
    command: list[str | Path] = [ROOT / "systemd/build-deb", arch, BUILD / "deb"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | QUICK)
    assert done.returncode == 0, f"systemd/build-deb {arch}: status {done.returncode}"
    return Path(done.stdout.strip())


def write_newer(package: Path, to: Path) -> None:
    """The same package under a higher version."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^Version: .*", r"\g<0>+1", control.read_text()))
        to.parent.mkdir()
        subprocess.run(["dpkg-deb", "--build", "-Znone", tree, to], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def package() -> Package:
    return DebianPackage()


@pytest.fixture(scope="session")
def begun(
    request: pytest.FixtureRequest, package: Package, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Boot]]]:
    """By test: the boot it waits for. What has not begun when the run ends does not begin, and what runs is ended."""
    pool = ThreadPoolExecutor(min(AT_ONCE_MAX, os.cpu_count() or 1), thread_name_prefix="boot")
    found = {}
    for item in request.session.items:
        if (marker := item.get_closest_marker("boots")) is not None:
            found[item.nodeid] = pool.submit(marker.kwargs["plan"], package, tmp_path_factory.mktemp("guest"))
    try:
        yield found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        guest.end_all()
        pool.shutdown()


@pytest.fixture
def booted(request: pytest.FixtureRequest, begun: dict[str, Future[Boot]]) -> Boot:
    return begun[request.node.nodeid].result()
