/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node's containerd does now with each registry, whichever way it was told: by the mirrors,
 * configs and auths of its configuration, or by directories of certs.d. One entry for each host of
 * references, with its server, its mirrors and how to reach them; and the credentials, which are
 * kept apart. For one thread.
 */
#ifndef CRI_RESOLVED_MIGRATE_MODEL_H
#define CRI_RESOLVED_MIGRATE_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/hosts.h"

struct migrate_host {
        char *host;    /* as in references, normalised; "" for all that have no entry */
        char *source;  /* for people: "registry.mirrors", or the directory */
        char *dir;     /* the directory that containerd reads for it; NULL: none */
        bool broken;   /* its hosts.toml is one that containerd ignores */
        bool inherits; /* nothing but its server is spoken of: the mirrors of "" are its, too */
        struct hosts as;
};

/* registry.configs.<authority>.auth, or the entry of registry.auths that has precedence. */
struct migrate_auth {
        char *authority;
        char *user, *password; /* secrets; NULL where it is a token of some kind */
        json_t *value;         /* the table; secret */
};

struct migrate_model {
        struct migrate_host *hosts;
        size_t host_count;
        struct migrate_auth *auths;
        size_t auth_count;
        struct strings notes; /* for people, without secrets */
};

void migrate_model_fini(struct migrate_model *m); /* wipes */
#define cleanup_migrate_model cleanup(migrate_model_fini)

/* Entries that are there already stay, with a note. `registry` is that of containerd_config.h. */
void migrate_model_registry(struct migrate_model *m, const json_t *registry);
/* The same for the directories below `roots` (':' between them). ERR_CONFIG if one cannot be read;
 * one that is not there is none. */
int migrate_model_certs(struct migrate_model *m, const char *roots, struct err *e) ERR_MUST_CHECK;

/* NULL: there is none. Borrowed. */
struct migrate_host *migrate_model_host(const struct migrate_model *m, const char *host);
/* Whose mirrors the host's are: its own, or the wildcard's for one that has to have a directory of
 * its own, where these are not looked up. */
const struct hosts *migrate_model_mirrors(
        const struct migrate_model *m, const struct migrate_host *h);
/* Whether nothing is said of it but what containerd does anyway. */
bool migrate_is_plain(const struct migrate_host *h);
const struct migrate_auth *migrate_model_auth(const struct migrate_model *m, const char *authority);
/* A new entry without anything in it; the ones before it move. */
struct migrate_host *migrate_add_host(
        struct migrate_model *m, const char *host, const char *source);
void migrate_set_default_server(struct hosts *h, const char *host);
void migrate_note(struct migrate_model *m, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Whether a URL leads to the host of references itself, for one without a port at whatever port:
 * then it is no mirror. */
bool migrate_is_own(const char *host, const struct url *url);
/* The host of references that a server is for: "docker.io". */
const char *migrate_host_of(const char *authority);
bool migrate_is_docker_hub(const char *authority);
/* The directory's name in certs.d: "ghcr.io", "host_5000_", "_default"; the caller frees. */
char *migrate_dir_name(const char *host);
/* The host that a directory is for; NULL for what is no host's. The caller frees. */
char *migrate_dir_host(const char *name);
/* scheme://authority/path as [mirror."url"] has it; NULL where our configuration cannot say it. */
char *migrate_base_url(const struct url *url);

#endif
