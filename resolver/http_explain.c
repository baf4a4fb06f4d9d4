/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of an exchange is called. */
#include <string.h>

#include "resolver/http_exchange.h"

static int explain_connect(const struct http_exchange *x, CURL *easy, struct err *e)
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
static int explain_tunnel(const struct http_exchange *x, CURL *easy, struct err *e)
{
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
        if (x->proxy == NULL || status < 300)
                return 0;
        return err_set(e, ERR_UNREACHABLE,
                "cannot connect to %s through its proxy: the proxy answers %ld", x->origin, status);
}

static int explain_timeout(const struct http_exchange *x, CURL *easy, struct err *e)
{
        curl_off_t ready_us = 0;
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
        bool connected = ready_us != 0;
        int64_t limit_ms = connected ? x->request.timeout_ms : http_exchange_connect_timeout_ms(x);
        return err_set(e, ERR_TIMEOUT, "%s %s%s within %lld ms",
                connected ? "no answer from" : "no connection to", x->origin,
                x->proxy != NULL ? " through its proxy" : "", (long long)limit_ms);
}

/* What curl says of a failure, for those kinds of failure where it cannot name a URL's query. */
static const char *detail(const struct http_exchange *x, CURLcode code)
{
        return x->text[0] != '\0' ? x->text : curl_easy_strerror(code);
}

static int explain(const struct http_exchange *x, CURL *easy, CURLcode code, struct err *e)
{
        bool in_body = x->streams && x->head_done;
        if (x->headers_too_long || code == CURLE_OUT_OF_MEMORY)
                return err_set(e, ERR_PROTOCOL, "%s answers with more than %d KiB of headers",
                        x->origin, HTTP_EXCHANGE_HEADERS_MAX_BYTES / 1024);
        if (x->body_too_long)
                return err_set(e, ERR_TOO_LARGE, "%s answers with more than %zu bytes", x->origin,
                        x->request.max_body_bytes);
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
                return err_set(e, in_body ? ERR_BROKEN : ERR_UNREACHABLE,
                        "the connection to %s broke: %s", x->origin, detail(x, code));
        }
}

int http_exchange_check_proxy(const struct http_exchange *x, struct err *e)
{
        if (x->status == 407 && x->proxy != NULL)
                return err_set(
                        e, ERR_UNREACHABLE, "the proxy for %s wants other credentials", x->origin);
        return 0;
}

int http_exchange_explain(const struct http_exchange *x, enum http_turn turn, struct err *e)
{
        CURL *easy = x->connection->easy;
        if (turn == HTTP_CANCELLED)
                return err_set(e, ERR_CANCELLED, "cancelled while %s was asked", x->origin);
        if (turn == HTTP_LATE)
                return explain_timeout(x, easy, e);
        if (x->code == CURLE_OK || (x->code == CURLE_WRITE_ERROR && x->body_left))
                return http_exchange_check_proxy(x, e);
        if (explain_tunnel(x, easy, e) < 0)
                return -1;
        return explain(x, easy, x->code, e);
}
