/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a hosts.toml that is read strictly, and as a TOML text to be edited: faults stand on
 * lines that there are; an edit leaves a text that is still TOML. Built with -DCRI_RESOLVED_FUZZ=ON
 * and clang; the corpus is tests/fuzz/corpus/hosts.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "config/toml.h"
#include "ctl/edit_toml.h"
#include "ctl/facts_hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_lines(const uint8_t *data, size_t size)
{
        int count = 1;
        for (size_t i = 0; i < size; i++)
                count += data[i] == '\n';
        return count;
}

static void check_faults(const struct hosts_file *f, int lines)
{
        bool discards = false;
        for (size_t i = 0; i < f->fault_count; i++) {
                assert(f->faults[i].line >= 0 && f->faults[i].line <= lines + 1);
                assert(f->faults[i].key != NULL);
                assert(f->faults[i].why == NULL || f->faults[i].nearest == NULL);
                discards = discards || f->faults[i].why != NULL;
        }
        assert(discards == f->discarded);
        for (size_t i = 0; i < f->mirror_count; i++)
                assert(f->mirrors[i].line <= lines && f->mirrors[i].url[0] != '\0');
}

static void check_edit(const char *text)
{
        static const char *const path[] = {"host"};
        struct edit_lines lines[16];
        size_t count = edit_toml_tables(text, path, 1, lines, 16);
        if (count == 0)
                return;
        cleanup_free char *after = edit_without(text, lines, count);
        json_t *values = NULL;
        struct err e;
        assert(toml_parse(after, strlen(after), "", &values, NULL, &e) == 0);
        assert(json_object_get(values, "host") == NULL);
        json_decref(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_free char *text = mem_zalloc(size + 1);
        memcpy(text, data, size);
        struct hosts_file f;
        hosts_file_read("/c/a.io/hosts.toml", "a.io", text, size, &f);
        check_faults(&f, count_lines(data, size));
        hosts_file_fini(&f);
        check_edit(text);
        return 0;
}
