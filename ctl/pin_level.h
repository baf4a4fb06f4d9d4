/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapping or sequence of YAML as `pin` sees it when it ends: the scalars under the keys that mean
 * something. ctl/pin_yaml.c fills it, pin_judge_level finds the images in it. Pure; one thread at a
 * time.
 */
#ifndef CRI_RESOLVED_PIN_LEVEL_H
#define CRI_RESOLVED_PIN_LEVEL_H

#include "ctl/pin_edit.h"
#include "ctl/yaml.h"

/* Keys that mean something. */
enum pin_key {
        PIN_KEY_NONE,
        PIN_KEY_IMAGE,
        PIN_KEY_REFERENCE,
        PIN_KEY_REGISTRY,
        PIN_KEY_REPOSITORY,
        PIN_KEY_TAG,
        PIN_KEY_DIGEST,
        PIN_KEY_NAME,
        PIN_KEY_NEW_NAME,
        PIN_KEY_NEW_TAG,
        PIN_KEY_KIND,
        PIN_KEY_IMAGES,
        PIN_KEY_DATA,
        PIN_KEY_STATUS,
        PIN_KEY_LABELS,
        PIN_KEY_COUNT,
};

/* A scalar, as far as it is needed after its event. */
struct pin_scalar {
        char *text; /* NULL: nothing is held */
        size_t start, end, after;
        int line;
        enum yaml_style style;
        bool is_raw; /* its bytes are its value */
        bool in_flow;
        bool is_alias; /* it stands elsewhere */
        bool json_key; /* its key is in double quotes */
        size_t key_start, key_after;
        bool key_is_raw;
};

/* What was found below one key. */
struct pin_range {
        bool is_status; /* else data */
        bool is_open;
        size_t first_target, end_target, first_hint, end_hint;
};

enum { PIN_RANGES_MAX = 4 };

struct pin_level {
        bool is_mapping, in_flow, excluded, in_sequence;
        enum pin_key under; /* the key whose value this is, or is an item of */
        bool under_image;   /* that key ends in "image" */
        bool is_key;        /* of the mapping around it */
        bool has_key;       /* a key has been read, its value comes */
        bool other_tag;     /* a key looks like a tag's */
        bool key_ends_in_image;
        enum pin_key key;
        struct pin_scalar key_place;
        struct pin_scalar held[PIN_KEY_COUNT];
        struct pin_range ranges[PIN_RANGES_MAX];
        size_t range_count;
};

/* Adds to *f what the mapping says, with all its keys known. */
void pin_judge_level(struct pin_found *f, const struct pin_level *fr);

#endif
