/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/content.h"

#include <string.h>

#include "base/mem.h"
#include "proto/containerd.pb-c.h"
#include "shim/message.h"
#include "shim/source_label.h"

enum { CALL_TIMEOUT_MS = 10000 };

#define CONTENT_SERVICE "/containerd.services.content.v1.Content/"

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

/* Content that is not labelled as from `from` is left as it is. */
static int move(struct rpc *containerd, const Containerd__ContentInfo *info,
        const struct content_source *from, const struct content_source *to, struct err *e)
{
        cleanup_free char *to_key = source_label_key(to->host);
        cleanup_free char *from_key = source_label_key(from->host);
        const char *listed = label_of(info, from_key);
        cleanup_free char *without = source_label_drop(listed, from->repository);
        if (strcmp(without, listed) == 0)
                return 0;
        /* The upstream may be on this machine too: then both are in one list. */
        bool one_list = strcmp(to_key, from_key) == 0;
        cleanup_free char *with = source_label_add(
                to_key, one_list ? without : label_of(info, to_key), to->repository);
        cleanup(changes_fini) struct changes changes = {0};
        change(&changes, info, to_key, with);
        if (!one_list)
                change(&changes, info, from_key, without);
        int r = changes.count == 0 ? 0 : write_changes(containerd, info->digest, &changes, e);
        return r < 0 && e->code == ERR_NOT_FOUND ? 0 : r;
}

/* What was found: all of it is read before the first label is written. */
struct page {
        Containerd__ListContentResponse *content;
        struct page *next;
};

static void pages_fini(struct page **first)
{
        while (*first != NULL) {
                struct page *page = *first;
                *first = page->next;
                containerd__list_content_response__free_unpacked(page->content, NULL);
                free(page);
        }
}

static void take_page(void *first, const uint8_t *message, size_t size)
{
        struct page **at = first;
        Containerd__ListContentResponse *content =
                containerd__list_content_response__unpack(NULL, size, message);
        if (content == NULL)
                return;
        struct page *page = mem_zalloc(sizeof(*page));
        page->content = content;
        page->next = *at;
        *at = page;
}

/* All that may be from there: the filter knows parts of texts, and a repository's name can be a
 * part of another's. */
static int find(struct rpc *containerd, const struct content_source *from, struct page **found,
        struct err *e)
{
        cleanup_free char *key = source_label_key(from->host);
        cleanup_free char *filter = mem_printf("labels.\"%s\"~=\"%s\"", key, from->repository);
        Containerd__ListContentRequest request = CONTAINERD__LIST_CONTENT_REQUEST__INIT;
        request.filters = &filter;
        request.n_filters = 1;
        return message_read(containerd, CONTENT_SERVICE "List", &request.base, CALL_TIMEOUT_MS,
                take_page, found, e);
}

static int move_page(struct rpc *containerd, const Containerd__ListContentResponse *page,
        const struct content_source *from, const struct content_source *to, struct err *e)
{
        int r = 0;
        for (size_t i = 0; i < page->n_info; i++)
                if (page->info[i]->digest != NULL &&
                        move(containerd, page->info[i], from, to, e) < 0)
                        r = -1;
        return r;
}

int content_move_source(struct rpc *containerd, const struct content_source *from,
        const struct content_source *to, struct err *e)
{
        cleanup(pages_fini) struct page *found = NULL;
        int r = find(containerd, from, &found, e);
        for (const struct page *page = found; page != NULL; page = page->next)
                if (move_page(containerd, page->content, from, to, e) < 0)
                        r = -1;
        return r < 0 ? err_wrap(e, "cannot label content as from %s/%s", to->host, to->repository)
                     : 0;
}
