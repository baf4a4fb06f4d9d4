/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as YAML: taken or refused with a one-line message; places go forward and stay inside
 * the text; what is taken is bounded, and has a line for every value. Built with
 * -DCRI_RESOLVED_FUZZ=ON and clang; the corpus is tests/fuzz/corpus/yaml.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "ctl/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
        size_t size, at;
        int depth;
};

static int see(void *arg, const struct yaml_event *v, struct err *e)
{
        struct seen *s = arg;
        (void)e;
        assert(v->start.offset <= v->end.offset && v->end.offset <= s->size);
        assert(v->start.offset >= s->at && v->start.line > 0 && v->start.column > 0);
        s->at = v->start.offset;
        s->depth += (v->kind == YAML_MAPPING_START || v->kind == YAML_SEQUENCE_START) -
                    (v->kind == YAML_MAPPING_END || v->kind == YAML_SEQUENCE_END);
        assert(s->depth >= 0 && s->depth <= 64);
        assert((v->kind == YAML_SCALAR || v->kind == YAML_ALIAS) == (v->text != NULL));
        return 0;
}

static void check_message(const struct err *e)
{
        size_t size = strnlen(e->msg, sizeof(e->msg));
        assert(e->code == ERR_CONFIG && size > 0 && size < sizeof(e->msg));
        assert(strchr(e->msg, '\n') == NULL);
}

/* Values and lines have the same keys. */
static void check_lines(const json_t *value, const json_t *lines)
{
        const char *key = NULL;
        json_t *below = NULL;
        size_t i = 0;
        assert(json_object_size(value) == json_object_size(lines) || !json_is_object(value));
        json_object_foreach ((json_t *)value, key, below) {
                const json_t *entry = json_object_get(lines, key);
                assert(json_integer_value(json_array_get(entry, 0)) > 0);
                check_lines(below, json_array_get(entry, 1));
        }
        json_array_foreach ((json_t *)value, i, below)
                check_lines(below, json_array_get(json_array_get(lines, i), 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct err e;
        struct seen s = {.size = size};
        if (yaml_walk((const char *)data, size, "f", see, &s, &e) < 0)
                check_message(&e);
        json_t *values = NULL;
        json_t *lines = NULL;
        if (yaml_parse((const char *)data, size, "f", &values, &lines, &e) < 0) {
                check_message(&e);
                return 0;
        }
        for (size_t i = 0; i < json_array_size(values); i++)
                check_lines(json_array_get(values, i), json_array_get(lines, i));
        json_decref(values);
        json_decref(lines);
        return 0;
}
