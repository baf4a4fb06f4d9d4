apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: settings}
  data:
    image: nginx:1.27
- apiVersion: v1
  data:
    image: nginx:1.27
  kind: Secret
  stringData: {image: "nginx:1.27"}
- apiVersion: v1
  kind: Pod
  spec:
    containers:
    - image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
- apiVersion: example.com/v1
  kind: Thing
  data:
    image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
