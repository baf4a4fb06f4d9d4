# SPDX-License-Identifier: Apache-2.0
# A kubelet whose image service is gone does not start again; who removes the package must hear of it.
kubelet_places() {
  grep -ls 'cri-resolved\.sock' /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env \
    /etc/kubernetes/kubelet.conf.d/*.conf /etc/default/kubelet /etc/sysconfig/kubelet \
    /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d/*.conf \
    /usr/lib/systemd/system/kubelet.service.d/*.conf /etc/rancher/*/config.yaml \
    /etc/rancher/*/config.yaml.d/*.yaml /var/snap/microk8s/current/args/kubelet
  for process in /proc/[0-9]*; do
    if grep -qsx kubelet "$process/comm"; then grep -ls 'cri-resolved\.sock' "$process/cmdline"; fi
  done
}

warn_about_kubelet() {
  places=$(kubelet_places || true)
  [ -n "$places" ] || return 0
  {
    echo "cri-resolved: WARNING: kubelet still takes cri-resolved for its image service, says:"
    echo "$places" | sed 's/^/cri-resolved:   /'
    echo "cri-resolved: Pulls fail from now on, and kubelet will not start again. Take the setting"
    echo "cri-resolved: (imageServiceEndpoint or --image-service-endpoint) away and restart kubelet."
  } >&2
}
