/* A layer between an unmodified program and the system: it sees the program's calls on the files below one folder, and,
 * as told by the environment and a shared panel, kills the process at one of them, fails it, delays it, pretends it, shifts
 * the wall clock, or records everything so that a power cut at any instant can be reconstructed.
 *
 * Loaded with LD_PRELOAD. Environment:
 *   FAULT_DIR     absolute path of the folder whose files are watched
 *   FAULT_PANEL   a file of PANEL_WORDS 64-bit words, mapped and shared with whoever watches
 *   FAULT_RULES   rules separated by ';': action when call glob nth [head|body]   (see rules.c)
 *   FAULT_RECORD  a file that gets a record of every change, sync and answer (see recorder.c)
 *
 * Invariant: every call that changes a watched file goes through here. What could change one in a way that is not modeled
 * (a shared writable mapping, sendfile ...) is counted as an escape, and whoever watches must refuse a run with escapes.
 */
#ifndef LAYER_H
#define LAYER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum call {
    CALL_OPEN, CALL_WRITE, CALL_SYNC, CALL_SYNCDIR, CALL_RANGE, CALL_RENAME, CALL_UNLINK, CALL_TRUNCATE, CALL_ALLOCATE,
    CALL_SEND, CALL_MKDIR, CALL_CLOCK, CALL_ESCAPE, CALLS
};

/* Words of the panel. The numbers are known to panel.rs as well. */
enum {
    PANEL_PID = 0,      /* the process the layer is active in */
    PANEL_ARMED = 1,    /* rules match while this is not 0; written by whoever watches */
    PANEL_CLOCK_MS = 2, /* added to the wall clock; written by whoever watches */
    PANEL_CALLS = 16,   /* calls on watched files since the start, by kind */
    PANEL_MATCHED = 64, /* calls each rule matched while armed */
    PANEL_FIRED = 128,  /* how often each rule acted */
    PANEL_WORDS = 512,
    MAX_RULES = 64,
};

/* What is to be done instead of the call, or before it. */
enum { VERDICT_GO = 0, VERDICT_TEAR = -1, VERDICT_LIE = -2 }; /* above 0: an errno to fail with */

#define NAME_BYTES 256
struct file {
    uint32_t id;
    int is_dir;
    char name[NAME_BYTES]; /* relative to FAULT_DIR; "." is the folder itself */
};

extern volatile uint64_t *panel;

void layer_start(void);
void layer_die(void) __attribute__((noreturn));
void count(enum call call);

/* files.c */
int relative_name(int dirfd, const char *path, char *name);
struct file *file_of(int fd);
struct file *file_opened(int fd, const char *name, int is_dir);
void file_duplicated(int fd, int copy);
void file_closed(int fd);
void file_renamed(const char *from, const char *to);
void file_removed(const char *name);
void files_lock(void);
void files_unlock(void);

/* rules.c */
void rules_read(const char *text);
int rules_have(enum call call);
int rules_before(enum call call, const char *name, off_t offset);
void rules_after(enum call call, const char *name, off_t offset);

/* recorder.c */
enum record {
    RECORD_OPEN = 1, RECORD_WRITE, RECORD_ZEROS, RECORD_TRUNCATE, RECORD_ALLOCATE, RECORD_SYNC_BEGIN, RECORD_SYNC_END,
    RECORD_RENAME, RECORD_UNLINK, RECORD_MKDIR, RECORD_SEND
};
void recorder_open(const char *path);
int recording(void);
void record(enum record kind, uint32_t id, uint64_t a, uint64_t b, const char *name, const void *data, size_t bytes);

#endif
