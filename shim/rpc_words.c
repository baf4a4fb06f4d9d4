/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/rpc_words.h"

#include <string.h>

static const char other[] = "other";

static const struct {
        const char *word;
        size_t size;
} methods[] = {
#define ENTRY(word)                                                                                \
        {                                                                                          \
                word, sizeof(word) - 1                                                             \
        }
#define METHOD(service, name)                                                                      \
        ENTRY("runtime.v1." #service "/" #name), ENTRY("runtime.v1alpha2." #service "/" #name),
#include "shim/rpc_words.def"
#undef METHOD
#undef ENTRY
};

const char *rpc_word_of_method(const char *path, size_t size)
{
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                if (size == methods[i].size + 1 && path[0] == '/' &&
                        memcmp(path + 1, methods[i].word, size - 1) == 0)
                        return methods[i].word;
        return other;
}

const char *rpc_word_of_code(int code)
{
        static const char *const words[] = {"OK", "Canceled", "Unknown", "InvalidArgument",
                "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
                "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
                "Internal", "Unavailable", "DataLoss", "Unauthenticated"};
        size_t count = sizeof(words) / sizeof(words[0]);
        return code >= 0 && (size_t)code < count ? words[code] : other;
}
