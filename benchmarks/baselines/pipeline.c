/* Copy-in, copy-out: the sender copies each message into one of BLOCKS shared blocks, the receiver copies it out
 * to memory of its own; both spin. The clock stops when the receiver has copied the last one. Two CPUs only.
 *
 *   sender: source -> block[i % BLOCKS] -> receiver: destination        i = 0, 1, 2, ...
 *
 * Sources are as many and as large as the benchmark's own messages (256 KiB of them, at least two), so that
 * memory is as warm here as there. With one block the copies take turns, with more they overlap.
 *
 * HOW is one of
 *   libc   copies by memcpy
 *   past   copies by stores that go past the caches (the library's own way with very large frames)
 *   alone  the same, and nobody waits for anybody: two CPUs that do nothing but these copies. What is told is the
 *          slower one's rate: about what a hand-over of blocks in memory can reach.
 * usage: pipeline NEAR_CPU FAR_CPU SIZE BLOCKS HOW SECONDS */
#include "common.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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
static int past, alone;

#if defined(__x86_64__)
__attribute__((target("avx"))) static void copy_past(char *to, const char *from) {
    size_t at = -(uintptr_t)to & 31;
    memcpy(to, from, at);
    for (; at + 128 <= size; at += 128) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(from + at));
        __m256i b = _mm256_loadu_si256((const __m256i *)(from + at + 32));
        __m256i c = _mm256_loadu_si256((const __m256i *)(from + at + 64));
        __m256i d = _mm256_loadu_si256((const __m256i *)(from + at + 96));
        _mm256_stream_si256((__m256i *)(to + at), a);
        _mm256_stream_si256((__m256i *)(to + at + 32), b);
        _mm256_stream_si256((__m256i *)(to + at + 64), c);
        _mm256_stream_si256((__m256i *)(to + at + 96), d);
    }
    memcpy(to + at, from + at, size - at);
    _mm_sfence();
}
static int can_go_past(void) { return __builtin_cpu_supports("avx"); }
#else
static void copy_past(char *to, const char *from) { memcpy(to, from, size); }
static int can_go_past(void) { return 0; }
#endif

static void copy(char *to, const char *from) {
    if (past)
        copy_past(to, from);
    else
        memcpy(to, from, size);
}

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
        while (!alone && atomic_load_explicit(&control->written, memory_order_acquire) <= i) relax();
        copy(destination, blocks + (i % count) * size);
        if (!alone && *(uint64_t *)destination != i) exit(3);
        if (atomic_load_explicit(&control->last, memory_order_relaxed) == i + 1) control->ended_ns = now_ns();
        atomic_store_explicit(&control->read, i + 1, memory_order_release);
    }
}

static void push(const char *source, uint64_t i) {
    while (!alone && i - atomic_load_explicit(&control->read, memory_order_acquire) >= count) relax();
    char *block = blocks + (i % count) * size;
    copy(block, source);
    *(uint64_t *)block = i;
    atomic_store_explicit(&control->written, i + 1, memory_order_release);
}

static void finish(uint64_t sent) {
    while (!alone && atomic_load_explicit(&control->read, memory_order_acquire) != sent) relax();
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    size = strtoull(argv[3], NULL, 10);
    count = strtoull(argv[4], NULL, 10);
    alone = !strcmp(argv[5], "alone");
    past = alone || !strcmp(argv[5], "past");
    if (size < 16 || count < 1 || (past && !can_go_past()) || (!past && strcmp(argv[5], "libc"))) return 2;
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
    uint64_t read = atomic_load_explicit(&control->read, memory_order_relaxed);
    uint64_t begun = now_ns(), deadline = begun + (uint64_t)(atof(argv[6]) * 1e9);
    /* The clock is read every 1 MiB, never per small message. */
    size_t stride = (1u << 20) / size + 1;
    do
        for (size_t k = 0; k < stride; k++, sent++) push(source + (sent % many) * size, sent);
    while (now_ns() < deadline);
    atomic_store_explicit(&control->last, sent + 1, memory_order_relaxed);
    push(source, sent++);
    finish(sent);
    double seconds = ((alone ? now_ns() : control->ended_ns) - begun) / 1e9;
    uint64_t copied = sent - warm;
    read = atomic_load_explicit(&control->read, memory_order_relaxed) - read;
    if (alone && read < copied) copied = read;
    printf("{\"per_second\": %.1f}\n", copied / seconds);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
