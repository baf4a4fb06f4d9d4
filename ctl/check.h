/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doctor: facts are collected once, then each part looks at them and adds what it finds. What a
 * part needs and is not there makes the part silent; check_not_looked_at says so. One
 * thread.
 */
#ifndef CRI_RESOLVED_CHECK_H
#define CRI_RESOLVED_CHECK_H

#include "config/trust.h"
#include "ctl/cli.h"
#include "ctl/facts_containerd.h"
#include "ctl/facts_hosts.h"
#include "ctl/facts_running.h"
#include "ctl/facts_view.h"
#include "ctl/findings.h"
#include "resolver/registry.h"

/* One mirror as it is used for one upstream. */
struct mirror_use {
        char *url;
        char *host;       /* of references; "" for a wildcard */
        char *place;      /* "file:line" */
        bool in_certs;    /* of containerd; else of our configuration */
        bool may_resolve; /* containerd asks it for tags */
        struct upstream *reach;
        bool answers;             /* as a registry */
        unsigned served, missing; /* images of the upstream that were asked for */
        struct strings served_hosts;
};

struct check {
        struct cli *cli;
        json_t *findings;
        json_t *not_looked_at;  /* an array of {area, why} */
        int failure;            /* an exit code, where that was asked for by name; else 0 */
        bool areas[AREA_COUNT]; /* what is wanted */
        struct config *config;  /* ours alone; the defaults where there is none, or it is refused */
        char *own_text;         /* of its file; a secret; NULL: none */
        json_t *own_values, *own_lines;         /* the same; NULL: none, or no TOML */
        bool own_unread;                        /* there is one, and we may not read all of it */
        bool listen_unknown;                    /* so that nobody knows where we listen */
        const char *state_path;                 /* of what earlier checks have seen */
        struct strings references;              /* images to ask for, the preferred ones first */
        char *containerd_address, *cri_address; /* "unix:///..." */
        char *containerd_path;                  /* its configuration file */
        bool has_containerd;
        struct containerd_facts containerd;
        char *roots; /* config_path as it is in effect; "" for none */
        struct hosts_tree hosts;
        struct running_facts running;
        json_t *status;        /* of the running daemon; NULL: none answers us */
        long daemon_pid;       /* 0: not known */
        struct file_view view; /* the daemon's */
        struct mirror_use *uses;
        size_t use_count;
};

/* Each adds to c->findings. */
void check_containerd(struct check *c);
void check_legacy(struct check *c); /* mirrors, configs, auths */
void check_hosts(struct check *c);
void check_wildcards(struct check *c); /* after the network */
void check_kubelet(struct check *c);
void check_crictl(struct check *c);
void check_configuration(struct check *c); /* and who may read what */
void check_trust(struct check *c);         /* whether the daemon can read what containerd can */
void check_store(struct check *c);
void check_mirrors(struct check *c); /* what files alone say */
void check_network(struct check *c);
void check_proxies(struct check *c); /* of the services; asks nobody */

/* A file of ours or of containerd's that the daemon is to read, and where it is named. Nothing
 * where `path` is NULL. */
void check_trust_file(struct check *c, const char *path, const char *file, int line);

/* The uses of mirrors, from our configuration and from certs.d. */
void check_collect_uses(struct check *c);
void check_free_uses(struct check *c);
/* The name that this upstream's table has in our configuration, however it is written. */
const char *check_own_upstream(const struct check *c, const char *host);

/* The directory for new hosts.toml files: the first of config_path, else where it is usual. The
 * caller frees. */
char *check_certs_root(const struct check *c);
/* Whether the running containerd is of this version or later; false where it is not known. */
bool check_version_least(const struct check *c, int major, int minor);
void check_restart_containerd(json_t *finding);
/* Says that an area, if it is wanted, could not be looked at; where it or a file of it was named,
 * that is an error. */
void check_not_looked_at(
        struct check *c, enum finding_area area, bool file_named, const struct err *e);
/* Whether the authority of `url` is `host`, or what docker.io stands for. */
bool check_is_upstream_itself(const char *url, const char *host);

/* A hosts.toml as it should be for `host`: its mirrors serve content only. */
char *check_hosts_text(const char *host, const struct hosts_mirror *mirrors, size_t count);

#endif
