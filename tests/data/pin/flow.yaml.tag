{containers: [{image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>}, {image: "redis:7@sha256:<docker.io/library/redis:7>", name: b},
  {name: c, image: busybox:latest@sha256:<docker.io/library/busybox:latest>}],
 initContainers: [{image: 'ghcr.io/team/app:v1@sha256:<ghcr.io/team/app:v1>'
   }, image: alpine:3@sha256:<docker.io/library/alpine:3>]}
