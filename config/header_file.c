/* SPDX-License-Identifier: Apache-2.0 */
#include "config/header_file.h"

#include <string.h>

#include "base/mem.h"
#include "config/files.h"
#include "config/lists.h"

enum { VALUE_MAX_BYTES = 16384, SHOWN_MAX = 80 };

int header_value_check(const char *name, const char *value, struct err *e)
{
        if (header_value_valid(value))
                return 0;
        return err_set(e, ERR_CONFIG, "header \"%.*s\": the value has control characters",
                SHOWN_MAX, name);
}

int header_file_read(const char *name, const char *path, char **out, struct err *e)
{
        cleanup_secret char *text = NULL;
        *out = NULL;
        if (file_read_private(path, VALUE_MAX_BYTES, &text, NULL, e) < 0)
                return err_wrap(e, "header \"%.*s\"", SHOWN_MAX, name);
        size_t size = strlen(text);
        while (size > 0 && strchr("\r\n", text[size - 1]) != NULL)
                text[--size] = '\0';
        if (header_value_check(name, text, e) < 0)
                return -1;
        *out = take(&text);
        return 0;
}
