/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/created.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/buf.h"

/* As containerd: a manifest or configuration beyond that is none. */
enum { DOCUMENT_MAX_BYTES = 8 * 1024 * 1024, STEPS_MAX = 3 };

/* Go's names, which images use. */
static const char *architecture(struct utsname *u)
{
        static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"},
                {"armv7l", "arm"}, {"armv6l", "arm"}, {"i686", "386"}, {"loongarch64", "loong64"}};
        if (uname(u) < 0)
                return "";
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(u->machine, names[i][0]) == 0)
                        return names[i][1];
        return u->machine;
}

static const char *text_of(const json_t *object, const char *name)
{
        const char *s = json_string_value(json_object_get(object, name));
        return s != NULL ? s : "";
}

/* Attestations stand in an index beside the images, with a platform "unknown". */
static int rank(const json_t *entry, const char *wanted)
{
        const json_t *platform = json_object_get(entry, "platform");
        if (strcmp(text_of(platform, "os"), "linux") == 0 &&
                strcmp(text_of(platform, "architecture"), wanted) == 0)
                return 3;
        return strcmp(text_of(platform, "os"), "unknown") == 0 ? 1 : 2;
}

const char *created_next(const json_t *document, const char *wanted, bool *is_config)
{
        const json_t *best = json_object_get(document, "config");
        const json_t *entry;
        int best_rank = 0;
        size_t i;
        *is_config = best != NULL;
        json_array_foreach (json_object_get(document, "manifests"), i, entry) {
                int r = best != NULL && *is_config ? 0 : rank(entry, wanted);
                if (r > best_rank) {
                        best = entry;
                        best_rank = r;
                }
        }
        return json_string_value(json_object_get(best, "digest"));
}

static int read_body(const struct created_question *q, struct registry_body *body,
        const char *digest, struct buf *b, struct err *e)
{
        cleanup_free char *piece = mem_zalloc(HTTP_PIECE_MIN);
        size_t got = 1;
        int64_t waited_ms = 0;
        while (got > 0 && !b->overflow) {
                if (http_stream_read(body->stream, piece, HTTP_PIECE_MIN,
                            q->config->stall_timeout_ms, &got, &waited_ms, e) < 0)
                        return -1;
                buf_append(b, piece, got);
        }
        if (b->overflow)
                return err_set(
                        e, ERR_TOO_LARGE, "%s is larger than %zu bytes", digest, b->max_bytes);
        char hash[DIGEST_SHA256_SIZE + 1];
        digest_of(buf_str(b), b->size, hash);
        if (strcmp(hash, digest) != 0)
                return err_set(e, ERR_DIGEST, "%s comes with the content of %s", digest, hash);
        return 0;
}

static int fetch(const struct created_question *q, const char *digest, bool is_config,
        json_t **document, struct err *e)
{
        const struct config *c = q->config;
        const struct registry_fetch f = {
                .from = q->from,
                .credentials = q->credentials,
                .repository = q->repository,
                .digest = digest,
                .kind = is_config ? REGISTRY_BLOB : REGISTRY_MANIFEST,
                .host = q->host,
                .connect_timeout_ms = q->host != NULL ? c->connect_timeout_ms : c->timeout_ms,
                .timeout_ms = c->first_byte_timeout_ms,
                .token_reuse_ms = c->token_reuse_ms,
                .patient = q->host == NULL,
                .cancel = q->cancel,
        };
        cleanup_registry_body struct registry_body body = {0};
        cleanup_buf struct buf b;
        buf_init(&b, DOCUMENT_MAX_BYTES);
        if (registry_open(q->registry, &f, &body, NULL, e) < 0 ||
                read_body(q, &body, digest, &b, e) < 0)
                return -1;
        *document = json_loadb(buf_str(&b), b.size, 0, NULL);
        return *document != NULL ? 0 : err_set(e, ERR_PROTOCOL, "%s is not JSON", digest);
}

static bool is_sha256(const char *digest)
{
        return digest != NULL && strlen(digest) == DIGEST_SHA256_SIZE &&
               digest_valid(digest, DIGEST_SHA256_SIZE);
}

int created_get(const struct created_question *q, char **created, struct err *e)
{
        struct utsname machine;
        const char *wanted = architecture(&machine);
        cleanup_free char *digest = mem_strdup(q->digest);
        bool is_config = false;
        *created = NULL;
        for (int step = 0; step < STEPS_MAX; step++) {
                json_t *document = NULL;
                if (!is_sha256(digest))
                        return err_set(e, ERR_PROTOCOL, "not an image with sha256 digests");
                if (fetch(q, digest, is_config, &document, e) < 0)
                        return -1;
                if (is_config) {
                        *created = mem_strdup_or_null(
                                json_string_value(json_object_get(document, "created")));
                        json_decref(document);
                        return *created != NULL
                                       ? 0
                                       : err_set(e, ERR_NOT_FOUND, "the image says no date");
                }
                free(digest);
                digest = mem_strdup_or_null(created_next(document, wanted, &is_config));
                json_decref(document);
        }
        return err_set(e, ERR_PROTOCOL, "an index in an index in an index");
}
