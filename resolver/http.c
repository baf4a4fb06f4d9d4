/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "resolver/http_response.h"
#include "resolver/http_url.h"
#include "resolver/local_address.h"
#include "resolver/proxy_rule.h"

enum {
        HEADERS_MAX_BYTES = 64 * 1024,
        REFUSAL_MAX_BYTES = 1024 * 1024, /* of a body that nobody reads: then the connection goes */
        CA_MAX_BYTES = 8 * 1024 * 1024,
        /* A TLS connection keeps the parsed authorities, more than a megabyte. */
        IDLE_MAX = 16,
        IDLE_PER_KEY_MAX = 4,
        IDLE_MAX_MS = 60 * 1000,
        POLL_MS = 60 * 1000,
};

/* An easy handle with a multi of its own: the multi is what another thread can wake. */
struct connection {
        CURL *easy;
        CURLM *multi;
        char *key;
        int64_t idle_since_ms;
        struct connection *next;
};

struct http_pool {
        pthread_mutex_t lock;
        struct connection *idle; /* newest first */
        unsigned idle_count;
        struct proxy_rule proxies;
};

/* One http_do. */
struct exchange {
        const struct http_request *request;
        struct http_response *response;
        const char *origin;
        const char *proxy; /* NULL: none */
        struct curl_slist *header_list;
        size_t header_bytes;
        size_t body_bytes;
        bool headers_too_long;
        bool body_too_long;
        bool body_left; /* the rest of a refusal's body was not worth reading */
        char refused[LOCAL_ADDRESS_TEXT_MAX]; /* the address that may not be asked; "": none */
        char text[CURL_ERROR_SIZE];
};

static void connection_free(struct connection *c)
{
        if (c == NULL)
                return;
        curl_easy_cleanup(c->easy);
        curl_multi_cleanup(c->multi);
        mem_free_secret(c->key);
        free(c);
}

static struct connection *connection_new(const char *key)
{
        struct connection *c = mem_zalloc(sizeof(*c));
        c->easy = curl_easy_init();
        c->multi = curl_multi_init();
        c->key = mem_strdup(key);
        if (c->easy == NULL || c->multi == NULL)
                abort();
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 2L);
        return c;
}

struct http_pool *http_pool_new(void)
{
        curl_global_init(CURL_GLOBAL_DEFAULT);
        struct http_pool *p = mem_zalloc(sizeof(*p));
        pthread_mutex_init(&p->lock, NULL);
        proxy_rule_init(&p->proxies);
        return p;
}

static void free_list(struct connection *list)
{
        while (list != NULL) {
                struct connection *next = list->next;
                connection_free(list);
                list = next;
        }
}

void http_pool_free(struct http_pool *p)
{
        if (p == NULL)
                return;
        free_list(p->idle);
        proxy_rule_fini(&p->proxies);
        pthread_mutex_destroy(&p->lock);
        free(p);
        curl_global_cleanup();
}

/* Cuts what was idle for too long, or is one too many, off the end of the list. */
static struct connection *cut_stale(struct http_pool *p)
{
        int64_t oldest_ms = clock_mono_ms() - IDLE_MAX_MS;
        struct connection **at = &p->idle;
        unsigned kept = 0;
        while (*at != NULL && kept < IDLE_MAX && (*at)->idle_since_ms >= oldest_ms) {
                at = &(*at)->next;
                kept++;
        }
        struct connection *stale = *at;
        *at = NULL;
        p->idle_count = kept;
        return stale;
}

static struct connection *check_out(struct http_pool *p, const char *key)
{
        pthread_mutex_lock(&p->lock);
        struct connection *stale = cut_stale(p);
        struct connection **at = &p->idle;
        while (*at != NULL && strcmp((*at)->key, key) != 0)
                at = &(*at)->next;
        struct connection *c = *at;
        if (c != NULL) {
                *at = c->next;
                p->idle_count--;
        }
        pthread_mutex_unlock(&p->lock);
        free_list(stale); /* closing may write to the network */
        return c != NULL ? c : connection_new(key);
}

static bool has_enough(const struct http_pool *p, const char *key)
{
        unsigned same = 0;
        for (const struct connection *c = p->idle; c != NULL; c = c->next)
                same += strcmp(c->key, key) == 0;
        return same >= IDLE_PER_KEY_MAX;
}

