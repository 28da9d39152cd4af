/* Round trip of 32 bytes over one TCP connection of the loopback interface, TCP_NODELAY; both ends sleep in recv.
 * usage: tcp_pingpong NEAR_CPU FAR_CPU SECONDS */
#include "common.h"
#include "tcp.h"

enum { SIZE = 32 };

static void give(int fd, const char *bytes) {
    if (send(fd, bytes, SIZE, 0) != SIZE) die("send");
}

static void take(int fd, char *bytes) {
    if (recv(fd, bytes, SIZE, MSG_WAITALL) != SIZE) die("recv");
}

static void answer(void *argument) {
    int fd = tcp_connect(argument);
    char bytes[SIZE];
    for (;;) { take(fd, bytes); give(fd, bytes); } /* ended by the near end's kill */
}

static void trip(void *argument) {
    int fd = *(int *)argument;
    static char out[SIZE] = "ping", in[SIZE];
    give(fd, out);
    take(fd, in);
    if (memcmp(out, in, SIZE)) exit(3);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct sockaddr_in address;
    int listener = tcp_listen(&address);
    bound(60);
    pid_t far = apart(atoi(argv[1]), atoi(argv[2]), answer, &address);
    int fd = tcp_accept(listener);
    time_trips(atof(argv[3]), trip, &fd);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
