/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_text.h"

#include <stdbool.h>

struct json_text json_text_measure(const char *text, size_t size)
{
        struct json_text t = {.values = 1};
        bool in_string = false;
        size_t depth = 0;
        for (size_t i = 0; i < size; i++) {
                char c = text[i];
                if (in_string && c == '\\')
                        i++;
                else if (c == '"')
                        in_string = !in_string;
                else if (in_string)
                        continue;
                else if (c == '{' || c == '[')
                        t.values++, depth++;
                else if (c == ',')
                        t.values++;
                else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
                if (depth > t.depth)
                        t.depth = depth;
        }
        return t;
}
