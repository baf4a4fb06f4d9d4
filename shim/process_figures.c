/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/process_figures.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

/* proc(5), /proc/pid/stat, counted behind the program's name in parentheses. */
enum { STAT_THREADS = 18, STAT_STARTED_TICKS = 20 };
enum { NS_PER_S = 1000000000, TEXT_MAX_BYTES = 4096 };

static void read_text(const char *path, char text[TEXT_MAX_BYTES])
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd >= 0 ? read(fd, text, TEXT_MAX_BYTES - 1) : 0;
        text[size > 0 ? size : 0] = '\0';
        if (fd >= 0)
                close(fd);
}

/* The number behind so many spaces; 0 where there are not so many. */
static double field(const char *text, int at)
{
        while (at-- > 0 && text != NULL) {
                text = strchr(text, ' ');
                text = text != NULL ? text + 1 : NULL;
        }
        return text != NULL ? strtod(text, NULL) : 0;
}

static double stat_field(int at)
{
        char text[TEXT_MAX_BYTES];
        read_text("/proc/self/stat", text);
        const char *end = strrchr(text, ')'); /* a name may hold anything */
        return end != NULL ? field(end, at) : 0;
}

static double open_fds(void)
{
        DIR *folder = opendir("/proc/self/fd");
        if (folder == NULL)
                return 0;
        double count = -1; /* the folder's own */
        for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
                count += entry->d_name[0] != '.';
        closedir(folder);
        return count;
}

/* Once: two clocks are compared, and each time their difference would be another one. */
static double started_unix_s;

static void find_start(void)
{
        double since_boot_s = (double)clock_read_ns(CLOCK_BOOTTIME) / NS_PER_S;
        double now_s = (double)clock_read_ns(CLOCK_REALTIME) / NS_PER_S;
        double ticks = stat_field(STAT_STARTED_TICKS);
        started_unix_s = now_s - since_boot_s + ticks / (double)sysconf(_SC_CLK_TCK);
}

void process_figures_read(struct process_figures *out)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, find_start);
        char text[TEXT_MAX_BYTES];
        struct rlimit limit = {0};
        getrlimit(RLIMIT_NOFILE, &limit);
        read_text("/proc/self/statm", text);
        *out = (struct process_figures){
                .cpu_s = (double)clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) / NS_PER_S,
                .resident_bytes = field(text, 1) * (double)sysconf(_SC_PAGESIZE),
                .open_fds = open_fds(),
                .max_fds = (double)limit.rlim_cur,
                .threads = stat_field(STAT_THREADS),
                .started_unix_s = started_unix_s,
        };
}