static void check_in(struct http_pool *p, struct connection *c)
{
        curl_easy_reset(c->easy); /* keeps connections, forgets the request and its secrets */
        c->idle_since_ms = clock_mono_ms();
        pthread_mutex_lock(&p->lock);
        bool surplus = has_enough(p, c->key);
        if (!surplus) {
                c->next = p->idle;
                p->idle = c;
        }
        struct connection *stale = cut_stale(p);
        pthread_mutex_unlock(&p->lock);
        free_list(stale);
        if (surplus)
                connection_free(c);
}

static const char *find_proxy(const struct http_pool *p, const char *url)
{
        cleanup_http_place struct http_place place;
        if (!http_place_of(url, &place))
                return NULL;
        return proxy_rule_for(&p->proxies, place.https, place.host, place.port);
}

/* The file by name and by content, as far as its inode tells: a certificate that is rotated makes
 * new connections. */
static void add_file(struct buf *key, const char *path)
{
        struct stat s = {0};
        if (path != NULL && stat(path, &s) < 0)
                s = (struct stat){0};
        buf_printf(key, "%s\n%ju %ju %jd %jd.%09ld\n", path != NULL ? path : "",
                (uintmax_t)s.st_dev, (uintmax_t)s.st_ino, (intmax_t)s.st_size,
                (intmax_t)s.st_mtim.tv_sec, (long)s.st_mtim.tv_nsec);
}

/* What two requests must have in common to use one connection. */
static char *connection_key(const struct exchange *x)
{
        cleanup_buf_secret struct buf key;
        buf_init(&key, SIZE_MAX / 2);
        buf_printf(&key, "%s\n%s\n%d\n", x->origin, x->proxy != NULL ? x->proxy : "",
                x->request->refuse_local_addresses);
        const struct http_trust *t = x->request->trust;
        if (t != NULL) {
                buf_printf(&key, "%d\n", t->skip_verify);
                add_file(&key, t->client_cert);
                add_file(&key, t->client_key);
                for (size_t i = 0; i < t->ca_file_count; i++)
                        add_file(&key, t->ca_files[i]);
        }
        return mem_strdup(buf_str(&key));
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
        (void)one;
        struct exchange *x = arg;
        x->header_bytes += size;
        if (x->header_bytes > HEADERS_MAX_BYTES) {
                x->headers_too_long = true;
                return 0;
        }
        if (size > 5 && memcmp(data, "HTTP/", 5) == 0)
                http_response_begin(x->response, data, size);
        else
                http_response_header(x->response, data, size);
        return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
        (void)one;
        struct exchange *x = arg;
        x->body_bytes += size;
        struct buf *body = &x->response->body;
        buf_append(body, data, size);
        if (!body->overflow)
                return size;
        if (x->response->status < 300) {
                x->body_too_long = true;
                return 0;
        }
        x->body_left = x->body_bytes > REFUSAL_MAX_BYTES;
        return x->body_left ? 0 : size;
}

static int read_pem(const char *path, struct buf *into, struct err *e)
{
        FILE *f = fopen(path, "re");
        if (f == NULL)
                return err_set(
                        e, ERR_CONFIG, "cannot read the CA file %s: %s", path, strerror(errno));
        size_t before = into->size;
        char piece[8192];
        for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
                buf_append(into, piece, n);
        bool broken = ferror(f) != 0;
        fclose(f);
        if (broken || into->overflow || into->size == before ||
                strstr(buf_str(into) + before, "-----BEGIN") == NULL)
                return err_set(e, ERR_CONFIG, "the CA file %s holds no certificate", path);
        buf_puts(into, "\n");
        return 0;
}

/* Custom CAs are added to the system's, as Go programs do; SSL_CERT_FILE replaces the system's. */
static int set_authorities(CURL *easy, const struct http_trust *t, struct err *e)
{
        const char *system = getenv("SSL_CERT_FILE");
        if (system != NULL && system[0] != '\0')
                curl_easy_setopt(easy, CURLOPT_CAINFO, system);
        else
                curl_easy_getinfo(easy, CURLINFO_CAINFO, &system);
        if (t == NULL || t->ca_file_count == 0 || t->skip_verify)
                return 0;
        cleanup_buf struct buf all;
        buf_init(&all, CA_MAX_BYTES);
        /* A machine without a bundle of its own trusts the given ones alone. */
        struct err none;
        if (system != NULL && read_pem(system, &all, &none) < 0)
                buf_reset(&all);
        for (size_t i = 0; i < t->ca_file_count; i++)
                if (read_pem(t->ca_files[i], &all, e) < 0)
                        return -1;
        struct curl_blob blob = {all.data, all.size, CURL_BLOB_COPY};
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
        return 0;
}

