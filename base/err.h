/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: what failed, as a code to decide on and a message for people.
 *
 * Every fallible function takes a `struct err *` as its last argument and returns 0, or -1 after
 * having filled it. The struct is the caller's; nothing in it is allocated. Only the top of the
 * program logs an error, once. A message says what failed, for which reference and source, and
 * what to do; it never holds a secret. Usable from any thread.
 */
#ifndef CRI_RESOLVED_ERR_H
#define CRI_RESOLVED_ERR_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum err_code {
        ERR_NONE = 0,
#define ERR(name, grpc, exit, label, next, text) ERR_##name,
#include "base/err.def"
#undef ERR
};

struct err {
        enum err_code code;
        int sys;           /* errno, where a system call failed; else 0 */
        int http;          /* HTTP status, where a server answered; else 0 */
        const char *where; /* function that originated it: for debug logs */
        char msg[1024];
};

#define ERR_MUST_CHECK   __attribute__((warn_unused_result))
#define ERR_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Originates an error; replaces whatever e held. -1, seen by the compiler: who calls knows that
 * what returned it has failed. */
#define err_set(e, code, ...) err_failed(err_set_at((e), (code), 0, __func__, __VA_ARGS__))
/* The same for a failed system call: appends strerror(errnum). */
#define err_set_sys(e, errnum, ...)                                                                \
        err_failed(err_set_at((e), ERR_SYSTEM, (errnum), __func__, __VA_ARGS__))
/* Puts context before the message ("context: message"). Keeps the code. -1. */
#define err_wrap(e, ...) err_failed(err_wrap_at((e), __VA_ARGS__))

int err_set_at(struct err *e, enum err_code code, int sys, const char *where, const char *fmt, ...)
        ERR_PRINTF(5, 6);
int err_wrap_at(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);
static inline int err_failed(int unused)
{
        (void)unused;
        return -1;
}

/* The columns of err.def. */
const char *err_label(enum err_code code);
const char *err_text(enum err_code code);
int err_grpc_status(enum err_code code);
int err_exit_code(enum err_code code);
bool err_try_next_source(enum err_code code);

#ifdef __cplusplus
}
#endif

#endif
