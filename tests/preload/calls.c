/* The program's calls, by the names it knows them by. Each asks the rules, does the call, and writes it down. */
#define _GNU_SOURCE
#include "layer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t no_panel[PANEL_WORDS];
volatile uint64_t *panel = no_panel;

void count(enum call call) { __atomic_add_fetch(&panel[PANEL_CALLS + call], 1, __ATOMIC_RELAXED); }

void layer_die(void) {
    syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
    for (;;) syscall(SYS_pause, 0);
}

__attribute__((constructor)) void layer_start(void) {
    const char *path = getenv("FAULT_PANEL"), *rules = getenv("FAULT_RULES"), *log = getenv("FAULT_RECORD");
    if (path) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
        void *map = fd < 0 ? MAP_FAILED
                           : (void *)syscall(SYS_mmap, NULL, PANEL_WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) panel = map;
        if (fd >= 0) syscall(SYS_close, fd);
        panel[PANEL_PID] = (uint64_t)syscall(SYS_getpid);
    }
    if (rules) rules_read(rules);
    if (log) recorder_open(log);
}

static int failed(int error) { errno = error; return -1; }

/* ---- opening and closing ---- */

static int open_watched(int dirfd, const char *path, int flags, mode_t mode) {
    char name[NAME_BYTES];
    if (!relative_name(dirfd, path, name)) return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    int verdict = rules_before(CALL_OPEN, name, 0);
    if (verdict > 0) return failed(verdict);
    files_lock();
    int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, dirfd, path, F_OK) != 0;
    int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode), error = errno;
    if (fd >= 0) {
        struct stat status;
        int is_dir = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
        struct file *file = file_opened(fd, name, is_dir);
        count(CALL_OPEN);
        if (flags & (O_SYNC | O_DSYNC | O_DIRECT)) count(CALL_ESCAPE);
        if (file) record(RECORD_OPEN, file->id, (uint64_t)is_new, (uint64_t)is_dir, name, NULL, 0);
        if (file && (flags & O_TRUNC) && !is_new) record(RECORD_TRUNCATE, file->id, 0, 0, NULL, NULL, 0);
    }
    files_unlock();
    if (fd >= 0) rules_after(CALL_OPEN, name, 0);
    errno = error;
    return fd;
}

#define MODE_ARGUMENT(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE_ARGUMENT(flags, flags) return open_watched(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_ARGUMENT(flags, flags) return open_watched(AT_FDCWD, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { MODE_ARGUMENT(flags, flags) return open_watched(dirfd, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE_ARGUMENT(flags, flags) return open_watched(dirfd, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_watched(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    file_closed(fd);
    return (int)syscall(SYS_close, fd);
}

/* ---- writing ---- */

#define ANSWER "HTTP/1."

/* A send, or a write to something that is no watched file: what the program says to the outside. */
static ssize_t send_watched(int fd, const struct iovec *parts, int n, long (*call)(int, const struct iovec *, int, int), int flags) {
    char head[65] = "";
    size_t bytes = 0;
    int is_wanted = rules_have(CALL_SEND) || recording();
    if (is_wanted) {
        for (int part = 0; part < n; part++)
            for (size_t at = 0; at < parts[part].iov_len && bytes < 64; at++) head[bytes++] = ((char *)parts[part].iov_base)[at];
        is_wanted = strncmp(head, ANSWER, strlen(ANSWER)) == 0;
    }
    if (!is_wanted) return call(fd, parts, n, flags);
    count(CALL_SEND);
    for (size_t at = 0; at < bytes; at++)
        if (head[at] == '\r') head[at] = 0;
    if (recording()) {
        static __thread char whole[1 << 16];
        size_t all = 0;
        for (int part = 0; part < n; part++) {
            size_t some = parts[part].iov_len < sizeof whole - all ? parts[part].iov_len : sizeof whole - all;
            memcpy(whole + all, parts[part].iov_base, some);
            all += some;
        }
        files_lock();
        record(RECORD_SEND, (uint32_t)fd, 0, 0, NULL, whole, all);
        files_unlock();
    }
    rules_before(CALL_SEND, head, 0);
    ssize_t sent = call(fd, parts, n, flags);
    int error = errno;
    rules_after(CALL_SEND, head, 0);
    errno = error;
    return sent;
}

static long plain_write(int fd, const struct iovec *parts, int n, int flags) {
    (void)flags;
    return n == 1 ? syscall(SYS_write, fd, parts[0].iov_base, parts[0].iov_len) : syscall(SYS_writev, fd, parts, n);
}

static long plain_send(int fd, const struct iovec *parts, int n, int flags) {
    (void)n;
    return syscall(SYS_sendto, fd, parts[0].iov_base, parts[0].iov_len, flags, NULL, 0);
}

