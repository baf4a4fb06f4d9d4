image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
spec: {image: redis:7@sha256:<docker.io/library/redis:7>}
