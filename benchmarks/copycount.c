/* Counts what a process copies: preloaded (LD_PRELOAD), it stands before libc's memcpy, memmove and mempcpy, and before
 * the calls that move bytes through the kernel.
 *
 * Seen is every call that goes through the dynamic linker, of all threads: CPython's, numpy's, libzmq's, and those of
 * Rust code, whose copies of unknown length are calls of memcpy. Not seen are copies that a compiler wrote out inline
 * (short ones of known length), loops of a library's own, and libc's calls of itself. Who relies on a zero checks
 * beside it that a copy of the same library shows as one.
 *
 * SYNC: counters are only added to, relaxed; a reader asks when nothing is under way. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECE = 4 << 10, LARGE = 64 << 10 }; /* below PIECE nothing counts: heads, records, Python's own objects */
enum { LARGE_CALLS, LARGE_BYTES, PIECE_BYTES, KERNEL_BYTES, KINDS };

static _Atomic uint64_t counters[KINDS];

void copycount_read(uint64_t *into) {
    for (int kind = 0; kind < KINDS; kind++)
        into[kind] = atomic_load_explicit(&counters[kind], memory_order_relaxed);
}

static void add(int kind, uint64_t number) {
    atomic_fetch_add_explicit(&counters[kind], number, memory_order_relaxed);
}

static void note(size_t bytes) {
    if (bytes < PIECE) return;
    add(PIECE_BYTES, bytes);
    if (bytes < LARGE) return;
    add(LARGE_CALLS, 1);
    add(LARGE_BYTES, bytes);
}

static ssize_t moved(ssize_t bytes) {
    if (bytes > 0) add(KERNEL_BYTES, (uint64_t)bytes);
    return bytes;
}

typedef void *copier(void *, const void *, size_t);
static copier *real_memcpy, *real_memmove;

/* Before the constructor has run, libraries' own constructors may copy. */
static void *slowly(void *to, const void *from, size_t bytes) {
    volatile unsigned char *t = to;
    const volatile unsigned char *f = from;
    if ((uintptr_t)t <= (uintptr_t)f)
        for (size_t i = 0; i < bytes; i++) t[i] = f[i];
    else
        while (bytes--) t[bytes] = f[bytes];
    return to;
}

__attribute__((constructor)) static void find(void) {
    real_memmove = (copier *)dlsym(RTLD_NEXT, "memmove");
    real_memcpy = (copier *)dlsym(RTLD_NEXT, "memcpy");
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    note(bytes);
    return real_memcpy ? real_memcpy(to, from, bytes) : slowly(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes) {
    note(bytes);
    return real_memmove ? real_memmove(to, from, bytes) : slowly(to, from, bytes);
}

void *mempcpy(void *restrict to, const void *restrict from, size_t bytes) { return (char *)memcpy(to, from, bytes) + bytes; }

/* The checked forms end the program if the room is too small; `room` is the compiler's knowledge of it. */
static void check(size_t bytes, size_t room) {
    if (bytes > room) __builtin_trap();
}

void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room) {
    check(bytes, room);
    return memcpy(to, from, bytes);
}

void *__memmove_chk(void *to, const void *from, size_t bytes, size_t room) {
    check(bytes, room);
    return memmove(to, from, bytes);
}

void *__mempcpy_chk(void *to, const void *from, size_t bytes, size_t room) {
    check(bytes, room);
    return mempcpy(to, from, bytes);
}

/* A call before it: found when first used, by whichever thread; all find the same. */
#define THROUGH_KERNEL(name, parameters, arguments)                                                                       \
    ssize_t name parameters {                                                                                             \
        static ssize_t(*_Atomic real) parameters;                                                                         \
        ssize_t(*call) parameters = atomic_load_explicit(&real, memory_order_relaxed);                                    \
        if (!call) {                                                                                                      \
            call = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name);                                                        \
            atomic_store_explicit(&real, call, memory_order_relaxed);                                                     \
        }                                                                                                                 \
        return moved(call arguments);                                                                                     \
    }

THROUGH_KERNEL(read, (int fd, void *to, size_t bytes), (fd, to, bytes))
THROUGH_KERNEL(write, (int fd, const void *from, size_t bytes), (fd, from, bytes))
THROUGH_KERNEL(readv, (int fd, const struct iovec *parts, int count), (fd, parts, count))
THROUGH_KERNEL(writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
THROUGH_KERNEL(recv, (int fd, void *to, size_t bytes, int flags), (fd, to, bytes, flags))
THROUGH_KERNEL(send, (int fd, const void *from, size_t bytes, int flags), (fd, from, bytes, flags))
THROUGH_KERNEL(recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
THROUGH_KERNEL(sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
THROUGH_KERNEL(__read_chk, (int fd, void *to, size_t bytes, size_t room), (fd, to, bytes, room))
THROUGH_KERNEL(__recv_chk, (int fd, void *to, size_t bytes, size_t room, int flags), (fd, to, bytes, room, flags))
