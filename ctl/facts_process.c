/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/files.h"
#include "ctl/facts_kubelet.h"

enum { PROC_FILE_MAX_BYTES = 64 * 1024 };

/* /proc's files have no size: they are read piece by piece. NULL for what cannot be read. */
static char *read_proc(const char *proc, long pid, const char *name, size_t *size)
{
        cleanup_free char *path = mem_printf("%s/%ld/%s", proc, pid, name);
        char *text = mem_zalloc(PROC_FILE_MAX_BYTES + 1);
        *size = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = 0;
        while (fd >= 0 && *size < PROC_FILE_MAX_BYTES &&
                (got = read(fd, text + *size, PROC_FILE_MAX_BYTES - *size)) > 0)
                *size += (size_t)got;
        if (fd >= 0)
                close(fd);
        if (fd >= 0 && got >= 0)
                return text;
        free(text);
        return NULL;
}

bool process_is_named(const char *proc, long pid, const char *name)
{
        size_t size = 0;
        cleanup_free char *comm = read_proc(proc, pid, "comm", &size);
        return comm != NULL && size == strlen(name) + 1 && strncmp(comm, name, size - 1) == 0;
}

/* Any process may call itself what it likes, a pod's too: whom root believes is root's, or our own
 * user's. */
static bool is_trusted(const char *proc, long pid)
{
        struct stat st;
        cleanup_free char *folder = mem_printf("%s/%ld", proc, pid);
        return stat(folder, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid());
}

long process_find(const char *proc, const char *name)
{
        DIR *folder = opendir(proc);
        long found = 0;
        const struct dirent *entry = NULL;
        while (folder != NULL && found == 0 && (entry = readdir(folder)) != NULL) {
                long pid = strtol(entry->d_name, NULL, 10);
                if (pid > 0 && process_is_named(proc, pid, name) && is_trusted(proc, pid))
                        found = pid;
        }
        if (folder != NULL)
                closedir(folder);
        return found;
}

char *process_command(const char *proc, long pid)
{
        size_t size = 0;
        char *words = read_proc(proc, pid, "cmdline", &size);
        for (size_t i = 0; words != NULL && i + 1 < size; i++)
                if (words[i] == '\0')
                        words[i] = ' ';
        return words != NULL ? words : mem_strdup("");
}

/* One that is not whole could lack what is looked for. */
char *process_environment(const char *proc, long pid, size_t *size)
{
        char *text = read_proc(proc, pid, "environ", size);
        if (text == NULL || *size < PROC_FILE_MAX_BYTES)
                return text;
        mem_wipe(text, *size);
        free(text);
        return NULL;
}

/* Behind "Name:\t" in /proc/PID/status; NULL: it is not there. */
static const char *status_line(const char *status, const char *name)
{
        cleanup_free char *key = mem_printf("\n%s:\t", name);
        const char *at = status != NULL ? strstr(status, key) : NULL;
        return at != NULL ? at + strlen(key) : NULL;
}

bool process_reads_all(const char *proc, long pid)
{
        enum { DAC_OVERRIDE = 1 << 1, DAC_READ_SEARCH = 1 << 2 };
        size_t size = 0;
        cleanup_free char *status = read_proc(proc, pid, "status", &size);
        const char *capabilities = status_line(status, "CapEff");
        const char *users = status_line(status, "Uid"); /* real, effective, ... */
        const char *effective = users != NULL ? strchr(users, '\t') : NULL;
        return capabilities == NULL || effective == NULL || strtol(effective, NULL, 10) != 0 ||
               (strtoull(capabilities, NULL, 16) & (DAC_OVERRIDE | DAC_READ_SEARCH)) != 0;
}

/* 0: nobody that we can see. */
static long peer_of(const char *socket_path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct ucred peer = {0};
        socklen_t size = sizeof(peer);
        if (strlen(socket_path) >= sizeof(address.sun_path))
                return 0;
        memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool asked = fd >= 0 &&
                     connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                     getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
        if (fd >= 0)
                close(fd);
        return asked ? peer.pid : 0;
}

long process_listening(const char *socket_path)
{
        long pid = peer_of(socket_path);
        return pid > 1 ? pid : 0;
}

bool process_holds_for_service(const char *socket_path)
{
        return peer_of(socket_path) == 1;
}

char *process_option(const char *words, const char *name, char letter)
{
        int line = 0;
        char *value = kubelet_flag(words, name, &line);
        const char mark[] = {' ', '-', letter, ' ', '\0'};
        const char *at = letter != '\0' ? strstr(words, mark) : NULL;
        if (value == NULL && at != NULL)
                value = mem_strndup(at + 4, strcspn(at + 4, " "));
        return value;
}
