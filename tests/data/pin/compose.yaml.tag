services:
  web:
    image: nginx:1.27@sha256:<docker.io/library/nginx:1.27>
    labels:
      - image=nginx
  build:
    build: .
    image: localhost/built:latest@sha256:<localhost/built:latest>
