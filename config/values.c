/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "config/address.h"
#include "config/config.h"
#include "config/credentials_file.h"
#include "config/files.h"
#include "config/header_file.h"
#include "config/keys.h"
#include "config/lists.h"
#include "config/url.h"

enum {
        GROUP_BUFFER = 65536,
        SHOWN_MAX = 80, /* of a value in a message */
        MODE_DIGITS = 4,
        SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
        MIRRORS_MAX = 16, /* of one upstream */
        PEM_FILE_MAX = 8 * 1024 * 1024,
};

static const char allowed_socket[] = "\"unix:///path\", at most 107 bytes of path";
static const char allowed_group[] = "the name or number of a group on this machine, as a string";
static const char allowed_header[] = "name = \"value\", or name = { file = \"path\" }";

/* Without the value, which may be a secret. */
static int reject_type(const json_t *value, const char *allowed, struct err *e)
{
        static const char *const types[] = {[JSON_OBJECT] = "a table",
                [JSON_ARRAY] = "an array",
                [JSON_INTEGER] = "an integer",
                [JSON_REAL] = "a float",
                [JSON_TRUE] = "a boolean",
                [JSON_FALSE] = "a boolean",
                [JSON_NULL] = "a date, a time or not a number",
                [JSON_STRING] = "a string"};
        return err_set(e, ERR_CONFIG, "got %s; allowed: %s", types[json_typeof(value)], allowed);
}

static int reject(const json_t *value, const char *allowed, struct err *e)
{
        if (!json_is_string(value))
                return reject_type(value, allowed, e);
        return err_set(e, ERR_CONFIG, "got \"%.*s\"; allowed: %s", SHOWN_MAX,
                json_string_value(value), allowed);
}

/* The string without a NUL inside, else NULL. */
static const char *text_of(const json_t *value)
{
        const char *s = json_string_value(value);
        return s != NULL && strlen(s) == json_string_length(value) ? s : NULL;
}

static void put_string(void *field, const char *s)
{
        char **at = field;
        free(*at);
        *at = s[0] == '\0' ? NULL : mem_strdup(s);
}

static bool is_socket(const char *s)
{
        static const char scheme[] = "unix://";
        size_t size = strlen(scheme);
        return strncmp(s, scheme, size) == 0 && s[size] == '/' && s[size + 1] != '\0' &&
               strlen(s + size) <= SOCKET_PATH_MAX;
}

static int find_group(const char *name, int64_t *gid)
{
        char *end = NULL;
        unsigned long number = strtoul(name, &end, 10);
        if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && number < UINT32_MAX) {
                *gid = (int64_t)number;
                return 0;
        }
        cleanup_free char *room = mem_zalloc(GROUP_BUFFER);
        struct group entry;
        struct group *found = NULL;
        getgrnam_r(name, &entry, room, GROUP_BUFFER, &found);
        if (found == NULL)
                return -1;
        *gid = (int64_t)entry.gr_gid;
        return 0;
}

static bool duration_parse(const char *s, int64_t *out_ms)
{
        static const struct {
                const char *unit;
                int64_t ms;
        } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
        size_t digits = strspn(s, "0123456789");
        if (digits == 0 || digits > 9)
                return false;
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                if (strcmp(s + digits, units[i].unit) != 0)
                        continue;
                *out_ms = strtoll(s, NULL, 10) * units[i].ms;
                return true;
        }
        return false;
}

static int set_duration(const struct key *k, int64_t *field, const json_t *value, struct err *e)
{
        int64_t low = 0;
        int64_t high = 0;
        int64_t got = 0;
        const char *dots = strstr(k->allowed, "..");
        cleanup_free char *least = mem_strndup(k->allowed, (size_t)(dots - k->allowed));
        duration_parse(least, &low);
        duration_parse(dots + 2, &high);
        const char *s = text_of(value);
        int64_t unit = k->type == KEY_DURATION_S ? 1000 : 1;
        if (s == NULL || !duration_parse(s, &got) || got < low || got > high || got % unit != 0) {
                cleanup_free char *allowed = mem_printf("\"%s\" to \"%s\", as a number with %s",
                        least, dots + 2, unit == 1 ? "ms, s, m or h" : "s, m or h");
                return reject(value, allowed, e);
        }
        *field = got / unit;
        return 0;
}

