/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as our configuration and as containerd's hosts.toml: each must be taken or refused with
 * a message, and a message is one line that ends inside its buffer. Built with
 * -DCRI_RESOLVED_FUZZ=ON and clang; the corpus is tests/fuzz/corpus/toml.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/cri-resolved-fuzz-XXXXXX";
static char host_folder[sizeof(folder) + 16];
static char file[sizeof(host_folder) + 16];

static void remove_folder(void)
{
        unlink(file);
        rmdir(host_folder);
        rmdir(folder);
}

static void set_up(void)
{
        if (file[0] != '\0')
                return;
        assert(mkdtemp(folder) != NULL);
        snprintf(host_folder, sizeof(host_folder), "%s/a.io", folder);
        snprintf(file, sizeof(file), "%s/hosts.toml", host_folder);
        mkdir(host_folder, 0700);
        atexit(remove_folder);
}

static void write_file(const uint8_t *data, size_t size)
{
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        close(fd);
}

static void check_message(const struct err *e)
{
        assert(e->code == ERR_CONFIG || e->code == ERR_TOO_LARGE);
        assert(strnlen(e->msg, sizeof(e->msg)) < sizeof(e->msg) && e->msg[0] != '\0');
}

/* Every mirror that somebody lists can be reached, in the one form of its URL. */
static void check_mirrors(const struct config *c, const struct config_upstream *u)
{
        for (size_t i = 0; i < u->mirror_count; i++) {
                const char *url = u->mirrors[i];
                assert(config_mirror_for(c, url) != NULL && url[strlen(url) - 1] != '/');
                cleanup_upstream struct upstream *m = upstream_new_mirror(c, url);
                assert(strncmp(m->base_url, url, strlen(url)) == 0);
                const char *rest = m->base_url + strlen(url);
                assert(strcmp(rest, strstr(url, "/v2/") != NULL ? "" : "/v2") == 0);
                assert((m->username == NULL) == (m->password == NULL));
        }
}

static void as_configuration(void)
{
        struct config *c = NULL;
        struct err e;
        if (config_load(file, &c, &e) < 0) {
                check_message(&e);
                return;
        }
        assert(c->listen_count > 0 && c->budget_ms >= c->timeout_ms);
        assert(c->relay_port >= 1 && c->relay_port <= UINT16_MAX);
        check_mirrors(c, &c->upstream_default);
        for (size_t i = 0; i < c->upstream_count; i++)
                check_mirrors(c, &c->upstreams[i]);
        config_put(c);
}

static void as_hosts_file(void)
{
        struct config *c = NULL;
        struct err e;
        if (config_load(NULL, &c, &e) < 0)
                abort();
        c->certs_dir = mem_strdup(folder);
        struct upstream *u = NULL;
        if (upstream_new(c, "a.io", &u, &e) < 0)
                check_message(&e);
        else
                assert(strncmp(u->base_url, u->origin, strlen(u->origin)) == 0);
        upstream_free(u);
        config_put(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        set_up();
        write_file(data, size);
        as_configuration();
        as_hosts_file();
        return 0;
}
