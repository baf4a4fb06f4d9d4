/* SPDX-License-Identifier: Apache-2.0 */
/* Whether kubelet and crictl ask us, and how they are told to. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/check.h"
#include "ctl/facts_kubelet.h"
#include "ctl/render.h"
#include "ctl/text.h"

enum { WAYS_COLUMNS = 80 };

static const char *path_of(const char *address)
{
        return strncmp(address, "unix://", 7) == 0 ? address + 7 : address;
}

static bool is_ours(const struct check *c, const char *address)
{
        for (size_t i = 0; i < c->config->listen_count; i++)
                if (strcmp(path_of(c->config->listen[i]), path_of(address)) == 0)
                        return true;
        return false;
}

static bool is_containerds(const struct check *c, const char *address)
{
        return strcmp(path_of(c->cri_address), path_of(address)) == 0 ||
               strcmp(path_of(c->containerd_address), path_of(address)) == 0;
}

/* NULL if somebody listens there. */
static const char *why_not_listening(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(address.sun_path))
                return strerror(ENAMETOOLONG);
        memcpy(address.sun_path, path, strlen(path) + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int failed = fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0
                             ? errno
                             : 0;
        if (fd >= 0)
                close(fd);
        /* Who may not open it, or finds its queue full, has found somebody. */
        return failed == 0 || failed == EACCES || failed == EAGAIN ? NULL : strerror(failed);
}

static void check_socket(struct check *c, const struct endpoint *e)
{
        const char *why = why_not_listening(path_of(e->value));
        if (why == NULL)
                return;
        json_t *finding = finding_add(c->findings, FINDING_KUBELET_SOCKET_MISSING);
        finding_evidence(finding, e->place, "the endpoint is %s", e->value);
        finding_evidence(finding, path_of(e->value), "%s", why);
        if (is_ours(c, e->value)) {
                finding_advise(finding, "It is where cri-resolved is to listen.");
                finding_run(finding, "systemctl", "start", "cri-resolved", NULL);
        } else if (is_containerds(c, e->value)) {
                finding_advise(finding, "It is where containerd is to listen.");
                finding_run(finding, "systemctl", "start", "containerd", NULL);
        }
}

static int line_of(const char *place)
{
        const char *colon = strrchr(place, ':');
        return colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
}

/* The file of "file:line", where that is one of kubelet's own: flags stand elsewhere. */
static char *own_file(const struct kubelet_facts *k)
{
        const char *place = k->image.place;
        size_t size = strcspn(place, ":");
        size_t folder = k->folder != NULL ? strlen(k->folder) : 0;
        bool main = k->config != NULL && strlen(k->config) == size &&
                    strncmp(place, k->config, size) == 0;
        bool drop_in = folder > 0 && strncmp(place, k->folder, folder) == 0;
        return main || drop_in ? mem_strndup(place, size) : NULL;
}

/* In the file where it stands; else as a drop-in, where kubelet reads such; else after `kind`,
 * which every such file has. */
static void point_here(const struct check *c, json_t *finding, const struct kubelet_facts *k)
{
        cleanup_free char *text = mem_printf("imageServiceEndpoint: %s\n", c->config->listen[0]);
        cleanup_free char *file = k->image.value != NULL ? own_file(k) : NULL;
        if (file != NULL) {
                int line = line_of(k->image.place);
                finding_replace(finding, file, line, line, text);
        } else if (k->image.value != NULL) {
                finding_advise(finding, "Change it where it stands: %s.", k->image.place);
        } else if (k->folder != NULL) {
                cleanup_free char *path = mem_printf("%s/%s", k->folder, RENDER_KUBELET_FILE);
                cleanup_free char *whole = render_kubelet_text(c->config);
                finding_write(finding, path, whole);
        } else if (k->config != NULL && k->kind_line > 0) {
                finding_replace(finding, k->config, k->kind_line + 1, k->kind_line, text);
        } else {
                finding_advise(finding,
                        "Start kubelet with --image-service-endpoint=%s (before 1.27), or say "
                        "imageServiceEndpoint: %s in its configuration file.",
                        c->config->listen[0], c->config->listen[0]);
        }
        finding_run(finding, "systemctl", "restart", "kubelet", NULL);
}

static const struct endpoint *in_effect(const struct kubelet_facts *k)
{
        return k->image.value != NULL ? &k->image : &k->runtime;
}

