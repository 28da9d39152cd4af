/* Round trip of 32 bytes over a pair of UNIX stream sockets; both ends sleep in recv.
 * usage: unix_pingpong NEAR_CPU FAR_CPU SECONDS */
#include "common.h"
#include <sys/socket.h>

enum { SIZE = 32 };

static void give(int fd, const char *bytes) {
    if (send(fd, bytes, SIZE, 0) != SIZE) die("send");
}

static void take(int fd, char *bytes) {
    if (recv(fd, bytes, SIZE, MSG_WAITALL) != SIZE) die("recv");
}

static void answer(void *argument) {
    int *ends = argument;
    char bytes[SIZE];
    for (;;) { take(ends[1], bytes); give(ends[1], bytes); } /* ended by the near end's kill */
}

static void trip(void *argument) {
    int *ends = argument;
    static char out[SIZE] = "ping", in[SIZE];
    give(ends[0], out);
    take(ends[0], in);
    if (memcmp(out, in, SIZE)) exit(3);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) die("socketpair");
    bound(60);
    pid_t far = apart(atoi(argv[1]), atoi(argv[2]), answer, ends);
    time_trips(atof(argv[3]), trip, ends);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
