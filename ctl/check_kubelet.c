/* SPDX-License-Identifier: Apache-2.0 */
/* Whether kubelet and crictl ask us. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/check.h"
#include "ctl/facts_kubelet.h"

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
        if (is_ours(c, e->value))
                finding_run(finding, "systemctl", "start", "cri-resolved", NULL);
}

static int line_of(const char *place)
{
        const char *colon = strrchr(place, ':');
        return colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
}

/* In the file where it stands; else after `kind`, which every such file has. */
static void point_here(const struct check *c, json_t *finding, const struct kubelet_facts *k)
{
        cleanup_free char *text = mem_printf("imageServiceEndpoint: %s\n", c->config->listen[0]);
        bool in_config = k->image.value != NULL && k->config != NULL &&
                         strncmp(k->image.place, k->config, strlen(k->config)) == 0;
        if (in_config)
                finding_replace(
                        finding, k->config, line_of(k->image.place), line_of(k->image.place), text);
        else if (k->image.value != NULL)
                finding_advise(finding, "Change it where it stands: %s.", k->image.place);
        else if (k->config != NULL && k->kind_line > 0)
                finding_replace(finding, k->config, k->kind_line + 1, k->kind_line, text);
        else
                finding_advise(finding,
                        "Start kubelet with --image-service-endpoint=%s (before 1.27), or say "
                        "imageServiceEndpoint: %s in its configuration file.",
                        c->config->listen[0], c->config->listen[0]);
        finding_run(finding, "systemctl", "restart", "kubelet", NULL);
}

void check_kubelet(struct check *c)
{
        static const char *const flags[] = {"/var/lib/kubelet/kubeadm-flags.env",
                "/etc/default/kubelet", "/etc/sysconfig/kubelet",
                "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
                "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", NULL};
        size_t count = 0;
        const char *const *given = cli_values(c->cli, "kubelet-flags", &count);
        const char *file[] = {count > 0 ? given[0] : NULL, NULL};
        const char *config = cli_value(c->cli, "kubelet-config");
        struct kubelet_places places = {
                .config = config != NULL ? config : "/var/lib/kubelet/config.yaml",
                .config_folder = config != NULL ? NULL : "/etc/kubernetes/kubelet.conf.d",
                .flags = config != NULL || count > 0 ? file : flags,
                .proc = config != NULL || count > 0 ? NULL : "/proc"};
        cleanup_kubelet_facts struct kubelet_facts k = {0};
        struct err e;
        if (kubelet_facts_load(&places, &k, &e) < 0) {
                cli_note(c->cli, "kubelet was not looked at: %s", e.msg);
                return;
        }
        if (!k.found) {
                cli_note(c->cli, "kubelet was not looked at: no %s, and none runs", places.config);
                return;
        }
        const struct endpoint *in_effect = k.image.value != NULL ? &k.image : &k.runtime;
        if (in_effect->value != NULL)
                check_socket(c, in_effect);
        if (in_effect->value != NULL && is_ours(c, in_effect->value))
                return;
        json_t *finding = finding_add(c->findings, FINDING_KUBELET_NOT_POINTED_HERE);
        if (in_effect->value != NULL)
                finding_evidence(
                        finding, in_effect->place, "images are asked of %s", in_effect->value);
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
                cli_note(c->cli, "crictl was not looked at: %s", e.msg);
                return;
        }
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
