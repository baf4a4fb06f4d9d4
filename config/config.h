/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as an immutable, counted snapshot. config_load builds one from a TOML file (or
 * from defaults alone); config_publish makes it the current one; config_get hands out the current
 * one. A reload builds a whole new snapshot and publishes it, or keeps the old one and says why.
 * keys.def is the one table of keys: defaults, validation, documentation. Safe from any thread.
 */
#ifndef CRI_RESOLVED_CONFIG_H
#define CRI_RESOLVED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

enum upstream_mode { UPSTREAM_RESOLVE, UPSTREAM_PASSTHROUGH };
enum upstream_down { UPSTREAM_DOWN_FAIL, UPSTREAM_DOWN_STALE, UPSTREAM_DOWN_MIRROR };
enum relay_mode { RELAY_AUTO, RELAY_OFF };
enum enforcement { ENFORCE_OFF, ENFORCE_REFUSE };

struct config_header {
        char *name;
        char *value; /* may be a secret: wiped; NULL: not read yet */
        char *file;  /* that the value is in, while it is not read; else NULL */
};

/* How to reach a mirror: one [mirror."url"] table, or what the defaults give for a mirror that is
 * listed by an upstream and has no table. Every listed mirror has one of these. */
struct config_mirror {
        char *url;     /* base URL without /v2 and without slash at its end; with /v2/ in its
                          middle ("https://harbor.example.com/v2/proxy") the API's root itself */
        char *ca_file; /* PEM; NULL: the system's */
        char *client_cert;
        char *client_key;
        bool skip_verify;
        char *username;         /* from the credentials file; NULL: none, or not read yet */
        char *password;         /* secret: wiped */
        char *credentials_file; /* NULL: none */
        struct config_header *headers;
        size_t header_count;
};

/* One [upstream."host"] table, or what the defaults give for a host without one. */
struct config_upstream {
        char *host;   /* as in references: "ghcr.io", "docker.io", "localhost:5000"; "" for the
                         default entry */
        char *server; /* base URL without /v2, e.g. "https://registry-1.docker.io"; NULL:
                         https://<host> */
        enum upstream_mode mode;
        char *ca_file;     /* PEM; NULL: the system's */
        char *client_cert; /* PEM; NULL: none; client_key goes with it */
        char *client_key;
        bool skip_verify;
        struct config_header *headers;
        size_t header_count;
        enum relay_mode relay;
        char **mirrors; /* URLs as in config_mirror, in the order in which they are asked */
        size_t mirror_count;
        bool has_trust; /* whether the table has any of the keys from server to headers */
        enum upstream_down on_upstream_down;
        int64_t max_stale_s;
        bool degraded_without_authorisation;
        enum enforcement enforce;
};

struct config {
        /* [shim] */
        char **listen; /* "unix:///path", one or more */
        size_t listen_count;
        uint32_t listen_mode; /* 0660 */
        int64_t listen_gid;   /* -1: leave */
        char **allow_groups;  /* peers: root, and members of these (by primary or supplementary gid)
                               */
        size_t allow_group_count;
        char *backend;    /* "unix:///run/containerd/containerd.sock": CRI */
        char *containerd; /* its API socket; equal to backend when the key is empty */
        char *certs_dir;  /* containerd's config_path; NULL: ask containerd, else
                             /etc/containerd/certs.d */
        int64_t backend_wait_ms;
        int64_t stop_timeout_ms;
        /* [resolve] */
        int64_t timeout_ms;
        int64_t budget_ms;
        int64_t token_reuse_ms;
        /* [relay]; its `mode` is upstream_default.relay */
        int64_t relay_port; /* on 127.0.0.1; 1 to 65535 */
        int64_t connect_timeout_ms;
        int64_t first_byte_timeout_ms;
        int64_t stall_timeout_ms;
        char *image_verifier_dir; /* containerd's; NULL: not looked at */
        /* [admin] */
        char *admin_listen; /* "unix:///run/cri-resolved/admin.sock"; NULL: none */
        /* [metrics] */
        char *metrics_listen; /* "127.0.0.1:9779"; NULL: on the admin socket only */
        /* [nri] */
        bool nri_enabled;
        char *nri_socket; /* "unix:///var/run/nri/nri.sock" */
        bool nri_annotate;
        int64_t nri_check_interval_s; /* 0: never */
        /* [log] */
        enum log_level log_level;
        bool log_json;
        /* [upstream."..."] */
        struct config_upstream *upstreams;
        size_t upstream_count;
        struct config_upstream upstream_default; /* the [resolve] policy keys, and
                                                  * [upstream.default] over them */
        /* [mirror."..."] */
        struct config_mirror *mirrors;
        size_t mirror_count;
        bool secrets_unread; /* config_load_without_secrets */
};

/* path NULL: defaults. A path that does not exist is an error. Errors name file, line, key, what is
 * allowed, and for an unknown key the nearest known one. */
int config_load(const char *path, struct config **out, struct err *e) ERR_MUST_CHECK;
/* The same without the files that hold secrets, which not everybody may read who may read the
 * configuration: credentials, keys of clients, values of headers. They are neither opened nor
 * judged; who is to show one calls upstream_read_secrets (trust.h). */
int config_load_without_secrets(
        const char *path, struct config **out, struct err *e) ERR_MUST_CHECK;

/* Takes the reference. Each but the first compares with the first: keys whose change needs a
 * restart are named in *note (may be NULL; the caller frees; NULL if there are none). c NULL
 * forgets all. */
void config_publish(struct config *c, char **note);
const struct config *config_get(void);   /* a reference on the current snapshot */
void config_put(const struct config *c); /* accepts NULL */
DEFINE_CLEANUP(const struct config, config_put)
#define cleanup_config cleanup(config_put_at)

/* The entry for a reference's host: exact, else the default one (has_entry false). Borrowed from c.
 */
const struct config_upstream *config_upstream_for(
        const struct config *c, const char *host, bool *has_entry);

/* The entry's host for the labels of metrics; "other" for a host without one, and for NULL. */
const char *config_upstream_label(const struct config *c, const char *host);

/* How to reach a mirror that some upstream lists; never NULL for such a URL. Borrowed from c. */
const struct config_mirror *config_mirror_for(const struct config *c, const char *url);

#endif
