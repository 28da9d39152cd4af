/* Copy-in, copy-out: the sender copies each message into one of BLOCKS shared blocks, the receiver copies it out
 * to memory of its own; both spin. The clock stops when the receiver has copied the last one. Two CPUs only.
 *
 *   sender: source -> block[i % BLOCKS] -> receiver: destination        i = 0, 1, 2, ...
 *
 * Sources are as many and as large as the benchmark's own messages (256 KiB of them, at least two), so that
 * memory is as warm here as there. With one block the copies take turns, with more they overlap.
 * usage: pipeline NEAR_CPU FAR_CPU SIZE BLOCKS SECONDS */
#include "common.h"

struct control {
    /* SYNC P-1: `written` is stored with release after the copy in, loaded with acquire before the copy out.
     * SYNC P-2: `read` is stored with release after the copy out, loaded with acquire before a block is reused.
     * Each has one writer. `last` is set by the sender before it stores the `written` that reaches it. */
    _Alignas(128) _Atomic uint64_t written;
    _Alignas(128) _Atomic uint64_t read;
    _Alignas(128) _Atomic uint64_t last;
    _Alignas(128) uint64_t ended_ns;
};

static struct control *control;
static char *blocks;
static size_t size, count;

static size_t sources(void) {
    size_t fit = (256u << 10) / size;
    return fit < 2 ? 2 : fit > 256 ? 256 : fit;
}

static void receive(void *unused) {
    (void)unused;
    char *destination = malloc(size);
    if (!destination) die("malloc");
    memset(destination, 1, size);
    for (uint64_t i = 0;; i++) {
        while (atomic_load_explicit(&control->written, memory_order_acquire) <= i) relax();
        memcpy(destination, blocks + (i % count) * size, size);
        if (*(uint64_t *)destination != i) exit(3);
        if (atomic_load_explicit(&control->last, memory_order_relaxed) == i + 1) control->ended_ns = now_ns();
        atomic_store_explicit(&control->read, i + 1, memory_order_release);
    }
}

static void push(const char *source, uint64_t i) {
    while (i - atomic_load_explicit(&control->read, memory_order_acquire) >= count) relax();
    char *block = blocks + (i % count) * size;
    memcpy(block, source, size);
    *(uint64_t *)block = i;
    atomic_store_explicit(&control->written, i + 1, memory_order_release);
}

static void finish(uint64_t sent) {
    while (atomic_load_explicit(&control->read, memory_order_acquire) != sent) relax();
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    size = strtoull(argv[3], NULL, 10);
    count = strtoull(argv[4], NULL, 10);
    if (size < 16 || count < 1) return 2;
    control = shared(sizeof *control);
    blocks = shared(count * size);
    size_t many = sources();
    char *source = malloc(many * size);
    if (!source) die("malloc");
    memset(source, 7, many * size);
    bound(60);
    pid_t far = apart(atoi(argv[1]), atoi(argv[2]), receive, NULL);
    uint64_t sent = 0, warm = 2 * count + many;
    while (sent < warm) push(source + (sent % many) * size, sent), sent++;
    finish(sent);
    uint64_t begun = now_ns(), deadline = begun + (uint64_t)(atof(argv[5]) * 1e9);
    /* The clock is read every 1 MiB, never per small message. */
    size_t stride = (1u << 20) / size + 1;
    do
        for (size_t k = 0; k < stride; k++, sent++) push(source + (sent % many) * size, sent);
    while (now_ns() < deadline);
    atomic_store_explicit(&control->last, sent + 1, memory_order_relaxed);
    push(source, sent++);
    finish(sent);
    double seconds = (control->ended_ns - begun) / 1e9;
    printf("{\"per_second\": %.1f}\n", (sent - warm) / seconds);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
