/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authorities that servers are checked against, parsed once and shared: by itself each TLS
 * connection would parse the system's bundle, and keep more than a megabyte of it. Files that have
 * changed are read again. Between the files of http; safe from any thread.
 */
#ifndef CRI_RESOLVED_HTTP_AUTHORITIES_H
#define CRI_RESOLVED_HTTP_AUTHORITIES_H

#include <curl/curl.h>

#include "resolver/http.h"

struct http_authorities;
struct http_authorities *http_authorities_new(void);
void http_authorities_free(struct http_authorities *a); /* accepts NULL */

/* OpenSSL's X509_STORE. */
struct x509_store_st;

/* The system's authorities (or those of SSL_CERT_FILE, which replaces them) and the given ones, as
 * Go programs add them up. A reference in *out, to be put. ERR_CONFIG: a file is of no use. */
int http_authorities_get(struct http_authorities *a, char *const *files, size_t count,
        struct x509_store_st **out, struct err *e) ERR_MUST_CHECK;
void http_authorities_put(struct x509_store_st *store); /* accepts NULL */

/* Makes this handle's connections use them; the reference must live as long as the transfer. */
int http_authorities_use(CURL *easy, struct x509_store_st *store, struct err *e) ERR_MUST_CHECK;

/* The same for one handle alone, whose proxy keeps its own authorities: sharing cannot tell the two
 * connections apart. */
int http_authorities_use_copy(const struct http_authorities *a, CURL *easy, char *const *files,
        size_t count, struct err *e) ERR_MUST_CHECK;

/* Adds a file to a key by name and by content, as far as its inode tells. NULL is no file. */
void http_authorities_add_file(struct buf *key, const char *path);

#endif
