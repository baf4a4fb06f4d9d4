# Values of a chart.
replicaCount: 1
image:
  registry: docker.io
  repository: bitnami/nginx
  tag: 1.27.2-debian-12-r0
  digest: "sha256:<docker.io/bitnami/nginx:1.27.2-debian-12-r0>"
  pullPolicy: IfNotPresent
metrics:
  image:
    repository: quay.io/prometheus/exporter
    tag: "v1.8"
    digest: sha256:<quay.io/prometheus/exporter:v1.8>
  sidecarImage: {repository: busybox, tag: "1.36", digest: 'sha256:<docker.io/library/busybox:1.36>'}
proxy:
  repository: ghcr.io/team/proxy
  tag: v2
  digest: sha256:<ghcr.io/team/proxy:v2> # none yet
pinned:
  image:
    repository: ghcr.io/team/pinned
    tag: v2
    digest: sha256:<old>
trick:
  image:
    repository: ghcr.io/team/trick
    tag: v1@sha256:<old>
plain:
  image: ghcr.io/team/plain:v9@sha256:<ghcr.io/team/plain:v9>
