/* SPDX-License-Identifier: Apache-2.0 */
/* For programs: the document that the verb's help describes. */
#include <string.h>
#include <time.h>

#include "ctl/drift.h"
#include "ctl/text.h"

static json_t *text_or_null(const char *s)
{
        if (s == NULL || *s == '\0')
                return json_null();
        cleanup_free char *shown = text_escape(s, strlen(s)); /* JSON wants UTF-8 */
        return json_string(shown);
}

static json_t *time_or_null(int64_t unix_s)
{
        char text[64];
        struct tm t;
        time_t at = (time_t)unix_s;
        if (unix_s <= 0 || gmtime_r(&at, &t) == NULL ||
                strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &t) == 0)
                return json_null();
        return json_string(text);
}

static json_t *error_or_null(const struct err *e)
{
        if (e == NULL || e->code == ERR_NONE)
                return json_null();
        return json_pack("{s:s, s:o}", "code", err_label(e->code), "message", text_or_null(e->msg));
}

static json_t *mirror_json(const struct drift_mirror *m)
{
        return json_pack("{s:o, s:s, s:o, s:o}", "mirror", text_or_null(m->url), "state",
                drift_mirror_state_name(m->state), "digest", text_or_null(m->digest), "error",
                error_or_null(&m->err));
}

static json_t *tag_json(const struct drift_tag *t)
{
        const struct drift_image *image = t->image;
        json_t *mirrors = json_array();
        for (size_t i = 0; i < t->mirror_count; i++)
                json_array_append_new(mirrors, mirror_json(&t->mirrors[i]));
        return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tag",
                text_or_null(t->ref.text), "upstream", text_or_null(t->ref.host), "state",
                drift_state_name(t->state), "reason", text_or_null(t->reason), "digest",
                text_or_null(image != NULL ? image->digest : NULL), "upstream_digest",
                text_or_null(t->digest), "verified",
                time_or_null(image != NULL ? image->verified_s : 0), "written",
                time_or_null(image != NULL ? image->updated_s : 0), "error", error_or_null(&t->err),
                "mirrors", mirrors);
}

static json_t *container_json(const struct drift_container *c)
{
        const struct drift_tag *t = c->tag;
        json_t *document = json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "id", text_or_null(c->id),
                "name", text_or_null(c->name), "pod", text_or_null(c->pod), "namespace",
                text_or_null(c->namespace), "state", drift_state_name(c->state), "reason",
                text_or_null(c->reason));
        json_t *more = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "reference",
                text_or_null(c->ref.text), "upstream", text_or_null(c->ref.host), "image_id",
                text_or_null(c->image_id), "digest", text_or_null(c->digest), "tag_digest",
                text_or_null(t != NULL && t->image != NULL ? t->image->digest : NULL),
                "upstream_digest", text_or_null(t != NULL ? t->digest : NULL), "created",
                time_or_null(c->created_s), "error", error_or_null(t != NULL ? &t->err : NULL));
        json_object_update(document, more);
        json_decref(more);
        return document;
}

static json_t *counts_json(const size_t *counts)
{
        json_t *document = json_object();
        for (size_t i = 0; i < DRIFT_STATES; i++)
                json_object_set_new(
                        document, drift_state_name(i), json_integer((json_int_t)counts[i]));
        return document;
}

json_t *drift_json(const struct drift *d, const struct drift_only *only)
{
        json_t *tags = json_array(), *containers = json_array();
        struct drift_counts counts = drift_count(d);
        for (size_t i = 0; i < d->tag_count; i++)
                if (drift_shows_tag(only, &d->tags[i]))
                        json_array_append_new(tags, tag_json(&d->tags[i]));
        for (size_t i = 0; i < d->container_count; i++)
                if (drift_shows_container(only, &d->containers[i]))
                        json_array_append_new(containers, container_json(&d->containers[i]));
        return json_pack("{s:o, s:o, s:{s:o, s:o}}", "tags", tags, "containers", containers,
                "summary", "tags", counts_json(counts.tags), "containers",
                counts_json(counts.containers));
}
