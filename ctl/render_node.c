/* SPDX-License-Identifier: Apache-2.0 */
/* render crictl, render kubelet: who on a node must know our socket. */
#include "ctl/render.h"

void render_crictl(const struct config *c, struct rendering *r)
{
        cleanup_buf struct buf text;
        cleanup_free char *runtime = render_quote(c->backend);
        cleanup_free char *image = render_quote(c->listen[0]);
        buf_init(&text, RENDER_MAX_BYTES);
        buf_printf(&text, "runtime-endpoint: %s\nimage-endpoint: %s\n", runtime, image);
        r->directory = mem_strdup("/etc");
        rendering_add(r, mem_strdup("crictl.yaml"), &text);
}

static void note_older(struct rendering *r, const char *socket)
{
        rendering_note(r,
                "Kubernetes 1.30 and later: start kubelet with --config-dir (here: "
                "/etc/kubernetes/kubelet.conf.d; 1.28 and 1.29 besides with the environment "
                "variable KUBELET_CONFIG_DROPIN_DIR_ALPHA=1). Files there end in .conf and count "
                "in "
                "the order of their names.\n");
        rendering_note(r,
                "1.27 to 1.29 without it: put the line imageServiceEndpoint into kubelet's "
                "configuration itself (/var/lib/kubelet/config.yaml).\n");
        rendering_note(r,
                "1.26 and earlier have a flag instead, with kubeadm in /etc/default/kubelet "
                "(Debian) or /etc/sysconfig/kubelet:\n\n"
                "  KUBELET_EXTRA_ARGS=--image-service-endpoint=%s\n",
                socket);
}

/* kubeadm writes /var/lib/kubelet/config.yaml anew: a patch outlives that. */
static void note_kubeadm(struct rendering *r, const char *socket)
{
        rendering_note(r,
                "kubeadm writes /var/lib/kubelet/config.yaml anew at each upgrade. From 1.25 on a "
                "patch stays: a file kubeletconfiguration0+strategic.yaml with the line "
                "imageServiceEndpoint in the directory that `kubeadm init`, `join` and `upgrade` "
                "are given with --patches. For the flag, in the configuration of kubeadm:\n\n"
                "  nodeRegistration:\n"
                "    kubeletExtraArgs:              # v1beta4: a list of name and value\n"
                "      image-service-endpoint: %s\n",
                socket);
}

char *render_kubelet_text(const struct config *c)
{
        cleanup_free char *socket = render_quote(c->listen[0]);
        return mem_printf("apiVersion: kubelet.config.k8s.io/v1beta1\n"
                          "kind: KubeletConfiguration\n"
                          "imageServiceEndpoint: %s\n",
                socket);
}

void render_kubelet(const struct config *c, struct rendering *r)
{
        cleanup_buf struct buf text;
        cleanup_free char *whole = render_kubelet_text(c);
        buf_init(&text, RENDER_MAX_BYTES);
        buf_puts(&text, whole);
        r->directory = mem_strdup("/etc/kubernetes/kubelet.conf.d");
        rendering_add(r, mem_strdup(RENDER_KUBELET_FILE), &text);
        note_older(r, c->listen[0]);
        note_kubeadm(r, c->listen[0]);
        rendering_note(r,
                "Start cri-resolved before kubelet: kubelet ends when the socket does not answer. "
                "Then: systemctl restart kubelet. Running pods stay.\n");
        rendering_note(r,
                "To go back: remove the file (or line, or flag), systemctl restart kubelet, and "
                "stop cri-resolved. Nothing else has to be undone: containerd's image store is all "
                "the state there is.\n");
}
