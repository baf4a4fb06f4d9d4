/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http_authorities.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        CA_MAX_BYTES = 8 * 1024 * 1024,
        KEPT_MAX = 4, /* each takes more than a megabyte */
};

struct kept {
        char *key;
        X509_STORE *store;
        struct kept *next;
};

struct http_authorities {
        pthread_mutex_t lock;
        struct kept *kept; /* used last first */
        const char *system_file;
        const char *system_folder;
};

static void kept_free(struct kept *k)
{
        if (k == NULL)
                return;
        X509_STORE_free(k->store);
        free(k->key);
        free(k);
}

/* Where distributions keep the system's authorities, for a curl that does not say (before 7.84, as
 * in RHEL 9). */
static const char *usual_file(void)
{
        static const char *const files[] = {
                "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL, Amazon Linux */
                "/etc/ssl/certs/ca-certificates.crt", /* Debian */
        };
        for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
                if (access(files[i], R_OK) == 0)
                        return files[i];
        return NULL;
}

struct http_authorities *http_authorities_new(void)
{
        struct http_authorities *a = mem_zalloc(sizeof(*a));
        pthread_mutex_init(&a->lock, NULL);
        CURL *easy = curl_easy_init();
        if (easy == NULL)
                abort();
        if (curl_easy_getinfo(easy, CURLINFO_CAINFO, &a->system_file) != CURLE_OK)
                a->system_file = usual_file();
        curl_easy_getinfo(easy, CURLINFO_CAPATH, &a->system_folder);
        curl_easy_cleanup(easy);
        return a;
}

void http_authorities_free(struct http_authorities *a)
{
        if (a == NULL)
                return;
        while (a->kept != NULL) {
                struct kept *next = a->kept->next;
                kept_free(a->kept);
                a->kept = next;
        }
        pthread_mutex_destroy(&a->lock);
        free(a);
}

void http_authorities_add_file(struct buf *key, const char *path)
{
        struct stat s = {0};
        if (path != NULL && stat(path, &s) < 0)
                s = (struct stat){0};
        buf_printf(key, "%s\n%ju %ju %jd %jd.%09ld\n", path != NULL ? path : "",
                (uintmax_t)s.st_dev, (uintmax_t)s.st_ino, (intmax_t)s.st_size,
                (intmax_t)s.st_mtim.tv_sec, (long)s.st_mtim.tv_nsec);
}

static int refuse_file(const char *path, struct err *e)
{
        return err_set(e, ERR_CONFIG, "the CA file %s holds no certificate", path);
}

static int read_pem(const char *path, struct buf *into, struct err *e)
{
        FILE *f = fopen(path, "re");
        if (f == NULL)
                return err_set(
                        e, ERR_CONFIG, "cannot read the CA file %s: %s", path, strerror(errno));
        char piece[8192];
        for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
                buf_append(into, piece, n);
        bool broken = ferror(f) != 0;
        fclose(f);
        buf_puts(into, "\n");
        return broken || into->overflow ? refuse_file(path, e) : 0;
}

/* What is no certificate between them is passed over, as in Go; one that is broken is not. */
static bool add_certificates(X509_STORE *store, const struct buf *pem)
{
        BIO *text = BIO_new_mem_buf(pem->data, (int)pem->size);
        unsigned count = 0;
        char no_password[] = "";
        for (X509 *c; (c = PEM_read_bio_X509_AUX(text, NULL, NULL, no_password)) != NULL; count++) {
                X509_STORE_add_cert(store, c);
                X509_free(c);
        }
        bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        BIO_free(text);
        return at_end && count > 0;
}

static int add_file(X509_STORE *store, const char *path, struct err *e)
{
        cleanup_buf struct buf pem;
        buf_init(&pem, CA_MAX_BYTES);
        if (read_pem(path, &pem, e) < 0)
                return -1;
        return add_certificates(store, &pem) ? 0 : refuse_file(path, e);
}

/* curl's own settings: what is trusted here goes before what the server sends, and an authority
 * need not be a root. */
static X509_STORE *new_store(void)
{
        X509_STORE *store = X509_STORE_new();
        if (store == NULL)
                abort();
        X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
        return store;
}

