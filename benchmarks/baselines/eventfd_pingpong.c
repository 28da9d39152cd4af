/* Round trip of two processes that both sleep: each writes the other's eventfd and reads its own.
 * usage: eventfd_pingpong NEAR_CPU FAR_CPU SECONDS */
#include "common.h"
#include <sys/eventfd.h>

struct bells { int near, far; };

static void ring(int fd) {
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one) die("write");
}

static void hear(int fd) {
    uint64_t value;
    if (read(fd, &value, sizeof value) != sizeof value) die("read");
}

static void answer(void *argument) {
    struct bells *bells = argument;
    for (;;) { hear(bells->far); ring(bells->near); } /* ended by the near end's kill */
}

static void trip(void *argument) {
    struct bells *bells = argument;
    ring(bells->far);
    hear(bells->near);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct bells bells = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    if (bells.near < 0 || bells.far < 0) die("eventfd");
    bound(60);
    pid_t far = apart(atoi(argv[1]), atoi(argv[2]), answer, &bells);
    time_trips(atof(argv[3]), trip, &bells);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
