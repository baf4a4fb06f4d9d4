/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where kubelet and crictl look for images: kubelet's configuration file with its drop-ins, flags
 * from files and from the running process, crictl.yaml; each with its place. One thread.
 */
#ifndef CRI_RESOLVED_FACTS_KUBELET_H
#define CRI_RESOLVED_FACTS_KUBELET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct endpoint {
        char *value; /* "unix:///run/..."; NULL: not said */
        char *place; /* "file:line", or "process 123" */
};

struct kubelet_facts {
        bool found;    /* a configuration, flags or a process */
        char *config;  /* the file that counts; NULL: none */
        char *folder;  /* of drop-ins, --config-dir; NULL: kubelet reads none */
        int kind_line; /* of `kind` in it, after which a key may be put; 0: none */
        struct endpoint image;
        struct endpoint runtime;
};

struct kubelet_places {
        const char *config; /* KubeletConfiguration, where no --config says another one; what is not
                               there is left out */
        const char *const *flags; /* files with flags in them; ends with NULL */
        const char *proc;         /* where to look for the running kubelet; NULL: nowhere */
};

/* ERR_CONFIG "file:line:column: what" for a file that kubelet would not start with. */
int kubelet_facts_load(const struct kubelet_places *places, struct kubelet_facts *out,
        struct err *e) ERR_MUST_CHECK;
void kubelet_facts_fini(struct kubelet_facts *f);
#define cleanup_kubelet_facts cleanup(kubelet_facts_fini)

struct crictl_facts {
        bool found;
        struct endpoint image; /* image-endpoint, else runtime-endpoint, as crictl itself does */
        int image_line;        /* of image-endpoint; 0: not said */
};
int crictl_facts_load(const char *path, struct crictl_facts *out, struct err *e) ERR_MUST_CHECK;
void crictl_facts_fini(struct crictl_facts *f);
#define cleanup_crictl_facts cleanup(crictl_facts_fini)

/* The value of --name=value or "--name value" in a text with flags, systemd units included; the
 * last one counts. *line is where. The caller frees; NULL: not there. Pure. */
char *kubelet_flag(const char *text, const char *name, int *line);

#endif
