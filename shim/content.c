/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/content.h"

#include <string.h>

#include "base/mem.h"
#include "proto/containerd.pb-c.h"
#include "shim/message.h"
#include "shim/source_label.h"

enum { CALL_TIMEOUT_MS = 10000 };

#define CONTENT_SERVICE "/containerd.services.content.v1.Content/"

static int ask_info(
        struct rpc *containerd, const char *digest, struct rpc_answer *answer, struct err *e)
{
        Containerd__ContentInfoRequest request = CONTAINERD__CONTENT_INFO_REQUEST__INIT;
        request.digest = (char *)digest;
        return message_ask(
                containerd, CONTENT_SERVICE "Info", &request.base, CALL_TIMEOUT_MS, answer, e);
}

static const char *label_of(const Containerd__ContentInfo *info, const char *key)
{
        for (size_t i = 0; i < info->n_labels; i++)
                if (info->labels[i]->key != NULL && strcmp(info->labels[i]->key, key) == 0 &&
                        info->labels[i]->value != NULL)
                        return info->labels[i]->value;
        return "";
}

/* Labels to be written; keys and values are borrowed. */
struct changes {
        Containerd__Label labels[2];
        Containerd__Label *list[2];
        char *paths[2];
        size_t count;
};

static void changes_fini(struct changes *c)
{
        for (size_t i = 0; i < c->count; i++)
                free(c->paths[i]);
}

static void change(struct changes *c, const Containerd__ContentInfo *info, char *key, char *value)
{
        if (strcmp(label_of(info, key), value) == 0)
                return;
        Containerd__Label *label = &c->labels[c->count];
        containerd__label__init(label);
        label->key = key;
        label->value = value;
        c->list[c->count] = label;
        c->paths[c->count] = mem_printf("labels.%s", key);
        c->count++;
}

/* The changed labels and nothing else of the content's; an empty value removes a label. */
static int write_changes(
        struct rpc *containerd, const char *digest, struct changes *c, struct err *e)
{
        Containerd__FieldMask mask = CONTAINERD__FIELD_MASK__INIT;
        mask.n_paths = c->count;
        mask.paths = c->paths;
        Containerd__ContentInfo info = CONTAINERD__CONTENT_INFO__INIT;
        info.digest = (char *)digest;
        info.n_labels = c->count;
        info.labels = c->list;
        Containerd__UpdateContentRequest request = CONTAINERD__UPDATE_CONTENT_REQUEST__INIT;
        request.info = &info;
        request.update_mask = &mask;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        return message_ask(
                containerd, CONTENT_SERVICE "Update", &request.base, CALL_TIMEOUT_MS, &answer, e);
}

static int move(struct rpc *containerd, const Containerd__ContentInfo *info,
        const struct content_source *from, const struct content_source *to, struct err *e)
{
        cleanup_free char *to_key = source_label_key(to->host);
        cleanup_free char *from_key = source_label_key(from->host);
        cleanup_free char *with = source_label_add(to_key, label_of(info, to_key), to->repository);
        /* The upstream may be on this machine too: then both are in one list. */
        bool one_list = strcmp(to_key, from_key) == 0;
        cleanup_free char *without =
                source_label_drop(one_list ? with : label_of(info, from_key), from->repository);
        cleanup(changes_fini) struct changes changes = {0};
        if (!one_list)
                change(&changes, info, to_key, with);
        change(&changes, info, from_key, without);
        return changes.count == 0 ? 0 : write_changes(containerd, info->digest, &changes, e);
}

int content_move_source(struct rpc *containerd, const char *digest,
        const struct content_source *from, const struct content_source *to, struct err *e)
{
        cleanup_rpc_answer struct rpc_answer answer = {0};
        int r = ask_info(containerd, digest, &answer, e);
        if (r == 0) {
                Containerd__ContentInfoResponse *told = containerd__content_info_response__unpack(
                        NULL, answer.response_size, answer.response);
                if (told == NULL || told->info == NULL || told->info->digest == NULL)
                        r = err_set(e, ERR_PROTOCOL, "containerd: Info: not its response");
                else
                        r = move(containerd, told->info, from, to, e);
                if (told != NULL)
                        containerd__content_info_response__free_unpacked(told, NULL);
        }
        if (r == 0 || e->code == ERR_NOT_FOUND)
                return 0;
        return err_wrap(e, "cannot label %s as from %s", digest, to->host);
}
