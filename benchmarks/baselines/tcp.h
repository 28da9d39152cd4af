/* One TCP connection over the loopback interface, with the kernel's default buffers. */
#ifndef BASELINES_TCP_H
#define BASELINES_TCP_H

#include "common.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Listen at a port that the kernel chooses; `address` is where to connect. */
static inline int tcp_listen(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (bind(fd, (struct sockaddr *)address, length) < 0) die("bind");
    if (listen(fd, 1) < 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)address, &length) < 0) die("getsockname");
    return fd;
}

static inline int tcp_at_once(int fd) {
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) die("TCP_NODELAY");
    return fd;
}

static inline int tcp_connect(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) die("connect");
    return tcp_at_once(fd);
}

static inline int tcp_accept(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept");
    return tcp_at_once(fd);
}

#endif