static int set_trust(CURL *easy, const struct http_trust *t, struct err *e)
{
        if (set_authorities(easy, t, e) < 0)
                return -1;
        if (t == NULL)
                return 0;
        if (t->skip_verify) {
                curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
                curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        }
        if (t->client_cert != NULL) {
                curl_easy_setopt(easy, CURLOPT_SSLCERT, t->client_cert);
                /* Without a file of its own the key is in the certificate's. */
                curl_easy_setopt(easy, CURLOPT_SSLKEY,
                        t->client_key != NULL ? t->client_key : t->client_cert);
        }
        return 0;
}

static void set_method(CURL *easy, const struct http_request *q)
{
        switch (q->method) {
        case HTTP_GET:
                curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
                return;
        case HTTP_HEAD:
                curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
                return;
        case HTTP_POST:
                curl_easy_setopt(easy, CURLOPT_POST, 1L);
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, q->body != NULL ? q->body : "");
                return;
        }
}

static void set_headers(CURL *easy, struct exchange *x)
{
        const char *const *h = x->request->headers;
        for (; h != NULL && *h != NULL; h++) {
                struct curl_slist *longer = curl_slist_append(x->header_list, *h);
                if (longer == NULL)
                        abort();
                x->header_list = longer;
        }
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->header_list);
        curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
}

static void wipe_headers(struct curl_slist *list)
{
        for (struct curl_slist *i = list; i != NULL; i = i->next)
                mem_wipe(i->data, strlen(i->data));
        curl_slist_free_all(list);
}

/* Sees the address that the name has at this moment, before anything is sent there. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
        (void)purpose;
        struct exchange *x = arg;
        if (local_address(&a->addr, a->addrlen)) {
                local_address_text(&a->addr, a->addrlen, x->refused);
                return CURL_SOCKET_BAD;
        }
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void set_reach(CURL *easy, struct exchange *x)
{
        /* Through a proxy it is the proxy's network that counts. */
        if (!x->request->refuse_local_addresses || x->proxy != NULL)
                return;
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
}

static int configure(CURL *easy, struct exchange *x, struct err *e)
{
        const struct http_request *q = x->request;
        curl_easy_setopt(easy, CURLOPT_URL, q->url);
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no waiting for the resolver's thread */
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)q->timeout_ms);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        /* Both set, or curl looks into the environment by its own rules. */
        curl_easy_setopt(easy, CURLOPT_PROXY, x->proxy != NULL ? x->proxy : "");
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
        curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->text);
        set_reach(easy, x);
        set_method(easy, q);
        set_headers(easy, x);
        return set_trust(easy, q->trust, e);
}

static void wake(void *multi)
{
        curl_multi_wakeup(multi);
}

/* Returns false when the cancel token ended it. */
static bool transfer(struct connection *c, struct cancel *cancel, CURLcode *code)
{
        struct cancel_hook hook;
        int running = 1;
        int left;
        curl_multi_add_handle(c->multi, c->easy);
        cancel_hook(cancel, &hook, wake, c->multi);
        while (!cancel_fired(cancel)) {
                curl_multi_perform(c->multi, &running);
                if (running == 0)
                        break;
                curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
        }
        cancel_unhook(cancel, &hook);
        const CURLMsg *message = curl_multi_info_read(c->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE)
                *code = message->data.result;
        curl_multi_remove_handle(c->multi, c->easy);
        return running == 0;
}

static int explain_connect(const struct exchange *x, CURL *easy, struct err *e)
{
        if (x->refused[0] != '\0')
                return err_set(e, ERR_PROTOCOL,
                        "%s is refused: its address %s is local to this node, and the upstream's "
                        "is not",
                        x->origin, x->refused);
        long number = 0;
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
        char text[128] = "refused";
        const char *why = number != 0 ? strerror_r((int)number, text, sizeof(text)) : text;
        return err_set(e, ERR_UNREACHABLE, "cannot connect to %s%s: %s", x->origin,
                x->proxy != NULL ? " through its proxy" : "", why);
}

/* A proxy that does not open the tunnel; 0 when the failure is another. */
static int explain_tunnel(const struct exchange *x, CURL *easy, struct err *e)
{
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
        if (x->proxy == NULL || status < 300)
                return 0;
        return err_set(e, ERR_UNREACHABLE,
                "cannot connect to %s through its proxy: the proxy answers %ld", x->origin, status);
}

