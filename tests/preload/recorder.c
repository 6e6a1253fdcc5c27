/* Writes down what the program does to its files and what it answers, in one order.
 *
 * Invariants that make the record stricter than the truth, never laxer: a change is written down after it was made, so a
 * sync that is said to cover it did; a sync is written down when it begins (what it covers) and when it returned (from when
 * on it counts); an answer is written down before it is sent.
 *
 * A record, little-endian: magic u32, kind u32, id u32, name bytes u32, a u64, b u64, data bytes u64, then name and data.
 */
#define _GNU_SOURCE
#include "layer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC 0x48464c52u

static int log_fd = -1;

void recorder_open(const char *path) {
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

int recording(void) { return log_fd >= 0; }

static int is_zeros(const unsigned char *data, size_t bytes) {
    return bytes > 0 && data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

/* With the files' lock held, which gives the records their order. */
void record(enum record kind, uint32_t id, uint64_t a, uint64_t b, const char *name, const void *data, size_t bytes) {
    if (log_fd < 0) return;
    if (kind == RECORD_WRITE && is_zeros(data, bytes)) {
        kind = RECORD_ZEROS;
        b = bytes;
        bytes = 0;
    }
    struct { uint32_t magic, kind, id, name_bytes; uint64_t a, b, data_bytes; } head = {
        MAGIC, kind, id, name ? (uint32_t)strlen(name) : 0, a, b, bytes};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name_bytes}, {(void *)data, bytes}};
    long written = syscall(SYS_writev, log_fd, parts, 3);
    if (written != (long)(sizeof head + head.name_bytes + bytes)) count(CALL_ESCAPE);
}
