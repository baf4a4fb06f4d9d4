/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containers_json.h"

#include <string.h>

#include "shim/admin_json.h"

enum { SETTLE_TIMEOUT_MS = 5000, MS_PER_S = 1000 };

static json_t *text_or_null(const char *s)
{
        return admin_json_text(s != NULL && *s != '\0' ? s : NULL);
}

static json_t *time_or_null(int64_t unix_s)
{
        return unix_s > 0 ? admin_json_time(unix_s * MS_PER_S) : json_null();
}

static json_t *nri_json(const struct containers_state *s, bool enabled)
{
        json_t *o = json_object();
        json_object_set_new(o, "enabled", json_boolean(enabled));
        json_object_set_new(o, "connected", json_boolean(s->connected));
        json_object_set_new(o, "runtime_name", text_or_null(s->runtime));
        json_object_set_new(o, "runtime_version", text_or_null(s->version));
        json_object_set_new(o, "error", text_or_null(s->error));
        json_object_set_new(o, "image_events", json_boolean(s->following));
        json_object_set_new(o, "pods_own_string", json_boolean(s->pods_own_string));
        json_object_set_new(o, "left_out", json_integer((json_int_t)s->left_out));
        return o;
}

static const char *state_name(enum nri_state s)
{
        static const char *const names[] = {
                [NRI_CREATED] = "created",
                [NRI_RUNNING] = "running",
                [NRI_STOPPED] = "stopped",
                [NRI_UNKNOWN] = "unknown",
        };
        return names[s];
}

static json_t *digests_json(const struct strings *digests)
{
        json_t *list = json_array();
        for (size_t i = 0; i < digests->count; i++)
                json_array_append_new(list, admin_json_text(digests->items[i]));
        return list;
}

/* What is known of the name that the pod says; n may be NULL. */
static void add_reference(json_t *o, const struct container_view *v)
{
        static const struct name nothing;
        const struct name *n = v->reference != NULL ? v->reference : &nothing;
        bool answered = v->restart == RESTART_SAME || v->restart == RESTART_DIFFERENT;
        json_object_set_new(o, "verified_digest", text_or_null(n->verified));
        json_object_set_new(o, "verified_at", time_or_null(n->verified_s));
        json_object_set_new(o, "moved_at",
                v->verdict == CONTAINER_OLDER ? time_or_null(n->moved_s) : json_null());
        json_object_set_new(o, "tag_digest", text_or_null(n->digest));
        json_object_set_new(o, "restart", admin_json_text(container_restart_name(v->restart)));
        json_object_set_new(
                o, "upstream_digest", answered ? text_or_null(n->upstream) : json_null());
        json_object_set_new(o, "checked_at", time_or_null(n->checked_s));
        json_object_set_new(o, "check_error",
                n->check_error != ERR_NONE ? admin_json_text(err_label(n->check_error))
                                           : json_null());
}

static void add_container(void *arg, const struct container_view *v)
{
        json_t *o = json_object();
        json_object_set_new(o, "id", text_or_null(v->id));
        json_object_set_new(o, "name", text_or_null(v->name));
        json_object_set_new(o, "pod", text_or_null(v->pod));
        json_object_set_new(o, "namespace", text_or_null(v->namespace_name));
        json_object_set_new(o, "state", admin_json_text(state_name(v->state)));
        json_object_set_new(o, "created_at", time_or_null(v->created_s));
        json_object_set_new(o, "reference", text_or_null(v->image->ref.text));
        json_object_set_new(o, "upstream", text_or_null(v->image->ref.host));
        json_object_set_new(o, "image_id", text_or_null(v->image_id));
        json_object_set_new(o, "digest", text_or_null(v->digest));
        json_object_set_new(o, "digests", digests_json(&v->image->digests));
        json_object_set_new(o, "verdict", admin_json_text(container_verdict_name(v->verdict)));
        add_reference(o, v);
        json_array_append_new(arg, o);
}

static void add_foreign(void *arg, const struct name *n)
{
        json_t *o = json_object();
        json_object_set_new(o, "reference", text_or_null(n->text));
        json_object_set_new(o, "digest", text_or_null(n->foreign));
        json_object_set_new(o, "verified_digest", text_or_null(n->verified));
        json_object_set_new(o, "seen_at", time_or_null(n->foreign_s));
        json_array_append_new(arg, o);
}

json_t *containers_json(struct containers *c, const char *backend)
{
        struct containers_state state = {0};
        json_t *rows = json_array();
        json_t *changed = json_array();
        if (c != NULL) {
                containers_settle(c, SETTLE_TIMEOUT_MS);
                containers_each(c, &state, add_container, rows);
                containers_each_foreign(c, add_foreign, changed);
        }
        json_t *o = json_object();
        json_object_set_new(o, "backend", admin_json_text(backend));
        json_object_set_new(o, "nri", nri_json(&state, c != NULL));
        json_object_set_new(o, "containers", rows);
        json_object_set_new(o, "changed", changed);
        return o;
}