/* 1: looked at; 0: there is none; -1: what there is cannot be read. */
static int load(struct check *c, struct kubelet_facts *k)
{
        static const char *const flags[] = {"/var/lib/kubelet/kubeadm-flags.env",
                "/etc/default/kubelet", "/etc/sysconfig/kubelet",
                "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
                "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", NULL};
        size_t count = 0;
        const char *const *given = cli_values(c->cli, "kubelet-flags", &count);
        const char *file[] = {count > 0 ? given[0] : NULL, NULL};
        const char *config = cli_value(c->cli, "kubelet-config");
        bool named = config != NULL || count > 0;
        struct kubelet_places places = {
                .config = config != NULL ? config : "/var/lib/kubelet/config.yaml",
                .flags = named ? file : flags,
                .proc = named ? NULL : "/proc"};
        struct err e;
        if (kubelet_facts_load(&places, k, &e) < 0) {
                check_not_looked_at(c, AREA_KUBELET, named, &e);
                return -1;
        }
        if (!k->found) {
                err_set(&e, ERR_NOT_FOUND, "no %s, and none runs", places.config);
                check_not_looked_at(c, AREA_KUBELET, named, &e);
        }
        return k->found;
}

/* As it stands: lines that begin with a blank are not filled. */
static void tell_file(const char *text)
{
        while (*text != '\0') {
                size_t size = strcspn(text, "\n");
                fprintf(stderr, "  %.*s\n", (int)size, text);
                text += size + (text[size] == '\n');
        }
}

/* Every way there is, and the way back: what suits depends on who made this node. */
static void tell_ways(const struct check *c)
{
        cleanup_rendering struct rendering r = {0};
        render_kubelet(c->config, &r);
        cli_note(c->cli, "how to point kubelet here, and back:");
        fprintf(stderr, "\nA drop-in, %s/%s:\n\n", r.directory, r.files[0].path);
        tell_file(r.files[0].text);
        for (size_t i = 0; i < r.notes.count; i++) {
                fputc('\n', stderr);
                text_fill(stderr, r.notes.items[i], 0, WAYS_COLUMNS);
        }
}

static void tell_way_back(const struct check *c, const struct kubelet_facts *k)
{
        cli_note(c->cli,
                "kubelet asks cri-resolved for images: %s. To go back, remove that line or flag, "
                "systemctl restart kubelet, and then stop cri-resolved.",
                in_effect(k)->place);
}

/* Whether it can be told who is us. */
static bool knows_us(struct check *c, enum finding_area area)
{
        struct err e;
        if (!c->listen_unknown)
                return true;
        err_set(&e, ERR_CONFIG, "where cri-resolved listens is said in %s, which cannot be read",
                c->cli->config_path);
        check_not_looked_at(c, area, false, &e);
        return false;
}

void check_kubelet(struct check *c)
{
        cleanup_kubelet_facts struct kubelet_facts k = {0};
        bool named = c->cli->argument_count > 0;
        int looked = load(c, &k);
        const struct endpoint *e = in_effect(&k);
        if (e->value != NULL)
                check_socket(c, e);
        if (looked < 0 || !knows_us(c, AREA_KUBELET))
                return;
        if (e->value != NULL && is_ours(c, e->value)) {
                if (named)
                        tell_way_back(c, &k);
                return;
        }
        if (named)
                tell_ways(c);
        if (looked == 0)
                return;
        json_t *finding = finding_add(c->findings, FINDING_KUBELET_NOT_POINTED_HERE);
        if (e->value != NULL)
                finding_evidence(finding, e->place, "images are asked of %s", e->value);
        else
                finding_evidence(finding, k.config != NULL ? k.config : "kubelet's flags",
                        "no imageServiceEndpoint");
        point_here(c, finding, &k);
}

void check_crictl(struct check *c)
{
        const char *given = cli_value(c->cli, "crictl-config");
        const char *path = given != NULL ? given : "/etc/crictl.yaml";
        cleanup_crictl_facts struct crictl_facts f = {0};
        struct err e;
        if (crictl_facts_load(path, &f, &e) < 0) {
                check_not_looked_at(c, AREA_CRICTL, given != NULL, &e);
                return;
        }
        if (!knows_us(c, AREA_CRICTL))
                return;
        if (f.image.value != NULL && is_ours(c, f.image.value))
                return;
        json_t *finding = finding_add(c->findings, FINDING_CRICTL_WITHOUT_IMAGE_ENDPOINT);
        finding_evidence(finding, f.image.place != NULL ? f.image.place : path, "%s",
                f.image.value != NULL ? f.image.value
                : f.found             ? "no image-endpoint"
                                      : "not there");
        cleanup_free char *line = mem_printf("image-endpoint: %s\n", c->config->listen[0]);
        cleanup_free char *whole = mem_printf("runtime-endpoint: %s\n%s", c->cri_address, line);
        if (!f.found)
                finding_write(finding, path, whole);
        else if (f.image_line > 0)
                finding_replace(finding, path, f.image_line, f.image_line, line);
        else
                finding_replace(finding, path, 1, 0, line);
}
