/* SPDX-License-Identifier: Apache-2.0 */
#include "config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

enum { MODE_BITS = 07777 };

static int cannot_read(const char *path, int number, struct err *e)
{
        return err_set_at(e, ERR_CONFIG, number, __func__, "cannot read %s", path);
}

/* O_NONBLOCK: a FIFO in the place of a file must not hold us up. */
static int open_file(const char *path)
{
        return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static int read_all(int fd, const char *path, struct buf *b, struct err *e)
{
        char piece[4096];
        ssize_t n = 0;
        while (!b->overflow && (n = read(fd, piece, sizeof(piece))) > 0)
                buf_append(b, piece, (size_t)n);
        int number = errno;
        mem_wipe(piece, sizeof(piece));
        if (n < 0)
                return cannot_read(path, number, e);
        if (b->overflow)
                return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, b->max_bytes);
        return 0;
}

/* Asks the open file, not the path: what is checked is what is read. */
static int check_private(int fd, const char *path, struct err *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return cannot_read(path, errno, e);
        if (!S_ISREG(st.st_mode))
                return err_set(e, ERR_CONFIG, "%s is not a regular file", path);
        if ((st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0)
                return err_set(e, ERR_CONFIG,
                        "%s has the mode %04o, so that others than its owner may read or write it; "
                        "remedy: chmod 0600 %s",
                        path, (unsigned)st.st_mode & MODE_BITS, path);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return err_set(e, ERR_CONFIG,
                        "%s belongs to the user %u, neither root nor the one we run as; remedy: "
                        "chown root %s",
                        path, (unsigned)st.st_uid, path);
        return 0;
}

static int read_file(
        const char *path, bool private, size_t max_bytes, char **out, size_t *size, struct err *e)
{
        *out = NULL;
        int fd = open_file(path);
        if (fd < 0)
                return cannot_read(path, errno, e);
        cleanup_buf_secret struct buf b;
        buf_init(&b, max_bytes);
        int status = private ? check_private(fd, path, e) : 0;
        if (status == 0)
                status = read_all(fd, path, &b, e);
        close(fd);
        if (status < 0)
                return -1;
        if (size != NULL)
                *size = b.size;
        *out = b.data != NULL ? take(&b.data) : mem_strdup("");
        return 0;
}

int file_read(const char *path, size_t max_bytes, char **out, size_t *size, struct err *e)
{
        return read_file(path, false, max_bytes, out, size, e);
}

int file_read_private(const char *path, size_t max_bytes, char **out, size_t *size, struct err *e)
{
        return read_file(path, true, max_bytes, out, size, e);
}
