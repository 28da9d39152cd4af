/* One writer, many readers, one ring of chunks with one written flag and one read flag per reader: what the ring
 * in rivals/flag_ring.py would be in C. Every message is copied in once and copied out by each reader. Nobody is
 * pinned; who waits looks some times, then gives its CPU away.
 *
 *   source -> chunk[i % CHUNKS] -> destination of every reader        i = 0, 1, 2, ...
 *
 * Sources are as many and as large as the benchmark's own messages, as in pipeline.c. The clock stops when the
 * last reader has copied the last message. CPU time is that of all processes, from the first message timed.
 * usage: flag_ring SIZE READERS CHUNKS SECONDS */
#include "common.h"

#define MOST_READERS 64
#define LOOKS 64

struct chunk {
    /* SYNC F-1: `written` is stored with release after the copy in, loaded with acquire before a copy out.
     * SYNC F-2: `read[r]` is stored with release after reader r's copy out, loaded with acquire by the writer
     * before it fills the chunk again.
     * Each flag holds the number of the message plus one, so that none of them has to be cleared. */
    _Alignas(128) _Atomic uint64_t written;
    _Alignas(128) _Atomic uint64_t read[MOST_READERS];
};

struct end {
    _Alignas(128) uint64_t ns;
    uint64_t cpu_ns;
};

struct control {
    _Alignas(128) _Atomic uint64_t last; /* set before F-1 of the message that it numbers */
    _Atomic uint64_t ended;
    struct end ends[MOST_READERS];
};

static struct control *control;
static struct chunk *flags;
static char *chunks;
static size_t size, readers, count;
static uint64_t warm;

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void until(_Atomic uint64_t *flag, uint64_t value) {
    for (unsigned looks = 0; atomic_load_explicit(flag, memory_order_acquire) != value; looks++) {
        if (looks < LOOKS) relax();
        else sched_yield();
    }
}

static size_t sources(void) {
    size_t fit = (256u << 10) / size;
    return fit < 2 ? 2 : fit > 256 ? 256 : fit;
}

static void receive(size_t reader) {
    char *destination = malloc(size);
    if (!destination) die("malloc");
    memset(destination, 1, size);
    uint64_t begun = 0;
    for (uint64_t i = 0;; i++) {
        if (i == warm) begun = cpu_ns();
        struct chunk *chunk = &flags[i % count];
        until(&chunk->written, i + 1);
        memcpy(destination, chunks + (i % count) * size, size);
        if (*(uint64_t *)destination != i) exit(3);
        int over = atomic_load_explicit(&control->last, memory_order_relaxed) == i + 1;
        if (over) control->ends[reader] = (struct end){.ns = now_ns(), .cpu_ns = cpu_ns() - begun};
        atomic_store_explicit(&chunk->read[reader], i + 1, memory_order_release);
        if (over) break;
    }
    atomic_fetch_add_explicit(&control->ended, 1, memory_order_release); /* SYNC F-3: loaded in main */
}

static void push(const char *source, uint64_t i) {
    struct chunk *chunk = &flags[i % count];
    if (i >= count)
        for (size_t reader = 0; reader < readers; reader++) until(&chunk->read[reader], i - count + 1);
    char *data = chunks + (i % count) * size;
    memcpy(data, source, size);
    *(uint64_t *)data = i;
    atomic_store_explicit(&chunk->written, i + 1, memory_order_release);
}

static void start_readers(void) {
    pid_t parent = getpid();
    for (size_t reader = 0; reader < readers; reader++) {
        pid_t pid = fork();
        if (pid < 0) die("fork");
        if (pid > 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        bound(60);
        receive(reader);
        _exit(0);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    size = strtoull(argv[1], NULL, 10);
    readers = strtoull(argv[2], NULL, 10);
    count = strtoull(argv[3], NULL, 10);
    if (size < 16 || readers < 1 || readers > MOST_READERS || count < 1) return 2;
    control = shared(sizeof *control);
    flags = shared(count * sizeof *flags);
    chunks = shared(count * size);
    size_t many = sources();
    char *source = malloc(many * size);
    if (!source) die("malloc");
    memset(source, 7, many * size);
    bound(60);
    warm = 2 * count + many;
    start_readers();
    uint64_t sent = 0;
    while (sent < warm) push(source + (sent % many) * size, sent), sent++;
    uint64_t begun = now_ns(), cpu = cpu_ns(), deadline = begun + (uint64_t)(atof(argv[4]) * 1e9);
    size_t stride = (1u << 20) / size + 1;
    if (stride > 1024) stride = 1024;
    do
        for (size_t k = 0; k < stride; k++, sent++) push(source + (sent % many) * size, sent);
    while (now_ns() < deadline);
    atomic_store_explicit(&control->last, sent + 1, memory_order_relaxed);
    push(source, sent++);
    cpu = cpu_ns() - cpu;
    while (atomic_load_explicit(&control->ended, memory_order_acquire) != readers) usleep(100);
    uint64_t last = 0;
    for (size_t reader = 0; reader < readers; reader++) {
        if (control->ends[reader].ns > last) last = control->ends[reader].ns;
        cpu += control->ends[reader].cpu_ns;
    }
    double messages = (double)(sent - warm);
    printf("{\"us_per_message\": %.4f, \"cpu_us_per_delivery\": %.4f}\n", (double)(last - begun) / 1e3 / messages,
           (double)cpu / 1e3 / messages / (double)readers);
    while (wait(NULL) > 0) {}
    return 0;
}
