/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/place.h"

#include <string.h>

#include "base/buf.h"
#include "resolver/ref.h"

enum { IMAGE_NAME_MAX = 255 };

#define ADDRESS "127.0.0.1:"

/* "ghcr.io:443" as "ghcr.io__443". */
static char *host_as_component(const char *host)
{
        cleanup_buf struct buf b;
        buf_init(&b, SIZE_MAX / 2);
        for (; *host != '\0'; host++) {
                if (*host == ':')
                        buf_puts(&b, "__");
                else
                        buf_append(&b, host, 1);
        }
        return mem_strdup(buf_str(&b));
}

/* What containerd makes of the name must be the name. */
static bool is_nameable(const char *name, uint16_t port)
{
        struct err unused;
        cleanup_ref struct ref r = {0};
        cleanup_free char *image = mem_printf(ADDRESS "%u/%s", port, name);
        cleanup_free char *tagged = mem_printf("%s:latest", image);
        return ref_parse(image, strlen(image), &r, &unused) == 0 && strcmp(r.text, tagged) == 0;
}

int place_name(const char *host, const char *repository, uint16_t port, char **out, struct err *e)
{
        cleanup_free char *host_part = host_as_component(host);
        cleanup_free char *name = mem_printf(PLACE_ROOT "%s/%s", host_part, repository);
        cleanup_free char *whole = mem_printf(ADDRESS "%u/%s", port, name);
        if (strlen(whole) > IMAGE_NAME_MAX)
                return err_set(e, ERR_INVALID,
                        "the relay's name would have more than %d characters", IMAGE_NAME_MAX);
        if (strchr(host, '_') != NULL || !is_nameable(name, port)) /* one name for one host */
                return err_set(e, ERR_INVALID, "the relay's name would be no reference");
        *out = take(&name);
        return 0;
}

char *place_image(const char *name, const char *digest, uint16_t port)
{
        return mem_printf(ADDRESS "%u/%s@%s", port, name, digest);
}

bool place_is_ours(const char *image)
{
        if (strncmp(image, ADDRESS, strlen(ADDRESS)) != 0)
                return false;
        const char *port = image + strlen(ADDRESS);
        const char *slash = port + strspn(port, "0123456789");
        return slash > port && *slash == '/' &&
               strncmp(slash + 1, PLACE_ROOT, strlen(PLACE_ROOT)) == 0;
}

/* What follows `prefix`; NULL if s does not begin so. */
static const char *after(const char *s, const char *prefix)
{
        size_t size = strlen(prefix);
        return s != NULL && strncmp(s, prefix, size) == 0 ? s + size : NULL;
}

bool place_parse(const char *path, const char *name, struct place_request *out)
{
        const char *rest = after(after(after(path, "/v2/"), name), "/");
        const char *manifest = after(rest, "manifests/");
        const char *blob = after(rest, "blobs/");
        const char *digest = manifest != NULL ? manifest : blob;
        if (digest == NULL || strlen(digest) != DIGEST_SHA256_SIZE ||
                !digest_valid(digest, DIGEST_SHA256_SIZE))
                return false;
        out->kind = manifest != NULL ? REGISTRY_MANIFEST : REGISTRY_BLOB;
        memcpy(out->digest, digest, DIGEST_SHA256_SIZE + 1);
        return true;
}
