/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One migration: what is there, what is wanted, and the files that lead from one to the other. The
 * parts (migrate_*.c) add files in the order in which they have to be written; nothing is written
 * before all of them are known and checked. For one thread.
 */
#ifndef CRI_RESOLVED_MIGRATE_JOB_H
#define CRI_RESOLVED_MIGRATE_JOB_H

#include "base/cancel.h"
#include "ctl/containerd_config.h"
#include "ctl/migrate_model.h"

struct migrate_file {
        char *path;
        char *before; /* NULL: it is not there */
        char *after;
        bool is_private; /* for its owner alone, and not to be shown */
};

struct migrate_job {
        const char *containerd_path;
        const char *certs;  /* the one directory */
        const char *output; /* our configuration */
        char *credentials;  /* the folder for credentials, beside it */
        int port;           /* the relay's; 0: as `output` has it */
        bool remove_auth;   /* from containerd's configuration, too */
        int major;          /* containerd's version; 0: not known */
        struct containerd_config containerd;
        json_t *registry;
        struct migrate_model model;
        struct migrate_file *files;
        size_t file_count;
};

void migrate_job_fini(struct migrate_job *j); /* wipes */
#define cleanup_migrate_job cleanup(migrate_job_fini)

/* Takes `after`. What is at the path is read; nothing is added where nothing changes. */
int migrate_add_file(struct migrate_job *j, const char *path, char *after, bool is_private,
        struct err *e) ERR_MUST_CHECK;
/* The text of a file, NULL if there is none; for mem_free_secret. */
int migrate_read(const char *path, char **out, struct err *e) ERR_MUST_CHECK;

/* certs.d, migrate_certs.c. */
int migrate_certs(struct migrate_job *j, struct err *e) ERR_MUST_CHECK;
/* Our configuration and the files with credentials, migrate_ours.c; the result is one that the
 * daemon loads. */
int migrate_ours(struct migrate_job *j, struct err *e) ERR_MUST_CHECK;
/* containerd's configuration, migrate_containerd.c. */
int migrate_containerd(struct migrate_job *j, struct err *e) ERR_MUST_CHECK;

/*
 * What containerd says of its configuration as it will be; ERR_CONFIG with its words where it does
 * not load it. `binary` as execvp takes it. *version is its version for people, NULL where there is
 * no such program; the caller frees. migrate_try.c.
 */
int migrate_try(const struct migrate_job *j, const char *binary, struct cancel *cancel,
        struct err *e) ERR_MUST_CHECK;
char *migrate_containerd_version(const char *binary, struct cancel *cancel, int *major);

/* A copy for people: values of passwords, tokens and headers are "***". */
char *migrate_masked(const char *text);

/* Who makes the node's containerd configuration out of its own: "k3s", "rke2"; NULL: nobody.
 * migrate_k3s.c. */
const char *migrate_owner(const char *path, const char *text);
/* What to write into its registries.yaml, without secrets; the caller frees. */
char *migrate_registries_yaml(const struct migrate_job *j, const char *owner);

#endif
