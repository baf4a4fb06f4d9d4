/* SPDX-License-Identifier: Apache-2.0 */
#include "config/credentials_file.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "config/files.h"

enum { CREDENTIALS_MAX_BYTES = 65536 };

static bool has_control_character(const char *s, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
                        return true;
        return false;
}

static size_t without_newline(const char *s, size_t size)
{
        if (size > 0 && s[size - 1] == '\n')
                size--;
        if (size > 0 && s[size - 1] == '\r')
                size--;
        return size;
}

static int parse(const char *path, const char *text, size_t size, char **user, char **password,
        struct err *e)
{
        size = without_newline(text, size);
        const char *colon = memchr(text, ':', size);
        if (colon == NULL || colon == text || has_control_character(text, size))
                return err_set(e, ERR_CONFIG,
                        "%s is not one line of the form user:password (a user and no control "
                        "characters)",
                        path);
        *user = mem_strndup(text, (size_t)(colon - text));
        *password = mem_strndup(colon + 1, size - (size_t)(colon + 1 - text));
        return 0;
}

int credentials_file_read(const char *path, char **user, char **password, struct err *e)
{
        cleanup_free char *text = NULL;
        size_t size = 0;
        *user = NULL;
        *password = NULL;
        if (file_read_private(path, CREDENTIALS_MAX_BYTES, &text, &size, e) < 0)
                return -1;
        int status = parse(path, text, size, user, password, e);
        mem_wipe(text, size); /* whole, whatever is in it: a secret string ends at the first NUL */
        return status;
}
