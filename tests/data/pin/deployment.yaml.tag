# The shop's front.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels:
    app: shop
spec:
  replicas: 2
  template:
    spec:
      initContainers:
      - name: migrate
        image: ghcr.io/team/migrate:v2.3.1@sha256:<ghcr.io/team/migrate:v2.3.1>
      - image:   registry.example.com:5000/tools/wait:1@sha256:<registry.example.com:5000/tools/wait:1>
        name: wait
      containers:
        - name: web
          image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>   # keep in step with the proxy
          imagePullPolicy: Always
        - name: sidecar
          image: localhost:5000/sidecar:latest@sha256:<localhost:5000/sidecar:latest>
      ephemeralContainers:
      - name: debug
        image: busybox:latest@sha256:<docker.io/library/busybox:latest>
