/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/credential_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { ANSWER_MAX_BYTES = 1024 * 1024, TICK_MS = 100 };

/* What helpers print, and docker looks for, when they have nothing. */
static const char not_found[] = "credentials not found in native keychain";

/* A cancel token wakes no poll: it is looked at now and then. */
static int wait_readable(
        int fd, const char *what, int64_t deadline_ms, struct cancel *cancel, struct err *e)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        while (poll(&p, 1, TICK_MS) <= 0) {
                if (cancel_fired(cancel))
                        return err_set(e, ERR_CANCELLED, "cancelled while reading from %s", what);
                if (deadline_ms > 0 && clock_mono_ms() >= deadline_ms)
                        return err_set(e, ERR_TIMEOUT, "no answer in time from %s", what);
        }
        return 0;
}

int credential_read(int fd, const char *what, bool one_line, int64_t timeout_ms,
        struct cancel *cancel, struct buf *b, struct err *e)
{
        int64_t deadline_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : 0;
        char piece[4096];
        ssize_t n = 1;
        while (n > 0 && !b->overflow && (!one_line || strchr(buf_str(b), '\n') == NULL)) {
                if (wait_readable(fd, what, deadline_ms, cancel, e) < 0)
                        return -1;
                n = read(fd, piece, sizeof(piece));
                if (n > 0)
                        buf_append(b, piece, (size_t)n);
                mem_wipe(piece, sizeof(piece));
        }
        if (n < 0)
                return err_set_sys(e, errno, "cannot read from %s", what);
        if (b->overflow)
                return err_set(e, ERR_TOO_LARGE, "more than %zu bytes from %s", b->max_bytes, what);
        return 0;
}

/* In its own program: signals as programs expect them, and no word of ours on its terminal. */
static int spawn_helper(const char *program, int in, int out, pid_t *pid)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, usual;
        char *const argv[] = {(char *)program, (char *)"get", NULL};
        sigemptyset(&none);
        sigemptyset(&usual);
        sigaddset(&usual, SIGPIPE);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &usual);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        int number = posix_spawnp(pid, program, &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return number;
}

/* It may take its time to end after its answer; it is not waited for without end. */
static int reap(pid_t pid, const char *program, int64_t deadline_ms, int *status, struct err *e)
{
        const struct timespec tick = {.tv_nsec = 1000000};
        while (waitpid(pid, status, WNOHANG) == 0) {
                if (clock_mono_ms() >= deadline_ms) {
                        kill(pid, SIGKILL);
                        waitpid(pid, status, 0);
                        return err_set(e, ERR_TIMEOUT, "%s does not end", program);
                }
                nanosleep(&tick, NULL);
        }
        return 0;
}

static int parse_answer(
        const char *program, const struct buf *b, char **name, char **secret, struct err *e)
{
        json_t *answer = json_loadb(buf_str(b), b->size, 0, NULL);
        const char *said_name = json_string_value(json_object_get(answer, "Username"));
        const char *said_secret = json_string_value(json_object_get(answer, "Secret"));
        *name = mem_strdup_or_null(said_name);
        *secret = mem_strdup_or_null(said_secret);
        json_decref(answer);
        if (*name != NULL && *secret != NULL)
                return 0;
        mem_free_secret(take(name));
        mem_free_secret(take(secret));
        return err_set(
                e, ERR_CONFIG, "%s answers with something else than Username and Secret", program);
}

static int judge(const char *program, const char *server, const struct buf *b, int status,
        char **name, char **secret, struct err *e)
{
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return parse_answer(program, b, name, secret, e);
        if (strstr(buf_str(b), not_found) != NULL)
                return 0;
        return err_set(e, ERR_CONFIG,
                "%s failed for %s; try it: echo %s | %s get >/dev/null; echo $?", program, server,
                server, program);
}

/* The pipes' near ends are ours, the far ones are closed by the caller after the spawn. */
static int talk(const char *program, const char *server, int to, int from, int64_t timeout_ms,
        struct cancel *cancel, struct buf *b, struct err *e)
{
        cleanup_free char *line = mem_printf("%s\n", server);
        /* A pipe takes that at once; one that reads nothing may still answer. */
        if (write(to, line, strlen(line)) < 0 && errno != EPIPE)
                return err_set_sys(e, errno, "cannot write to %s", program);
        close(to);
        return credential_read(from, program, false, timeout_ms, cancel, b, e);
}

static bool name_valid(const char *helper)
{
        return *helper != '\0' && *helper != '.' &&
               helper[strspn(helper,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                       "._-")] == '\0';
}

int credential_helper_get(const char *helper, const char *server, int64_t timeout_ms,
        struct cancel *cancel, char **name, char **secret, struct err *e)
{
        int in[2], out[2], status = 0;
        pid_t pid = 0;
        *name = *secret = NULL;
        if (!name_valid(helper))
                return err_set(e, ERR_CONFIG, "\"%s\" is no name of a credential helper", helper);
        cleanup_free char *program = mem_printf("docker-credential-%s", helper);
        if (pipe2(in, O_CLOEXEC) < 0)
                return err_set_sys(e, errno, "cannot make a pipe");
        if (pipe2(out, O_CLOEXEC) < 0) {
                close(in[0]);
                close(in[1]);
                return err_set_sys(e, errno, "cannot make a pipe");
        }
        int number = spawn_helper(program, in[0], out[1], &pid);
        close(in[0]);
        close(out[1]);
        if (number != 0) {
                close(in[1]);
                close(out[0]);
                return err_set_at(e, ERR_CONFIG, number, __func__, "cannot run %s", program);
        }
        cleanup_buf_secret struct buf b;
        buf_init(&b, ANSWER_MAX_BYTES);
        int64_t deadline_ms = clock_mono_ms() + timeout_ms;
        int result = talk(program, server, in[1], out[0], timeout_ms, cancel, &b, e);
        close(out[0]);
        if (result < 0)
                deadline_ms = 0; /* it is ended at once */
        struct err late;
        if (reap(pid, program, deadline_ms, &status, result < 0 ? &late : e) < 0)
                return -1;
        return result < 0 ? -1 : judge(program, server, &b, status, name, secret, e);
}
