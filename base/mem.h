/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and ownership: allocation that cannot fail (the process ends with a message when memory
 * is gone: there is no pull to save then), cleanup attributes for local owners, take() for a
 * transfer, and wiping for secrets. Usable from any thread.
 *
 * Every owner of something declares it with a cleanup attribute; what leaves the function leaves
 * by take(&p), which empties the local. Destructors accept NULL.
 */
#ifndef CRI_RESOLVED_MEM_H
#define CRI_RESOLVED_MEM_H

#include <stddef.h>
#include <stdlib.h>

#define cleanup(f)   __attribute__((cleanup(f)))
#define cleanup_free cleanup(mem_free_at)

/* Empties an owning pointer and returns what it held. */
#define take(p)                                                                                    \
        ({                                                                                         \
                __typeof__(p) take_at_ = (p);                                                      \
                __typeof__(*take_at_) take_val_ = *take_at_;                                       \
                *take_at_ = NULL;                                                                  \
                take_val_;                                                                         \
        })

/* Defines TYPE_at(TYPE **p), the cleanup function that belongs to `void FREE(TYPE *)`. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes none */
#define DEFINE_CLEANUP(type, free_function)                                                        \
        static inline __attribute__((unused)) void free_function##_at(type **p)                    \
        {                                                                                          \
                free_function(*p);                                                                 \
        }
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void mem_free_at(void *p)
{
        free(*(void **)p);
}

/* All of these end the process when memory is gone. mem_zalloc returns zeroed memory. */
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* A copy of s, or NULL for NULL. */
char *mem_strdup_or_null(const char *s);
char *mem_printf(const char *fmt, ...)
        __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* Overwrites secret bytes in a way that the compiler keeps. */
void mem_wipe(void *p, size_t size);
/* Wipes and frees a secret string; accepts NULL. */
void mem_free_secret(char *s);
static inline void mem_free_secret_at(char **s)
{
        mem_free_secret(*s);
}
#define cleanup_secret cleanup(mem_free_secret_at)

#endif
