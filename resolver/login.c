/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/login.h"

#include <string.h>
#include <strings.h>

#include "resolver/base64.h"

enum { FIELD_MAX_BYTES = 1024 * 1024 };

static bool filled(const char *s)
{
        return s != NULL && s[0] != '\0';
}

bool credentials_present(const struct credentials *c)
{
        return c != NULL && (filled(c->username) || filled(c->password) || filled(c->auth) ||
                                    filled(c->identity_token) || filled(c->registry_token));
}

/* Length first: no two lists of fields give the same bytes. */
static void digest_fields(const char *const *fields, size_t count, char out[DIGEST_SHA256_SIZE + 1])
{
        struct digest_hash *hash = digest_hash_new();
        for (size_t i = 0; i < count; i++) {
                const char *s = fields[i] != NULL ? fields[i] : "";
                const uint64_t size = strlen(s);
                digest_hash_update(hash, &size, sizeof(size));
                digest_hash_update(hash, s, size);
        }
        digest_hash_final(hash, out);
}

void credentials_key(const struct credentials *c, char out[DIGEST_SHA256_SIZE + 1])
{
        static const struct credentials none;
        if (c == NULL)
                c = &none;
        const char *fields[] = {c->username, c->password, c->auth, c->server_address,
                c->identity_token, c->registry_token};
        digest_fields(fields, sizeof(fields) / sizeof(fields[0]), out);
}

/* The host of a URL as Go's net/url sees it: none without "scheme://". */
static char *server_host(const char *address)
{
        const char *slashes = strstr(address, "//");
        if (slashes == NULL || slashes == address || slashes[-1] != ':' ||
                strcspn(address, "/?#") != (size_t)(slashes - address))
                return mem_strdup("");
        const char *start = slashes + 2;
        size_t size = strcspn(start, "/?#");
        const char *at = memrchr(start, '@', size);
        if (at == NULL)
                return mem_strndup(start, size);
        return mem_strndup(at + 1, size - (size_t)(at + 1 - start));
}

static bool meant_for(const char *server_address, const struct upstream *u)
{
        if (!filled(server_address))
                return true;
        cleanup_free char *named = server_host(server_address);
        const char *slashes = strstr(u->origin, "//");
        return slashes != NULL && strcasecmp(named, slashes + 2) == 0;
}

static void set(struct login *l, const char *username, const char *secret)
{
        free(l->username);
        mem_free_secret(l->secret);
        l->username = mem_strdup(username != NULL ? username : "");
        l->secret = mem_strdup(secret != NULL ? secret : "");
}

static void set_decoded(struct login *l, const char *auth)
{
        cleanup(mem_free_secret_at) char *text = NULL;
        size_t size;
        if (!base64_decode(auth, &text, &size)) {
                l->broken = "the field auth is not base64";
                return;
        }
        /* Trailing NULs are the padding of careless encoders. */
        while (size > 0 && text[size - 1] == '\0')
                size--;
        char *colon = memchr(text, ':', size);
        if (colon == NULL || memchr(text, '\0', size) != NULL) {
                l->broken = "the decoded field auth is not <username>:<password>";
                return;
        }
        *colon = '\0';
        set(l, text, colon + 1);
        *colon = ':';
}

static bool header_safe(const char *s)
{
        for (; *s != '\0'; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

static bool is_too_long(const char *s)
{
        return s != NULL && strnlen(s, FIELD_MAX_BYTES + 1) > FIELD_MAX_BYTES;
}

static void choose(struct login *l, const struct credentials *c)
{
        /* Before anything is copied, encoded and escaped from it. */
        if (is_too_long(c->username) || is_too_long(c->password) || is_too_long(c->auth) ||
                is_too_long(c->identity_token) || is_too_long(c->registry_token))
                l->broken = "a field is longer than 1 MiB";
        else if (filled(c->username))
                set(l, c->username, c->password);
        else if (filled(c->identity_token))
                set(l, "", c->identity_token);
        else if (filled(c->auth))
                set_decoded(l, c->auth);
        else if (filled(c->registry_token) && !header_safe(c->registry_token))
                l->broken = "the registry token has characters that no token has";
        else
                l->registry_token =
                        mem_strdup_or_null(filled(c->registry_token) ? c->registry_token : NULL);
}

static void set_key(struct login *l)
{
        const char *fields[] = {l->username, l->secret, l->registry_token, l->broken};
        digest_fields(fields, sizeof(fields) / sizeof(fields[0]), l->key);
}

void login_init_anonymous(struct login *l)
{
        *l = (struct login){0};
        set(l, "", "");
        set_key(l);
}

void login_init(struct login *l, const struct credentials *c, const struct upstream *u)
{
        *l = (struct login){0};
        set(l, "", "");
        if (credentials_present(c)) {
                if (meant_for(c->server_address, u))
                        choose(l, c);
        } else {
                const struct credentials own = {.username = u->username,
                        .password = u->password,
                        .auth = u->auth,
                        .identity_token = u->identity_token};
                choose(l, &own);
        }
        set_key(l);
}

void login_fini(struct login *l)
{
        mem_free_secret(l->username);
        mem_free_secret(l->secret);
        mem_free_secret(l->registry_token);
        *l = (struct login){0};
}

char *login_basic(const struct login *l)
{
        if (l->secret[0] == '\0')
                return NULL;
        cleanup(mem_free_secret_at) char *pair = mem_printf("%s:%s", l->username, l->secret);
        cleanup(mem_free_secret_at) char *encoded = base64_encode(pair, strlen(pair));
        return mem_printf("Authorization: Basic %s", encoded);
}
