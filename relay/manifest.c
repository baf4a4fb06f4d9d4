/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/manifest.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/mem.h"

enum {
        DEPTH_MAX = 16,     /* an index has 5: platform's os.features */
        VALUES_MAX = 20000, /* as much as a grant remembers of sizes */
};

struct manifest {
        json_t *document; /* NULL: none */
        bool ambiguous;   /* containerd may read something else in it */
};

/* Go takes a key in any case (and folds letters beyond ASCII into it) for the one that it looks
 * for.
 */
static bool has_lookalike(const json_t *object)
{
        static const char *const known[] = {
                "config", "layers", "mediaType", "digest", "size", "annotations"};
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)object, key, value) {
                for (const char *c = key; *c != '\0'; c++)
                        if ((unsigned char)*c >= 0x80)
                                return true;
                for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                        if (strcasecmp(key, known[i]) == 0 && strcmp(key, known[i]) != 0)
                                return true;
        }
        return false;
}

static bool is_affordable(const void *data, size_t size)
{
        struct json_text cost = json_text_measure(data, size);
        return cost.depth <= DEPTH_MAX && cost.values <= VALUES_MAX;
}

struct manifest *manifest_parse(const void *data, size_t size)
{
        struct manifest *m = mem_zalloc(sizeof(*m));
        if (!is_affordable(data, size))
                return m;
        m->document = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
        if (m->document == NULL) {
                /* Of duplicates we see the last; Go merges them. */
                m->document = json_loadb(data, size, 0, NULL);
                m->ambiguous = true;
        }
        m->ambiguous = m->ambiguous || has_lookalike(m->document);
        return m;
}

void manifest_free(struct manifest *m)
{
        if (m == NULL)
                return;
        json_decref(m->document);
        free(m);
}

const char *manifest_media_type(const struct manifest *m)
{
        const char *said = json_string_value(json_object_get(m->document, "mediaType"));
        if (said != NULL)
                return said;
        /* OCI leaves it optional. */
        if (json_is_array(json_object_get(m->document, "manifests")))
                return "application/vnd.oci.image.index.v1+json";
        if (json_is_array(json_object_get(m->document, "layers")))
                return "application/vnd.oci.image.manifest.v1+json";
        return NULL;
}

/* ---- refs ---- */

/* Layer types of Docker; what follows a '+' does not count. */
static bool is_docker_layer(const char *type)
{
        static const char *const types[] = {
                "application/vnd.docker.image.rootfs.diff.tar",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "application/vnd.docker.image.rootfs.foreign.diff.tar",
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        };
        size_t size = strcspn(type, "+");
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if (strlen(types[i]) == size && strncmp(types[i], type, size) == 0)
                        return true;
        return false;
}

static bool is_config(const char *type)
{
        static const char *const types[] = {
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.containerd.container.criu.checkpoint.criu.tar",
                "application/vnd.containerd.container.checkpoint.config.v1+proto",
        };
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if (strcmp(types[i], type) == 0)
                        return true;
        return false;
}

/* NULL for types that one version of containerd knows and another does not. */
static const char *role_of(const char *type)
{
        static const char oci_layer[] = "application/vnd.oci.image.layer.";
        if (strncmp(type, oci_layer, sizeof(oci_layer) - 1) == 0 || is_docker_layer(type))
                return "layer";
        return is_config(type) ? "config" : NULL;
}

/* containerd's core/remotes, MakeRefKey. The caller frees; NULL: it cannot be told. */
static char *ref_of(const json_t *descriptor, const char *digest)
{
        const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
        const char *role = type != NULL ? role_of(type) : NULL;
        if (role == NULL || has_lookalike(descriptor))
                return NULL;
        const json_t *annotations = json_object_get(descriptor, "annotations");
        const char *name = json_string_value(
                json_object_get(annotations, "org.opencontainers.image.ref.name"));
        return name != NULL ? mem_printf("%s-%s@%s", role, name, digest)
                            : mem_printf("%s-%s", role, digest);
}

/* ---- visiting ---- */

static void visit_one(const json_t *descriptor, bool with_ref, manifest_visit_fn visit, void *arg)
{
        const char *digest = json_string_value(json_object_get(descriptor, "digest"));
        const json_t *size = json_object_get(descriptor, "size");
        if (digest == NULL || !json_is_integer(size) || strlen(digest) != DIGEST_SHA256_SIZE ||
                !digest_valid(digest, DIGEST_SHA256_SIZE))
                return;
        cleanup_free char *ref = with_ref ? ref_of(descriptor, digest) : NULL;
        visit(arg, digest, json_integer_value(size), ref);
}

static void visit_list(const struct manifest *m, const char *name, bool with_ref,
        manifest_visit_fn visit, void *arg)
{
        const json_t *list = json_object_get(m->document, name);
        size_t at;
        const json_t *descriptor;
        json_array_foreach (list, at, descriptor) {
                visit_one(descriptor, with_ref, visit, arg);
        }
}

void manifest_each(const struct manifest *m, manifest_visit_fn visit, void *arg)
{
        bool with_ref = !m->ambiguous;
        visit_one(json_object_get(m->document, "config"), with_ref, visit, arg);
        visit_list(m, "layers", with_ref, visit, arg);
        visit_list(m, "manifests", false, visit, arg);
        visit_list(m, "blobs", false, visit, arg);
}
