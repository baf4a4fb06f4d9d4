image:
  repository: ghcr.io/team/app
  tag: v1
controllerImage:
  repository: ghcr.io/team/controller
  tag: ""
old:
  image: quay.io/team/old
  imageTag: v4
  digest: ""
source:
  repository: https://github.com/team/chart
  tag: v1
bad:
  repository: ghcr.io/team/bad
  tag: v1
  digest: latest
flow:
  image: {repository: busybox, tag: v1, digest: }
