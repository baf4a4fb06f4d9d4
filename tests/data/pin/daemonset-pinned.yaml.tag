apiVersion: apps/v1
kind: DaemonSet
spec:
  template:
    spec:
      containers:
      - name: by-digest
        image: ghcr.io/team/agent@sha256:<old>
      - name: by-both
        image: ghcr.io/team/agent:v1@sha256:<old>
      - name: by-remark
        image: nginx@sha256:<old> # was 1.27
      - name: by-remark-and-words
        image: "nginx@sha256:<old>"  #  was 1.26 # the old one
      - name: somebody-elses-remark
        image: redis@sha256:<old> # 7.2
      - name: current
        image: alpine:3.20@sha256:<docker.io/library/alpine:3.20>
