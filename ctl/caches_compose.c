/* SPDX-License-Identifier: Apache-2.0 */
/* Caches as a compose file: a service for each, and one that collects for it. */
#include <ctype.h>

#include "ctl/caches.h"

#define MOUNTED_CONFIG "/etc/registry-cache/config.yml"

/* The label as the name of an environment variable. */
static char *variable(const struct cache *c)
{
        char *name = mem_strdup(c->label);
        for (char *s = name; *s != '\0'; s++)
                *s = (char)(*s == '-' ? '_' : toupper((unsigned char)*s));
        return name;
}

static void add_common(struct buf *b, const struct cache *c)
{
        buf_printf(b,
                "    image: ${REGISTRY_IMAGE:-docker.io/library/registry:2}\n"
                "    read_only: true\n"
                "    cap_drop: [ALL]\n"
                "    security_opt: [\"no-new-privileges:true\"]\n"
                "    tmpfs: [/tmp]\n"
                "    volumes:\n"
                "      - ./%s.yml:" MOUNTED_CONFIG ":ro\n"
                "      - %s:" CACHES_STORE "\n",
                c->name, c->label);
}

static void add_service(struct buf *b, const struct caches *caches, const struct cache *c)
{
        cleanup_free char *prefix = variable(c);
        cleanup_free char *listen = caches_listen(caches->address, c->port);
        const char *port = listen[0] == ':' ? listen + 1 : listen;
        buf_printf(b, "  %s:\n", c->label);
        add_common(b, c);
        buf_printf(b,
                "    command: [serve, " MOUNTED_CONFIG "]\n"
                "    restart: unless-stopped\n"
                "    ports: [\"%s:%d\"]\n"
                "    environment:\n"
                "      OTEL_TRACES_EXPORTER: none\n"
                "      REGISTRY_PROXY_USERNAME: ${%s_USERNAME:-}\n"
                "      REGISTRY_PROXY_PASSWORD: ${%s_PASSWORD:-}\n"
                "  %s-gc:\n",
                port, CACHES_CONTAINER_PORT, prefix, prefix, c->label);
        add_common(b, c);
        buf_puts(b, "    profiles: [gc]\n"
                    "    command: [garbage-collect, " MOUNTED_CONFIG "]\n"
                    "    restart: \"no\"\n"
                    "    network_mode: none\n");
}

static void add_compose(const struct caches *c, struct rendering *r)
{
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_puts(&b,
                "# Pull-through caches. Names and passwords for upstreams come from a file .env "
                "beside this one.\n"
                "services:\n");
        for (size_t i = 0; i < c->count; i++)
                add_service(&b, c, &c->list[i]);
        buf_puts(&b, "volumes:\n");
        for (size_t i = 0; i < c->count; i++)
                buf_printf(&b, "  %s: {}\n", c->list[i].label);
        rendering_add(r, mem_strdup("compose.yaml"), &b);
}

/* cron counts days from Sunday. */
static void note_collection(const struct caches *c, struct rendering *r)
{
        cleanup_buf struct buf lines;
        buf_init(&lines, RENDER_MAX_BYTES);
        for (size_t i = 0; i < c->count; i++) {
                struct cache_time t = caches_time(i);
                const char *l = c->list[i].label;
                buf_printf(&lines, "  %d %d * * %d root cd DIRECTORY && sh collect.sh %s\n",
                        t.minute, t.hour, (t.weekday + 1) % 7, l);
        }
        rendering_note(r,
                "docker compose up -d starts the caches. Each is collected once a week, while it "
                "is "
                "stopped; in /etc/cron.d/registry-caches, with the directory of these files:\n\n%s",
                buf_str(&lines));
}

static void add_script(struct rendering *r)
{
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_puts(&b, "#!/bin/sh\n"
                     "# Collects the garbage of one cache, which is stopped meanwhile: sh "
                     "collect.sh NAME\n"
                     "set -eu\n"
                     "trap 'docker compose start \"$1\"' EXIT\n"
                     "docker compose stop \"$1\"\n"
                     "docker compose run --rm \"$1-gc\"\n");
        rendering_add(r, mem_strdup("collect.sh"), &b);
}

void caches_compose(const struct caches *c, struct rendering *r)
{
        for (size_t i = 0; i < c->count; i++) {
                cleanup_buf struct buf b;
                cleanup_free char *listen = caches_listen(NULL, CACHES_CONTAINER_PORT);
                buf_init(&b, RENDER_MAX_BYTES);
                caches_config(&c->list[i], listen, CACHES_STORE, &b);
                rendering_add(r, mem_printf("%s.yml", c->list[i].name), &b);
        }
        add_compose(c, r);
        add_script(r);
        note_collection(c, r);
        rendering_note(r,
                "The collection restarts each cache once a week, which also bounds the memory of "
                "versions in which it grows.\n");
}
