/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mirrors say of images that the upstream has: those that were named with --reference, and
 * some of those that are on the node.
 */
#include <string.h>

#include "ctl/check_network.h"
#include "resolver/ref.h"

enum { IMAGES_PER_MIRROR = 3, TIMEOUT_MS = 5000, BUDGET_MS = 10000 };

/* One image, as its upstream names it now. */
struct image {
        struct ref ref;
        bool asked, known;
        char digest[DIGEST_MAX];
};

struct images_check {
        struct check *check;
        struct registry *registry;
        struct image *images;
        size_t count;
};

static void add_image(struct images_check *ic, const char *reference)
{
        struct err ignored;
        struct ref ref = {0};
        if (ref_parse(reference, strlen(reference), &ref, &ignored) < 0)
                return;
        bool known = ref.tag == NULL; /* by digest there is nothing to compare */
        for (size_t i = 0; i < ic->count && !known; i++)
                known = strcmp(ic->images[i].ref.text, ref.text) == 0;
        if (known || strncmp(ref.repository, "cri-resolved/", 13) == 0) {
                ref_fini(&ref);
                return;
        }
        ic->images = mem_resize(ic->images, (ic->count + 1) * sizeof(*ic->images));
        ic->images[ic->count++] = (struct image){.ref = ref};
}

static int ask_tag(const struct images_check *ic, const struct upstream *u, const struct ref *r,
        char digest[DIGEST_MAX], struct err *e)
{
        static const struct credentials nobody;
        struct registry_query q = {.upstream = u,
                .credentials = &nobody,
                .repository = r->repository,
                .reference = r->tag,
                .timeout_ms = TIMEOUT_MS,
                .budget_ms = BUDGET_MS,
                .token_reuse_ms = BUDGET_MS,
                .cancel = ic->check->cli->cancel};
        struct registry_answer a;
        if (registry_resolve(ic->registry, &q, &a, e) < 0)
                return -1;
        memcpy(digest, a.digest, DIGEST_MAX);
        return 0;
}

/* As nobody's wildcard changes it: that is what the wildcard is compared with. */
static struct upstream *upstream_itself(const struct config *c, const char *host)
{
        cleanup_free char *url = hosts_server_url(host);
        return upstream_new_mirror(c, url);
}

static struct upstream *upstream_of(const struct check *c, const char *host)
{
        const struct hosts_file *f = hosts_tree_find(&c->hosts, host);
        struct upstream *u = NULL;
        struct err ignored;
        bool has_entry = false;
        bool has_server = config_upstream_for(c->config, host, &has_entry)->has_trust;
        if (!has_server && f != NULL && strcmp(f->host, "_default") == 0)
                return upstream_itself(c->config, host);
        return upstream_new(c->config, host, &u, &ignored) == 0 ? u : NULL;
}

/* Private images are not known to us, and left out. */
static bool ask_upstream(struct images_check *ic, struct image *i)
{
        cleanup_upstream struct upstream *u = i->asked ? NULL : upstream_of(ic->check, i->ref.host);
        struct err ignored;
        if (u != NULL)
                i->known = ask_tag(ic, u, &i->ref, i->digest, &ignored) == 0;
        i->asked = true;
        return i->known && strncmp(i->digest, "sha256:", 7) == 0;
}

static int ask_content(const struct images_check *ic, const struct mirror_use *u,
        const struct image *i, struct err *e)
{
        struct registry_fetch f = {.from = u->reach,
                .repository = i->ref.repository,
                .digest = i->digest,
                .kind = REGISTRY_MANIFEST,
                .host = i->ref.host,
                .connect_timeout_ms = TIMEOUT_MS,
                .timeout_ms = BUDGET_MS,
                .token_reuse_ms = BUDGET_MS,
                .watch_fd = -1,
                .cancel = ic->check->cli->cancel};
        cleanup_registry_body struct registry_body body = {0};
        return registry_open(ic->registry, &f, &body, NULL, e);
}

