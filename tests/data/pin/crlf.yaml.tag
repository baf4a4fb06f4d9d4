spec:
  containers:
  - image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
  - image: "redis:7@sha256:<docker.io/library/redis:7>"   # quoted
  - name: x
    image: busybox:latest@sha256:<docker.io/library/busybox:latest>
