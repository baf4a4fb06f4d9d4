/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pull-through caches (distribution's registry), one for each upstream of the configuration: where
 * they listen, what they fetch from, when they are swept. Between the files that render them.
 */
#ifndef CRI_RESOLVED_CACHES_H
#define CRI_RESOLVED_CACHES_H

#include "ctl/render.h"

/* Where the registry keeps its content, in containers and below which on a machine. */
#define CACHES_STORE "/var/lib/registry-cache"

enum { CACHES_CONTAINER_PORT = 5000 };

struct cache {
        char *name;   /* of files and units: "ghcr.io", "registry.example.com_5000" */
        char *label;  /* the same as a DNS label: "ghcr-io" */
        char *host;   /* of references */
        char *remote; /* URL of the upstream */
        int port;     /* that nodes ask, as the mirror's URL says */
};

struct caches {
        struct cache *list;
        size_t count;
        const char *address; /* of the machine; NULL: not said */
        char *node_address;  /* the one in the mirrors' URLs, if it is one address; NULL: none */
};

/* ERR_CONFIG: there is no upstream, or two upstreams share a cache. What is left out is noted. */
int caches_plan(const struct config *c, const char *address, struct caches *out,
        struct rendering *r, struct err *e) ERR_MUST_CHECK;
void caches_fini(struct caches *c);
#define cleanup_caches cleanup(caches_fini)

/* distribution's configuration, version 0.1. `listen`: ":5000"; `store`: a directory. */
void caches_config(const struct cache *c, const char *listen, const char *store, struct buf *out);

/* When the i-th cache is swept: one a night first, then one an hour. weekday 0 is Monday. */
struct cache_time {
        int weekday, hour, minute;
};
struct cache_time caches_time(size_t i);

/* "10.0.20.10:5010", "[2001:db8::1]:5010", ":5010". The caller frees. */
char *caches_listen(const char *address, int port);

void caches_systemd(const struct caches *c, struct rendering *r);
void caches_compose(const struct caches *c, struct rendering *r);
void caches_kubernetes(const struct caches *c, struct rendering *r);

/* What is true of caches of any shape: their address, deleted images, passwords. */
void caches_note_address(const struct caches *c, struct rendering *r);
void caches_note_content(const struct caches *c, struct rendering *r);

#endif