static void report_older(const struct images_check *ic, const struct mirror_use *u,
        const struct image *i, const char *digest)
{
        json_t *finding = finding_add(ic->check->findings, FINDING_MIRROR_ANSWERS_OLDER_TAG);
        if (!u->may_resolve)
                finding_set_severity(finding, SEVERITY_HINT); /* nobody asks it for tags */
        finding_evidence(finding, u->url, "says that %s is %s", i->ref.text, digest);
        cleanup_free char *upstream = mem_printf("HEAD %s", i->ref.text);
        finding_evidence(finding, upstream, "the upstream says that it is %s", i->digest);
        finding_evidence(finding, u->place, "where it is a mirror of %s",
                u->host[0] != '\0' ? u->host : "every registry");
        if (u->may_resolve)
                finding_advise(finding, "The steps of %s do it.",
                        finding_identifier(FINDING_HOSTS_TOML_RESOLVE_AT_CACHE));
}

/* A pull-through cache answers 500 to a digest that its upstream has not got (distribution 2.8):
 * then it is the tag that tells. */
static void ask_mirror(struct images_check *ic, struct mirror_use *u, struct image *i)
{
        char digest[DIGEST_MAX];
        struct err content;
        struct err tag;
        bool has = ask_content(ic, u, i, &content) == 0;
        bool names = ask_tag(ic, u->reach, &i->ref, digest, &tag) == 0;
        u->served += has;
        if (has && !strings_has(&u->served_hosts, i->ref.host))
                strings_add(&u->served_hosts, i->ref.host);
        u->missing += !has && !names && tag.code == ERR_NOT_FOUND &&
                      (content.code == ERR_NOT_FOUND || content.code == ERR_UPSTREAM);
        if (names && strcmp(digest, i->digest) != 0)
                report_older(ic, u, i, digest);
}

/* Whether containerd or we would ask this mirror for the image. */
static bool is_for(const struct check *c, const struct mirror_use *u, const struct ref *r)
{
        bool has_entry = false;
        if (u->host[0] != '\0')
                return strcmp(u->host, r->host) == 0;
        if (!u->in_certs) {
                config_upstream_for(c->config, r->host, &has_entry);
                return !has_entry;
        }
        const struct hosts_file *f = hosts_tree_find(&c->hosts, r->host);
        return f != NULL && strcmp(f->host, "_default") == 0;
}

static void report_other_upstream(
        struct images_check *ic, const struct mirror_use *u, const struct image *i)
{
        json_t *finding = finding_add(ic->check->findings, FINDING_MIRROR_OF_ANOTHER_UPSTREAM);
        finding_evidence(finding, u->url, "has not got %s, which the upstream names %s",
                i->ref.text, i->digest);
        finding_evidence(finding, u->place, "where it is a mirror of %s", u->host);
        check_remove_mirror(ic->check, finding, u);
}

static void check_use(struct images_check *ic, struct mirror_use *u)
{
        const struct image *last = NULL;
        unsigned asked = 0;
        for (size_t i = 0; i < ic->count && asked < IMAGES_PER_MIRROR; i++) {
                struct image *image = &ic->images[i];
                if (!is_for(ic->check, u, &image->ref) || cancel_fired(ic->check->cli->cancel) ||
                        !ask_upstream(ic, image))
                        continue;
                asked++;
                ask_mirror(ic, u, image);
                last = image;
        }
        if (last != NULL && u->missing > 0 && u->served == 0 && u->host[0] != '\0')
                report_other_upstream(ic, u, last);
}

void check_images(struct check *c)
{
        struct images_check ic = {.check = c, .registry = registry_new()};
        for (size_t i = 0; i < c->references.count; i++)
                add_image(&ic, c->references.items[i]);
        for (size_t i = 0; i < c->use_count; i++)
                if (c->uses[i].answers)
                        check_use(&ic, &c->uses[i]);
        for (size_t i = 0; i < ic.count; i++)
                ref_fini(&ic.images[i].ref);
        free(ic.images);
        registry_free(ic.registry);
}
