#!/bin/sh
# Process 1 of the user-mode kernel that `uml.py` boots: brings up vcan0, runs one command, writes its exit status, ends.
# The kernel hands over $UM_RUN, a folder with `command` (what to run) and, afterwards, `status`.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fail() {
    echo "user-mode Linux: $*"
    power_off
}

# reboot(2) syncs nothing, and what the guest wrote to the host's files still lies in its own page cache.
power_off() {
    sync
    exec /bin/sh "$UM_RUN/power_off"
}

mount -t proc proc /proc || fail "no /proc"
mount -t sysfs sys /sys
# The kernel has mounted its own devtmpfs on /dev.
mkdir -p /dev/pts /dev/shm && mount -t devpts -o ptmxmode=666 pts /dev/pts && mount -t tmpfs shm /dev/shm
# hostfs has neither file locks nor sockets: databases, sockets and temporary files need a file system of the guest.
mount -t tmpfs run /run || fail "no tmpfs"
mkdir -m 1777 /run/tmp

modules=/usr/lib/uml/modules/$(uname -r)
for module in can can-raw can-bcm can-dev vcan vxcan sch_netem; do # in the order of their dependencies
    options=
    # A vcan that gives frames back once they have passed its queue, as the driver of a controller does.
    [ $module = vcan ] && options=echo=1
    insmod "$(find "$modules" -name "$module.ko")" $options || fail "cannot load $module from $modules"
done
ip link set lo up && ip link add dev vcan0 type vcan && ip link set vcan0 up || fail "cannot bring up vcan0"

echo "$UM_READY"
/bin/sh "$UM_RUN/command" </dev/null
echo $? >"$UM_RUN/status"
echo "$UM_DONE"
power_off
