apiVersion: tekton.dev/v1
kind: Task
spec:
  params:
  - name: image
    default: nginx:1.27
  stepTemplate:
    image: gcr.io/kaniko-project/executor:v1.23.2@sha256:<gcr.io/kaniko-project/executor:v1.23.2>
  sidecars:
  - image: docker:27-dind@sha256:<docker.io/library/docker:27-dind>
    name: server
  steps:
  - name: run
    image: $(params.image)
  - name: list
    image: cgr.dev/chainguard/bash:latest@sha256:<cgr.dev/chainguard/bash:latest>