/* "a|b|c" for people: "a", "b" or "c". The index of `s` in it, -1 if it is none of them. */
static int choice_index(const char *choices, const char *s, char *said, size_t said_size)
{
        int found = -1;
        int index = 0;
        size_t at = 0;
        for (const char *c = choices; *c != '\0'; index++) {
                int size = (int)strcspn(c, "|");
                const char *before = index == 0 ? "" : c[size] == '\0' ? " or " : ", ";
                at += (size_t)snprintf(said + at, said_size - at, "%s\"%.*s\"", before, size, c);
                if (s != NULL && strlen(s) == (size_t)size && strncmp(s, c, (size_t)size) == 0)
                        found = index;
                c += size + (c[size] == '|');
        }
        return found;
}

static int set_choice(const char *choices, const json_t *value, int *index, struct err *e)
{
        char said[128];
        int found = choice_index(choices, text_of(value), said, sizeof(said));
        if (found < 0)
                return reject(value, said, e);
        *index = found;
        return 0;
}

static int set_mode(uint32_t *field, const json_t *value, struct err *e)
{
        const char *s = text_of(value);
        if (s == NULL || strlen(s) != MODE_DIGITS || s[0] != '0' || strspn(s, "01234567") != 4)
                return reject(value, "four octal digits as a string, \"0000\" to \"0777\"", e);
        *field = (uint32_t)strtoul(s, NULL, 8);
        return 0;
}

static int set_file(
        const struct key *k, char **field, const json_t *value, bool unread, struct err *e)
{
        const char *s = text_of(value);
        if (s == NULL || (s[0] != '\0' && s[0] != '/'))
                return reject(value, "the absolute path of a PEM file", e);
        cleanup_secret char *text = NULL;
        bool secret = strstr(k->allowed, "KEY") != NULL;
        int status = s[0] == '\0' || unread ? 0
                     : secret               ? file_read_private(s, PEM_FILE_MAX, &text, NULL, e)
                                            : file_read(s, PEM_FILE_MAX, &text, NULL, e);
        if (status < 0)
                return -1;
        if (text != NULL && strstr(text, k->allowed) == NULL)
                return err_set(e, ERR_CONFIG, "%s holds no PEM %s", s,
                        secret ? "private key" : "certificate");
        put_string(field, s);
        return 0;
}

static int set_directory(char **field, const json_t *value, struct err *e)
{
        const char *s = text_of(value);
        if (s == NULL || (s[0] != '\0' && s[0] != '/'))
                return reject(value, "the absolute path of a directory", e);
        put_string(field, s);
        return 0;
}

static int set_directories(char **field, const json_t *value, struct err *e)
{
        static const char allowed[] = "absolute paths of directories, with ':' between them";
        const char *s = text_of(value);
        if (s == NULL)
                return reject(value, allowed, e);
        for (const char *at = s; *at != '\0'; at += strcspn(at, ":"), at += *at == ':')
                if (*at != '/')
                        return reject(value, allowed, e);
        put_string(field, s);
        return 0;
}

static int set_url(char **field, const json_t *value, struct err *e)
{
        const char *s = text_of(value);
        cleanup_free char *url = NULL;
        if (s != NULL && s[0] == '\0')
                url = mem_strdup("");
        else if (url_base(s, &url, e) < 0)
                return -1;
        put_string(field, url);
        return 0;
}

