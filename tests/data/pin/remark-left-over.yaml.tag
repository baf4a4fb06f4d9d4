containers:
- image: nginx:1.28@sha256:<docker.io/library/nginx:1.28> # was 1.27
- image: redis:7@sha256:<docker.io/library/redis:7> # was 6 # for the shop
