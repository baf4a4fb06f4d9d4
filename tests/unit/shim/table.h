/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the table of containers: what NRI and containerd tell it, and what it shows. Behind
 * cmocka.h.
 */
#ifndef CRI_RESOLVED_TESTS_TABLE_H
#define CRI_RESOLVED_TESTS_TABLE_H

#include <stdio.h>
#include <string.h>

#include "shim/containers_internal.h"

#define TAG   "ghcr.io/a/b:1"
#define FIXED "ghcr.io/a/b@" B
#define A     "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B     "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID    "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static const struct nri_pod pod = {"p1", "web-0", "shop", "u1"};

static inline struct nri_container container(const char *id, enum nri_state state)
{
        return (struct nri_container){
                .id = id, .pod_id = "p1", .name = "main", .state = state, .image = TAG};
}

/* ---- what containerd says ---- */

static const int64_t CREATED_NS = 1700000000 * INT64_C(1000000000);

static inline void put_image(struct inventory *i, const char *text, const char *digest)
{
        struct inventory_image *image = mem_zalloc(sizeof(*image));
        image->text = mem_strdup(text);
        image->digest = mem_strdup(digest);
        image->is_tag = strchr(text, '@') == NULL;
        assert_true(shelf_put(&i->images, image, 100));
}

static inline void put_id(struct inventory *i, const char *text, const char *digest)
{
        struct inventory_id *id = mem_zalloc(sizeof(*id));
        id->id = mem_strdup(text);
        strings_add(&id->digests, digest);
        assert_true(shelf_put(&i->ids, id, 100));
}

static inline void put_container(
        struct inventory *i, const char *text, const char *said, int32_t state)
{
        struct inventory_container *c = mem_zalloc(sizeof(*c));
        c->id = mem_strdup(text);
        c->said = mem_strdup_or_null(said);
        c->image_id = mem_strdup(ID);
        c->state = state;
        c->created_ns = CREATED_NS;
        c->pod = mem_strdup("web-0"); /* kubelet's label */
        c->gave_string = said != NULL;
        assert_true(shelf_put(&i->containers, c, 100));
}

/* The tag points there, and container c1 runs image ID of digest A. */
static inline void look(struct containers *c, const char *tag_points_at)
{
        struct inventory i = {0};
        put_image(&i, TAG, tag_points_at);
        put_id(&i, ID, A);
        put_container(&i, "c1", TAG, INVENTORY_RUNNING);
        containers_take(c, &i, c->at);
        inventory_fini(&i);
}

/* ---- the table, for people ---- */

struct seen {
        size_t count;
        char ids[256];
        enum container_verdict verdict; /* of the last one */
        enum nri_state state;
        char pod[64], digest[80], reference[80];
};

static inline void see(void *arg, const struct container_view *v)
{
        struct seen *s = arg;
        s->count++;
        snprintf(s->ids + strlen(s->ids), sizeof(s->ids) - strlen(s->ids), "%s ", v->id);
        s->verdict = v->verdict;
        s->state = v->state;
        snprintf(s->pod, sizeof(s->pod), "%s/%s", v->namespace_name, v->pod);
        snprintf(s->digest, sizeof(s->digest), "%s", v->digest != NULL ? v->digest : "");
        snprintf(s->reference, sizeof(s->reference), "%s",
                v->image->ref.text != NULL ? v->image->ref.text : "");
}

static inline struct seen all(struct containers *c)
{
        struct seen s = {0};
        struct containers_state began;
        containers_each(c, &began, see, &s);
        return s;
}

/* ---- the daemon ---- */

static inline void configure(const char *text)
{
        static const char path[] = "/proc/self/fd/%d";
        char name[64];
        struct err e;
        struct config *config = NULL;
        FILE *file = tmpfile();
        assert_non_null(file);
        fputs(text, file);
        fflush(file);
        snprintf(name, sizeof(name), path, fileno(file));
        if (config_load(name, &config, &e) < 0)
                fail_msg("%s", e.msg);
        config_publish(config, NULL);
        fclose(file);
}

/* Connected to containerd 2, image events heard, one container known. */
static inline struct containers *connected(struct nri_listener *l)
{
        struct containers *c = containers_new();
        configure("");
        *l = containers_listener(c);
        l->configured(l->arg, "containerd", "v2.1.9");
        struct nri_container one = container("c1", NRI_RUNNING);
        l->synchronized(l->arg, &pod, 1, &one, 1);
        c->state.following = true;
        return c;
}

static inline struct nri_creation create(struct nri_listener *l, const char *id, const char *image)
{
        struct nri_creation answer = {0};
        struct nri_container one = container(id, NRI_CREATED);
        one.image = image;
        l->container_creating(l->arg, &pod, &one, &answer);
        return answer;
}

/* The teardown of whoever configures. */
static inline int without_configuration(void **state)
{
        (void)state;
        config_publish(NULL, NULL);
        return 0;
}

#define CONFIGURED(f) cmocka_unit_test_teardown(f, without_configuration)

#endif
