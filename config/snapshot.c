/* SPDX-License-Identifier: Apache-2.0 */
#include "config/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "config/keys.h"

enum { NOTE_MAX_BYTES = 2048 };

struct snapshot {
        struct config config; /* first: a config is its snapshot */
        atomic_uint references;
};

/* The one current configuration of the process. The lock covers a pointer and a count: a reader
 * between the two would count up what has just been freed. */
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct config *current;
/* What the process started with, and still runs with where a key needs a restart. Has a reference
 * of its own. */
static struct config *first;

struct config *snapshot_new(void)
{
        struct snapshot *s = mem_zalloc(sizeof(*s));
        atomic_init(&s->references, 1);
        return &s->config;
}

void config_put(const struct config *c)
{
        struct snapshot *s = (struct snapshot *)c;
        if (s == NULL || atomic_fetch_sub(&s->references, 1) != 1)
                return;
        config_fini(&s->config);
        free(s);
}

static struct config *counted_up(struct config *c)
{
        if (c != NULL)
                atomic_fetch_add(&((struct snapshot *)c)->references, 1);
        return c;
}

const struct config *config_get(void)
{
        pthread_mutex_lock(&current_lock);
        const struct config *c = counted_up(current);
        pthread_mutex_unlock(&current_lock);
        return c;
}

static char *restart_note(const struct config *running, const struct config *next)
{
        cleanup_buf struct buf b;
        buf_init(&b, NOTE_MAX_BYTES);
        for (size_t i = 0; i < key_count; i++)
                if (keys[i].restart && !key_equal(&keys[i], running, next))
                        buf_printf(&b, "%s%s", b.size > 0 ? ", " : "", keys[i].path);
        return b.size > 0 ? mem_strdup(buf_str(&b)) : NULL;
}

void config_publish(struct config *c, char **note)
{
        pthread_mutex_lock(&current_lock);
        struct config *old = current;
        if (note != NULL)
                *note = first != NULL && c != NULL ? restart_note(first, c) : NULL;
        struct config *ended = c == NULL ? first : NULL;
        if (c == NULL)
                first = NULL;
        else if (first == NULL)
                first = counted_up(c);
        current = c;
        pthread_mutex_unlock(&current_lock);
        config_put(old);
        config_put(ended);
}
