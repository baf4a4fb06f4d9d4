apiVersion: apps/v1
kind: StatefulSet
spec:
  template:
    spec:
      containers:
      - name: db
        image: 'postgres:16.4@sha256:<docker.io/library/postgres:16.4>'
      - name: exporter
        image: "quay.io/prometheuscommunity/postgres-exporter:v0.15.0@sha256:<quay.io/prometheuscommunity/postgres-exporter:v0.15.0>" # quoted
      - "image": "redis:7@sha256:<docker.io/library/redis:7>"
        'name': cache
