apiVersion: v1
kind: Pod
spec:
  containers:
  - image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
    name: web
status:
  containerStatuses:
  - image: docker.io/library/nginx:1.27
    imageID: docker.io/library/nginx@sha256:<old>
    name: web
  phase: Running