static int add_url(struct strings *list, const json_t *value, struct err *e)
{
        cleanup_free char *url = NULL;
        if (url_base(text_of(value), &url, e) < 0)
                return -1;
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i], url) == 0)
                        return err_set(e, ERR_CONFIG, "the same as number %zu (%s)", i + 1, url);
        strings_add(list, url);
        return 0;
}

static int set_urls(struct strings *list, const json_t *value, struct err *e)
{
        cleanup_strings struct strings next = {0};
        if (!json_is_array(value) && add_url(&next, value, e) < 0)
                return -1;
        if (json_array_size(value) > MIRRORS_MAX)
                return err_set(e, ERR_CONFIG, "got %zu mirrors; allowed: at most %d",
                        json_array_size(value), MIRRORS_MAX);
        for (size_t i = 0; i < json_array_size(value); i++)
                if (add_url(&next, json_array_get(value, i), e) < 0)
                        return err_wrap(e, "number %zu", i + 1);
        strings_clear(list);
        *list = next;
        next = (struct strings){0};
        return 0;
}

static bool item_good(const struct key *k, const char *s)
{
        int64_t gid = 0;
        return k->type == KEY_SOCKETS ? is_socket(s) : s[0] != '\0' && find_group(s, &gid) == 0;
}

static int set_strings(
        const struct key *k, struct strings *list, const json_t *value, struct err *e)
{
        const char *allowed = k->type == KEY_SOCKETS ? allowed_socket : allowed_group;
        size_t count = json_is_array(value) ? json_array_size(value) : 1;
        if (count == 0 && k->type == KEY_SOCKETS)
                return err_set(e, ERR_CONFIG, "got an empty array; allowed: %s", allowed);
        cleanup_strings struct strings next = {0};
        for (size_t i = 0; i < count; i++) {
                const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
                const char *s = text_of(item);
                if (s == NULL || !item_good(k, s))
                        return reject(item, allowed, e);
                strings_add(&next, s);
        }
        strings_clear(list);
        *list = next;
        next = (struct strings){0};
        return 0;
}

/* Adds it with its value, or with the file that the value is in. */
static int add_header(struct headers *list, const char *name, const json_t *value,
        bool secrets_unread, struct err *e)
{
        const char *s = text_of(value);
        const char *path = text_of(json_object_get(value, "file"));
        cleanup_secret char *text = NULL;
        if (s == NULL && (path == NULL || json_object_size(value) != 1))
                return err_set(e, ERR_CONFIG, "header \"%.*s\": allowed: %s", SHOWN_MAX, name,
                        allowed_header);
        if (s == NULL && secrets_unread) {
                headers_add_unread(list, name, path);
                return 0;
        }
        int status =
                s != NULL ? header_value_check(name, s, e) : header_file_read(name, path, &text, e);
        if (status == 0)
                headers_add(list, name, s != NULL ? s : text);
        return status;
}

static int set_headers(
        struct headers *list, const json_t *value, bool secrets_unread, struct err *e)
{
        if (!json_is_object(value))
                return reject_type(value, allowed_header, e);
        cleanup_headers struct headers next = {0};
        const char *name = NULL;
        json_t *item = NULL;
        json_object_foreach ((json_t *)value, name, item) {
                if (!header_name_valid(name)) /* behind a colon it may be the whole header */
                        return err_set(e, ERR_CONFIG, "\"%.*s\" is no header name",
                                (int)strcspn(name, ":"), name);
                if (add_header(&next, name, item, secrets_unread, e) < 0)
                        return -1;
        }
        headers_clear(list);
        *list = next;
        next = (struct headers){0};
        return 0;
}

static int set_socket(const struct key *k, char **field, const json_t *value, struct err *e)
{
        const char *s = text_of(value);
        bool unset = s != NULL && s[0] == '\0' && k->allowed[0] != '\0';
        if (s == NULL || !(unset || is_socket(s)))
                return reject(value, allowed_socket, e);
        put_string(field, s);
        return 0;
}

