/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
        const char *label;
        const char *text;
        int grpc_status;
        int exit_code;
        bool next_source;
} table[] = {
        [ERR_NONE] = {"ok", "no error", 0, 0, false},
#define ERR(name, grpc, exit, label, next, text) [ERR_##name] = {label, text, grpc, exit, next},
#include "base/err.def"
#undef ERR
};

int err_set_at(struct err *e, enum err_code code, int sys, const char *where, const char *fmt, ...)
{
        *e = (struct err){.code = code, .sys = sys, .where = where};
        va_list args;
        va_start(args, fmt);
        int n = vsnprintf(e->msg, sizeof(e->msg), fmt, args);
        va_end(args);
        if (sys != 0 && n >= 0 && (size_t)n < sizeof(e->msg)) {
                char text[128];
                snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s",
                        strerror_r(sys, text, sizeof(text)));
        }
        return -1;
}

int err_wrap_at(struct err *e, const char *fmt, ...)
{
        char was[sizeof(e->msg)];
        memcpy(was, e->msg, sizeof(was));
        va_list args;
        va_start(args, fmt);
        int n = vsnprintf(e->msg, sizeof(e->msg), fmt, args);
        va_end(args);
        if (n < 0 || (size_t)n >= sizeof(e->msg))
                return -1;
        /* What does not fit is cut off: the context matters more than the end of the cause. */
        const char *parts[] = {": ", was};
        char *at = e->msg + n;
        for (size_t i = 0; i < 2; i++) {
                size_t size = strnlen(parts[i], (size_t)(e->msg + sizeof(e->msg) - 1 - at));
                at = mempcpy(at, parts[i], size);
        }
        *at = '\0';
        return -1;
}

const char *err_label(enum err_code code)
{
        return table[code].label;
}

const char *err_text(enum err_code code)
{
        return table[code].text;
}

int err_grpc_status(enum err_code code)
{
        return table[code].grpc_status;
}

int err_exit_code(enum err_code code)
{
        return table[code].exit_code;
}

bool err_try_next_source(enum err_code code)
{
        return table[code].next_source;
}
