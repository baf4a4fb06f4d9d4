/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "config/files.h"
#include "ctl/cli.h"

enum {
        LINKS_MAX = 40,
        TRIES = 100,
        MODE_BITS = 07777,
        FOLDER_MODE = 0755,
        BACKUP_MAX_BYTES = 256 * 1024 * 1024
};

/* One file on its way into its place. Once it is found, its folder and what stands there are these,
 * whatever becomes of their names: the folder may belong to somebody who wishes us ill. */
struct place {
        char *path; /* what is written, links followed */
        const char *name;
        char *directory;
        int directory_fd;
        int old_fd; /* what stands there now; -1: nothing */
        struct stat old;
};

static void place_fini(struct place *p)
{
        if (p->directory_fd >= 0)
                close(p->directory_fd);
        if (p->old_fd >= 0)
                close(p->old_fd);
        free(p->path);
        free(p->directory);
}
#define cleanup_place cleanup(place_fini)

static char *directory_of(const char *path)
{
        cleanup_free char *copy = mem_strdup(path);
        return mem_strdup(dirname(copy));
}

/* Where the links lead; what stands at their end need not be there. NULL: in a circle. */
static char *follow_links(const char *path)
{
        cleanup_free char *at = mem_strdup(path);
        for (int i = 0; i < LINKS_MAX; i++) {
                char target[PATH_MAX];
                ssize_t size = readlink(at, target, sizeof(target) - 1);
                if (size < 0)
                        return take(&at);
                target[size] = '\0';
                cleanup_free char *directory = directory_of(at);
                free(at);
                at = target[0] == '/' ? mem_strdup(target) : mem_printf("%s/%s", directory, target);
        }
        return NULL;
}

