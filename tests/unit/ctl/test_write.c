/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "config/files.h"
#include "ctl/cli.h"
#include "tests/unit/config/scratch.h"

/* The text of a file in the folder; the caller frees. */
static char *text_of(const struct scratch *s, const char *name)
{
        struct err e;
        char *text = NULL;
        cleanup_free char *path = mem_printf("%s/%s", s->path, name);
        if (file_read(path, 1 << 20, &text, NULL, &e) < 0)
                fail_msg("%s", e.msg);
        return text;
}

static size_t count_files(const struct scratch *s, const char *suffix, char **last)
{
        size_t count = 0;
        DIR *d = opendir(s->path);
        assert_non_null(d);
        for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
                size_t size = strlen(entry->d_name), tail = strlen(suffix);
                if (entry->d_type != DT_REG || size < tail ||
                        strcmp(entry->d_name + size - tail, suffix) != 0)
                        continue;
                count++;
                if (last != NULL) {
                        free(*last);
                        *last = mem_strdup(entry->d_name);
                }
        }
        closedir(d);
        return count;
}

static void replace(const char *path, const char *text, bool backup)
{
        struct err e;
        if (cli_write_file(path, text, strlen(text), backup, &e) < 0)
                fail_msg("%s", e.msg);
}

static mode_t mode_of(const char *path)
{
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        return st.st_mode & 07777;
}

static void a_new_file(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = mem_printf("%s/new", s->path);
        mode_t old = umask(027);
        replace(path, "text\n", true);
        umask(old);
        cleanup_free char *text = text_of(s, "new");
        assert_string_equal(text, "text\n");
        assert_int_equal(mode_of(path), 0640);
        assert_int_equal(
                count_files(s, "", NULL), 1); /* neither a backup nor something beside it */
}

static void an_old_file(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "before");
        assert_int_equal(chmod(path, 0604), 0);
        struct stat before, after;
        assert_int_equal(stat(path, &before), 0);
        int reader = open(path, O_RDONLY | O_CLOEXEC);
        replace(path, "after", false);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_mode, before.st_mode);
        assert_int_equal(after.st_uid, before.st_uid);
        assert_int_not_equal(after.st_ino, before.st_ino);
        char seen[16] = "";
        assert_int_equal(
                read(reader, seen, sizeof(seen)), 6); /* who has it open keeps the old one */
        assert_string_equal(seen, "before");
        close(reader);
        cleanup_free char *text = text_of(s, "old");
        assert_string_equal(text, "after");
        assert_int_equal(count_files(s, "", NULL), 1);
}

/* Not every file system has them: then there is nothing to keep. */
static void extended_attributes(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "before");
        bool kept = setxattr(path, "user.cri", "value", 5, 0) == 0;
        replace(path, "after", false);
        char value[16] = "";
        assert_int_equal(getxattr(path, "user.cri", value, sizeof(value)), kept ? 5 : -1);
        assert_string_equal(value, kept ? "value" : "");
}

static void owner_of_the_old_file(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "before");
        uid_t owner = geteuid() == 0 ? 12345 : geteuid();
        assert_int_equal(chown(path, owner, (gid_t)-1), 0);
        replace(path, "after", false);
        struct stat after;
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_uid, owner);
}

static void a_text_that_is_still_the_one(void **state)
{
        const struct scratch *s = *state;
        struct err e;
        cleanup_free char *path = scratch_write(s, "old", "before");
        assert_int_equal(cli_replace_text(path, "before", 6, "after", 5, &e), 0);
        cleanup_free char *text = text_of(s, "old");
        assert_string_equal(text, "after");
}

/* What was read and what is there now are two files: by a writer, or by a link that somebody has
 * put there. */
static void a_text_that_has_changed(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "before, and more");
        cleanup_free char *secret = scratch_write(s, "secret", "of another");
        cleanup_free char *link = mem_printf("%s/link", s->path);
        cleanup_free char *absent = mem_printf("%s/absent", s->path);
        assert_int_equal(symlink(secret, link), 0);
        const char *const paths[] = {path, link, absent};
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                struct err e;
                assert_int_equal(cli_replace_text(paths[i], "before", 6, "after", 5, &e), -1);
                assert_int_equal(e.code, ERR_SYSTEM);
                assert_non_null(strstr(e.msg, "has changed since it was read"));
        }
        cleanup_free char *text = text_of(s, "old");
        assert_string_equal(text, "before, and more");
        cleanup_free char *kept = text_of(s, "secret");
        assert_string_equal(kept, "of another");
        assert_int_equal(count_files(s, "", NULL), 2); /* and the link */
}