static int explain_timeout(const struct exchange *x, CURL *easy, struct err *e)
{
        curl_off_t ready_us = 0;
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
        return err_set(e, ERR_TIMEOUT, "%s %s%s within %lld ms",
                ready_us == 0 ? "no connection to" : "no answer from", x->origin,
                x->proxy != NULL ? " through its proxy" : "", (long long)x->request->timeout_ms);
}

/* What curl says of a failure, for those kinds of failure where it cannot name a URL's query. */
static const char *detail(const struct exchange *x, CURLcode code)
{
        return x->text[0] != '\0' ? x->text : curl_easy_strerror(code);
}

static int explain(const struct exchange *x, CURL *easy, CURLcode code, struct err *e)
{
        if (x->headers_too_long || code == CURLE_OUT_OF_MEMORY)
                return err_set(e, ERR_PROTOCOL, "%s answers with more than %d KiB of headers",
                        x->origin, HEADERS_MAX_BYTES / 1024);
        if (x->body_too_long)
                return err_set(e, ERR_TOO_LARGE, "%s answers with more than %zu bytes", x->origin,
                        x->request->max_body_bytes);
        switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
                return explain_timeout(x, easy, e);
        case CURLE_COULDNT_RESOLVE_HOST:
                return err_set(e, ERR_UNREACHABLE, "cannot resolve the name in %s", x->origin);
        case CURLE_COULDNT_RESOLVE_PROXY:
                return err_set(e, ERR_UNREACHABLE, "cannot resolve the name of the proxy for %s",
                        x->origin);
        case CURLE_COULDNT_CONNECT:
                return explain_connect(x, easy, e);
        case CURLE_URL_MALFORMAT:
        case CURLE_LOGIN_DENIED:
                return err_set(e, ERR_PROTOCOL, "the URL at %s is malformed", x->origin);
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
                return err_set(e, ERR_PROTOCOL, "%s does not answer in HTTP", x->origin);
        case CURLE_SSL_CERTPROBLEM:
                return err_set(e, ERR_CONFIG, "our certificate for %s is of no use: %s", x->origin,
                        detail(x, code));
        case CURLE_SSL_CACERT_BADFILE:
                return err_set(e, ERR_CONFIG, "the authorities for %s are of no use: %s", x->origin,
                        detail(x, code));
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
                return err_set(
                        e, ERR_UNREACHABLE, "TLS with %s failed: %s", x->origin, detail(x, code));
        default:
                return err_set(e, ERR_UNREACHABLE, "the connection to %s broke: %s", x->origin,
                        detail(x, code));
        }
}

static int finish(struct exchange *x, CURL *easy, CURLcode code, struct err *e)
{
        if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && x->body_left)) {
                if (x->response->status == 407 && x->proxy != NULL)
                        return err_set(e, ERR_UNREACHABLE,
                                "the proxy for %s wants other credentials", x->origin);
                return 0;
        }
        if (explain_tunnel(x, easy, e) < 0)
                return -1;
        return explain(x, easy, code, e);
}

static int perform(struct http_pool *p, struct exchange *x, struct err *e)
{
        cleanup(mem_free_secret_at) char *key = connection_key(x);
        struct connection *c = check_out(p, key);
        CURLcode code = CURLE_OK;
        int result = configure(c->easy, x, e);
        if (result == 0 && !transfer(c, x->request->cancel, &code))
                result = err_set(e, ERR_CANCELLED, "cancelled while %s was asked", x->origin);
        else if (result == 0)
                result = finish(x, c->easy, code, e);
        check_in(p, c);
        return result;
}

int http_do(
        struct http_pool *p, const struct http_request *q, struct http_response *r, struct err *e)
{
        *r = (struct http_response){0};
        cleanup_free char *origin = http_url_origin(q->url);
        if (origin == NULL)
                return err_set(e, ERR_PROTOCOL, "not a http or https URL");
        if (q->timeout_ms <= 0)
                return err_set(e, ERR_TIMEOUT, "no time left to ask %s", origin);
        buf_init(&r->body, q->max_body_bytes);
        struct exchange x = {
                .request = q,
                .response = r,
                .origin = origin,
                .proxy = find_proxy(p, q->url),
        };
        int result = perform(p, &x, e);
        wipe_headers(x.header_list);
        if (result < 0)
                http_response_fini(r);
        return result;
}