static int find_folder(struct place *p, const char *path, struct err *e)
{
        p->path = follow_links(path);
        if (p->path == NULL)
                return err_set_sys(e, ELOOP, "cannot write %s", path);
        const char *slash = strrchr(p->path, '/');
        p->name = slash != NULL ? slash + 1 : p->path;
        p->directory = directory_of(p->path);
        p->directory_fd = open(p->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (p->directory_fd < 0)
                return err_set_sys(
                        e, errno, "cannot write %s: no new file in %s", p->path, p->directory);
        return 0;
}

static int place_find(const char *path, struct place *p, struct err *e)
{
        *p = (struct place){.directory_fd = -1, .old_fd = -1};
        if (find_folder(p, path, e) < 0)
                return -1;
        p->old_fd =
                openat(p->directory_fd, p->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (p->old_fd < 0 && errno != ENOENT)
                return err_set_sys(e, errno, "cannot read what %s is now", path);
        if (p->old_fd >= 0 && fstat(p->old_fd, &p->old) < 0)
                return err_set_sys(e, errno, "cannot read what %s is now", path);
        if (p->old_fd >= 0 && !S_ISREG(p->old.st_mode))
                return err_set(e, ERR_SYSTEM, "%s is not a regular file: it is left alone", path);
        return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, data, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

static void copy_attribute(int from, int to, const char *name)
{
        char value[4096];
        ssize_t size = fgetxattr(from, name, value, sizeof(value));
        if (size >= 0)
                (void)fsetxattr(to, name, value, (size_t)size, 0);
}

/* As far as the file system and our rights go. The mode comes after the owner: chown(2) clears
 * bits of it. A mode for a group that could not be kept is not given to another one. */
static void copy_attributes(const struct place *p, int to)
{
        char names[16 * 1024];
        ssize_t size = flistxattr(p->old_fd, names, sizeof(names));
        mode_t mode = p->old.st_mode & MODE_BITS;
        if (fchown(to, p->old.st_uid, p->old.st_gid) < 0 &&
                fchown(to, (uid_t)-1, p->old.st_gid) < 0)
                mode &= S_IRWXU | S_IRWXO;
        fchmod(to, mode);
        for (ssize_t i = 0; i < size; i += (ssize_t)strlen(names + i) + 1)
                copy_attribute(p->old_fd, to, names + i);
}

/* A new file gets the mode that umask leaves; one that takes another's place is nobody's business
 * until it has that one's. */
static int open_beside(const struct place *p, char **name, struct err *e)
{
        mode_t mode = p->old_fd >= 0 ? 0600 : 0666;
        for (int i = 0; i < TRIES; i++) {
                cleanup_free char *beside = mem_printf(".cri-resolvectl.%d.%d", (int)getpid(), i);
                int fd = openat(p->directory_fd, beside,
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
                if (fd >= 0) {
                        *name = take(&beside);
                        return fd;
                }
                if (errno != EEXIST)
                        break;
        }
        return err_set_sys(e, errno, "cannot write %s: no new file in %s", p->path, p->directory);
}

/* A rename that a crash may undo is no rename. Some file systems cannot do this, and need not. */
static void sync_directory(const struct place *p)
{
        int fd = openat(p->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return;
        fsync(fd);
        close(fd);
}

/* to: a name in the place's folder. */
static int put(const struct place *p, const char *to, const void *data, size_t size, struct err *e)
{
        cleanup_free char *temporary = NULL;
        int fd = open_beside(p, &temporary, e);
        if (fd < 0)
                return -1;
        int status = write_all(fd, data, size);
        if (status == 0 && p->old_fd >= 0)
                copy_attributes(p, fd);
        if (status == 0)
                status = fsync(fd);
        if (status == 0)
                status = renameat(p->directory_fd, temporary, p->directory_fd, to);
        int number = errno;
        close(fd);
        if (status < 0) {
                unlinkat(p->directory_fd, temporary, 0);
                return err_set_sys(e, number, "cannot write %s/%s", p->directory, to);
        }
        sync_directory(p);
        return 0;
}

/* A second name for the old file keeps all that it is; where that is not allowed, a copy. */
static int keep_old(const struct place *p, struct err *e)
{
        char stamp[32];
        struct tm utc;
        time_t now = time(NULL);
        gmtime_r(&now, &utc);
        strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
        cleanup_free char *name = mem_printf("%s.%s.bak", p->name, stamp);
        for (int i = 2; linkat(p->directory_fd, p->name, p->directory_fd, name, 0) < 0; i++) {
                if (errno != EEXIST || i > TRIES) {
                        cleanup_free char *data = NULL;
                        size_t size = 0;
                        if (file_read(p->path, BACKUP_MAX_BYTES, &data, &size, e) < 0)
                                return -1;
                        return put(p, name, data, size, e);
                }
                free(name);
                name = mem_printf("%s.%s-%d.bak", p->name, stamp, i);
        }
        return 0;
}

int cli_make_folders(const char *path, struct err *e)
{
        cleanup_free char *copy = mem_strdup(path);
        if (copy[0] == '\0')
                return 0;
        for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(copy, FOLDER_MODE) < 0 && errno != EEXIST)
                        return err_set_sys(e, errno, "cannot make the folder %s", copy);
                *slash = '/';
        }
        return 0;
}

int cli_write_file(const char *path, const void *data, size_t size, bool backup, struct err *e)
{
        cleanup_place struct place p;
        if (place_find(path, &p, e) < 0)
                return -1;
        if (backup && p.old_fd >= 0 && keep_old(&p, e) < 0)
                return -1;
        return put(&p, p.name, data, size, e);
}

static bool holds(int fd, const char *text, size_t size)
{
        char piece[4096];
        ssize_t n = 0;
        while ((n = read(fd, piece, sizeof(piece))) > 0) {
                if ((size_t)n > size || memcmp(piece, text, (size_t)n) != 0)
                        return false;
                text += n;
                size -= (size_t)n;
        }
        return n == 0 && size == 0;
}

int cli_replace_text(const char *path, const char *before, size_t before_size, const char *after,
        size_t after_size, struct err *e)
{
        cleanup_place struct place p;
        if (place_find(path, &p, e) < 0)
                return -1;
        if (p.old_fd < 0 || !holds(p.old_fd, before, before_size))
                return err_set(e, ERR_SYSTEM,
                        "%s has changed since it was read: nothing is written; try again", path);
        return put(&p, p.name, after, after_size, e);
}
