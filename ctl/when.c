/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/when.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400 };

/* Digits and nothing else, `count` of them; -1 if not. */
static int digits(const char **s, int count)
{
        int n = 0;
        for (int i = 0; i < count; i++, (*s)++) {
                if (**s < '0' || **s > '9')
                        return -1;
                n = n * 10 + (**s - '0');
        }
        return n;
}

static bool skip(const char **s, const char *any_of)
{
        if (**s == '\0' || strchr(any_of, **s) == NULL)
                return false;
        (*s)++;
        return true;
}

/* "Z", "+02:00" or "-05:30", and the end. */
static bool parse_offset(const char *s, int64_t *offset_s)
{
        *offset_s = 0;
        if (skip(&s, "Zz"))
                return *s == '\0';
        int sign = *s == '-' ? -1 : 1;
        if (!skip(&s, "+-"))
                return false;
        int hours = digits(&s, 2);
        if (hours < 0 || hours > 23 || !skip(&s, ":"))
                return false;
        int minutes = digits(&s, 2);
        *offset_s = sign * ((int64_t)hours * HOUR_S + (int64_t)minutes * MINUTE_S);
        return minutes >= 0 && minutes < 60 && *s == '\0';
}

static bool in_range(const struct tm *t)
{
        return t->tm_year >= 0 && t->tm_mon >= 1 && t->tm_mon <= 12 && t->tm_mday >= 1 &&
               t->tm_mday <= 31 && t->tm_hour >= 0 && t->tm_hour <= 23 && t->tm_min >= 0 &&
               t->tm_min <= 59 && t->tm_sec >= 0 && t->tm_sec <= 60;
}

bool when_parse(const char *s, int64_t *unix_s)
{
        struct tm t = {0};
        const struct {
                int *field;
                int count;
                const char *after;
        } fields[] = {{&t.tm_year, 4, "-"}, {&t.tm_mon, 2, "-"}, {&t.tm_mday, 2, "Tt "},
                {&t.tm_hour, 2, ":"}, {&t.tm_min, 2, ":"}, {&t.tm_sec, 2, NULL}};
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
                *fields[i].field = digits(&s, fields[i].count);
                if (fields[i].after != NULL && !skip(&s, fields[i].after))
                        return false;
        }
        int64_t offset_s = 0;
        if (*s == '.')
                s += 1 + strspn(s + 1, "0123456789");
        if (!in_range(&t) || !parse_offset(s, &offset_s))
                return false;
        t.tm_year -= 1900;
        t.tm_mon -= 1;
        *unix_s = timegm(&t) - offset_s;
        return true;
}

char *when_date(int64_t unix_s)
{
        char text[64];
        struct tm t;
        time_t at = (time_t)unix_s;
        if (gmtime_r(&at, &t) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &t) == 0)
                return mem_printf("%" PRId64, unix_s);
        return mem_strdup(text);
}

/* Two units at most: nobody asks for the seconds of a week. */
static char *two_units(int64_t large, const char *large_name, int64_t small, const char *small_name)
{
        if (small == 0)
                return mem_printf("%" PRId64 " %s", large, large_name);
        return mem_printf("%" PRId64 " %s %" PRId64 " %s", large, large_name, small, small_name);
}

char *when_span(int64_t seconds)
{
        if (seconds < 0)
                seconds = 0;
        if (seconds < MINUTE_S)
                return mem_printf("%" PRId64 " s", seconds);
        if (seconds < HOUR_S)
                return mem_printf("%" PRId64 " min", seconds / MINUTE_S);
        if (seconds < DAY_S)
                return two_units(seconds / HOUR_S, "h", seconds % HOUR_S / MINUTE_S, "min");
        return two_units(seconds / DAY_S, "d", seconds % DAY_S / HOUR_S, "h");
}
