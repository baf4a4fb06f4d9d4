/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNAL_BASE = 128 };

/* One of its outputs: a pipe, or nowhere. */
struct output {
        struct buf *to;
        int read_fd, write_fd;
};

static int open_output(struct output *o, struct buf *to, struct err *e)
{
        *o = (struct output){.to = to, .read_fd = -1, .write_fd = -1};
        int fds[2];
        if (to == NULL) {
                o->write_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        } else if (pipe2(fds, O_CLOEXEC) == 0) {
                o->read_fd = fds[0];
                o->write_fd = fds[1];
        }
        return o->write_fd < 0 ? err_set_sys(e, errno, "no pipe for a program") : 0;
}

static void close_output(struct output *o)
{
        if (o->read_fd >= 0)
                close(o->read_fd);
        if (o->write_fd >= 0)
                close(o->write_fd);
        o->read_fd = o->write_fd = -1;
}

/* Ours are blocked (cli.h), and SIGPIPE is ignored: not so there. */
static int spawn(
        const char *const *argv, const struct output *out, const struct output *errors, pid_t *pid)
{
        sigset_t none, usual;
        sigemptyset(&none);
        sigemptyset(&usual);
        sigaddset(&usual, SIGPIPE);
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, out->write_fd, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, errors->write_fd, STDERR_FILENO);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &usual);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        int number = posix_spawnp(
                pid, argv[0], &actions, &attributes, (char *const *)(const void *)argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return number;
}

/* False at its end. */
static bool read_some(struct output *o)
{
        char piece[4096];
        ssize_t n = read(o->read_fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
                return true;
        if (n > 0)
                buf_append(o->to, piece, (size_t)n);
        mem_wipe(piece, sizeof(piece));
        return n > 0;
}

static void read_all(struct output *out, struct output *errors)
{
        struct output *both[] = {out, errors};
        struct pollfd fds[2] = {
                {.fd = out->read_fd, .events = POLLIN}, {.fd = errors->read_fd, .events = POLLIN}};
        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return;
                for (int i = 0; i < 2; i++)
                        if (fds[i].fd >= 0 && fds[i].revents != 0 && !read_some(both[i]))
                                fds[i].fd = -1;
        }
}

static void kill_it(void *pid)
{
        kill(*(pid_t *)pid, SIGKILL);
}

/* Its end, without reaping it: the hook may still use the number. */
static void await(pid_t pid, struct cancel *cancel, struct output *out, struct output *errors)
{
        struct cancel_hook hook = {0};
        cancel_hook(cancel, &hook, kill_it, &pid);
        read_all(out, errors);
        siginfo_t info;
        while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
                ;
        cancel_unhook(cancel, &hook);
}

static int run(const char *const *argv, struct cancel *cancel, struct output *out,
        struct output *errors, int *status, struct err *e)
{
        pid_t pid = 0;
        int number = spawn(argv, out, errors, &pid);
        if (number == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "there is no program %s", argv[0]);
        if (number != 0)
                return err_set_sys(e, number, "cannot run %s", argv[0]);
        close(out->write_fd);
        close(errors->write_fd);
        out->write_fd = errors->write_fd = -1;
        await(pid, cancel, out, errors);
        int ended = 0;
        while (waitpid(pid, &ended, 0) < 0 && errno == EINTR)
                ;
        *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : SIGNAL_BASE + WTERMSIG(ended);
        return cancel_fired(cancel) ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}

int command_run(const char *const *argv, struct cancel *cancel, struct buf *out, struct buf *errors,
        int *status, struct err *e)
{
        struct output first, second = {.read_fd = -1, .write_fd = -1};
        int result = open_output(&first, out, e);
        if (result == 0)
                result = open_output(&second, errors, e);
        if (result == 0)
                result = run(argv, cancel, &first, &second, status, e);
        close_output(&first);
        close_output(&second);
        return result;
}
