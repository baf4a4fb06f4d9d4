/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at what containerd has: its image records with our labels, which digests each image ID
 * has, and the containers as CRI knows them. Blocks, 10 s a question at most; wakes on its token.
 */
#ifndef CRI_RESOLVED_INVENTORY_H
#define CRI_RESOLVED_INVENTORY_H

#include "base/cancel.h"
#include "config/lists.h"
#include "shim/images.h"
#include "shim/names.h"
#include "shim/shelf.h"

/* A record of a registry's image: not an image ID, not a name of the relay's. */
struct inventory_image {
        char *text;
        char *digest;
        int64_t labelled_s;
        bool is_tag, by_mirror, pinned;
};

/* What one image ID stands for. */
struct inventory_id {
        char *id; /* "sha256:..." */
        struct strings digests;
};

struct inventory_container {
        char *id;
        char *image_id; /* may be NULL, as all below */
        char *said;     /* what the pod says, else what the kubelet asked for; no image ID */
        char *pod, *namespace_name, *name; /* the first two of kubelet's labels: others give none */
        bool gave_string;                  /* CRI was given what the pod says */
        int32_t state;                     /* CRI's */
        int64_t created_ns;                /* 0: not known */
};

enum { INVENTORY_CREATED, INVENTORY_RUNNING, INVENTORY_EXITED }; /* CRI's states */

struct inventory {
        struct shelf images, ids, containers;
};
void inventory_fini(struct inventory *i);
#define cleanup_inventory cleanup(inventory_fini)

/* Containers only where wanted: an image event says nothing about them. Errors as in images.h, and
 * ERR_CANCELLED. */
int inventory_read(struct images *im, bool containers, struct cancel *cancel, struct inventory *out,
        struct err *e) ERR_MUST_CHECK;

/* The record as names.h takes it; borrowed from the inventory. */
struct name_record inventory_record(const struct inventory *i, const struct inventory_image *image);

#endif
