"""The kernel's own GPIO simulator as a module for Debian's kernel, and the chip that the emulated PC gets of it.

Debian builds neither `gpio-sim` nor `gpio-mockup` (`CONFIG_GPIO_SIM` and `CONFIG_GPIO_MOCKUP` are not set, in 12 and in
13).  So the module is made from Debian's source of the same kernel, in a tree of its own; needs root, like the images.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.booted.system import BUILD, HERE, BootError

STUB = HERE / "gpio_no_irq.c"
KBUILD = f"obj-m := gpio-sim.o\ngpio-sim-y := simulator.o {STUB.stem}.o\n"
COMPILE = """
set -e
cd /root
tar xJf /usr/src/linux-source-*.tar.xz --strip-components=1 --wildcards '*/gpio/gpio-sim.c' '*/gpio/gpiolib.h'
mv drivers/gpio/gpio-sim.c simulator.c
mv drivers/gpio/gpiolib.h .
make -C /usr/src/linux-headers-{release} M=/root modules
"""

SET_UP = """
modprobe configfs && insmod /host/gpio-sim.ko
mount -t configfs none /sys/kernel/config 2>/dev/null
chip=/sys/kernel/config/gpio-sim/bench
mkdir $chip $chip/bank0 && echo 8 >$chip/bank0/num_lines && echo 1 >$chip/live
echo pull-up >/sys/devices/platform/$(cat $chip/dev_name)/$(cat $chip/bank0/chip_name)/sim_gpio5/pull
"""
"""Shell text for the guest: a chip of eight lines, one pulled up as on a board with a relay that is active low."""


def release_of(kernel: Path) -> str:
    """What the kernel image calls itself: where that stands, its header says (Documentation/x86/boot.rst)."""
    image = kernel.read_bytes()
    at = int.from_bytes(image[0x20E:0x210], "little") + 0x200
    return image[at : image.index(b"\0", at)].decode().split()[0]


def module(kernel: Path, suite: str) -> Path:
    """`gpio-sim.ko` for this kernel of Debian's; made if it is not there yet (about two minutes)."""
    release = release_of(kernel)
    made = BUILD / f"gpio-sim-{release}.ko"
    if made.exists():
        return made
    source = "linux-source-" + ".".join(release.split(".")[:2])
    packages = f"linux-headers-{release},{source},gcc,make,xz-utils"
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        tree = Path(scratch) / "root"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", suite, str(tree)]
        subprocess.run(command, check=True, env=os.environ | {"TMPDIR": scratch})
        shutil.copy(STUB, tree / "root")
        (tree / "root/Kbuild").write_text(KBUILD)
        (tree / "root/compile.sh").write_text(COMPILE.format(release=release))
        done = subprocess.run(
            ["chroot", tree, "/bin/sh", "/root/compile.sh"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != 0:
            raise BootError(f"gpio-sim for {release} was not made:\n{done.stdout}")
        shutil.copy(tree / "root/gpio-sim.ko", Path(scratch) / "gpio-sim.ko")
        (Path(scratch) / "gpio-sim.ko").rename(made)
    return made