static void with_a_backup(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "first");
        assert_int_equal(chmod(path, 0600), 0);
        replace(path, "second", true);
        cleanup_free char *name = NULL;
        assert_int_equal(count_files(s, ".bak", &name), 1);
        assert_int_equal(strncmp(name, "old.2", 5), 0);
        assert_int_equal(strlen(name), strlen("old.20260101T000000Z.bak"));
        cleanup_free char *text = text_of(s, name);
        assert_string_equal(text, "first");
        cleanup_free char *kept = mem_printf("%s/%s", s->path, name);
        assert_int_equal(mode_of(kept), 0600);
        replace(path, "third", true); /* in the same second, or not */
        assert_int_equal(count_files(s, ".bak", NULL), 2);
        cleanup_free char *again = text_of(s, name);
        assert_string_equal(again, "first");
}

static void where_a_link_leads(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *target = scratch_write(s, "folder/target", "before");
        cleanup_free char *link = mem_printf("%s/link", s->path);
        cleanup_free char *second = mem_printf("%s/second", s->path);
        assert_int_equal(symlink("folder/target", link), 0);
        assert_int_equal(symlink(link, second), 0);
        replace(second, "after", true);
        cleanup_free char *text = text_of(s, "folder/target");
        assert_string_equal(text, "after");
        struct stat st;
        assert_int_equal(lstat(link, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(unlink(target), 0);
        replace(link, "made", false); /* the target is not there: it is made */
        cleanup_free char *made = text_of(s, "folder/target");
        assert_string_equal(made, "made");
}

static void refuse(const char *path, const char *message)
{
        struct err e;
        assert_int_equal(cli_write_file(path, "x", 1, true, &e), -1);
        assert_int_equal(e.code, ERR_SYSTEM);
        assert_string_equal(e.msg, message);
}

static void what_is_refused(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *missing = mem_printf("%s/no/such/file", s->path);
        cleanup_free char *link = mem_printf("%s/link", s->path);
        assert_int_equal(symlink("link", link), 0);
        cleanup_free char *folder_said =
                mem_printf("%s is not a regular file: it is left alone", s->path);
        refuse(s->path, folder_said);
        cleanup_free char *missing_said =
                mem_printf("cannot write %s: no new file in %s/no/such: No such file or directory",
                        missing, s->path);
        refuse(missing, missing_said);
        cleanup_free char *link_said =
                mem_printf("cannot write %s: Too many levels of symbolic links", link);
        refuse(link, link_said);
        refuse("/dev/null", "/dev/null is not a regular file: it is left alone");
        refuse("/proc/cri-resolved-test",
                "cannot write /proc/cri-resolved-test: no new file in /proc: No such file or "
                "directory");
}

/* root passes mode bits: the child that tries is nobody. */
static void a_folder_that_is_not_ours(void **state)
{
        const struct scratch *s = *state;
        cleanup_free char *path = scratch_write(s, "old", "before");
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(chmod(s->path, 0555), 0);
        pid_t child = fork();
        if (child == 0) {
                struct err e = {0};
                if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
                        _exit(2);
                int code = cli_write_file(path, "x", 1, false, &e);
                cleanup_free char *said = mem_printf(
                        "cannot write %s: no new file in %s: Permission denied", path, s->path);
                _exit(code == -1 && e.code == ERR_SYSTEM && strcmp(e.msg, said) == 0 ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        cleanup_free char *text = text_of(s, "old");
        assert_string_equal(text, "before");
        assert_int_equal(chmod(s->path, 0755), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_new_file),
                TEST(an_old_file),
                TEST(extended_attributes),
                TEST(owner_of_the_old_file),
                TEST(a_text_that_is_still_the_one),
                TEST(a_text_that_has_changed),
                TEST(with_a_backup),
                TEST(where_a_link_leads),
                TEST(what_is_refused),
                TEST(a_folder_that_is_not_ours),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
