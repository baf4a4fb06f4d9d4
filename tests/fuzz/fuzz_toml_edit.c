/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a TOML text that is edited as migrate edits containerd's: the result parses, or the
 * edit is refused; what goes are whole pieces of the text, and what stays is as it was, in its
 * order. Built with -DCRI_RESOLVED_FUZZ=ON and clang; the corpus is tests/fuzz/corpus/toml_edit.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "config/toml.h"
#include "ctl/migrate_job.h"
#include "ctl/toml_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_parse(const char *text)
{
        json_t *values = NULL;
        struct err e;
        if (toml_parse(text, strlen(text), "fuzz", &values, NULL, &e) < 0)
                abort();
        json_decref(values);
}

/* Every byte of `part` stands in `whole`, in the same order. */
static bool is_within(const char *part, const char *whole)
{
        for (; *part != '\0'; part++) {
                whole = strchr(whole, *part);
                if (whole == NULL)
                        return false;
                whole++;
        }
        return true;
}

static void check_refusal(const struct err *e)
{
        assert(e->code == ERR_CONFIG || e->code == ERR_INVALID || e->code == ERR_TOO_LARGE);
        assert(e->msg[0] != '\0' && strnlen(e->msg, sizeof(e->msg)) < sizeof(e->msg));
}

/* The result, or a copy of the text where it was refused. */
static char *removed(const char *text, struct strings path)
{
        char *out = NULL;
        struct err e = {0};
        if (toml_edit_remove(text, &path, &out, &e) < 0) {
                check_refusal(&e);
                out = mem_strdup(text);
        } else {
                must_parse(out);
                assert(is_within(out, text));
        }
        strings_clear(&path);
        return out;
}

static char *with_value(const char *text, struct strings path, const char *string)
{
        char *out = NULL;
        struct err e = {0};
        json_t *value = json_string(string);
        if (toml_edit_set(text, &path, value, &out, &e) < 0) {
                check_refusal(&e);
                out = mem_strdup(text);
        } else {
                must_parse(out);
                assert(strstr(out, string) != NULL);
                /* once more: it is there now, and nothing changes */
                char *again = NULL;
                if (toml_edit_set(out, &path, value, &again, &e) < 0)
                        abort();
                assert(strcmp(again, out) == 0);
                mem_free_secret(again);
        }
        json_decref(value);
        strings_clear(&path);
        return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char cri[] = "io.containerd.grpc.v1.cri";
        cleanup_free char *text = mem_strndup((const char *)data, size);
        cleanup_free char *set = with_value(
                text, toml_path("plugins", cri, "registry", "config_path", NULL), "/etc/certs.d");
        cleanup_free char *one =
                removed(set, toml_path("plugins", cri, "registry", "mirrors", NULL));
        cleanup_free char *two = removed(one, toml_path("plugins", cri, "registry", NULL));
        cleanup_free char *three = removed(two, toml_path("a", NULL));
        cleanup_free char *four = with_value(three, toml_path("host", "b", NULL), "pull");
        cleanup_free char *shown = migrate_masked(four);
        return shown == NULL;
}
