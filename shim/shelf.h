/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded, sorted set of things with a name: found in logarithmic time, walked in order. A thing
 * is a struct whose first member is its name (`char *`, which stays as it is while the thing is on
 * the shelf); it belongs to the shelf's owner. One thread at a time.
 */
#ifndef CRI_RESOLVED_SHELF_H
#define CRI_RESOLVED_SHELF_H

#include <stdbool.h>
#include <stddef.h>

struct shelf {
        void **things; /* by name */
        size_t count;
};

void *shelf_find(const struct shelf *s, const char *name); /* NULL: not there */
/* The first behind that name, which need not be there; name NULL: the first of all. NULL: the end.
 */
void *shelf_after(const struct shelf *s, const char *name);
/* Its name must not be there. False: there are `max` already. */
bool shelf_put(struct shelf *s, void *thing, size_t max);
void *shelf_take(struct shelf *s, const char *name); /* NULL: not there */
/* Calls `free_thing` for those that are to go and keeps the others. */
void shelf_weed(struct shelf *s, bool (*goes)(void *arg, void *thing), void *arg,
        void (*free_thing)(void *thing));
void shelf_fini(struct shelf *s, void (*free_thing)(void *thing));

#endif
