/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http.h"

#include "resolver/http_exchange.h"

int http_do(
        struct http_pool *p, const struct http_request *q, struct http_response *r, struct err *e)
{
        struct http_exchange x;
        if (http_exchange_begin(&x, p, q, false, r, e) < 0)
                return -1;
        enum http_turn turn = http_exchange_run(&x, x.deadline_ms, NULL);
        int result = http_exchange_explain(&x, turn, e);
        http_exchange_end(&x);
        if (result < 0)
                http_response_fini(r);
        return result;
}
