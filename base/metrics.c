/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { HASH_PLACES = 1024 };

static const struct {
        const char *name, *labels, *help;
        enum metric_kind kind;
} table[] = {
#define METRIC(constant, kind, name, labels, help)                                                 \
        [METRIC_##constant] = {name, labels, help, METRIC_KIND_##kind},
#include "base/metrics.def"
#undef METRIC
};

static const char other[] = "other";
/* Whose words are the configuration's, not our own. */
static const char *const open_labels[] = {"upstream", "mirror", "source"};

static const int64_t calls_us[] = {1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
        1000000, 2500000, 5000000, 10000000};
static const int64_t pulls_us[] = {50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,
        10000000, 30000000, 60000000, 120000000, 300000000, 600000000};

/* All but the figures is set once, before anybody else sees it. */
struct metrics_series {
        enum metric metric;
        char *words[METRICS_LABELS_MAX];
        struct metrics_series *chain;          /* in its place of the hash table */
        _Atomic(struct metrics_series *) next; /* of its metric */
        atomic_uint_least64_t value;
        atomic_uint_least64_t counts[]; /* of a histogram */
};

struct family {
        _Atomic(struct metrics_series *) first;
        struct metrics_series *last; /* this, and `told`: under the lock */
        size_t told;                 /* series that open labels tell apart */
};

/* The process's own. */
static struct family families[METRIC_COUNT];
static _Atomic(struct metrics_series *) places[HASH_PLACES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the table ---- */

const char *metrics_name(enum metric m)
{
        return table[m].name;
}

const char *metrics_help(enum metric m)
{
        return table[m].help;
}

enum metric_kind metrics_kind(enum metric m)
{
        return table[m].kind;
}

size_t metrics_label_count(enum metric m)
{
        size_t count = table[m].labels[0] != '\0';
        for (const char *at = table[m].labels; (at = strchr(at, ',')) != NULL; at++)
                count++;
        return count;
}

const char *metrics_label(enum metric m, size_t at, size_t *size)
{
        const char *label = table[m].labels;
        while (at-- > 0)
                label = strchr(label, ',') + 1;
        *size = strcspn(label, ",");
        return label;
}

size_t metrics_buckets(enum metric m, const int64_t **bounds_us)
{
        *bounds_us = table[m].kind == METRIC_KIND_PULLS ? pulls_us : calls_us;
        return table[m].kind >= METRIC_KIND_CALLS ? METRICS_BUCKETS_MAX : 0;
}

/* ---- series ---- */

static bool is_open(enum metric m, size_t at)
{
        size_t size = 0;
        const char *label = metrics_label(m, at, &size);
        for (size_t i = 0; i < sizeof(open_labels) / sizeof(open_labels[0]); i++)
                if (strlen(open_labels[i]) == size && strncmp(open_labels[i], label, size) == 0)
                        return true;
        return false;
}

/* "other" for all words that are not our own; false where they say so already. */
static bool close_words(enum metric m, const char *const *words, size_t count, const char **closed)
{
        bool changed = false;
        for (size_t i = 0; i < count; i++) {
                bool told = is_open(m, i) && strcmp(words[i], other) != 0;
                closed[i] = told ? other : words[i];
                changed |= told;
        }
        return changed;
}

/* FNV-1a */
static size_t place_of(enum metric m, const char *const *words, size_t count)
{
        uint32_t hash = 2166136261u ^ (uint32_t)m;
        for (size_t i = 0; i < count; i++)
                for (const char *c = words[i];; c++) {
                        hash = (hash ^ (uint8_t)*c) * 16777619u;
                        if (*c == '\0')
                                break;
                }
        return hash % HASH_PLACES;
}

static bool has_words(const struct metrics_series *s, const char *const *words, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(s->words[i], words[i]) != 0)
                        return false;
        return true;
}

static struct metrics_series *find(enum metric m, const char *const *words, size_t count)
{
        struct metrics_series *s =
                atomic_load_explicit(&places[place_of(m, words, count)], memory_order_acquire);
        while (s != NULL && (s->metric != m || !has_words(s, words, count)))
                s = s->chain;
        return s;
}

/* Under the lock. */
static struct metrics_series *make(enum metric m, const char *const *words, size_t count)
{
        const int64_t *unused = NULL;
        size_t buckets = metrics_buckets(m, &unused);
        size_t counts = buckets > 0 ? buckets + 1 : 0;
        struct metrics_series *s = mem_zalloc(sizeof(*s) + counts * sizeof(s->counts[0]));
        s->metric = m;
        for (size_t i = 0; i < count; i++)
                s->words[i] = mem_strdup(words[i]);
        _Atomic(struct metrics_series *) *place = &places[place_of(m, words, count)];
        s->chain = atomic_load_explicit(place, memory_order_relaxed);
        atomic_store_explicit(place, s, memory_order_release);
        struct family *f = &families[m];
        atomic_store_explicit(
                f->last != NULL ? &f->last->next : &f->first, s, memory_order_release);
        f->last = s;
        return s;
}

/* Under the lock. */
static struct metrics_series *find_or_make(enum metric m, const char *const *words, size_t count)
{
        struct metrics_series *s = find(m, words, count);
        if (s != NULL)
                return s;
        const char *closed[METRICS_LABELS_MAX] = {NULL};
        bool told = close_words(m, words, count, closed);
        if (told && families[m].told == METRICS_SERIES_MAX) {
                told = false;
                words = closed;
                s = find(m, words, count);
        }
        families[m].told += told;
        return s != NULL ? s : make(m, words, count);
}

struct metrics_series *metrics_series(enum metric m, const char *const *words)
{
        size_t count = metrics_label_count(m);
        const char *said[METRICS_LABELS_MAX] = {NULL};
        for (size_t i = 0; i < count; i++)
                said[i] = words[i] != NULL ? words[i] : other;
        struct metrics_series *s = find(m, said, count);
        if (s != NULL)
                return s;
        pthread_mutex_lock(&lock);
        s = find_or_make(m, said, count);
        pthread_mutex_unlock(&lock);
        return s;
}

/* ---- writing ---- */

void metrics_series_add(struct metrics_series *s, uint64_t n)
{
        if (s != NULL)
                atomic_fetch_add_explicit(&s->value, n, memory_order_relaxed);
}

void metrics_add(enum metric m, uint64_t n, const char *const *words)
{
        metrics_series_add(metrics_series(m, words), n);
}

void metrics_set(enum metric m, uint64_t value, const char *const *words)
{
        atomic_store_explicit(&metrics_series(m, words)->value, value, memory_order_relaxed);
}

void metrics_observe(enum metric m, int64_t duration_us, const char *const *words)
{
        struct metrics_series *s = metrics_series(m, words);
        const int64_t *bounds_us = NULL;
        size_t count = metrics_buckets(m, &bounds_us);
        size_t i = 0;
        while (i < count && duration_us > bounds_us[i])
                i++;
        atomic_fetch_add_explicit(&s->counts[i], 1, memory_order_relaxed);
        metrics_series_add(s, duration_us > 0 ? (uint64_t)duration_us : 0);
}

/* ---- reading ---- */

static void read_series(const struct metrics_series *s, struct metrics_reading *r)
{
        const int64_t *unused = NULL;
        size_t buckets = metrics_buckets(s->metric, &unused);
        *r = (struct metrics_reading){.words = (const char *const *)s->words,
                .value = atomic_load_explicit(&s->value, memory_order_relaxed)};
        for (size_t i = 0; buckets > 0 && i <= buckets; i++)
                r->counts[i] = atomic_load_explicit(&s->counts[i], memory_order_relaxed);
}

void metrics_each(
        enum metric m, void (*visit)(void *arg, const struct metrics_reading *r), void *arg)
{
        const struct metrics_series *s =
                atomic_load_explicit(&families[m].first, memory_order_acquire);
        for (; s != NULL; s = atomic_load_explicit(&s->next, memory_order_acquire)) {
                struct metrics_reading r;
                read_series(s, &r);
                visit(arg, &r);
        }
}

/* ---- counters ---- */

static const struct {
        const char *name;
        enum metric metric;
        const char *words[METRICS_LABELS_MAX];
} counters[] = {
#define WORDS(...)                                                                                 \
        {                                                                                          \
                __VA_ARGS__                                                                        \
        }
#define COUNTER(constant, name, metric, words)                                                     \
        [COUNTER_##constant] = {name, METRIC_##metric, words},
#include "base/metrics_counters.def"
#undef COUNTER
#undef WORDS
};

const char *metrics_counter_name(enum metrics_counter c)
{
        return counters[c].name;
}

struct sum {
        enum metrics_counter counter;
        uint64_t value;
};

static bool fits(const char *pattern, const char *word)
{
        if (pattern[0] == '\0')
                return true;
        if (pattern[0] == '!')
                return strcmp(pattern + 1, word) != 0;
        size_t size = strlen(word);
        while (strncmp(pattern, word, size) != 0 ||
                (pattern[size] != '|' && pattern[size] != '\0')) {
                pattern = strchr(pattern, '|');
                if (pattern++ == NULL)
                        return false;
        }
        return true;
}

static void add_fitting(void *arg, const struct metrics_reading *r)
{
        struct sum *sum = arg;
        enum metrics_counter c = sum->counter;
        for (size_t i = 0; i < metrics_label_count(counters[c].metric); i++)
                if (!fits(counters[c].words[i], r->words[i]))
                        return;
        sum->value += r->value;
}

uint64_t metrics_counter_get(enum metrics_counter c)
{
        struct sum sum = {.counter = c};
        metrics_each(counters[c].metric, add_fitting, &sum);
        return sum.value;
}
