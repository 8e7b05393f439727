"""A whole Debian with systemd as process 1, booted in user-mode Linux with CAN for the package to be installed.

The root file system is made by mmdebstrap once per release and kept under `build/booted`; each boot has a copy of it,
so that nothing a test does outlives it. Needs root, Debian's `mmdebstrap`, `e2fsprogs`, `kmod` and `user-mode-linux`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.guest import guest
from tests.support.uml import build_shim, find_tool, memory_folder

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "booted"
HERE = Path(__file__).resolve().parent

PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "python3", "iproute2", "kmod", "mosquitto", "can-utils")
"""What a car's image has beside the agent; the broker and the CAN tools are the test's."""

IMAGE_MIB = 1400
MEMORY_MIB = 1024
MODULES = ("can", "can-raw", "can-bcm", "can-dev", "vcan")

_CONSOLE_CHARS_KEPT = 20_000


class BootError(Exception):
    """The guest did not come to the end of its script; what its console said is the text."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot that came to its end: the folder that it shared, what its script said, and how long it took."""

    folder: Path
    said: str
    seconds: float
    console: str

    def steps(self) -> dict[str, str]:
        """Results of the script's steps by name."""
        results: dict[str, str] = json.loads((self.folder / "result.json").read_text())
        return results


def modules_folder() -> Path:
    """The modules of the installed user-mode kernel."""
    (folder,) = Path("/usr/lib/uml/modules").iterdir()
    return folder


def root_image(suite: str) -> Path:
    """The root file system of a Debian release for user-mode Linux; made if it is not there yet (about a minute)."""
    modules = modules_folder()

    def finish(tree: Path, _image: Path) -> None:
        shutil.copytree(modules, tree / "lib/modules" / modules.name, dirs_exist_ok=True)
        subprocess.run([find_tool("depmod") or "depmod", "-b", str(tree), modules.name], check=True)
        (tree / "etc/modules-load.d/can.conf").write_text("\n".join(MODULES) + "\n")

    return debian_image(suite, suite, PACKAGES, (HERE / "booted-test.service").read_text(), modules.name, finish)


def debian_image(
    name: str,
    suite: str,
    packages: Sequence[str],
    unit: str,
    ingredients: str,
    finish: Callable[[Path, Path], None],
) -> Path:
    """A Debian release with these packages that runs `unit` once it is up, as an ext4 image under `build/booted`.

    `finish` gets the tree, and the path that the image will have, before it is made; what decides the outcome of that
    is told by `ingredients`. An image of the same name and contents is taken as it is.
    """
    with MAKING:
        return _image_of(name, suite, packages, unit, ingredients, finish)


MAKING = threading.Lock()
"""Boots begin beside each other, and many want the same image."""


def _image_of(
    name: str,
    suite: str,
    packages: Sequence[str],
    unit: str,
    ingredients: str,
    finish: Callable[[Path, Path], None],
) -> Path:
    stamp = hashlib.sha256(repr((suite, packages, unit, ingredients, IMAGE_MIB)).encode()).hexdigest()[:12]
    image = BUILD / f"{name}-{stamp}.ext4"
    if image.exists():
        return image
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        tree = Path(scratch) / "root"
        include = ",".join(packages)
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", suite, str(tree)]
        subprocess.run(command, check=True, env=os.environ | {"TMPDIR": scratch})
        (tree / "etc/hostname").write_text("car\n")
        (tree / "etc/hosts").write_text("127.0.0.1 localhost car\n::1 localhost\n")
        (tree / "etc/fstab").write_text("")
        (tree / "etc/machine-id").write_text("")
        (tree / "etc/systemd/system/booted-test.service").write_text(unit)
        wants = tree / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "booted-test.service").symlink_to("/etc/systemd/system/booted-test.service")
        for masked in ("mosquitto.service", "apt-daily.timer", "apt-daily-upgrade.timer", "getty@.service"):
            (tree / "etc/systemd/system" / masked).unlink(missing_ok=True)
            (tree / "etc/systemd/system" / masked).symlink_to("/dev/null")
        finish(tree, image)
        new = Path(scratch) / "image.ext4"
        make = [find_tool("mke2fs") or "mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(new), f"{IMAGE_MIB}M"]
        subprocess.run(make, check=True)
        new.rename(image)
    return image


def boot(suite: str, share: Path, *, timeout_s: float) -> Boot:
    """Boot a release with `share` at /host, where `guest.py` is run as a service.

    The script's exit ends the guest.  Raises BootError if the guest did not get so far.
    """
    with MAKING:
        shim = build_shim()
    kept = root_image(suite)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        run = Path(folder)
        image = run / "root.ext4"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", kept, image], check=True)
        command = [
            find_tool("linux.uml") or "linux.uml",
            *(f"mem={MEMORY_MIB}M", f"uml_dir={run}/", "umid=guest"),
            *(f"ubda={image}", "root=/dev/ubda", "rw"),
            *("con=null", "con0=fd:0,fd:1", "systemd.show_status=false", "quiet"),
            f"systemd.setenv=BOOTED_SHARE={share}",
        ]
        with guest(command, {"LD_PRELOAD": str(shim), "TMPDIR": memory_folder()}, timeout_s=timeout_s) as running:
            console = running.console()
    console = console[-_CONSOLE_CHARS_KEPT:]
    said = (share / "guest.txt").read_text() if (share / "guest.txt").exists() else ""
    if not (share / "result.json").exists():
        why = f"was stopped after {timeout_s:g} s" if running.is_late else "ended without a result"
        raise BootError(f"the guest {why}\n{said}\n{console}")
    return Boot(share, said, time.monotonic() - began_s, console)
