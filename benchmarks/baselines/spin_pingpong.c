/* Round trip of 32 bytes through shared memory; both ends spin, nobody ever sleeps. Two CPUs only.
 * usage: spin_pingpong NEAR_CPU FAR_CPU SECONDS */
#include "common.h"

enum { SIZE = 32 };

struct mailbox {
    /* SYNC S-1: `turn` is stored with release after `bytes` was written and loaded with acquire before it is
     * read. Odd: for the far end. Even: for the near end. One line each, so that writing one leaves the other. */
    _Alignas(128) _Atomic uint64_t turn;
    _Alignas(128) char bytes[SIZE];
};

static void await(struct mailbox *box, uint64_t turn) {
    while (atomic_load_explicit(&box->turn, memory_order_acquire) != turn) relax();
}

static void answer(void *argument) {
    struct mailbox *box = argument;
    char bytes[SIZE];
    for (uint64_t turn = 1;; turn += 2) { /* ended by the near end's kill */
        await(box, turn);
        memcpy(bytes, box->bytes, SIZE);
        memcpy(box->bytes, bytes, SIZE);
        atomic_store_explicit(&box->turn, turn + 1, memory_order_release);
    }
}

static void trip(void *argument) {
    struct mailbox *box = argument;
    static uint64_t turn = 1;
    static char out[SIZE] = "ping", in[SIZE];
    memcpy(box->bytes, out, SIZE);
    atomic_store_explicit(&box->turn, turn, memory_order_release);
    await(box, turn + 1);
    memcpy(in, box->bytes, SIZE);
    turn += 2;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct mailbox *box = shared(sizeof *box);
    bound(60);
    pid_t far = apart(atoi(argv[1]), atoi(argv[2]), answer, box);
    time_trips(atof(argv[3]), trip, box);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return 0;
}
