/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which secret a request shows to its upstream, chosen as containerd chooses it (internal/cri/
 * server/images/image_pull.go, ParseAuth): nothing when server_address names another host; username
 * and password, else the identity token, else the decoded `auth`; ours besides: else the registry
 * token. A request without credentials takes those that containerd is configured with.
 */
#ifndef CRI_RESOLVED_LOGIN_H
#define CRI_RESOLVED_LOGIN_H

#include "resolver/registry.h"

struct login {
        char *username;       /* never NULL */
        char *secret;         /* never NULL; with an empty username it is an identity token */
        char *registry_token; /* NULL: none */
        const char *broken;   /* why the credentials cannot be used; NULL: they can */
        char key[DIGEST_SHA256_SIZE + 1];
};

/* Never fails: broken credentials matter only to an upstream that asks for some. */
void login_init(struct login *l, const struct credentials *c, const struct upstream *u);
void login_init_anonymous(struct login *l);
void login_fini(struct login *l);
#define cleanup_login cleanup(login_fini)

/* "Authorization: Basic ..."; NULL without a secret. The caller frees with mem_free_secret. */
char *login_basic(const struct login *l);

#endif
