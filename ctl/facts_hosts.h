/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.d as it stands on the disk, read more strictly than containerd reads it: each hosts.toml
 * with its mirrors, and with the keys that containerd ignores or for which it discards the file
 * (containerd: core/remotes/docker/config/hosts.go). One thread.
 */
#ifndef CRI_RESOLVED_FACTS_HOSTS_H
#define CRI_RESOLVED_FACTS_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

/* A key that is not as it should be. */
struct hosts_fault {
        int line;
        char *key;
        const char *nearest; /* for an unknown key: the one that was meant, or NULL */
        char *why;           /* for a bad value: what containerd wants; NULL: an unknown key */
};

/* A table [host."url"]. */
struct hosts_mirror {
        char *url; /* "http://" or "https://" as containerd would ask */
        int line;
        int capabilities_line; /* 0: not said */
        bool may_resolve;
        bool override_path;
        bool skip_verify;
        char *ca_file;                  /* the first, as a whole path; NULL: none */
        char *client_cert, *client_key; /* of containerd's old sections; NULL: none */
};

struct hosts_file {
        char *path;
        char *host; /* of references: "ghcr.io", "127.0.0.1:7780"; "_default" */
        char *text;
        size_t size;
        char *server; /* as written; NULL: not said */
        int server_line;
        struct hosts_mirror *mirrors;
        size_t mirror_count;
        struct hosts_fault *faults;
        size_t fault_count;
        bool discarded; /* by containerd */
        bool has_more;  /* keys of the server or of a mirror that are not kept here */
};

struct hosts_tree {
        struct hosts_file *files; /* by name of the host, roots in their order */
        size_t file_count;
};

/* Reads one text. It is never refused: what is wrong with it is among its faults. */
void hosts_file_read(
        const char *path, const char *host, const char *text, size_t size, struct hosts_file *out);
void hosts_file_fini(struct hosts_file *f);

/* Every <root>/<host>/hosts.toml of the roots (':' between them). What is not there is left out;
 * ERR_CONFIG for a directory or file that cannot be read. */
int hosts_tree_load(const char *roots, struct hosts_tree *out, struct err *e) ERR_MUST_CHECK;
void hosts_tree_fini(struct hosts_tree *t);
#define cleanup_hosts_tree cleanup(hosts_tree_fini)

/* The file that containerd takes for a host of references, NULL if there is none. */
const struct hosts_file *hosts_tree_find(const struct hosts_tree *t, const char *host);

/* Where a host of references is asked: "registry-1.docker.io" for "docker.io", else itself. */
const char *hosts_server_of(const char *host);
/* The same as a URL, without TLS on loopback, as containerd does it. The caller frees. */
char *hosts_server_url(const char *host);

/* The name of a host's directory: "127.0.0.1_7780_". The caller frees. */
char *hosts_directory(const char *host);

#endif
