/* Which descriptor is which watched file. A file keeps its number through renames, as it does on a disk. */
#define _GNU_SOURCE
#include "layer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>

#define MAX_FDS 65536
#define MAX_FILES 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *by_fd[MAX_FDS];
static struct file *files[MAX_FILES];
static uint32_t file_count;

void files_lock(void) { pthread_mutex_lock(&lock); }
void files_unlock(void) { pthread_mutex_unlock(&lock); }

/* Makes a path relative to the watched folder. 0 if it is not below it. */
int relative_name(int dirfd, const char *path, char *name) {
    const char *dir = getenv("FAULT_DIR");
    char full[4096];
    if (!dir || !path) return 0;
    if (path[0] == '/') {
        snprintf(full, sizeof full, "%s", path);
    } else {
        char base[2048], link[64];
        if (dirfd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        long bytes = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (bytes < 0) return 0;
        base[bytes] = 0;
        snprintf(full, sizeof full, "%s/%s", base, path);
    }
    size_t prefix = strlen(dir), length = strlen(full);
    while (length > 1 && full[length - 1] == '/') full[--length] = 0;
    if (strncmp(full, dir, prefix) != 0) return 0;
    if (full[prefix] == 0) { strcpy(name, "."); return 1; }
    if (full[prefix] != '/' || length - prefix - 1 >= NAME_BYTES) return 0;
    strcpy(name, full + prefix + 1);
    return 1;
}

struct file *file_of(int fd) {
    return fd >= 0 && fd < MAX_FDS ? __atomic_load_n(&by_fd[fd], __ATOMIC_ACQUIRE) : NULL;
}

/* With the lock held. */
struct file *file_opened(int fd, const char *name, int is_dir) {
    struct file *file = NULL;
    for (uint32_t n = 0; n < file_count && !file; n++)
        if (strcmp(files[n]->name, name) == 0) file = files[n];
    if (!file) {
        if (fd >= MAX_FDS || file_count == MAX_FILES) { count(CALL_ESCAPE); return NULL; }
        file = calloc(1, sizeof *file);
        strcpy(file->name, name);
        file->is_dir = is_dir;
        file->id = file_count + 1;
        files[file_count++] = file;
    }
    __atomic_store_n(&by_fd[fd], file, __ATOMIC_RELEASE);
    return file;
}

void file_duplicated(int fd, int copy) {
    if (copy >= 0 && copy < MAX_FDS) __atomic_store_n(&by_fd[copy], file_of(fd), __ATOMIC_RELEASE);
}

void file_closed(int fd) {
    if (fd >= 0 && fd < MAX_FDS) __atomic_store_n(&by_fd[fd], NULL, __ATOMIC_RELEASE);
}

/* With the lock held. What is below a folder goes with it. */
void file_renamed(const char *from, const char *to) {
    size_t prefix = strlen(from);
    file_removed(to);
    for (uint32_t n = 0; n < file_count; n++) {
        char *name = files[n]->name, moved[2 * NAME_BYTES + 1];
        if (strncmp(name, from, prefix) != 0 || (name[prefix] != 0 && name[prefix] != '/')) continue;
        snprintf(moved, sizeof moved, "%s%s", to, name + prefix);
        if (strlen(moved) < NAME_BYTES) strcpy(name, moved);
        else count(CALL_ESCAPE);
    }
}

/* With the lock held. The file may still be open; its name is free. */
void file_removed(const char *name) {
    for (uint32_t n = 0; n < file_count; n++)
        if (strcmp(files[n]->name, name) == 0) strcpy(files[n]->name, "(removed)");
}
