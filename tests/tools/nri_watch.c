/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NRI plugin that prints what it hears, a line an event, until SIGTERM:
 *
 *     nri_watch SOCKET [--timeout MS] [--refuse IMAGE] [--annotate KEY VALUE]...
 *
 * A container of IMAGE is refused; others get the annotations.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "nri/plugin.h"

struct wishes {
        const char *refused_image;
        struct nri_creation creation;
};

static const char *const states[] = {"created", "running", "stopped", "unknown"};

static void print_container(const char *what, const struct nri_container *c)
{
        printf("%s id=%s pod_id=%s name=%s state=%s image=%s\n", what, c->id, c->pod_id, c->name,
                states[c->state], c->image != NULL ? c->image : "(none)");
}

static void print_pod(const char *what, const struct nri_pod *p)
{
        printf("%s id=%s name=%s namespace=%s uid=%s\n", what, p->id, p->name, p->namespace_name,
                p->uid);
}

static void on_configured(void *arg, const char *runtime, const char *version)
{
        (void)arg;
        printf("configured runtime=%s version=%s\n", runtime, version);
}

static void on_synchronized(void *arg, const struct nri_pod *pods, size_t pod_count,
        const struct nri_container *containers, size_t container_count)
{
        (void)arg;
        for (size_t i = 0; i < pod_count; i++)
                print_pod("pod", &pods[i]);
        for (size_t i = 0; i < container_count; i++)
                print_container("container", &containers[i]);
        printf("synchronized pods=%zu containers=%zu\n", pod_count, container_count);
}

static void on_creating(void *arg, const struct nri_pod *pod, const struct nri_container *container,
        struct nri_creation *answer)
{
        const struct wishes *w = arg;
        print_pod("pod", pod);
        print_container("creating", container);
        const char *image = log_or(container->image);
        if (w->refused_image != NULL && strcmp(image, w->refused_image) == 0)
                snprintf(answer->refusal, sizeof(answer->refusal), "%s: not this one", image);
        else
                *answer = w->creation;
}

static void on_stopped(void *arg, const char *container_id)
{
        (void)arg;
        printf("stopped id=%s\n", container_id);
}

static void on_removed(void *arg, const char *container_id)
{
        (void)arg;
        printf("removed id=%s\n", container_id);
}

static void on_disconnected(void *arg, const char *reason)
{
        (void)arg;
        printf("disconnected reason=%s\n", reason);
}

static void add_annotation(struct nri_creation *c, const char *key, const char *value)
{
        if (c->annotation_count == NRI_ANNOTATIONS_MAX)
                return;
        size_t i = c->annotation_count++;
        c->annotations[i].key = key;
        snprintf(c->annotations[i].value, sizeof(c->annotations[i].value), "%s", value);
}

int main(int argc, char **argv)
{
        struct wishes wishes = {0};
        struct nri_plugin_options o = {
                .socket_path = argc > 1 ? argv[1] : "",
                .listener = {&wishes, on_configured, on_synchronized, on_creating, on_stopped,
                        on_removed, on_disconnected},
        };
        for (int i = 2; i + 1 < argc; i += 2) {
                if (strcmp(argv[i], "--refuse") == 0)
                        wishes.refused_image = argv[i + 1];
                else if (strcmp(argv[i], "--timeout") == 0)
                        o.synchronize_timeout_ms = atoi(argv[i + 1]);
                else if (strcmp(argv[i], "--annotate") == 0 && i + 2 < argc)
                        add_annotation(&wishes.creation, argv[i + 1], argv[i + 2]), i++;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        sigset_t ends;
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        struct nri_plugin *plugin = nri_plugin_new(&o);
        if (plugin == NULL)
                return 1;
        int number = 0;
        sigwait(&ends, &number);
        nri_plugin_free(plugin);
        return 0;
}
