a:
  image: |
    nginx:1.27
b:
  image: >-
    nginx:1.27
c:
  image:
    nginx:1.27@sha256:<docker.io/library/nginx:1.27>
d:
  image: nginx
    1.27
e:
  image: "nginx\x3a1.27"
f:
  ? image
  : nginx:1.27@sha256:<docker.io/library/nginx:1.27>
