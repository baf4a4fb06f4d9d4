/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/breaker.h"

enum { JITTER_PERCENT = 20 };

void breaker_init(
        struct breaker *b, int64_t backoff_first_ms, int64_t backoff_max_ms, uint64_t noise)
{
        *b = (struct breaker){
                .state = BREAKER_UP,
                .backoff_first_ms = backoff_first_ms,
                .backoff_max_ms = backoff_max_ms,
                .backoff_ms = backoff_first_ms,
                .probe_at_ms = BREAKER_NEVER,
                .noise = noise | 1, /* xorshift knows no way out of 0 */
        };
}

static uint64_t next_noise(struct breaker *b)
{
        b->noise ^= b->noise << 13;
        b->noise ^= b->noise >> 7;
        b->noise ^= b->noise << 17;
        return b->noise >> 16;
}

/* Nodes that lost a mirror together must not all come back to it together. */
static int64_t with_jitter(struct breaker *b, int64_t ms)
{
        int64_t most = ms * JITTER_PERCENT / 100;
        return ms - most + (int64_t)(next_noise(b) % (uint64_t)(2 * most + 1));
}

static void set_state(struct breaker *b, enum breaker_state state)
{
        b->state = state;
        b->on_trial = false;
        b->term++;
}

static void go_down(struct breaker *b, int64_t now_ms)
{
        set_state(b, BREAKER_DOWN);
        b->probe_at_ms = now_ms + with_jitter(b, b->backoff_ms);
        if (b->probe_at_ms < b->not_before_ms)
                b->probe_at_ms = b->not_before_ms;
}

static void back_off(struct breaker *b)
{
        b->backoff_ms =
                b->backoff_ms > b->backoff_max_ms / 2 ? b->backoff_max_ms : b->backoff_ms * 2;
}

bool breaker_admit(struct breaker *b, uint64_t *term)
{
        if (b->state == BREAKER_DOWN || b->on_trial)
                return false;
        if (b->state == BREAKER_TRIAL) {
                b->on_trial = true;
                b->term++;
        }
        *term = b->term;
        return true;
}

/* Bounded: a slip of the mirror's pen must not cost it a year. */
static void heed(struct breaker *b, int64_t retry_after_ms, int64_t now_ms)
{
        if (retry_after_ms > BREAKER_RETRY_AFTER_MAX_MS)
                retry_after_ms = BREAKER_RETRY_AFTER_MAX_MS;
        if (retry_after_ms > 0 && now_ms + retry_after_ms > b->not_before_ms)
                b->not_before_ms = now_ms + retry_after_ms;
}

static enum breaker_change judge_use(struct breaker *b, enum mirror_verdict verdict, int64_t now_ms)
{
        if (verdict == MIRROR_NEUTRAL)
                return BREAKER_SAME;
        b->history = (uint8_t)(b->history << 1 | (verdict == MIRROR_GOOD ? 0 : 1));
        bool asks_for_a_pause = verdict == MIRROR_FAILED && b->not_before_ms > now_ms;
        if (verdict != MIRROR_SILENT && !asks_for_a_pause &&
                __builtin_popcount((unsigned)b->history) < BREAKER_FAILURES_MAX)
                return BREAKER_SAME;
        go_down(b, now_ms);
        return BREAKER_WENT_DOWN;
}

static enum breaker_change judge_trial(
        struct breaker *b, uint64_t *term, enum mirror_verdict verdict, int64_t now_ms)
{
        switch (verdict) {
        case MIRROR_GOOD:
                set_state(b, BREAKER_UP);
                b->history = 0;
                b->backoff_ms = b->backoff_first_ms;
                *term = b->term;
                return BREAKER_CAME_BACK;
        case MIRROR_NEUTRAL:
                set_state(b, BREAKER_TRIAL); /* the next user's turn */
                return BREAKER_SAME;
        case MIRROR_FAILED:
        case MIRROR_SILENT:
                break;
        }
        back_off(b);
        go_down(b, now_ms);
        return BREAKER_STAYS_DOWN;
}

enum breaker_change breaker_report(struct breaker *b, uint64_t *term, enum mirror_verdict verdict,
        int64_t retry_after_ms, int64_t now_ms)
{
        if (*term != b->term || b->state == BREAKER_DOWN)
                return BREAKER_SAME;
        if (verdict == MIRROR_FAILED || verdict == MIRROR_SILENT)
                heed(b, retry_after_ms, now_ms);
        return b->state == BREAKER_UP ? judge_use(b, verdict, now_ms)
                                      : judge_trial(b, term, verdict, now_ms);
}

void breaker_probed(struct breaker *b, bool answers, int64_t now_ms)
{
        if (b->state != BREAKER_DOWN)
                return;
        if (answers) {
                set_state(b, BREAKER_TRIAL);
        } else {
                back_off(b);
                go_down(b, now_ms);
        }
}

void breaker_put_off(struct breaker *b)
{
        b->probe_at_ms = BREAKER_NEVER;
}

bool breaker_wanted(struct breaker *b, int64_t now_ms)
{
        if (b->state != BREAKER_DOWN || b->probe_at_ms != BREAKER_NEVER)
                return false;
        b->probe_at_ms = now_ms > b->not_before_ms ? now_ms : b->not_before_ms;
        return true;
}