static ssize_t write_watched(struct file *file, int fd, const void *data, size_t bytes, off_t offset) {
    int verdict = rules_before(CALL_WRITE, file->name, offset);
    if (verdict > 0) return failed(verdict);
    if (verdict == VERDICT_TEAR) bytes /= 2;
    count(CALL_WRITE);
    ssize_t written = verdict == VERDICT_LIE ? (ssize_t)bytes : syscall(SYS_pwrite64, fd, data, bytes, offset);
    int error = errno;
    if (written > 0 && verdict != VERDICT_LIE) {
        files_lock();
        record(RECORD_WRITE, file->id, (uint64_t)offset, 0, NULL, data, (size_t)written);
        files_unlock();
    }
    if (verdict == VERDICT_TEAR) layer_die();
    rules_after(CALL_WRITE, file->name, offset);
    errno = error;
    return written;
}

/* A write at the descriptor's own position, which is moved. */
static ssize_t write_onward(struct file *file, int fd, const void *data, size_t bytes) {
    int appends = (int)syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
    off_t offset = (off_t)syscall(SYS_lseek, fd, 0, appends ? SEEK_END : SEEK_CUR);
    ssize_t written = write_watched(file, fd, data, bytes, offset);
    if (written > 0) syscall(SYS_lseek, fd, offset + written, SEEK_SET);
    return written;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    struct file *file = file_of(fd);
    if (file) return write_onward(file, fd, data, bytes);
    struct iovec part = {(void *)data, bytes};
    return send_watched(fd, &part, 1, plain_write, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    struct file *file = file_of(fd);
    if (!file) return send_watched(fd, parts, n, plain_write, 0);
    for (int part = 0; part < n; part++)
        if (parts[part].iov_len) return write_onward(file, fd, parts[part].iov_base, parts[part].iov_len);
    return 0;
}

ssize_t send(int fd, const void *data, size_t bytes, int flags) {
    struct iovec part = {(void *)data, bytes};
    return send_watched(fd, &part, 1, plain_send, flags);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) {
    struct file *file = file_of(fd);
    return file ? write_watched(file, fd, data, bytes, offset) : syscall(SYS_pwrite64, fd, data, bytes, offset);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset) {
    if (file_of(fd)) count(CALL_ESCAPE);
    return syscall(SYS_pwritev, fd, parts, n, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t offset) { return pwritev(fd, parts, n, offset); }

/* ---- syncing ---- */

static int sync_watched(int number, int fd) {
    struct file *file = file_of(fd);
    if (!file) return (int)syscall(number, fd);
    enum call call = file->is_dir ? CALL_SYNCDIR : CALL_SYNC;
    static uint64_t syncs;
    files_lock();
    uint64_t sync = ++syncs;
    record(RECORD_SYNC_BEGIN, file->id, sync, 0, NULL, NULL, 0);
    files_unlock();
    int verdict = rules_before(call, file->name, 0);
    if (verdict > 0) return failed(verdict);
    if (verdict == VERDICT_LIE) return 0;
    count(call);
    int result = (int)syscall(number, fd), error = errno;
    if (result == 0) {
        files_lock();
        record(RECORD_SYNC_END, file->id, sync, 0, NULL, NULL, 0);
        files_unlock();
        rules_after(call, file->name, 0);
    }
    errno = error;
    return result;
}

int fsync(int fd) { return sync_watched(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_watched(SYS_fdatasync, fd); }

/* Starts writing pages out and promises nothing: so it is counted, and covers nothing. */
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags) {
    if (file_of(fd)) count(CALL_RANGE);
    return (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}

/* ---- length and room ---- */

int ftruncate64(int fd, off_t bytes) {
    struct file *file = file_of(fd);
    if (!file) return (int)syscall(SYS_ftruncate, fd, bytes);
    int verdict = rules_before(CALL_TRUNCATE, file->name, bytes);
    if (verdict > 0) return failed(verdict);
    count(CALL_TRUNCATE);
    files_lock();
    int result = (int)syscall(SYS_ftruncate, fd, bytes), error = errno;
    if (result == 0) record(RECORD_TRUNCATE, file->id, (uint64_t)bytes, 0, NULL, NULL, 0);
    files_unlock();
    if (result == 0) rules_after(CALL_TRUNCATE, file->name, bytes);
    errno = error;
    return result;
}
int ftruncate(int fd, off_t bytes) { return ftruncate64(fd, bytes); }

int fallocate64(int fd, int mode, off_t offset, off_t bytes) {
    struct file *file = file_of(fd);
    if (!file) return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
    int verdict = rules_before(CALL_ALLOCATE, file->name, offset);
    if (verdict > 0) return failed(verdict);
    count(CALL_ALLOCATE);
    if (mode != 0) count(CALL_ESCAPE);
    files_lock();
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, bytes), error = errno;
    if (result == 0) record(RECORD_ALLOCATE, file->id, (uint64_t)offset, (uint64_t)bytes, NULL, NULL, 0);
    files_unlock();
    if (result == 0) rules_after(CALL_ALLOCATE, file->name, offset);
    errno = error;
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t bytes) { return fallocate64(fd, mode, offset, bytes); }
int posix_fallocate64(int fd, off_t offset, off_t bytes) { return fallocate64(fd, 0, offset, bytes) ? errno : 0; }
int posix_fallocate(int fd, off_t offset, off_t bytes) { return posix_fallocate64(fd, offset, bytes); }

/* ---- names ---- */

static int rename_watched(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char old[NAME_BYTES], new[NAME_BYTES];
    int is_watched = relative_name(from_dir, from, old) + relative_name(to_dir, to, new);
    if (is_watched == 0) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (is_watched == 1 || flags) count(CALL_ESCAPE);
    int verdict = rules_before(CALL_RENAME, new, 0);
    if (verdict > 0) return failed(verdict);
    count(CALL_RENAME);
    files_lock();
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), error = errno;
    if (result == 0) {
        file_renamed(old, new);
        record(RECORD_RENAME, 0, 0, 0, old, new, strlen(new));
    }
    files_unlock();
    if (result == 0) rules_after(CALL_RENAME, new, 0);
    errno = error;
    return result;
}
int rename(const char *from, const char *to) { return rename_watched(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return rename_watched(from_dir, from, to_dir, to, 0); }
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return rename_watched(from_dir, from, to_dir, to, flags);
}

static int unlink_watched(int dirfd, const char *path, int flags) {
    char name[NAME_BYTES];
    if (!relative_name(dirfd, path, name)) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
    int verdict = rules_before(CALL_UNLINK, name, 0);
    if (verdict > 0) return failed(verdict);
    count(CALL_UNLINK);
    files_lock();
    int result = (int)syscall(SYS_unlinkat, dirfd, path, flags), error = errno;
    if (result == 0) {
        file_removed(name);
        record(RECORD_UNLINK, 0, 0, 0, name, NULL, 0);
    }
    files_unlock();
    if (result == 0) rules_after(CALL_UNLINK, name, 0);
    errno = error;
    return result;
}
int unlink(const char *path) { return unlink_watched(AT_FDCWD, path, 0); }
int unlinkat(int dirfd, const char *path, int flags) { return unlink_watched(dirfd, path, flags); }
int rmdir(const char *path) { return unlink_watched(AT_FDCWD, path, AT_REMOVEDIR); }

static int mkdir_watched(int dirfd, const char *path, mode_t mode) {
    char name[NAME_BYTES];
    if (!relative_name(dirfd, path, name)) return (int)syscall(SYS_mkdirat, dirfd, path, mode);
    count(CALL_MKDIR);
    files_lock();
    int result = (int)syscall(SYS_mkdirat, dirfd, path, mode), error = errno;
    if (result == 0) record(RECORD_MKDIR, 0, 0, 0, name, NULL, 0);
    files_unlock();
    errno = error;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdir_watched(AT_FDCWD, path, mode); }
int mkdirat(int dirfd, const char *path, mode_t mode) { return mkdir_watched(dirfd, path, mode); }

/* ---- ways around the layer, counted ---- */

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && file_of(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) count(CALL_ESCAPE);
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, bytes, protection, flags, fd, offset);
}
ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t bytes, unsigned flags) {
    if (file_of(to)) count(CALL_ESCAPE);
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
}
ssize_t sendfile64(int to, int from, off_t *at, size_t bytes) {
    if (file_of(to)) count(CALL_ESCAPE);
    return syscall(SYS_sendfile, to, from, at, bytes);
}
ssize_t sendfile(int to, int from, off_t *at, size_t bytes) { return sendfile64(to, from, at, bytes); }
int link(const char *from, const char *to) {
    char name[NAME_BYTES];
    if (relative_name(AT_FDCWD, to, name)) count(CALL_ESCAPE);
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- copies of descriptors ---- */

int dup3(int fd, int to, int flags) {
    int copy = (int)syscall(SYS_dup3, fd, to, flags);
    file_duplicated(fd, copy);
    return copy;
}
int dup2(int fd, int to) { return fd == to ? fd : dup3(fd, to, 0); }
int dup(int fd) {
    int copy = (int)syscall(SYS_dup, fd);
    file_duplicated(fd, copy);
    return copy;
}
int fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) file_duplicated(fd, result);
    return result;
}
int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return fcntl64(fd, command, argument);
}

/* ---- time ---- */

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    int64_t shift_ms = (int64_t)panel[PANEL_CLOCK_MS];
    if (result == 0 && shift_ms != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        count(CALL_CLOCK);
        time->tv_sec += shift_ms / 1000;
    }
    return result;
}
