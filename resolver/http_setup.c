/* SPDX-License-Identifier: Apache-2.0 */
/* How an exchange is put to curl: address, trust, head, reach, limits. */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "resolver/http_authorities.h"
#include "resolver/http_exchange.h"
#include "resolver/local_address.h"

enum {
        STREAM_BUFFER_BYTES = 64 * 1024, /* four pieces; what a pause keeps is no more than that */
};

/* What two requests must have in common to use one connection. */
char *http_exchange_key(const struct http_exchange *x)
{
        cleanup_buf_secret struct buf key;
        buf_init(&key, SIZE_MAX / 2);
        const char *path = x->request.unix_socket;
        buf_printf(&key, "%s\n%s\n%s\n%d\n", x->origin, x->proxy != NULL ? x->proxy : "",
                path != NULL ? path : "", x->request.refuse_local_addresses);
        const struct http_trust *t = x->request.trust;
        if (t != NULL) {
                buf_printf(&key, "%d\n", t->skip_verify);
                http_authorities_add_file(&key, t->client_cert);
                http_authorities_add_file(&key, t->client_key);
                for (size_t i = 0; i < t->ca_file_count; i++)
                        http_authorities_add_file(&key, t->ca_files[i]);
        }
        return mem_strdup(buf_str(&key));
}

static bool starts_https(const char *url)
{
        return url != NULL && strncasecmp(url, "https:", strlen("https:")) == 0;
}

static int set_authorities(struct http_exchange *x, struct err *e)
{
        const struct http_trust *t = x->request.trust;
        char *const *files = t != NULL ? t->ca_files : NULL;
        size_t count = t != NULL ? t->ca_file_count : 0;
        struct http_authorities *all = http_pool_authorities(x->pool);
        if (!starts_https(x->origin) || (t != NULL && t->skip_verify))
                return 0;
        if (starts_https(x->proxy))
                return http_authorities_use_copy(all, x->connection->easy, files, count, e);
        if (http_authorities_get(all, files, count, &x->authorities, e) < 0)
                return -1;
        return http_authorities_use(x->connection->easy, x->authorities, e);
}

static int set_trust(struct http_exchange *x, struct err *e)
{
        CURL *easy = x->connection->easy;
        const struct http_trust *t = x->request.trust;
        if (set_authorities(x, e) < 0)
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

static void set_headers(CURL *easy, struct http_exchange *x)
{
        const char *const *h = x->request.headers;
        for (; h != NULL && *h != NULL; h++) {
                struct curl_slist *longer = curl_slist_append(x->header_list, *h);
                if (longer == NULL)
                        abort();
                x->header_list = longer;
        }
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->header_list);
        curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
}

/* Sees the address that the name has at this moment, before anything is sent there. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
        (void)purpose;
        struct http_exchange *x = arg;
        if (local_address(&a->addr, a->addrlen)) {
                local_address_text(&a->addr, a->addrlen, x->refused);
                return CURL_SOCKET_BAD;
        }
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void set_reach(CURL *easy, struct http_exchange *x)
{
        /* Through a proxy it is the proxy's network that counts. */
        if (!x->request.refuse_local_addresses || x->proxy != NULL)
                return;
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
}

int64_t http_exchange_connect_timeout_ms(const struct http_exchange *x)
{
        const struct http_request *q = &x->request;
        bool shorter = q->connect_timeout_ms > 0 && q->connect_timeout_ms < q->timeout_ms;
        return shorter ? q->connect_timeout_ms : q->timeout_ms;
}

int http_exchange_configure(struct http_exchange *x, struct err *e)
{
        CURL *easy = x->connection->easy;
        const struct http_request *q = &x->request;
        curl_easy_setopt(easy, CURLOPT_URL, q->url);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no waiting for the resolver's thread */
        /* The deadline of it all is kept by who drives it: a stream's body has none. */
        curl_easy_setopt(
                easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http_exchange_connect_timeout_ms(x));
        if (x->streams)
                curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)STREAM_BUFFER_BYTES);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        /* Both set, or curl looks into the environment by its own rules. */
        curl_easy_setopt(easy, CURLOPT_PROXY, x->proxy != NULL ? x->proxy : "");
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
        curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_exchange_on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_exchange_on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->text);
        set_reach(easy, x);
        set_method(easy, q);
        set_headers(easy, x);
        return set_trust(x, e);
}
