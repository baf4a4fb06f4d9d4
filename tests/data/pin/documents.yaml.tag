%YAML 1.1
---
# first
image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
...
---
image: nginx:1.26@sha256:<docker.io/library/nginx:1.26>
---
# nothing
---
apiVersion: v1
kind: ConfigMap
data:
  pod.yaml: |
    spec:
      containers:
      - image: nginx:1.25
  folded: >-
    image: nginx:1.25
---
- image: nginx:1.24@sha256:<docker.io/library/nginx:1.24>
