/* A full bus: so many frames a second of 60 ids on each interface, of which every so manyth changes a wanted signal.
 *
 *     bus_load FRAMES_PER_S SECONDS FRAMES_PER_CHANGE INTERFACE…
 *
 * Every frame carries a counter in its last byte, as cars' do; the first two bytes of the first six ids are the wanted
 * signals. It runs whenever nobody else wants to and never sleeps: a reader that is woken takes the processor from it, at
 * times that have nothing to do with the kernel's clock ticks, by which processor time is counted in user-mode Linux.
 * With BUS_DOES_NOT_WAIT in the environment it takes its share of the processor, as a real bus would: a reader that is
 * too slow loses frames. With BUS_SLEEPS it does so too, and sleeps from frame to frame: for a machine with a processor
 * for the bus alone, whose kernel counts by the nanosecond. Prints how many frames it sent.
 */
#define _GNU_SOURCE
#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IDS = 60, WANTED = 6, FIRST_ID = 0x100, INTERFACES_MAX = 8 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int open_bus(const char *name)
{
    struct sockaddr_can address = {.can_family = AF_CAN, .can_ifindex = (int)if_nametoindex(name)};
    int bus = socket(PF_CAN, SOCK_RAW, CAN_RAW);
    /* It hears nothing, so that nothing piles up in it. */
    if (bus < 0 || setsockopt(bus, SOL_CAN_RAW, CAN_RAW_FILTER, NULL, 0) < 0 ||
        bind(bus, (struct sockaddr *)&address, sizeof address) < 0) {
        perror(name);
        exit(1);
    }
    return bus;
}

static void sleep_until(double at_s)
{
    struct timespec at = {.tv_sec = (time_t)at_s, .tv_nsec = (long)((at_s - (double)(time_t)at_s) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

int main(int count, char **words)
{
    static unsigned char payloads[IDS][8];
    int buses[INTERFACES_MAX], interfaces = count - 4;
    if (interfaces < 1 || interfaces > INTERFACES_MAX) {
        fprintf(stderr, "usage: bus_load FRAMES_PER_S SECONDS FRAMES_PER_CHANGE INTERFACE...\n");
        return 2;
    }
    double frames_per_s = atof(words[1]), seconds = atof(words[2]);
    long frames_per_change = atol(words[3]), sent = 0, changes = 0;
    for (int bus = 0; bus < interfaces; bus++)
        buses[bus] = open_bus(words[4 + bus]);
    struct sched_param none = {0};
    int sleeps = getenv("BUS_SLEEPS") != NULL;
    if (sleeps)
        prctl(PR_SET_TIMERSLACK, 1UL);
    else if (!getenv("BUS_DOES_NOT_WAIT"))
        sched_setscheduler(0, SCHED_IDLE, &none);
    double begun_s = now_s(), end_s = begun_s + seconds, due_s = begun_s;
    for (double at_s = begun_s; at_s < end_s; at_s = now_s()) {
        if (at_s < due_s) {
            if (sleeps)
                sleep_until(due_s);
            continue;
        }
        /* What could not be sent in time is not made up for: a bus that had to wait goes on at its own pace. */
        due_s = (at_s - due_s > 0.05 ? at_s : due_s) + 1.0 / frames_per_s;
        int id = (int)(sent % IDS);
        payloads[id][7]++;
        if (sent / frames_per_change > changes) {
            changes++;
            payloads[changes % WANTED][changes / WANTED % 2]++;
        }
        struct can_frame frame = {.can_id = (canid_t)(FIRST_ID + id), .can_dlc = 8};
        memcpy(frame.data, payloads[id], 8);
        if (write(buses[0], &frame, sizeof frame) == sizeof frame)
            sent++;
        /* On the others the wanted signals stand still. */
        memset(frame.data, 0, 7);
        for (int bus = 1; bus < interfaces; bus++)
            if (write(buses[bus], &frame, sizeof frame) < 0)
                perror("write");
    }
    printf("%ld %ld\n", sent, changes);
    return 0;
}
