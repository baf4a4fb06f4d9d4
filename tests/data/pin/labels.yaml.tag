metadata:
  labels: {image: nginx}
  annotations:
    image: nginx:1.27
    nested:
      image: nginx:1.27
spec:
  selector:
    matchLabels:
      image: nginx
  nodeSelector:
    image: nginx
  image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
? {image: nginx:1.27}
: {image: redis:7@sha256:<docker.io/library/redis:7>}
