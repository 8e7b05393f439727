"""A whole Debian on a PC that QEMU emulates, with two SJA1000 controllers on one bus: `can0` and `can1`.

The links are brought up by systemd-networkd from `systemd/network`, with the drop-in that allows sending. QEMU and what
it needs are unpacked under `build/booted` and not installed; nothing but instructions is emulated (`-accel tcg`), which
any machine can do and takes its time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.booted.system import BUILD, HERE, MAKING, ROOT, Boot, BootError, debian_image
from tests.support.guest import guest

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "python3", "iproute2", "kmod", "mosquitto", "can-utils"),
    *("linux-image-amd64", "initramfs-tools"),
)
MEMORY_MIB = 768
NETWORK = ROOT / "systemd" / "network"

SENDING = "[CAN]\nListenOnly=no\n"
"""The drop-in of somebody who has seen the right bit rate and the right ids on the bus."""


def tree() -> Path:
    """A folder with QEMU and all it needs, unpacked; made if it is not there yet (about half a minute)."""
    tree = BUILD / f"qemu-{SUITE}"
    with MAKING:
        if not tree.exists():
            BUILD.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
                new = Path(scratch) / "qemu"
                command = ["mmdebstrap", "--quiet", "--variant=extract", "--include=qemu-system-x86,seabios", SUITE]
                subprocess.run([*command, str(new)], check=True, env=os.environ | {"TMPDIR": scratch})
                new.rename(tree)
    return tree


def program(tree: Path) -> list[str]:
    """QEMU, run by its own loader with its own libraries: the host's Debian may be another, or none."""
    libraries = [tree / folder / "x86_64-linux-gnu" for folder in ("lib", "usr/lib")]
    # Some libraries (libpulse's) lie one folder deeper and are found by a path that only an installed system has.
    libraries += sorted({found.parent for found in libraries[1].glob("*/*.so*")})
    return [
        str(tree / "lib64/ld-linux-x86-64.so.2"),
        *("--library-path", ":".join(map(str, libraries))),
        str(tree / "usr/bin/qemu-system-x86_64"),
        *("-L", str(tree / "usr/share/qemu"), "-L", str(tree / "usr/share/seabios")),
    ]


def computer(tree: Path, image: Path, disk: Path, kernel_words: str) -> list[str]:
    """QEMU as a PC with the kernel of `image`, and `disk` (a copy of it) as its root file system."""
    return [
        *program(tree),
        *("-m", str(MEMORY_MIB), "-no-reboot", "-nodefaults", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(image.with_suffix(".vmlinuz")), "-initrd", str(image.with_suffix(".initrd"))),
        *("-append", f"root=/dev/vda rw console=ttyS0 quiet mitigations=off {kernel_words}"),
        *("-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"),
    ]


def surroundings(tree: Path) -> dict[str, str]:
    """What QEMU must find in its environment."""
    return {"QEMU_MODULE_DIR": str(tree / "usr/lib/x86_64-linux-gnu/qemu")}


def root_image() -> Path:
    """The root file system; its kernel and initial file system lie beside it as `.vmlinuz` and `.initrd`."""
    unit = (HERE / "controllers.service").read_text()
    networks = {path.name: path.read_text() for path in sorted(NETWORK.glob("*.network"))}

    def finish(tree: Path, image: Path) -> None:
        for name, text in networks.items():
            network = tree / "etc/systemd/network" / name
            network.write_text(text)
            network.with_name(f"{name}.d").mkdir()
            (network.with_name(f"{name}.d") / "send.conf").write_text(SENDING)
        wants = tree / "etc/systemd/system/multi-user.target.wants"
        (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
        shutil.copy(ROOT / "systemd/modules-load.conf", tree / "etc/modules-load.d/carshare-agent.conf")
        for source, suffix in (("vmlinuz", ".vmlinuz"), ("initrd.img", ".initrd")):
            (found,) = (tree / "boot").glob(f"{source}-*")
            shutil.copy(found, image.with_suffix(suffix))

    return debian_image(f"controllers-{SUITE}", SUITE, PACKAGES, unit, repr((networks, SENDING)), finish)


def boot(share: Path, *, timeout_s: float) -> Boot:
    """Boot with `share` at /host, where `guest.sh` is run as a service once all is up; its end is the guest's.

    The project and its Python are at the paths they have here. Raises BootError if the guest does not come to its end.
    """
    image, qemu = root_image(), tree()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        copy = Path(folder) / "root.ext4"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, copy], check=True)
        (share / "mounts.sh").write_text(mounts())
        command = [
            *computer(qemu, image, copy, "systemd.show_status=false"),
            *("-accel", "tcg,thread=multi", "-smp", "2"),
            *("-object", "can-bus,id=body", *2 * ("-device", "kvaser_pci,canbus=body")),
            *shared("host", share, is_read_only=False),
            *shared_code(),
        ]
        with guest(command, surroundings(qemu), timeout_s=timeout_s) as running:
            console = running.console()
    said = (share / "guest.txt").read_text() if (share / "guest.txt").exists() else None
    if running.is_late or said is None:
        why = f"was stopped after {timeout_s:g} s" if running.is_late else "ended before its script began"
        raise BootError(f"the guest {why}\n{said or ''}\n{console[-20_000:]}")
    return Boot(share, said, time.monotonic() - began_s, console)


def _code() -> list[Path]:
    """Folders of this machine that the tests need in the guest: the project, and a Python that is not the system's."""
    python = Path(sys.base_prefix).resolve()
    return [ROOT] if python == Path("/usr") else [ROOT, python]


def mounts() -> str:
    """Shell text that puts the folders of `shared_code` where they are here."""
    options = "trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose"
    return "".join(
        f"mkdir -p '{path}' && mount -t 9p -o {options} code{number} '{path}' || exit 125\n"
        for number, path in enumerate(_code())
    )


def shared_code() -> list[str]:
    """QEMU's words that offer them to the guest, read-only."""
    return [word for number, path in enumerate(_code()) for word in shared(f"code{number}", path)]


def shared(tag: str, path: Path, *, is_read_only: bool = True) -> list[str]:
    """QEMU's words that offer a folder of this machine to the guest by 9p."""
    read_only = ",readonly=on" if is_read_only else ""
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{read_only}"]
