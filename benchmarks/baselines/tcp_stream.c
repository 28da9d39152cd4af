/* Messages of SIZE over one TCP connection of the loopback interface: one send() each, and recv() until it is whole,
 * into the same buffer each time. The clock stops when the receiver says that it has the last one.
 *
 * Sources are as many and as large as the benchmark's own messages, as in pipeline.c. Nothing is framed: the
 * receiver knows SIZE.
 * usage: tcp_stream NEAR_CPU FAR_CPU SIZE SECONDS */
#include "common.h"
#include "tcp.h"

static struct sockaddr_in address;
static size_t size;

static size_t sources(void) {
    size_t fit = (256u << 10) / size;
    return fit < 2 ? 2 : fit > 256 ? 256 : fit;
}

/* False: the sender has no more. */
static int take(int fd, char *to) {
    for (size_t got = 0; got < size;) {
        ssize_t more = recv(fd, to + got, size - got, 0);
        if (more < 0) die("recv");
        if (more == 0 && got > 0) exit(3);
        if (more == 0) return 0;
        got += (size_t)more;
    }
    return 1;
}

static void receive(void *unused) {
    (void)unused;
    int fd = tcp_connect(&address);
    char *destination = malloc(size);
    if (!destination) die("malloc");
    memset(destination, 1, size);
    uint64_t i = 0;
    for (; take(fd, destination); i++)
        if (*(uint64_t *)destination != i) exit(3);
    if (send(fd, &i, sizeof i, 0) != sizeof i) die("send");
}

static void push(int fd, char *source, uint64_t i) {
    *(uint64_t *)source = i;
    for (size_t sent = 0; sent < size;) {
        ssize_t more = send(fd, source + sent, size - sent, 0);
        if (more < 0) die("send");
        sent += (size_t)more;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    size = strtoull(argv[3], NULL, 10);
    if (size < 16) return 2;
    size_t many = sources();
    char *source = malloc(many * size);
    if (!source) die("malloc");
    memset(source, 7, many * size);
    int listener = tcp_listen(&address);
    bound(60);
    apart(atoi(argv[1]), atoi(argv[2]), receive, NULL);
    int fd = tcp_accept(listener);
    /* Long enough for the kernel to have grown its buffers. */
    uint64_t sent = 0, warm = (64u << 20) / size + many;
    while (sent < warm) push(fd, source + (sent % many) * size, sent), sent++;
    uint64_t begun = now_ns(), deadline = begun + (uint64_t)(atof(argv[4]) * 1e9);
    /* The clock is read every 1 MiB, never per small message. */
    size_t stride = (1u << 20) / size + 1;
    do
        for (size_t k = 0; k < stride; k++, sent++) push(fd, source + (sent % many) * size, sent);
    while (now_ns() < deadline);
    if (shutdown(fd, SHUT_WR) < 0) die("shutdown");
    uint64_t received;
    if (recv(fd, &received, sizeof received, MSG_WAITALL) != sizeof received) die("recv");
    double seconds = (double)(now_ns() - begun) / 1e9;
    if (received != sent) return 3;
    printf("{\"per_second\": %.1f}\n", (double)(sent - warm) / seconds);
    wait(NULL);
    return 0;
}