static int set_group(int64_t *field, const json_t *value, struct err *e)
{
        const char *s = text_of(value);
        int64_t gid = -1;
        if (s == NULL || (s[0] != '\0' && find_group(s, &gid) < 0))
                return reject(value, allowed_group, e);
        *field = gid;
        return 0;
}

static int set_port(int64_t *field, const json_t *value, struct err *e)
{
        static const char allowed[] = "an integer, 1 to 65535";
        json_int_t got = json_integer_value(value);
        if (!json_is_integer(value))
                return reject_type(value, allowed, e);
        if (got < 1 || got > UINT16_MAX)
                return err_set(
                        e, ERR_CONFIG, "got %" JSON_INTEGER_FORMAT "; allowed: %s", got, allowed);
        *field = got;
        return 0;
}

static int set_address(char **field, const json_t *value, struct err *e)
{
        struct sockaddr_storage unused;
        socklen_t size = 0;
        const char *s = text_of(value);
        if (s == NULL || (s[0] != '\0' && !address_parse(s, &unused, &size)))
                return reject(value,
                        "an IP address and a port, as in \"127.0.0.1:9779\" or \"[::1]:9779\"; "
                        "\"\": nowhere",
                        e);
        put_string(field, s);
        return 0;
}

/* Three fields: the user, the password, and the file that both are in. */
static int set_credentials(char **field, const json_t *value, bool secrets_unread, struct err *e)
{
        const char *s = text_of(value);
        if (s == NULL || (s[0] != '\0' && s[0] != '/'))
                return reject(value, "the absolute path of a file with one line user:password", e);
        cleanup_secret char *user = NULL;
        cleanup_secret char *password = NULL;
        if (s[0] != '\0' && !secrets_unread && credentials_file_read(s, &user, &password, e) < 0)
                return -1;
        mem_free_secret(field[0]);
        mem_free_secret(field[1]);
        field[0] = take(&user);
        field[1] = take(&password);
        put_string(&field[2], s);
        return 0;
}

static int set_bool(bool *field, const json_t *value, struct err *e)
{
        if (!json_is_boolean(value))
                return reject(value, "true or false", e);
        *field = json_is_true(value);
        return 0;
}

