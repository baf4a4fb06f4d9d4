/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/ingests.h"

#include <string.h>

#include "proto/containerd.pb-c.h"
#include "shim/message.h"

enum { CALL_TIMEOUT_MS = 10000 };

enum { GRPC_OK = 0, GRPC_NOT_FOUND = 5, GRPC_FAILED_PRECONDITION = 9 };

#define CONTENT_SERVICE "/containerd.services.content.v1.Content/"

/* How containerd's core/content begins all errors of a commit; the ref follows as Go quotes it.
 * Names and tags that a user chooses have neither spaces nor quotes. */
#define FAILED_COMMIT "failed commit on ref \""

/* containerd 1.6 unpacks layers while others are fetched; what an earlier try had unpacked may be
 * collected under the next one. */
static bool lost_snapshot(const struct rpc_answer *a)
{
        const char *prepare = strstr(a->message, "failed to prepare extraction snapshot \"");
        return a->code == GRPC_NOT_FOUND && prepare != NULL &&
               strstr(prepare, "does not exist") != NULL;
}

enum ingest_trouble ingests_trouble_of(const struct rpc_answer *a)
{
        if (a->code == GRPC_OK || a->message == NULL)
                return INGEST_TROUBLE_NONE;
        if (a->code == GRPC_FAILED_PRECONDITION &&
                (strstr(a->message, "unexpected commit digest") != NULL ||
                        strstr(a->message, "failed size validation") != NULL))
                return INGEST_TROUBLE_SPOILT;
        const char *commit = strstr(a->message, FAILED_COMMIT);
        bool taken = commit != NULL && strstr(commit, "no such file") != NULL;
        return taken || lost_snapshot(a) ? INGEST_TROUBLE_TAKEN : INGEST_TROUBLE_NONE;
}

/* The digest at the end of a ref, "layer-sha256:..." or "layer-<ref.name>@sha256:...", or NULL. */
static const char *digest_of_ref(const char *ref, size_t size)
{
        size_t start = size;
        while (start > 0 && ref[start - 1] != '-' && ref[start - 1] != '@')
                start--;
        return start > 0 && digest_valid(ref + start, size - start) ? ref + start : NULL;
}

/* False for what is no ref of a digest, and for one with characters that Go escapes: names that
 * mean well have none. */
static bool read_ref(const char *text, struct ingest_ref *out)
{
        size_t size = strcspn(text, "\"");
        const char *digest = digest_of_ref(text, size);
        if (text[size] != '"' || digest == NULL || size >= sizeof(out->ref) ||
                memchr(text, '\\', size) != NULL)
                return false;
        *out = (struct ingest_ref){0};
        memcpy(out->ref, text, size);
        memcpy(out->digest, digest, (size_t)(text + size - digest));
        return true;
}

static bool among(const struct ingest_ref *refs, size_t count, const char *ref)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(refs[i].ref, ref) == 0)
                        return true;
        return false;
}

size_t ingests_of_error(const char *message, struct ingest_ref *refs, size_t max)
{
        size_t count = 0;
        const char *rest = message;
        while (rest != NULL && count < max && (rest = strstr(rest, FAILED_COMMIT)) != NULL) {
                rest += strlen(FAILED_COMMIT);
                if (read_ref(rest, &refs[count]) && !among(refs, count, refs[count].ref))
                        count++;
        }
        return count;
}

/* An abort takes part in containerd's locking of refs and is short. */
int ingests_abort(struct rpc *containerd, const char *ref, bool *was_there, struct err *e)
{
        Containerd__AbortContentRequest request = CONTAINERD__ABORT_CONTENT_REQUEST__INIT;
        request.ref = (char *)ref;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        int r = message_ask(
                containerd, CONTENT_SERVICE "Abort", &request.base, CALL_TIMEOUT_MS, &answer, e);
        *was_there = r == 0;
        if (r == 0 || e->code == ERR_NOT_FOUND)
                return 0;
        return err_wrap(e, "cannot abort the ingest %s", ref);
}
