/* SPDX-License-Identifier: Apache-2.0 */
/* The pure half of looking into containerd: which of its names are tags, and who runs them. */
#include <string.h>

#include "ctl/drift.h"

#define ID_PREFIX    "sha256:"
#define RELAY_PREFIX "127.0.0.1:"
#define RELAY_ROOT   "/cri-resolved/"

static void free_tag(struct drift_tag *t)
{
        ref_fini(&t->ref);
        credentials_held_fini(&t->credentials);
        free(t->mirrors);
}

static void free_container(struct drift_container *c)
{
        ref_fini(&c->ref);
        free(c->id);
        free(c->name);
        free(c->pod);
        free(c->namespace);
        free(c->said);
        free(c->image_id);
}

void drift_fini(struct drift *d)
{
        for (size_t i = 0; i < d->tag_count; i++)
                free_tag(&d->tags[i]);
        for (size_t i = 0; i < d->container_count; i++)
                free_container(&d->containers[i]);
        for (size_t i = 0; i < d->image_count; i++) {
                free(d->images[i].name);
                free(d->images[i].digest);
                free(d->images[i].id);
        }
        free(d->tags);
        free(d->containers);
        free(d->images);
        *d = (struct drift){0};
}

void drift_add_image(struct drift *d, const char *name, const char *digest, int64_t verified_s,
        int64_t updated_s)
{
        d->images = mem_resize(d->images, (d->image_count + 1) * sizeof(*d->images));
        d->images[d->image_count++] = (struct drift_image){
                .name = mem_strdup(name),
                .digest = mem_strdup(digest),
                .verified_s = verified_s,
                .updated_s = updated_s,
        };
        if (strncmp(name, ID_PREFIX, strlen(ID_PREFIX)) == 0) /* containerd names it by its ID */
                d->images[d->image_count - 1].id = mem_strdup(name);
}

void drift_name_id(struct drift *d, const char *name, const char *id)
{
        for (size_t i = 0; i < d->image_count; i++)
                if (d->images[i].id == NULL && strcmp(d->images[i].name, name) == 0)
                        d->images[i].id = mem_strdup(id);
}

void drift_name_digest(struct drift *d, const char *digest, const char *id)
{
        for (size_t i = 0; digest != NULL && id != NULL && i < d->image_count; i++)
                if (d->images[i].id == NULL && strcmp(d->images[i].digest, digest) == 0)
                        d->images[i].id = mem_strdup(id);
}

static bool has_id(const struct drift_image *image, const char *id)
{
        return id != NULL && image->id != NULL && strcmp(image->id, id) == 0;
}

bool drift_has_digest(const struct drift *d, const char *image_id, const char *digest)
{
        for (size_t i = 0; i < d->image_count; i++)
                if (has_id(&d->images[i], image_id) && strcmp(d->images[i].digest, digest) == 0)
                        return true;
        return false;
}

/* "127.0.0.1:<port>/cri-resolved/...": of a pull that is under way, or was cut off. */
static bool is_relays(const char *name)
{
        size_t size = strlen(RELAY_PREFIX);
        if (strncmp(name, RELAY_PREFIX, size) != 0)
                return false;
        size += strspn(name + size, "0123456789");
        return strncmp(name + size, RELAY_ROOT, strlen(RELAY_ROOT)) == 0;
}

bool drift_is_tag(const char *name, struct ref *r)
{
        struct err unused;
        *r = (struct ref){0};
        if (strncmp(name, ID_PREFIX, strlen(ID_PREFIX)) == 0 || is_relays(name) ||
                ref_parse(name, strlen(name), r, &unused) < 0)
                return false;
        if (r->tag != NULL && strcmp(r->text, name) == 0)
                return true;
        ref_fini(r);
        *r = (struct ref){0};
        return false;
}

static bool is_wanted_host(const struct drift_wanted *w, const char *host)
{
        for (size_t i = 0; i < w->host_count; i++)
                if (host != NULL && strcmp(w->hosts[i], host) == 0)
                        return true;
        return w->host_count == 0;
}

/* ---- order: by upstream, then by name ---- */

