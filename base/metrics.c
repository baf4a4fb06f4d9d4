/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <stdatomic.h>

static const struct {
        const char *name, *help;
} texts[] = {
#define COUNTER(constant, name, help) [METRIC_##constant] = {name, help},
#include "base/metrics.def"
#undef COUNTER
};

/* The process's own. */
static atomic_uint_least64_t values[METRIC_COUNT];

/* Each counter stands for itself: nobody concludes from one to another. */
void metrics_add(enum metric m, uint64_t n)
{
        atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

uint64_t metrics_get(enum metric m)
{
        return atomic_load_explicit(&values[m], memory_order_relaxed);
}

const char *metrics_name(enum metric m)
{
        return texts[m].name;
}

const char *metrics_help(enum metric m)
{
        return texts[m].help;
}
