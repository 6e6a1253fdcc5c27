/* The control of the power cut: writes 64 records and acknowledges each, in one of three ways.
 *   plain: after the write; range: after sync_file_range, as sled 0.34 does; sync: after fdatasync. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    char path[4096], record[512];
    int peers[2];
    if (count != 3 || socketpair(AF_UNIX, SOCK_STREAM, 0, peers)) return 2;
    snprintf(path, sizeof path, "%s/log", words[1]);
    memset(record, 'x', sizeof record);
    int file = open(path, O_CREAT | O_RDWR, 0644), folder = open(words[1], O_RDONLY);
    if (file < 0 || folder < 0 || fsync(folder)) return 3;
    for (int n = 0; n < 64; n++) {
        if (pwrite(file, record, sizeof record, n * (off_t)sizeof record) != sizeof record) return 4;
        if (!strcmp(words[2], "sync") && fdatasync(file)) return 5;
        if (!strcmp(words[2], "range") &&
            sync_file_range(file, n * (off_t)sizeof record, sizeof record,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER))
            return 6;
        const char *answer = "HTTP/1.1 201 Created\r\n\r\n{}";
        if (send(peers[0], answer, strlen(answer), 0) < 0) return 7;
    }
    return 0;
}