static int compare_text(const char *a, const char *b)
{
        return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

static int compare_tags(const void *a, const void *b)
{
        const struct drift_tag *x = a, *y = b;
        int order = strcmp(x->ref.host, y->ref.host);
        return order != 0 ? order : strcmp(x->ref.text, y->ref.text);
}

static int compare_containers(const void *a, const void *b)
{
        const struct drift_container *x = a, *y = b;
        const char *const keys[][2] = {{x->ref.host, y->ref.host}, {x->namespace, y->namespace},
                {x->pod, y->pod}, {x->name, y->name}, {x->id, y->id}};
        int order = 0;
        for (size_t i = 0; order == 0 && i < sizeof(keys) / sizeof(keys[0]); i++)
                order = compare_text(keys[i][0], keys[i][1]);
        return order;
}

/* ---- gathering ---- */

static void gather_tags(struct drift *d, const struct drift_wanted *w)
{
        /* Room for what containers add: nothing moves once somebody points at it. */
        d->tags = mem_zalloc((d->image_count + d->container_count) * sizeof(*d->tags));
        for (size_t i = 0; i < d->image_count; i++) {
                struct drift_tag *t = &d->tags[d->tag_count];
                if (!drift_is_tag(d->images[i].name, &t->ref))
                        continue;
                t->image = &d->images[i];
                t->wanted = w->tags && is_wanted_host(w, t->ref.host);
                d->tag_count++;
        }
        if (d->tag_count > 0)
                qsort(d->tags, d->tag_count, sizeof(*d->tags), compare_tags);
}

/* What is not there is asked for all the same. */
static struct drift_tag *tag_of(struct drift *d, const struct ref *r)
{
        for (size_t i = 0; i < d->tag_count; i++)
                if (strcmp(d->tags[i].ref.text, r->text) == 0)
                        return &d->tags[i];
        struct drift_tag *t = &d->tags[d->tag_count++];
        *t = (struct drift_tag){.ref = {.host = mem_strdup(r->host),
                                        .repository = mem_strdup(r->repository),
                                        .name = mem_strdup(r->name),
                                        .tag = mem_strdup(r->tag),
                                        .text = mem_strdup(r->text)}};
        return t;
}

/* "repository@..." and "repository:..." are names in the repository. */
static bool is_in_repository(const char *name, const struct ref *r)
{
        size_t size = r->name != NULL ? strlen(r->name) : 0;
        return size > 0 && strncmp(name, r->name, size) == 0 &&
               (name[size] == '@' || name[size] == ':');
}

static const char *digest_of_running(const struct drift *d, const struct drift_container *c)
{
        const char *other = NULL;
        for (size_t i = 0; i < d->image_count; i++) {
                const struct drift_image *image = &d->images[i];
                if (!has_id(image, c->image_id))
                        continue;
                if (is_in_repository(image->name, &c->ref))
                        return image->digest;
                other = image->digest;
        }
        return other;
}

static void parse_said(struct drift_container *c)
{
        struct err unused;
        if (c->said != NULL && ref_parse(c->said, strlen(c->said), &c->ref, &unused) < 0)
                c->ref = (struct ref){0};
}

static void gather_containers(struct drift *d, const struct drift_wanted *w)
{
        size_t kept = 0;
        for (size_t i = 0; i < d->container_count; i++) {
                struct drift_container *c = &d->containers[i];
                parse_said(c);
                if (w->containers && is_wanted_host(w, c->ref.host))
                        d->containers[kept++] = *c;
                else
                        free_container(c);
        }
        d->container_count = kept;
        if (kept > 0)
                qsort(d->containers, kept, sizeof(*d->containers), compare_containers);
        for (size_t i = 0; i < kept; i++) {
                struct drift_container *c = &d->containers[i];
                c->digest = digest_of_running(d, c);
                if (c->ref.tag == NULL)
                        continue;
                c->tag = tag_of(d, &c->ref);
                c->tag->named = true;
        }
}

void drift_gather(struct drift *d, const struct drift_wanted *w)
{
        gather_tags(d, w);
        gather_containers(d, w);
}
