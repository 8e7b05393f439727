/* The plainest reader there is: every frame of a bus by a blocking read, counted. Says `ready` once it listens. */
#include <linux/can.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct can_frame frame;
    volatile unsigned long frames = 0;
    struct sockaddr_can address = {.can_family = AF_CAN};
    int bus = socket(PF_CAN, SOCK_RAW, CAN_RAW);
    if (count != 2 || bus < 0)
        return 1;
    address.can_ifindex = (int)if_nametoindex(words[1]);
    if (bind(bus, (struct sockaddr *)&address, sizeof address) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    while (read(bus, &frame, sizeof frame) == sizeof frame)
        frames++;
    return 0;
}
