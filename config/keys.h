/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.def as a table, and the values of its keys: from JSON into the configuration's structs, back
 * to nothing, and compared. Pure but for files and groups, which are looked up where a value names
 * one; usable from any thread.
 */
#ifndef CRI_RESOLVED_KEYS_H
#define CRI_RESOLVED_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum key_type {          /* field; value in TOML; form of `allowed` */
        KEY_SOCKET,      /* char *; "unix:///path"; "none" if it may be empty */
        KEY_SOCKETS,     /* char **, then size_t; a string or an array of strings */
        KEY_GROUP,       /* int64_t, -1 for none; name or number as a string */
        KEY_GROUPS,      /* char **, then size_t; a string or an array of strings */
        KEY_MODE,        /* uint32_t; "0660" */
        KEY_FILE,        /* char *; absolute path of a file in PEM; what it must hold */
        KEY_DIRECTORY,   /* char *; an absolute path */
        KEY_DIRECTORIES, /* char *; absolute paths, ':' between them */
        KEY_URL,         /* char *, without slash or /v2 at its end; "https://host:port/path" */
        KEY_URLS, /* char **, then size_t, each as for KEY_URL; a string or an array of strings */
        KEY_PORT, /* int64_t; an integer, 1 to 65535 */
        KEY_ADDRESS,     /* char *; "127.0.0.1:9779" or "[::1]:9779" */
        KEY_CHOICE,      /* an enum that counts from 0; one of the words of "a|b|c" */
        KEY_LEVEL,       /* enum log_level; its name */
        KEY_FORMAT,      /* bool, true for JSON; "text" or "json" */
        KEY_BOOL,        /* bool */
        KEY_DURATION_MS, /* int64_t; "300ms", "5s", "10m", "1h"; "low..high" */
        KEY_DURATION_S,  /* the same in whole seconds */
        KEY_HEADERS,     /* struct config_header *, then size_t; a table */
        KEY_CREDENTIALS, /* char *, then char *: user and password, both secrets, then char *: the
                            file that has them; its absolute path */
};

enum key_home { KEY_OF_CONFIG, KEY_OF_UPSTREAM, KEY_OF_MIRROR };

struct key {
        const char *path; /* "table.name", "upstream.*.name" or "mirror.*.name" */
        enum key_type type;
        enum key_home home;  /* struct config, config_upstream or config_mirror ... */
        size_t offset;       /* ... and where in it */
        const char *initial; /* the default as a string; "" for none */
        const char *allowed;
        bool restart; /* takes effect when the daemon starts again, not on reload */
        const char *doc;
};

extern const struct key keys[];
extern const size_t key_count;

const char *key_name(const struct key *k); /* the last part of its path */
/* The key `name` of `table` ("shim", "upstream.*", "mirror.*"), NULL if there is none. */
const struct key *key_find(const char *table, const char *name);
/* "unknown key ..." for a name that key_find does not know, with the nearest that it does; -1. */
int key_unknown(const char *table, const char *name, struct err *e);
/* The same for a table at the top of the file. */
int key_unknown_table(const char *name, struct err *e);

/*
 * Sets the field in `base` (the struct that is its home) that belongs to k, freeing what it
 * held. ERR_CONFIG says what the value is and what is allowed, without file and line; never the
 * value of a header, a URL or a file of credentials. With secrets_unread the files that hold
 * secrets are named in the field and not opened.
 */
int key_set(const struct key *k, void *base, const json_t *value, bool secrets_unread,
        struct err *e) ERR_MUST_CHECK;
/* The default, where there is one; defaults are always good. */
void key_set_initial(const struct key *k, void *base);
/* Clears every key of that home in `base`. */
void key_clear_all(enum key_home home, void *base);
void key_clear(const struct key *k, void *base);
bool key_equal(const struct key *k, const void *a, const void *b);

#endif
