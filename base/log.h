/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs: one line an event, to standard error, as text (key=value) or JSON; with a "<N>" priority
 * prefix when journald reads it. Values are escaped, so that nothing from the network can forge a
 * line. Never hand a secret to this module. Only the top of the program logs; libraries return
 * errors. Each line is one write(2). Usable from any thread after log_setup.
 */
#ifndef CRI_RESOLVED_LOG_H
#define CRI_RESOLVED_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { /* syslog(3) numbers */
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* "error" "warning" "info" "debug"; returns false for anything else. */
bool log_level_parse(const char *name, enum log_level *out);

/* May be called again at any time (reload). */
void log_setup(enum log_level level, bool json);
bool log_enabled(enum log_level level);

/*
 * log_line(level, "message", "key", "value", "key2", "value2", NULL): all strings; a NULL value
 * would end the list, so pass log_or(value) where it may be missing: pairs with "" are left out.
 */
void log_line(enum log_level level, const char *message, ...) __attribute__((sentinel));
static inline const char *log_or(const char *s)
{
        return s == 0 ? "" : s;
}

/* The same with pairs that are known at run time only. */
struct log_pair {
        const char *key;
        const char *value; /* not NULL */
};
void log_pairs(
        enum log_level level, const char *message, const struct log_pair *pairs, size_t count);

#endif
