/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/shelf.h"

#include <string.h>

#include "base/mem.h"

static const char *name_of(const void *thing)
{
        return *(char *const *)thing;
}

/* Where it is, or would be. */
static size_t place_of(const struct shelf *s, const char *name)
{
        size_t low = 0, high = s->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (strcmp(name_of(s->things[middle]), name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_at(const struct shelf *s, size_t place, const char *name)
{
        return place < s->count && strcmp(name_of(s->things[place]), name) == 0;
}

void *shelf_find(const struct shelf *s, const char *name)
{
        size_t place = place_of(s, name);
        return is_at(s, place, name) ? s->things[place] : NULL;
}

void *shelf_after(const struct shelf *s, const char *name)
{
        size_t place = name != NULL ? place_of(s, name) : 0;
        if (name != NULL && is_at(s, place, name))
                place++;
        return place < s->count ? s->things[place] : NULL;
}

bool shelf_put(struct shelf *s, void *thing, size_t max)
{
        if (s->count >= max)
                return false;
        size_t place = place_of(s, name_of(thing));
        s->things = mem_resize(s->things, (s->count + 1) * sizeof(*s->things));
        memmove(&s->things[place + 1], &s->things[place], (s->count - place) * sizeof(*s->things));
        s->things[place] = thing;
        s->count++;
        return true;
}

void *shelf_take(struct shelf *s, const char *name)
{
        size_t place = place_of(s, name);
        if (!is_at(s, place, name))
                return NULL;
        void *thing = s->things[place];
        s->count--;
        memmove(&s->things[place], &s->things[place + 1], (s->count - place) * sizeof(*s->things));
        return thing;
}

void shelf_weed(struct shelf *s, bool (*goes)(void *arg, void *thing), void *arg,
        void (*free_thing)(void *thing))
{
        size_t kept = 0;
        for (size_t i = 0; i < s->count; i++) {
                if (goes(arg, s->things[i]))
                        free_thing(s->things[i]);
                else
                        s->things[kept++] = s->things[i];
        }
        s->count = kept;
}

void shelf_fini(struct shelf *s, void (*free_thing)(void *thing))
{
        for (size_t i = 0; i < s->count; i++)
                free_thing(s->things[i]);
        free(s->things);
        *s = (struct shelf){0};
}
