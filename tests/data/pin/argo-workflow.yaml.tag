apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: build-
spec:
  templates:
  - name: build
    container:
      image: golang:1.23-alpine@sha256:<docker.io/library/golang:1.23-alpine>
      command: [go, build]
  - name: notify
    script:
      image: "{{inputs.parameters.image}}"
      source: |
        print("image: nginx:1.27")
  - name: tagged
    container:
      image: alpine:{{workflow.parameters.tag}}
  - name: last
    container: {image: alpine:3.20@sha256:<docker.io/library/alpine:3.20>, command: [sh]}