static int load(const struct http_authorities *a, const char *system, char *const *files,
        size_t count, X509_STORE *store, struct err *e)
{
        struct err none;
        /* A machine without a bundle of its own trusts the given ones alone. */
        if (system != NULL && add_file(store, system, count > 0 ? &none : e) < 0 && count == 0)
                return -1;
        if (a->system_folder != NULL)
                X509_STORE_load_path(store, a->system_folder);
        for (size_t i = 0; i < count; i++)
                if (add_file(store, files[i], e) < 0)
                        return -1;
        return 0;
}

static X509_STORE *find(struct http_authorities *a, const char *key)
{
        X509_STORE *found = NULL;
        pthread_mutex_lock(&a->lock);
        for (struct kept **at = &a->kept; *at != NULL; at = &(*at)->next) {
                struct kept *k = *at;
                if (strcmp(k->key, key) != 0)
                        continue;
                *at = k->next;
                k->next = a->kept;
                a->kept = k;
                found = k->store;
                X509_STORE_up_ref(found);
                break;
        }
        pthread_mutex_unlock(&a->lock);
        return found;
}

/* Takes the key. Two that have read the same at the same time keep it twice, for a while. */
static void keep(struct http_authorities *a, char *key, X509_STORE *store)
{
        struct kept *k = mem_zalloc(sizeof(*k));
        k->key = key;
        k->store = store;
        X509_STORE_up_ref(store);
        pthread_mutex_lock(&a->lock);
        k->next = a->kept;
        a->kept = k;
        struct kept **at = &a->kept;
        for (int i = 0; *at != NULL && i < KEPT_MAX; i++)
                at = &(*at)->next;
        struct kept *surplus = *at;
        *at = NULL;
        pthread_mutex_unlock(&a->lock);
        kept_free(surplus);
}

static const char *system_file(const struct http_authorities *a)
{
        const char *other = getenv("SSL_CERT_FILE");
        return other != NULL && other[0] != '\0' ? other : a->system_file;
}

int http_authorities_get(struct http_authorities *a, char *const *files, size_t count,
        struct x509_store_st **out, struct err *e)
{
        const char *system = system_file(a);
        cleanup_buf struct buf key;
        buf_init(&key, SIZE_MAX / 2);
        http_authorities_add_file(&key, system);
        for (size_t i = 0; i < count; i++)
                http_authorities_add_file(&key, files[i]);
        *out = find(a, buf_str(&key));
        if (*out != NULL)
                return 0;
        X509_STORE *store = new_store();
        if (load(a, system, files, count, store, e) < 0) {
                X509_STORE_free(store);
                return -1;
        }
        keep(a, mem_strdup(buf_str(&key)), store);
        *out = store;
        return 0;
}

void http_authorities_put(struct x509_store_st *store)
{
        X509_STORE_free(store);
}

static CURLcode on_context(CURL *easy, void *context, void *store)
{
        (void)easy;
        SSL_CTX_set1_cert_store(context, store);
        return CURLE_OK;
}

int http_authorities_use(CURL *easy, struct x509_store_st *store, struct err *e)
{
        if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context) != CURLE_OK)
                return err_set(e, ERR_CONFIG, "libcurl is not the one that uses OpenSSL");
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, store);
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        return 0;
}

int http_authorities_use_copy(const struct http_authorities *a, CURL *easy, char *const *files,
        size_t count, struct err *e)
{
        cleanup_buf struct buf all;
        buf_init(&all, CA_MAX_BYTES);
        struct err none;
        const char *system = system_file(a);
        if (system != NULL && read_pem(system, &all, &none) < 0)
                buf_reset(&all);
        for (size_t i = 0; i < count; i++)
                if (read_pem(files[i], &all, e) < 0)
                        return -1;
        struct curl_blob blob = {all.data, all.size, CURL_BLOB_COPY};
        if (curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
                return err_set(e, ERR_CONFIG,
                        "a proxy that is spoken to by TLS needs libcurl 7.77; this is %s",
                        curl_version_info(CURLVERSION_NOW)->version);
        return 0;
}
