apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec:
  image: quay.io/prometheus/prometheus
  version: v2.55.0
  thanos:
    version: v0.36.1
    image: quay.io/thanos/thanos:v0.36.1@sha256:<quay.io/thanos/thanos:v0.36.1>
