/* What the C baselines share: pinning, the clock, failing, and shared anonymous memory.
 *
 * Each baseline is the least work that could move the bytes or make the round trip on this machine, with the
 * kernel's own means. They are limits to compare with, not programs to imitate. */
#ifndef BASELINES_COMMON_H
#define BASELINES_COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) die("sched_setaffinity");
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Every wait of a baseline ends: the alarm's default action kills, and the child dies with its parent. */
static inline void bound(unsigned seconds) { alarm(seconds); }

static inline void *shared(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    return memory;
}

/* Fork the far end, pinned; it runs `far` and ends. Returns its pid to the near end, which is pinned too. */
static inline pid_t apart(int near_cpu, int far_cpu, void (*far)(void *), void *argument) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        bound(60);
        pin(far_cpu);
        far(argument);
        _exit(0);
    }
    pin(near_cpu);
    return pid;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Print the percentiles of `count` round trips as one JSON object, in us. */
static inline void print_trips(uint64_t *ns, size_t count) {
    qsort(ns, count, sizeof *ns, by_value);
    printf("{\"trips\": %zu, \"min\": %.3f, \"p50\": %.3f, \"p99\": %.3f}\n", count, ns[0] / 1e3,
           ns[count / 2] / 1e3, ns[count * 99 / 100] / 1e3);
}

/* Time round trips for `seconds`, at most `most` of them. */
static inline void time_trips(double seconds, void (*trip)(void *), void *argument) {
    size_t most = 1u << 20, count = 0;
    uint64_t *ns = malloc(most * sizeof *ns);
    if (!ns) die("malloc");
    for (int warm = 0; warm < 64; warm++) trip(argument);
    uint64_t before = now_ns(), deadline = before + (uint64_t)(seconds * 1e9);
    while (count < most && before < deadline) {
        trip(argument);
        uint64_t after = now_ns();
        ns[count++] = after - before;
        before = after;
    }
    print_trips(ns, count);
    free(ns);
}

#endif