/* Words that stand for a value: the level's and the format's. */
static int set_word(const struct key *k, void *field, const json_t *value, struct err *e)
{
        static const enum log_level levels[] = {
                LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
        const char *choices = k->type == KEY_LEVEL    ? "error|warning|info|debug"
                              : k->type == KEY_FORMAT ? "text|json"
                                                      : k->allowed;
        int index = 0;
        if (set_choice(choices, value, &index, e) < 0)
                return -1;
        if (k->type == KEY_LEVEL)
                *(enum log_level *)field = levels[index];
        else if (k->type == KEY_FORMAT)
                *(bool *)field = index == 1;
        else
                *(int *)field = index;
        return 0;
}

/* A client's key is the only secret among the files in PEM. */
static bool is_secret(const struct key *k)
{
        return k->type == KEY_FILE && strstr(k->allowed, "PRIVATE KEY") != NULL;
}

int key_set(
        const struct key *k, void *base, const json_t *value, bool secrets_unread, struct err *e)
{
        void *field = (char *)base + k->offset;
        switch (k->type) {
        case KEY_SOCKET:
                return set_socket(k, field, value, e);
        case KEY_SOCKETS:
        case KEY_GROUPS:
                return set_strings(k, field, value, e);
        case KEY_GROUP:
                return set_group(field, value, e);
        case KEY_MODE:
                return set_mode(field, value, e);
        case KEY_FILE:
                return set_file(k, field, value, secrets_unread && is_secret(k), e);
        case KEY_DIRECTORY:
                return set_directory(field, value, e);
        case KEY_DIRECTORIES:
                return set_directories(field, value, e);
        case KEY_URL:
                return set_url(field, value, e);
        case KEY_URLS:
                return set_urls(field, value, e);
        case KEY_PORT:
                return set_port(field, value, e);
        case KEY_ADDRESS:
                return set_address(field, value, e);
        case KEY_CHOICE:
        case KEY_LEVEL:
        case KEY_FORMAT:
                return set_word(k, field, value, e);
        case KEY_BOOL:
                return set_bool(field, value, e);
        case KEY_DURATION_MS:
        case KEY_DURATION_S:
                return set_duration(k, field, value, e);
        case KEY_HEADERS:
                return set_headers(field, value, secrets_unread, e);
        case KEY_CREDENTIALS:
                return set_credentials(field, value, secrets_unread, e);
        }
        return err_set(e, ERR_INTERNAL, "%s has no type", k->path);
}

void key_set_initial(const struct key *k, void *base)
{
        if (k->type == KEY_GROUP)
                *(int64_t *)((char *)base + k->offset) = -1;
        if (k->initial[0] == '\0')
                return;
        struct err e;
        json_t *value = k->type == KEY_BOOL   ? json_boolean(strcmp(k->initial, "true") == 0)
                        : k->type == KEY_PORT ? json_integer(strtoll(k->initial, NULL, 10))
                                              : json_string(k->initial);
        if (key_set(k, base, value, false, &e) < 0)
                abort(); /* the table itself is wrong; the unit test of the defaults says so */
        json_decref(value);
}

void key_clear(const struct key *k, void *base)
{
        void *field = (char *)base + k->offset;
        switch (k->type) {
        case KEY_SOCKETS:
        case KEY_GROUPS:
        case KEY_URLS:
                strings_clear(field);
                break;
        case KEY_HEADERS:
                headers_clear(field);
                break;
        case KEY_CREDENTIALS:
                mem_free_secret(take((char **)field));
                mem_free_secret(take((char **)field + 1));
                put_string((char **)field + 2, "");
                break;
        case KEY_SOCKET:
        case KEY_FILE:
        case KEY_DIRECTORY:
        case KEY_DIRECTORIES:
        case KEY_URL:
        case KEY_ADDRESS:
                put_string(field, "");
                break;
        default:
                break; /* nothing that is allocated */
        }
}

void key_clear_all(enum key_home home, void *base)
{
        for (size_t i = 0; i < key_count; i++)
                if (keys[i].home == home)
                        key_clear(&keys[i], base);
}

static bool equal_string(const char *a, const char *b)
{
        return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool key_equal(const struct key *k, const void *a, const void *b)
{
        const void *left = (const char *)a + k->offset;
        const void *right = (const char *)b + k->offset;
        switch (k->type) {
        case KEY_SOCKETS:
        case KEY_GROUPS:
        case KEY_URLS:
                return strings_equal(left, right);
        case KEY_HEADERS:
                return headers_equal(left, right);
        case KEY_SOCKET:
        case KEY_FILE:
        case KEY_DIRECTORY:
        case KEY_DIRECTORIES:
        case KEY_URL:
        case KEY_ADDRESS:
                return equal_string(*(char *const *)left, *(char *const *)right);
        case KEY_CREDENTIALS:
                return equal_string(*(char *const *)left, *(char *const *)right) &&
                       equal_string(((char *const *)left)[1], ((char *const *)right)[1]) &&
                       equal_string(((char *const *)left)[2], ((char *const *)right)[2]);
        case KEY_GROUP:
        case KEY_PORT:
        case KEY_DURATION_MS:
        case KEY_DURATION_S:
                return *(const int64_t *)left == *(const int64_t *)right;
        case KEY_BOOL:
        case KEY_FORMAT:
                return *(const bool *)left == *(const bool *)right;
        case KEY_MODE:
        case KEY_CHOICE:
        case KEY_LEVEL:
                return *(const int *)left == *(const int *)right;
        }
        return false;
}
